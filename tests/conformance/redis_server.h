// A redis-server of the test's own: a child process in a temporary folder, on a unix socket (and a
// TCP port when asked), with an append-only file. It dies with the test. One thread.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/env.h"

namespace swage {

class RedisServer {
 public:
  struct Options {
    std::vector<std::string> settings;  // "--appendfsync", "always", ...; after the usual ones
    int port = 0;                       // 0: the unix socket only
    bool sentinel = false;              // `settings` are then lines of its configuration
  };
  RedisServer() : RedisServer(Options()) {}
  explicit RedisServer(Options options);  // returns when it takes connections
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  void Kill();      // kill -9, and waits for its end
  void Start();     // again, with the same files
  void Suspend();   // SIGSTOP; returns when it has stopped
  void Continue();  // SIGCONT
  std::string socket() const { return dir_.path() + "/redis.sock"; }
  std::string uri(const std::string& parameters = "") const;  // "a=b&c=d"
  pid_t pid() const { return pid_; }
  int port() const { return options_.port; }

 private:
  std::vector<std::string> Arguments();

  const Options options_;
  TempDir dir_{"redis"};
  pid_t pid_ = -1;
};

}  // namespace swage
