#include "scheduler/state/redis_endpoint.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "scheduler/state/redis_scripts.h"

namespace swage {
namespace {

constexpr int kConnectTimeoutMs = 1000;
constexpr int kOldestVersion = 7;  // XADD that numbers by itself
// Pauses between tries: doubled from the first to the last, each drawn from its upper half.
constexpr int kFirstPauseMs = 50, kLastPauseMs = 2000, kDoublings = 6;
constexpr int kWaitForAnotherMs = 100;

// The value of "name:value\r\n" in the answer to INFO.
std::string_view Field(std::string_view info, std::string_view name) {
  const std::string start = Cat("\n", name, ":");
  const size_t at = info.find(start);
  if (at == std::string_view::npos) return {};
  info.remove_prefix(at + start.size());
  return info.substr(0, info.find_first_of("\r\n"));
}

std::string SetNow(std::string_view name, std::string_view value) {
  return Cat("run `redis-cli CONFIG SET ", name, " ", value, "` and write the line `", name, " ",
             value, "` into redis.conf");
}

}  // namespace

RedisEndpoint::RedisEndpoint(RedisTarget target, std::vector<std::string> scripts)
    : target_(std::move(target)),
      scripts_(std::move(scripts)),
      connect_timeout_ms_(std::min(target_.timeout_ms, kConnectTimeoutMs)),
      jitter_(RandomU64()) {}

std::string RedisEndpoint::Key(std::string_view name) const {
  return Cat("{", target_.name_space, "}:", name);
}

StatusOr<std::unique_ptr<RedisConnection>> RedisEndpoint::Connect() {
  {
    std::unique_lock lock(mu_);
    // After a failure nobody waits; without one, another caller is through in a moment.
    const auto patience = std::chrono::milliseconds(failures_ == 0 ? kWaitForAnotherMs : 0);
    if (!changed_.wait_for(lock, patience, [&] { return !connecting_; })) {
      return !last_failure_.ok() ? last_failure_
                                 : Unavailable("REDIS_UNREACHABLE", "Redis is being connected to",
                                               "try again in a moment");
    }
    if (failures_ > 0 && SteadyMillis() < not_before_ms_) return last_failure_;
    connecting_ = true;
  }
  auto connection = ConnectNow();
  std::lock_guard lock(mu_);
  connecting_ = false;
  last_failure_ = connection.status();
  if (connection.ok()) {
    failures_ = 0;
  } else {
    const int pause = std::min(kFirstPauseMs << std::min(failures_, kDoublings), kLastPauseMs);
    not_before_ms_ = SteadyMillis() + pause / 2 + static_cast<int64_t>(jitter_.Uniform(pause / 2 + 1));
    ++failures_;
  }
  changed_.notify_all();
  return connection;
}

StatusOr<std::unique_ptr<RedisConnection>> RedisEndpoint::ConnectNow() {
  RedisAddress address = target_.addresses[0];
  if (!target_.master.empty()) {
    SWAGE_ASSIGN_OR_RETURN(address, FindMaster());
  }
  SWAGE_ASSIGN_OR_RETURN(auto connection, RedisConnection::Connect(address, connect_timeout_ms_));
  SWAGE_RETURN_IF_ERROR(Greet(connection.get()));
  std::string run;
  SWAGE_RETURN_IF_ERROR(CheckServer(connection.get(), &run));
  SWAGE_RETURN_IF_ERROR(CheckSchema(connection.get()));
  SWAGE_RETURN_IF_ERROR(NoteRun(connection.get(), run));
  std::vector<std::string> digests;
  for (const std::string& script : scripts_) {
    SWAGE_ASSIGN_OR_RETURN(const RedisReply reply,
                           Ask(connection.get(), RedisCommand({"SCRIPT", "LOAD", script})));
    digests.emplace_back(reply.value().text());
  }
  if (digests_.empty()) digests_ = std::move(digests);
  return connection;
}

RedisCommand RedisEndpoint::Evaluate(size_t script, bool by_text,
                                     const std::vector<std::string>& keys,
                                     const std::vector<std::string_view>& arguments) const {
  RedisCommand command(3 + keys.size() + arguments.size());
  command.Add(by_text ? "EVAL" : "EVALSHA");
  command.Add(by_text ? scripts_[script] : digests_[script]).Add(Cat(keys.size()));
  for (const std::string& key : keys) command.Add(key);
  for (const std::string_view argument : arguments) command.Add(argument);
  return command;
}

StatusOr<RedisAddress> RedisEndpoint::FindMaster() {
  Status last;
  for (size_t i = 0; i < target_.addresses.size(); ++i) {
    const RedisAddress& sentinel = target_.addresses[next_sentinel_ % target_.addresses.size()];
    auto connection = RedisConnection::Connect(sentinel, connect_timeout_ms_);
    const RedisCommand ask({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", target_.master});
    const StatusOr<RedisReply> reply =
        connection.ok() ? Ask(connection->get(), ask) : connection.status();
    if (reply.ok() && reply->value().size() == 2) {
      RedisAddress master;
      master.host = std::string(reply->value()[0].text());
      master.port = std::atoi(std::string(reply->value()[1].text()).c_str());
      return master;
    }
    last = reply.ok() ? NotFound("REDIS_NO_MASTER",
                                 Cat("the sentinel ", sentinel.ToString(), " knows no master '",
                                     target_.master, "'"),
                                 "correct the name in the URI: `redis-cli -p 26379 SENTINEL "
                                 "MASTERS` lists them")
                      : reply.status();
    ++next_sentinel_;  // the one that answered stays the first to be asked
  }
  return Annotate(last, "no sentinel could tell the master");
}

StatusOr<RedisReply> RedisEndpoint::Ask(RedisConnection* connection, const RedisCommand& command) {
  SWAGE_ASSIGN_OR_RETURN(RedisReply reply, connection->Call(command, connect_timeout_ms_));
  if (reply.value().is_error()) return RedisError(reply.value().text(), connection->address());
  return reply;
}

Status RedisEndpoint::Greet(RedisConnection* connection) {
  if (!target_.password.empty()) {
    SWAGE_RETURN_IF_ERROR(Ask(connection, RedisCommand({"AUTH", target_.password})).status());
  }
  if (target_.db != 0) {
    SWAGE_RETURN_IF_ERROR(Ask(connection, RedisCommand({"SELECT", Cat(target_.db)})).status());
  }
  return absl::OkStatus();
}

Status RedisEndpoint::CheckServer(RedisConnection* connection, std::string* run) {
  const std::string where = Cat("Redis at ", connection->address().ToString());
  SWAGE_ASSIGN_OR_RETURN(const RedisReply info_reply, Ask(connection, RedisCommand({"INFO"})));
  const std::string_view info = info_reply.value().text();
  *run = std::string(Field(info, "run_id"));
  const std::string version(Field(info, "redis_version"));
  if (std::atoi(version.c_str()) < kOldestVersion) {
    return Precondition("REDIS_VERSION", Cat(where, " is version ", version),
                        Cat("install Redis ", kOldestVersion, " or newer"));
  }
  if (Field(info, "role") != "master") {
    return Unavailable("REDIS_NOT_MASTER", Cat(where, " is a replica"),
                       "name the master in the URI, or let Sentinel find it: redis+sentinel://");
  }
  if (const auto policy = Field(info, "maxmemory_policy"); policy != "noeviction") {
    return Precondition("REDIS_EVICTION",
                        Cat(where, " has maxmemory-policy ", policy,
                            ": short of memory it would delete jobs in silence"),
                        SetNow("maxmemory-policy", "noeviction"));
  }
  if (Field(info, "aof_enabled") != "1") {
    return Precondition("REDIS_APPENDONLY",
                        Cat(where, " has appendonly no: a restart would forget jobs"),
                        SetNow("appendonly", "yes"));
  }
  SWAGE_ASSIGN_OR_RETURN(const RedisReply sync,
                         Ask(connection, RedisCommand({"CONFIG", "GET", "appendfsync"})));
  const std::string_view appendfsync = sync.value()[1].text();
  const bool always = target_.durability == Durability::kAlways;
  if (appendfsync == "no" || (always && appendfsync != "always")) {
    const std::string_view wanted = always ? "always" : "everysec";
    return Precondition("REDIS_APPENDFSYNC",
                        Cat(where, " has appendfsync ", appendfsync, ", which keeps less than ",
                            always ? "durability=always promises" : "one second's loss"),
                        SetNow("appendfsync", wanted));
  }
  return absl::OkStatus();
}

Status RedisEndpoint::CheckSchema(RedisConnection* connection) {
  const std::string key = Key("schema");
  if (!had_schema_) {
    SWAGE_RETURN_IF_ERROR(
        Ask(connection, RedisCommand({"SET", key, kRedisSchema, "NX"})).status());
  }
  SWAGE_ASSIGN_OR_RETURN(const RedisReply reply, Ask(connection, RedisCommand({"GET", key})));
  const std::string schema(reply.value().text());
  if (schema.empty()) {
    return DataLoss("STATE_VANISHED",
                    Cat("Redis at ", connection->address().ToString(),
                        " holds nothing of Swage's state, which was in Redis before"),
                    "bring back a server that has the data; to begin with nothing, restart "
                    "swage-control and swage-scheduler");
  }
  if (schema == kRedisCopying) {
    return Precondition("STATE_COPY_UNFINISHED",
                        "a `swage state copy` to this state has not come to its end",
                        Cat("wait for it; if it has failed, remove what it left: `redis-cli --scan "
                            "--pattern '",
                            Key("*"), "' | xargs redis-cli UNLINK`, and copy again"));
  }
  if (schema != kRedisSchema) {
    return Precondition("SCHEMA_NEWER",
                        Cat("the state in Redis has schema ", schema,
                            ", this program knows up to ", kRedisSchema),
                        "run the newer version of Swage that wrote it");
  }
  had_schema_ = true;
  return absl::OkStatus();
}

Status RedisEndpoint::NoteRun(RedisConnection* connection, const std::string& run) {
  const RedisCommand note({"EVAL", kNewRunScript, "2", Key("run"), Key("events"), run});
  return Ask(connection, note).status();
}

}  // namespace swage
