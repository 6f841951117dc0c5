#include "scheduler/state/redis_state_store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "scheduler/state/group_queue.h"
#include "scheduler/state/redis_link.h"
#include "scheduler/state/redis_scripts.h"
#include "scheduler/state/redis_state_reader.h"

namespace swage {
namespace {

using std::chrono::steady_clock;

constexpr size_t kRedisGroup = 128;
constexpr int kReplicaWaitMs = 1000;
constexpr int kLeadershipTries = 100;
constexpr size_t kImportCommands = 1000;
constexpr auto kBetweenWarnings = std::chrono::seconds(5);

class RedisStateStore : public MovableStateStore {
 public:
  explicit RedisStateStore(const RedisTarget& target)
      : endpoint_(target, {kApplyScript, kReadStreamScript, kTakeLeadershipScript}) {}
  Status Open();

  ApplyResult Apply(const Transaction& transaction) override { return ApplyAll({&transaction, 1})[0]; }
  std::vector<ApplyResult> ApplyAll(std::span<const Transaction> transactions) override;
  StatusOr<std::optional<Record>> Get(const std::string& key) override;
  StatusOr<std::vector<std::optional<Record>>> MultiGet(
      const std::vector<std::string>& keys) override {
    return reader_.MultiGet(keys);
  }
  StatusOr<std::vector<Record>> Scan(const std::string& prefix, const std::string& after,
                                     size_t limit) override {
    return reader_.Scan(prefix, after, limit);
  }
  StatusOr<std::vector<Record>> ScanBack(const std::string& prefix, const std::string& before,
                                         size_t limit) override {
    return reader_.ScanBack(prefix, before, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadEvents(uint64_t after, size_t limit) override {
    return reader_.ReadEvents(after, limit);
  }
  StatusOr<std::vector<StoredEvent>> ReadStream(const std::string& stream, uint64_t after,
                                                size_t limit) override {
    return reader_.ReadStream(stream, after, limit);
  }
  StatusOr<uint64_t> WaitForEvents(uint64_t after_sequence, int timeout_ms) override;
  StatusOr<uint64_t> TakeLeadership(uint64_t at_least) override;
  StatusOr<uint64_t> CurrentIncarnation() override { return reader_.Incarnation(); }

  StatusOr<std::vector<StreamEnd>> ScanStreamEnds(const std::string& after, size_t limit) override {
    return reader_.ScanStreamEnds(after, limit);
  }
  StatusOr<uint64_t> LastSequence() override { return reader_.LastSequence(); }
  Status BeginImport() override;
  Status Import(const StatePiece& piece) override;
  Status FinishImport(uint64_t incarnation, uint64_t last_sequence) override;

 private:
  struct Waiting {
    const Transaction* transaction;
    ApplyResult result = ApplyResult::kUnknown;
    bool by_text = false;  // Redis has forgotten the script
  };
  RedisCommand Command(const Waiting& waiting) const;
  void ApplyGroup(const std::vector<Waiting*>& group);
  void ApplyOnce(const std::vector<Waiting*>& group);
  ApplyResult ResultOf(RedisValue value, Waiting* waiting);
  void Warn(const Status& status);
  StatusOr<uint64_t> Watch(uint64_t after_sequence, steady_clock::time_point deadline);
  Status Write(const std::vector<RedisCommand>& commands);  // any error reply is an error

  bool needs_replica() const { return endpoint_.target().durability == Durability::kReplica; }
  bool syncs_each() const { return endpoint_.target().durability == Durability::kAlways; }
  int timeout_ms() const { return endpoint_.target().timeout_ms; }

  RedisEndpoint endpoint_;
  RedisStateReader reader_{&endpoint_};
  GroupQueue<std::vector<Waiting>> queue_{kRedisGroup};
  std::mutex writer_mu_;
  RedisLink writer_{&endpoint_};
  steady_clock::time_point next_warning_;  // under writer_mu_

  std::mutex wait_mu_;
  std::condition_variable changed_;
  bool watching_ = false;  // one of the waiting threads asks Redis, for all
  uint64_t newest_known_ = 0;
  RedisLink watcher_{&endpoint_};  // of the thread that has set watching_
};

Status RedisStateStore::Open() {
  SWAGE_RETURN_IF_ERROR(writer_.Open());
  return reader_.Open();
}

StatusOr<std::optional<Record>> RedisStateStore::Get(const std::string& key) {
  SWAGE_ASSIGN_OR_RETURN(auto found, reader_.MultiGet({key}));
  return std::move(found[0]);
}

std::vector<ApplyResult> RedisStateStore::ApplyAll(std::span<const Transaction> transactions) {
  if (transactions.empty()) return {};
  std::vector<Waiting> mine;
  for (const Transaction& transaction : transactions) mine.push_back({&transaction});
  queue_.Run(&mine, [this](const std::vector<std::vector<Waiting>*>& lots) {
    std::vector<Waiting*> group;
    for (std::vector<Waiting>* lot : lots) {
      for (Waiting& waiting : *lot) group.push_back(&waiting);
    }
    ApplyGroup(group);
  });
  std::vector<ApplyResult> results;
  for (const Waiting& waiting : mine) results.push_back(waiting.result);
  return results;
}

RedisCommand RedisStateStore::Command(const Waiting& waiting) const {
  const Transaction& t = *waiting.transaction;
  std::vector<std::string> keys = {endpoint_.Key("leader"), endpoint_.Key("keys"),
                                   endpoint_.Key("events"), endpoint_.Key("ends")};
  std::vector<std::string> texts;  // what the arguments below point into
  texts.reserve(3 + 2 * t.writes.size() + t.trims.size());
  std::vector<std::string_view> arguments;
  const auto add = [&](std::string text) { arguments.push_back(texts.emplace_back(std::move(text))); };
  add(Cat(t.incarnation));
  add(Cat(t.writes.size()));
  add(Cat(t.trims.size()));
  for (const auto& write : t.writes) {
    keys.push_back(endpoint_.Key("r:" + write.key));
    arguments.push_back(write.key);
    add(Cat(write.expected_version));
    add(write.value.has_value() ? Cat(write.expected_version + 1, "\n", *write.value) : "");
  }
  for (const StreamTrim& trim : t.trims) {
    keys.push_back(endpoint_.Key("s:" + trim.stream));
    arguments.push_back(trim.stream);
    add(Cat(trim.up_to_stream_sequence));
  }
  for (const NewEvent& event : t.events) {
    keys.push_back(endpoint_.Key("s:" + event.stream));
    arguments.push_back(event.stream);
    arguments.push_back(event.value);
  }
  return endpoint_.Evaluate(kApply, waiting.by_text, keys, arguments);
}

void RedisStateStore::ApplyGroup(const std::vector<Waiting*>& group) {
  std::lock_guard lock(writer_mu_);
  ApplyOnce(group);
  std::vector<Waiting*> again;
  for (Waiting* waiting : group) {
    if (waiting->by_text) again.push_back(waiting);
  }
  if (!again.empty()) ApplyOnce(again);
}

void RedisStateStore::ApplyOnce(const std::vector<Waiting*>& group) {
  // Redis syncs its file once in each turn of its loop, and reads 16 KB of a connection in a turn:
  // so that it syncs once for the group, it runs the group at once.
  const bool at_once = syncs_each() && group.size() > 1;
  std::string bytes;
  if (at_once) bytes += RedisCommand({"MULTI"}).bytes();
  for (const Waiting* waiting : group) bytes += Command(*waiting).bytes();
  if (at_once) bytes += RedisCommand({"EXEC"}).bytes();
  if (needs_replica()) bytes += RedisCommand({"WAIT", "1", Cat(kReplicaWaitMs)}).bytes();
  const size_t replies = group.size() + (at_once ? 2 : 0) + (needs_replica() ? 1 : 0);
  const RedisLink::Outcome outcome =
      writer_.Run(bytes, replies, timeout_ms() + (needs_replica() ? kReplicaWaitMs : 0));
  if (!outcome.status.ok()) Warn(outcome.status);
  if (at_once && outcome.status.ok()) {
    const RedisValue results = outcome.replies.back().value();
    if (results.is_error()) Warn(writer_.ErrorOf(results.text()));
    for (size_t i = 0; i < std::min(group.size(), results.size()); ++i)
      group[i]->result = ResultOf(results[i], group[i]);
  }
  for (size_t i = 0; !at_once && i < std::min(group.size(), outcome.replies.size()); ++i)
    group[i]->result = ResultOf(outcome.replies[i].value(), group[i]);
  if (!needs_replica()) return;
  const bool on_replica =
      outcome.replies.size() == replies && outcome.replies.back().value().integer() >= 1;
  if (on_replica) return;
  Warn(Unavailable("REDIS_NO_REPLICA", "no replica has confirmed the last writes",
                   "durability=replica needs one in sync: see `redis-cli INFO replication`"));
  for (Waiting* waiting : group) {
    if (waiting->result == ApplyResult::kOk) waiting->result = ApplyResult::kUnknown;
  }
}

ApplyResult RedisStateStore::ResultOf(RedisValue value, Waiting* waiting) {
  if (value.is_error()) {
    if (StartsWith(value.text(), "NOSCRIPT") && !waiting->by_text) {
      waiting->by_text = true;
    } else {
      waiting->by_text = false;
      Warn(writer_.ErrorOf(value.text()));
    }
    return ApplyResult::kUnknown;
  }
  waiting->by_text = false;
  return value.integer() < 0 ? ApplyResult::kConflict : ApplyResult::kOk;
}

// The caller is told "unknown" only; why is for the operator.
void RedisStateStore::Warn(const Status& status) {
  const auto now = steady_clock::now();
  if (now < next_warning_) return;
  next_warning_ = now + kBetweenWarnings;
  LogWarning("a write to the state may not have happened: ", MessageOf(status), " (",
             ReasonOf(status), "); ", NextStepOf(status));
}

// Waits with Redis until something comes after the newest event, or the deadline; tells the newest.
StatusOr<uint64_t> RedisStateStore::Watch(uint64_t after_sequence,
                                          steady_clock::time_point deadline) {
  const std::string key = endpoint_.Key("events");
  SWAGE_ASSIGN_OR_RETURN(
      const RedisReply last,
      watcher_.Read(RedisCommand({"XREVRANGE", key, "+", "-", "COUNT", "1"}), timeout_ms()));
  const uint64_t newest = SequenceOfId(last.value()[0][0].text());
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(deadline - steady_clock::now()).count();
  if (newest > after_sequence || left <= 0) return newest;
  // After the newest, not after what this caller waits for: it watches for the others too.
  const RedisCommand read({"XREAD", "COUNT", "1", "BLOCK", Cat(left), "STREAMS", key,
                           Cat("0-", newest)});
  SWAGE_ASSIGN_OR_RETURN(const RedisReply news,
                         watcher_.Read(read, static_cast<int>(left) + timeout_ms()));
  if (news.value().is_nil()) return newest;
  return SequenceOfId(news.value()[0][1][0][0].text());
}

StatusOr<uint64_t> RedisStateStore::WaitForEvents(uint64_t after_sequence, int timeout_ms) {
  const auto deadline = steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  std::unique_lock lock(wait_mu_);
  while (true) {
    if (watching_) {
      changed_.wait_until(lock, deadline,
                          [&] { return !watching_ || newest_known_ > after_sequence; });
    }
    if (!watching_) {
      watching_ = true;
      lock.unlock();
      const StatusOr<uint64_t> newest = Watch(after_sequence, deadline);
      lock.lock();
      watching_ = false;
      if (newest.ok()) newest_known_ = *newest;
      changed_.notify_all();
      SWAGE_RETURN_IF_ERROR(newest);
    }
    if (newest_known_ > after_sequence) return newest_known_;
    if (steady_clock::now() >= deadline) break;
  }
  lock.unlock();
  SWAGE_ASSIGN_OR_RETURN(const uint64_t last, reader_.LastSequence());
  return std::min(last, after_sequence);
}

// Compared and set as text by the script, counted here: Lua's numbers are doubles.
StatusOr<uint64_t> RedisStateStore::TakeLeadership(uint64_t at_least) {
  for (int i = 0; i < kLeadershipTries; ++i) {
    SWAGE_ASSIGN_OR_RETURN(const uint64_t stored, reader_.Incarnation());
    const uint64_t mine = std::max(stored, at_least) + 1;
    const RedisCommand take =
        endpoint_.Evaluate(kTakeLeadership, true, {endpoint_.Key("leader")},
                           {stored == 0 ? "" : Cat(stored), Cat(mine)});
    const RedisCommand wait({"WAIT", "1", Cat(kReplicaWaitMs)});
    std::lock_guard lock(writer_mu_);
    const RedisLink::Outcome outcome = writer_.Run(
        needs_replica() ? take.bytes() + wait.bytes() : take.bytes(), needs_replica() ? 2 : 1,
        timeout_ms() + kReplicaWaitMs);
    SWAGE_RETURN_IF_ERROR(outcome.status);
    const RedisValue set = outcome.replies[0].value();
    if (set.is_error()) return writer_.ErrorOf(set.text());
    if (set.integer() != 1) continue;  // another scheduler was faster
    if (needs_replica() && outcome.replies[1].value().integer() < 1) {
      return Unavailable("REDIS_NO_REPLICA", "no replica has confirmed the leadership",
                         "durability=replica needs one in sync: see `redis-cli INFO replication`");
    }
    return mine;
  }
  return Unavailable("LEADERSHIP_CONTENDED", "other schedulers keep taking the leadership",
                     "run fewer schedulers");
}

Status RedisStateStore::Write(const std::vector<RedisCommand>& commands) {
  std::lock_guard lock(writer_mu_);
  for (size_t begin = 0; begin < commands.size(); begin += kImportCommands) {
    const size_t count = std::min(kImportCommands, commands.size() - begin);
    std::string bytes;
    for (size_t i = 0; i < count; ++i) bytes += commands[begin + i].bytes();
    const RedisLink::Outcome outcome = writer_.Run(bytes, count, timeout_ms());
    SWAGE_RETURN_IF_ERROR(outcome.status);
    for (const RedisReply& reply : outcome.replies) {
      if (reply.value().is_error()) return writer_.ErrorOf(reply.value().text());
    }
  }
  return absl::OkStatus();
}

Status RedisStateStore::BeginImport() {
  SWAGE_ASSIGN_OR_RETURN(const std::vector<Record> records, reader_.Scan("", "", 1));
  SWAGE_ASSIGN_OR_RETURN(const uint64_t last, reader_.LastSequence());
  SWAGE_ASSIGN_OR_RETURN(const uint64_t incarnation, reader_.Incarnation());
  if (!records.empty() || last != 0 || incarnation != 0) {
    return Precondition("STATE_NOT_EMPTY",
                        Cat("Redis already holds a state under '", endpoint_.Key(""), "'"),
                        "choose another ?namespace= or db");
  }
  return Write({RedisCommand({"SET", endpoint_.Key("schema"), kRedisCopying})});
}

Status RedisStateStore::Import(const StatePiece& piece) {
  std::vector<RedisCommand> commands;
  for (const Record& record : piece.records) {
    commands.push_back(RedisCommand({"SET", endpoint_.Key("r:" + record.key),
                                     Cat(record.version, "\n", record.value)}));
    commands.push_back(RedisCommand({"ZADD", endpoint_.Key("keys"), "0", record.key}));
  }
  for (const StoredEvent& event : piece.events) {
    const std::string id = Cat("0-", event.sequence), number = Cat(event.stream_sequence);
    commands.push_back(RedisCommand({"XADD", endpoint_.Key("events"), id, "s", event.stream, "n",
                                     number, "v", event.value}));
    commands.push_back(RedisCommand({"ZADD", endpoint_.Key("s:" + event.stream), number, id}));
  }
  for (const StreamEnd& end : piece.stream_ends) {
    commands.push_back(RedisCommand(
        {"HSET", endpoint_.Key("ends"), end.stream, Cat(end.last_stream_sequence)}));
  }
  return Write(commands);
}

Status RedisStateStore::FinishImport(uint64_t incarnation, uint64_t last_sequence) {
  std::vector<RedisCommand> commands;
  const std::string events = endpoint_.Key("events");
  if (last_sequence > 0) {
    // XSETID wants the key to exist; making and leaving a group leaves it, empty.
    commands.push_back(RedisCommand({"XGROUP", "CREATE", events, "copy", "$", "MKSTREAM"}));
    commands.push_back(RedisCommand({"XGROUP", "DESTROY", events, "copy"}));
    commands.push_back(RedisCommand({"XSETID", events, Cat("0-", last_sequence)}));
  }
  if (incarnation > 0)
    commands.push_back(RedisCommand({"SET", endpoint_.Key("leader"), Cat(incarnation)}));
  commands.push_back(RedisCommand({"SET", endpoint_.Key("schema"), kRedisSchema}));
  return Write(commands);
}

}  // namespace

StatusOr<std::unique_ptr<MovableStateStore>> OpenRedisStateStore(const RedisTarget& target) {
  auto store = std::make_unique<RedisStateStore>(target);
  SWAGE_RETURN_IF_ERROR(store->Open());
  return std::unique_ptr<MovableStateStore>(std::move(store));
}

}  // namespace swage
