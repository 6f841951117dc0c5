// One connection to a Redis server, over TCP or a unix socket, in RESP2; commands out, replies in,
// each with a deadline. The only place that knows hiredis (0.14: its parser and its connect; what
// it writes with could raise SIGPIPE). No state rules here. For one thread at a time.
//
//   SWAGE_ASSIGN_OR_RETURN(auto redis, RedisConnection::Connect(address, 1000));
//   SWAGE_ASSIGN_OR_RETURN(RedisReply pong, redis->Call(RedisCommand({"PING"}), 1000));
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

struct RedisAddress {
  std::string host;
  int port = 0;
  std::string path;  // of a unix socket, instead of host and port
  std::string ToString() const;
};

// Of the monotonic clock that deadlines here are counted by.
int64_t SteadyMillis();

// A command as it goes over the wire.
class RedisCommand {
 public:
  explicit RedisCommand(size_t arguments);  // exactly so many Adds follow
  RedisCommand(std::initializer_list<std::string_view> arguments);
  RedisCommand& Add(std::string_view argument);
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// A part of a reply; valid as long as the RedisReply.
class RedisValue {
 public:
  explicit RedisValue(const void* raw) : raw_(raw) {}
  bool is_nil() const;
  bool is_error() const;          // its text is "CODE message"
  bool is_array() const;
  std::string_view text() const;  // "" unless a string, a status or an error
  int64_t integer() const;        // 0 unless an integer
  size_t size() const;            // of an array; 0 for everything else
  RedisValue operator[](size_t index) const;

 private:
  const void* raw_;
};

class RedisReply {
 public:
  RedisReply() = default;
  explicit RedisReply(void* raw) : raw_(raw) {}
  RedisValue value() const { return RedisValue(raw_.get()); }
  bool empty() const { return raw_ == nullptr; }

 private:
  struct Free {
    void operator()(void* raw) const;
  };
  std::unique_ptr<void, Free> raw_;
};

class RedisConnection {
 public:
  // REDIS_UNREACHABLE when nobody answers.
  static StatusOr<std::unique_ptr<RedisConnection>> Connect(const RedisAddress& address,
                                                            int timeout_ms);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  // After an error of Send or Receive the connection is of no further use. REDIS_LOST: the other
  // end is gone; REDIS_TIMEOUT: it is silent. `sent` is the number of bytes that have left.
  Status Send(std::string_view bytes, int timeout_ms, size_t* sent);
  StatusOr<RedisReply> Receive(int timeout_ms);  // an error reply is a reply
  StatusOr<RedisReply> Call(const RedisCommand& command, int timeout_ms);
  // Of a connection without unanswered commands: whether the other end has not hung up yet.
  bool Usable() const;
  const RedisAddress& address() const { return address_; }

 private:
  RedisConnection(RedisAddress address, int fd);
  Status Lost(std::string_view doing) const;
  Status Wait(short events, int64_t deadline_ms) const;

  const RedisAddress address_;
  const int fd_;
  struct FreeReader {
    void operator()(void* reader) const;
  };
  std::unique_ptr<void, FreeReader> reader_;
};

// The status of an error reply, with what to do about it.
Status RedisError(std::string_view reply, const RedisAddress& from);

}  // namespace swage
