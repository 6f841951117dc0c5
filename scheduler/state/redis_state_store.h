// The state store in Redis 7 (docs/formats/state.md): one master, found by its address or by
// Sentinel. Each transaction is one run of one short Lua script; those of threads that apply at the
// same time go out in one write and come back in one read.
//
// What an acknowledged write survives is chosen by RedisTarget::durability:
//   everysec  a crash of redis-server costs at most about the last second
//   always    it costs nothing, as far as the disk keeps what it has acknowledged
//   replica   as everysec, and one replica has it before the answer; else the answer is kUnknown
// A failover costs what the new master had not got (docs/guarantees.md).
#pragma once

#include <memory>

#include "scheduler/state/state_store.h"
#include "scheduler/state/state_uri.h"

namespace swage {

StatusOr<std::unique_ptr<MovableStateStore>> OpenRedisStateStore(const RedisTarget& target);

}  // namespace swage
