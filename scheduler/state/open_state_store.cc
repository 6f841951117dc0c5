#include "scheduler/state/redis_state_store.h"
#include "scheduler/state/state_store.h"
#include "scheduler/state/state_uri.h"

namespace swage {

StatusOr<std::unique_ptr<MovableStateStore>> OpenStateStore(const std::string& uri) {
  SWAGE_ASSIGN_OR_RETURN(const StateUri parsed, ParseStateUri(uri));
  switch (parsed.kind) {
    case StateUri::Kind::kMemory: return NewMemoryStateStore();
    case StateUri::Kind::kSqlite: return OpenSqliteStateStore(parsed.path);
    case StateUri::Kind::kRedis: break;
  }
  return OpenRedisStateStore(parsed.redis);
}

}  // namespace swage
