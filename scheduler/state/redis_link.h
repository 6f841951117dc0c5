// A connection that is made again when it breaks. Commands that nothing was sent of yet are sent
// over the new one; what was sent is for the caller to judge. For one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "scheduler/state/redis_endpoint.h"

namespace swage {

class RedisLink {
 public:
  explicit RedisLink(RedisEndpoint* endpoint) : endpoint_(endpoint) {}

  Status Open();

  struct Outcome {
    Status status;                    // OK: all replies are there
    std::vector<RedisReply> replies;  // the first ones, as far as they came
    bool sent = false;                // Redis may have got something
  };
  // `bytes` are `count` commands. Waits `timeout_ms` for each reply at most.
  Outcome Run(const std::string& bytes, size_t count, int timeout_ms);
  // Commands that may be run twice: once more when the connection breaks. Error replies are errors.
  StatusOr<RedisReply> Read(const RedisCommand& command, int timeout_ms);

  // As RedisError, of a reply that came over this link.
  Status ErrorOf(std::string_view reply) const;

 private:
  Status Reconnect();

  RedisEndpoint* const endpoint_;
  std::unique_ptr<RedisConnection> connection_;
  RedisAddress last_address_;
};

}  // namespace swage
