#include "scheduler/server/leader.h"

#include <algorithm>
#include <chrono>
#include <future>

#include "base/log.h"
#include "nlohmann/json.hpp"

namespace swage {
namespace {

constexpr int kFollowWaitMs = 50;  // also what stopping may take
constexpr size_t kFollowPage = 512;
constexpr size_t kInputsPerTurn = 512, kPagesAhead = 4;  // of requests that wait to be decided
constexpr int kRefusalsToSay = 80;  // about 2 s of them
constexpr int kRetryMs = 25;  // leadership was not to be had, as when the store is just starting
constexpr int64_t kIdleWakeMs = 60'000;
constexpr uint64_t kRequestEventsKept = 10000;
// Signs of life in a lease, and how much of it without one makes another scheduler take over. A worker that finds no
// leader gives up its jobs at 80 % of a lease after its last call: the new one must be there before.
constexpr int kBeatsPerLease = 6, kLooksPerLease = 20, kSilentPart = 2;
constexpr size_t kWaitsKept = 1000, kSpecsKept = 10000;

Status NotLeading() {
  return Unavailable("NOT_LEADER", "this scheduler does not lead",
                     "try again; another one leads or this one will soon");
}

struct CommandAnswer {
  ~CommandAnswer() {
    if (!set) promise.set_value(NotLeading());
  }
  void Set(const Status& status) {
    set = true;
    promise.set_value(status);
  }
  std::promise<Status> promise;
  bool set = false;
};

}  // namespace

Leader::Leader(const LeaderOptions& options) : options_(options), held_(options.lease_ms) {
  outbox_ = std::make_unique<Outbox>(
      options.artifacts, options.tracer,
      [this](const auto& order, const auto& decision) { PublishDecided(order, decision); });
  thread_ = std::thread([this] { Run(); });
}

Leader::~Leader() { Stop(); }

void Leader::Stop() {
  {
    std::lock_guard lock(mu_);
    stopping_ = true;
    accepting_ = false;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  outbox_.reset();
}

void Leader::Synchronize(WorkerReport report, std::unique_ptr<HeldCall> call) {
  std::unique_ptr<HeldCall> superseded;
  {
    std::lock_guard lock(mu_);
    if (accepting_) {
      auto [it, added] = arrived_.try_emplace(report.worker_id);
      Arrived& newest = it->second;
      if (added || newest.report.boot_id != report.boot_id ||
          newest.report.sequence < report.sequence) {
        superseded = std::exchange(newest.call, std::move(call));
        newest.report = std::move(report);
      } else {
        superseded = std::move(call);
      }
      changed_.notify_all();
    }
  }
  if (superseded != nullptr) superseded->Answer({{}, {}, options_.lease_ms, true});
  if (call != nullptr) call->Refuse(NotLeading());
}

Status Leader::Look(const std::function<Status(const Core&, Now)>& look) {
  std::lock_guard lock(core_mu_);
  if (core_ == nullptr) return NotLeading();
  return look(*core_, NowOf(options_.clock));
}

Status Leader::Command(const std::function<Status(Core&, Now)>& command) {
  auto answer = std::make_shared<CommandAnswer>();
  std::future<Status> result = answer->promise.get_future();
  {
    std::lock_guard lock(mu_);
    if (incarnation_ == 0) return NotLeading();
  }
  PushInput([this, answer, command](Core& core, Now now) {
    const Status status = command(core, now);
    after_apply_.push_back(
        [answer, status](bool applied) { answer->Set(applied ? status : NotLeading()); });
  });
  answer.reset();  // with its input gone unheard, it is answered too
  if (result.wait_for(std::chrono::milliseconds(limits::kUnaryDeadlineMs)) !=
      std::future_status::ready) {
    return Unavailable("NOT_DECIDED", "the scheduler did not get to it in time", "try again");
  }
  return result.get();
}

LeaderStats Leader::Stats() {
  std::lock_guard lock(mu_);
  LeaderStats stats = stats_;
  stats.incarnation = incarnation_;
  std::vector<double> waits(waits_.begin(), waits_.end());
  std::sort(waits.begin(), waits.end());
  if (waits.empty()) return stats;
  stats.wait_p50_seconds = waits[waits.size() / 2];
  stats.wait_p99_seconds = waits[waits.size() * 99 / 100];
  return stats;
}

uint64_t Leader::incarnation() {
  std::lock_guard lock(mu_);
  return incarnation_;
}

void Leader::PushInput(Input input) {
  std::lock_guard lock(mu_);
  inputs_.push_back(std::move(input));
  changed_.notify_all();
}

void Leader::PublishDecided(const PublishOrder& order, const StatusOr<PublishDecision>& decision) {
  if (!decision.ok()) {  // STALE_LEADER
    std::lock_guard lock(mu_);
    deposed_ = true;
    changed_.notify_all();
    return;
  }
  PushInput([order, decision = *decision](Core& core, Now now) {
    core.HandlePublish(order, decision.outcome, decision.artifact, decision.message, now);
  });
}

void Leader::Pause(int ms) {
  std::unique_lock lock(mu_);
  changed_.wait_for(lock, std::chrono::milliseconds(ms), [&] { return stopping_; });
}

void Leader::RefuseAll(const Status& status) {
  std::map<std::string, Arrived> arrived;
  {
    std::lock_guard lock(mu_);
    arrived = std::exchange(arrived_, {});
  }
  for (auto& [id, a] : arrived) a.call->Refuse(status);
  held_.RefuseAll(status);
  for (const auto& done : std::exchange(after_apply_, {})) done(false);
}

void Leader::Run() {
  int refused = 0;
  while (true) {
    {
      std::lock_guard lock(mu_);
      if (stopping_) break;
    }
    auto leadership = TakeOver(options_.state.get(), options_.artifacts, options_.lease_ms,
                               RandomU64(), options_.clock);
    if (!leadership.ok()) {
      // The store may start after us, in `swage up` always: worth a word only when it goes on.
      if (++refused % kRefusalsToSay == 0) LogWarning("not leading yet: ", MessageOf(leadership.status()));
      Pause(kRetryMs);
      continue;
    }
    refused = 0;
    const uint64_t mine = leadership->incarnation;
    Lead(std::move(*leadership));
    auto stored = options_.state->CurrentIncarnation();
    if (stored.ok() && *stored > mine) {
      Standby();
    } else {
      Pause(kRetryMs);
    }
  }
  RefuseAll(NotLeading());
}

// Another scheduler took over. It is left in peace as long as it shows signs of life.
void Leader::Standby() {
  LogWarning("another scheduler leads; standing by");
  {
    std::lock_guard lock(mu_);
    accepting_ = false;
  }
  RefuseAll(NotLeading());
  uint64_t seen = 0;
  int64_t seen_mono = options_.clock->MonotonicNanos();
  while (options_.clock->MonotonicNanos() - seen_mono <= options_.lease_ms * kNanosPerMilli / kSilentPart) {
    Pause(static_cast<int>(std::max<int64_t>(options_.lease_ms / kLooksPerLease, 10)));
    {
      std::lock_guard lock(mu_);
      if (stopping_) return;
    }
    const auto beat = options_.state->Get(std::string(kBeatKey));
    // A state store that does not answer says nothing about the other leader.
    const bool alive = !beat.ok() || (beat->has_value() && (*beat)->version != seen);
    if (!alive) continue;
    if (beat.ok()) seen = (*beat)->version;
    seen_mono = options_.clock->MonotonicNanos();
  }
  std::lock_guard lock(mu_);
  accepting_ = !stopping_;
}

void Leader::Lead(Leadership leadership) {
  const uint64_t incarnation = leadership.incarnation;
  LogInfo("leading, incarnation=", incarnation);
  beat_version_ = leadership.beat_version;
  beat_mono_ = INT64_MIN / 2;
  {
    std::lock_guard lock(core_mu_);
    core_ = std::move(leadership.core);
  }
  {
    std::lock_guard lock(mu_);
    inputs_.clear();  // of an earlier leadership
    pages_ = 0;
    incarnation_ = incarnation;
    following_ = true;
    deposed_ = false;
  }
  std::thread follower([this, position = leadership.event_position] { Follow(position); });
  while (Turn(incarnation)) WaitForWork();
  {
    std::lock_guard lock(mu_);
    incarnation_ = 0;
    following_ = false;
    changed_.notify_all();
  }
  follower.join();
  outbox_->Clear();
  {
    std::lock_guard lock(core_mu_);
    core_.reset();
  }
  RefuseAll(NotLeading());
}

bool Leader::Turn(uint64_t incarnation) {
  const Now now = NowOf(options_.clock);
  std::vector<Input> inputs;
  {
    std::lock_guard lock(mu_);
    if (stopping_ || deposed_) return false;
    for (; !inputs_.empty() && inputs.size() < kInputsPerTurn; inputs_.pop_front()) {
      inputs.push_back(std::move(inputs_.front()));
    }
  }
  CoreOutput output;
  {
    std::lock_guard lock(core_mu_);
    for (const Input& input : inputs) input(*core_, now);
    Receive(now);
    core_->Tick(now);
    const int64_t start = options_.clock->MonotonicNanos();
    output = core_->TakeOutput(now);
    CountPass(output, static_cast<double>(options_.clock->MonotonicNanos() - start) / 1e9);
  }
  Beat(&output, now, incarnation);
  if (!ApplyOutput(output, incarnation, now)) return false;
  for (const auto& done : std::exchange(after_apply_, {})) done(true);
  std::lock_guard lock(core_mu_);
  held_.AnswerDue(core_.get(), now, [this](AssignmentOrder* order) { return CompleteOrder(order); });
  return true;
}

void Leader::Receive(Now now) {
  std::map<std::string, Arrived> arrived;
  {
    std::lock_guard lock(mu_);
    arrived = std::exchange(arrived_, {});
  }
  for (auto& [id, a] : arrived) {
    if (!core_->HandleReport(a.report, now)) {
      a.call->Refuse(Error(StatusCode::kAborted, "WORKER_SUPERSEDED",
                           "a later call, or a later start, of this worker came before",
                           "if two daemons share one data folder, stop one"));
      continue;
    }
    held_.Hold(a.report, std::move(a.call), now);
  }
}

// Goes with every write: when the state store has failed over and lost some of ours, the beat's version does not fit, and
// what is remembered here is read again instead of being believed.
void Leader::Beat(CoreOutput* output, Now now, uint64_t incarnation) {
  const bool writes = !output->writes.empty() || !output->events.empty();
  if (!writes && now.mono_nanos - beat_mono_ < options_.lease_ms * kNanosPerMilli / kBeatsPerLease) return;
  beat_mono_ = now.mono_nanos;
  const nlohmann::json beat = {{"incarnation", incarnation}};
  output->writes.push_back({std::string(kBeatKey), beat_version_++, beat.dump()});
}

bool Leader::ApplyOutput(const CoreOutput& output, uint64_t incarnation, Now now) {
  if (output.writes.empty() && output.events.empty()) {
    // Nothing to write, but perhaps somebody to answer. A leader that was deposed without noticing
    // would tell workers to drop what its successor gave them.
    if (!held_.empty()) {
      const auto stored = options_.state->CurrentIncarnation();
      if (!stored.ok() || *stored != incarnation) {
        LogWarning("leadership ends: ",
                   stored.ok() ? "another scheduler took it" : MessageOf(stored.status()));
        return false;
      }
    }
  } else {
    Transaction transaction;
    transaction.incarnation = incarnation;
    for (const CoreWrite& w : output.writes)
      transaction.writes.push_back({w.key, w.expected_version, w.value});
    for (const CoreEvent& e : output.events) transaction.events.push_back({e.stream, e.value});
    for (const std::string& stream : output.dropped_streams)
      transaction.trims.push_back({stream, kWholeStream});
    // The events of requests only wake; what counts is the request's own record.
    if (requests_handled_ >= requests_trimmed_ + 2 * kRequestEventsKept) {
      requests_trimmed_ = requests_handled_ - kRequestEventsKept;
      transaction.trims.push_back({std::string(kRequestStream), requests_trimmed_});
    }
    const ApplyResult result = options_.state->Apply(transaction);
    if (result != ApplyResult::kOk) {
      // Either way what was decided may not hold: it is read again, by a new core.
      LogWarning("leadership ends: the state store says ",
                 result == ApplyResult::kConflict ? "conflict" : "unknown");
      return false;
    }
  }
  for (const CoreSpan& span : output.spans) Record(span);
  for (const PublishOrder& order : output.publishes) outbox_->Add(order, incarnation);
  ClearAway(output.leftovers);
  return true;
}

void Leader::CountPass(const CoreOutput& output, double seconds) {
  std::lock_guard lock(mu_);
  ++stats_.passes;
  stats_.last_pass_seconds = seconds;
  stats_.longest_pass_seconds = std::max(stats_.longest_pass_seconds, seconds);
  for (const CoreSpan& span : output.spans) {
    if (span.name != "schedule") continue;
    ++stats_.assigned;
    waits_.push_back(static_cast<double>(span.end_unix_nanos - span.start_unix_nanos) / 1e9);
    if (waits_.size() > kWaitsKept) waits_.pop_front();
  }
}

Status Leader::CompleteOrder(AssignmentOrder* order) {
  const std::string key = SpecKey(order->tenant, order->job);
  auto known = specs_.find(key);
  if (known == specs_.end()) {
    SWAGE_ASSIGN_OR_RETURN(const auto record, options_.state->Get(key));
    if (!record.has_value()) {
      return DataLoss("SPEC_MISSING", Cat("the state store has no ", key),
                      "delete the job and submit it again");
    }
    SWAGE_ASSIGN_OR_RETURN(SpecRecord spec, SpecRecordFromJson(record->value));
    if (specs_.size() >= kSpecsKept) specs_.clear();
    known = specs_.emplace(key, std::move(spec)).first;
  }
  order->spec = known->second;
  return absl::OkStatus();
}

// Nothing depends on these being gone: what is left by a leader that dies stays for good.
void Leader::ClearAway(const std::vector<CoreOutput::Leftover>& leftovers) {
  for (const auto& [key, job_id] : leftovers) {
    const auto record = options_.state->Get(key);
    if (!record.ok() || !record->has_value()) continue;
    if (!job_id.empty()) {
      const auto request_id = RequestIdFromJson((*record)->value);
      if (!request_id.ok() || request_id->job_id != job_id) continue;
    }
    Transaction transaction;
    transaction.writes.push_back({key, (*record)->version, std::nullopt});
    (void)options_.state->Apply(transaction);
  }
}

void Leader::Record(const CoreSpan& span) {
  if (options_.tracer == nullptr) return;
  const SpanContext parent = SpanContext::FromTraceparent(span.traceparent);
  if (!parent.valid()) return;
  SpanData data;
  data.context = {parent.trace_id, RandomHex(8)};
  data.parent_span_id = parent.span_id;
  data.name = span.name;
  data.start_unix_nanos = span.start_unix_nanos;
  data.end_unix_nanos = span.end_unix_nanos;
  data.attributes = span.attributes;
  options_.tracer->Record(data);
}

void Leader::WaitForWork() {
  const Now now = NowOf(options_.clock);
  int64_t until = now.mono_nanos + kIdleWakeMs * kNanosPerMilli;
  {
    std::lock_guard lock(core_mu_);
    until = std::min(until, core_->NextDeadline(now));
  }
  until = std::min(until, held_.Deadline());
  until = std::min(until, beat_mono_ + options_.lease_ms * kNanosPerMilli / kBeatsPerLease);
  std::unique_lock lock(mu_);
  changed_.wait_for(lock, std::chrono::nanoseconds(std::max<int64_t>(0, until - now.mono_nanos)),
                    [&] { return stopping_ || deposed_ || !inputs_.empty() || !arrived_.empty(); });
}

// New jobs and requests, in their order. All of a page in one input: the deciding thread takes them together.
Status Leader::BringNews(const std::vector<StoredEvent>& events) {
  std::vector<std::string> keys;
  uint64_t last = 0;
  for (const StoredEvent& event : events) {
    if (std::string key = NewsKey(event); !key.empty()) keys.push_back(std::move(key));
    if (event.stream == kRequestStream) last = event.stream_sequence;
  }
  if (keys.empty()) return absl::OkStatus();
  SWAGE_ASSIGN_OR_RETURN(const auto records, options_.state->MultiGet(keys));
  auto brought = std::make_shared<std::vector<Input>>();
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!records[i].has_value()) continue;  // it has been applied, or deleted
    auto news = NewsFrom(*records[i]);
    if (news.ok()) {
      brought->push_back(std::move(*news));
    } else {
      LogError(keys[i], " cannot be read and is left alone: ", MessageOf(news.status()));
    }
  }
  {
    // What cannot be decided as fast as it comes waits in the store, not here.
    std::unique_lock lock(mu_);
    changed_.wait(lock, [&] { return pages_ < kPagesAhead || !following_ || stopping_; });
    ++pages_;
  }
  PushInput([this, brought, last](Core& core, Now now) {
    for (const Input& news : *brought) news(core, now);
    if (last != 0) requests_handled_ = last;
    std::lock_guard lock(mu_);
    --pages_;
    changed_.notify_all();
  });
  return absl::OkStatus();
}

void Leader::Follow(uint64_t position) {
  auto following = [&] {
    std::lock_guard lock(mu_);
    return following_ && !stopping_;
  };
  while (following()) {
    auto newest = options_.state->WaitForEvents(position, kFollowWaitMs);
    if (newest.ok() && *newest <= position) continue;
    auto events = newest.ok() ? options_.state->ReadEvents(position, kFollowPage) : newest.status();
    if (!events.ok()) {
      LogWarning("the event log cannot be read: ", MessageOf(events.status()));
      Pause(kFollowWaitMs);
      continue;
    }
    const Status brought = BringNews(*events);
    if (!brought.ok()) {
      LogWarning("new jobs and requests cannot be read: ", MessageOf(brought));
      Pause(kFollowWaitMs);
      continue;  // these events again
    }
    // None: those that were announced have been trimmed since, or a failover lost them.
    position = events->empty() ? *newest : events->back().sequence;
  }
}

}  // namespace swage
