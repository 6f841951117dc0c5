// Which Redis to talk to, and the way to it. With Sentinel: asks the sentinels for the master and
// believes no server that does not itself say that it is one. A server that could lose state in
// silence (eviction, no append-only file) is refused. After a failure one caller at a time tries to
// connect, with growing, jittered pauses between the tries; the others fail at once. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/rng.h"
#include "scheduler/state/redis_connection.h"
#include "scheduler/state/state_uri.h"

namespace swage {

class RedisEndpoint {
 public:
  // `scripts` are loaded on every new connection.
  RedisEndpoint(RedisTarget target, std::vector<std::string> scripts);

  // A connection that is authenticated, on the right database of a master that keeps what it is
  // given. The first one makes the schema where there is none. Refused: REDIS_VERSION,
  // REDIS_EVICTION, REDIS_APPENDONLY, REDIS_APPENDFSYNC, SCHEMA_NEWER, STATE_COPY_UNFINISHED; and
  // STATE_VANISHED when a server that takes the place of another holds nothing of ours.
  StatusOr<std::unique_ptr<RedisConnection>> Connect();

  const RedisTarget& target() const { return target_; }
  // EVALSHA's name of the script, or with `by_text` EVAL's: the script itself. After the first
  // Connect.
  RedisCommand Evaluate(size_t script, bool by_text, const std::vector<std::string>& keys,
                        const std::vector<std::string_view>& arguments) const;
  std::string Key(std::string_view name) const;  // "{namespace}:name"

 private:
  StatusOr<std::unique_ptr<RedisConnection>> ConnectNow();
  StatusOr<RedisAddress> FindMaster();
  Status Greet(RedisConnection* connection);
  Status CheckServer(RedisConnection* connection, std::string* run);
  Status CheckSchema(RedisConnection* connection);
  Status NoteRun(RedisConnection* connection, const std::string& run);
  StatusOr<RedisReply> Ask(RedisConnection* connection, const RedisCommand& command);

  const RedisTarget target_;
  const std::vector<std::string> scripts_;
  const int connect_timeout_ms_;

  std::mutex mu_;
  std::condition_variable changed_;
  bool connecting_ = false;
  int failures_ = 0;  // in a row
  int64_t not_before_ms_ = 0;
  Status last_failure_;
  Rng jitter_;
  // Of the one that is connecting.
  size_t next_sentinel_ = 0;
  std::vector<std::string> digests_;  // of the scripts; never changes after the first connection
  bool had_schema_ = false;
};

inline constexpr std::string_view kRedisSchema = "1", kRedisCopying = "copying";

}  // namespace swage
