// Where the state is, as one string:
//
//   memory:                                    forgotten at the end; for tests
//   sqlite:PATH, or a plain path               one file
//   redis://[:PASSWORD@]HOST[:PORT][/DB]       one Redis over TCP (port 6379)
//   redis+unix://[:PASSWORD@]/PATH[?db=N]      one Redis over its unix socket
//   redis+sentinel://[:PASSWORD@]HOST[:PORT],.../MASTER[/DB]   the master, found by Sentinel (26379)
//
// The three of Redis take, after '?', joined by '&':
//   durability=everysec|always|replica   what an acknowledged write survives (docs/guarantees.md)
//   namespace=NAME                       before all keys, in braces: one hash slot ("swage")
//   timeout_ms=N                         for one answer of Redis (5000)
//   password_file=PATH                   the password is its first line, instead of in the URI
// Passwords and paths may hold %XX.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "scheduler/state/redis_connection.h"

namespace swage {

enum class Durability { kEverySecond, kAlways, kReplica };

struct RedisTarget {
  std::vector<RedisAddress> addresses;  // one; the sentinels' when `master` is given
  std::string master;                   // the name that the sentinels know it by; "": no Sentinel
  std::string password;
  int db = 0;
  std::string name_space = "swage";
  Durability durability = Durability::kEverySecond;
  int timeout_ms = 5000;
};

struct StateUri {
  enum class Kind { kMemory, kSqlite, kRedis };
  Kind kind = Kind::kMemory;
  std::string path;   // of the SQLite file
  RedisTarget redis;  // of the others
  std::string shown;  // for people: without the password
};

// STATE_URI, with what is allowed, when a part is unknown.
StatusOr<StateUri> ParseStateUri(std::string_view uri);

// The folder that holds the state, for what is put beside it; "" when it is not a file.
std::string StateFolder(std::string_view uri);

}  // namespace swage
