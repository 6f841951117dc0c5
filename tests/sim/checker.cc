#include "tests/sim/checker.h"

namespace swage::sim {
namespace {

using S = JobState;

// reference/platform.md 1.8, as edges. SUCCEEDED may follow any open state: the store had published
// already.
bool Allowed(S from, S to) {
  switch (from) {
    case S::kQueued:
      return to == S::kStarting || to == S::kPaused || to == S::kCancelled || to == S::kSucceeded;
    case S::kStarting:
    case S::kRunning:
      if (to == S::kRunning) return from == S::kStarting;
      return to != S::kStarting;
    case S::kFinalizing: return to == S::kSucceeded || to == S::kQueued || to == S::kFailed;
    case S::kPaused: return to == S::kQueued || to == S::kCancelled || to == S::kSucceeded;
    case S::kCancelling: return to == S::kCancelled || to == S::kSucceeded;
    case S::kFailed:
    case S::kCancelled: return to == S::kQueued;
    case S::kSucceeded: return false;
  }
  return false;
}

bool IsNotice(const std::string& reason) {
  return reason == "CANCEL_TOO_LATE" || reason == "DELETE_REFUSED";
}

}  // namespace

void Checker::Applied(const Transaction& transaction) {
  for (const NewEvent& event : transaction.events) {
    if (SplitKey(event.stream).kind == "job") CheckEvent(event.stream, event.value);
  }
  for (const Write& write : transaction.writes) {
    if (SplitKey(write.key).kind != "job") continue;
    if (write.value.has_value()) {
      CheckRecord(write.key, *write.value);
    } else {
      if (!IsFinal(last_state_[write.key]))
        world_->Fail(Cat(write.key, " was deleted before it was over"));
      records_.erase(write.key);
      deleted_.insert(write.key);
    }
  }
}

void Checker::CheckEvent(const std::string& stream, const std::string& value) {
  const JobEventRecord event = JobEventFromJson(value).value();
  world_->Note("event ", stream, " ", event.kind, " ", JobStateName(event.state), " epoch ",
               event.epoch, " ", event.reason, " ", event.message);
  if (event.kind != "state" || IsNotice(event.reason)) return;
  auto last = last_state_.find(stream);
  const bool first = last == last_state_.end();
  if (first ? event.state != S::kQueued : !Allowed(last->second, event.state)) {
    world_->Fail(Cat(stream, " went from ", first ? "nothing" : JobStateName(last->second), " to ",
                     JobStateName(event.state)));
  }
  last_state_[stream] = event.state;
  uint64_t& epoch = last_epoch_[stream];
  const uint64_t expected = event.state == S::kStarting ? epoch + 1 : epoch;
  if (event.epoch != expected)
    world_->Fail(Cat(stream, ": epoch ", event.epoch, " where ", expected, " was due"));
  epoch = event.epoch;
  if (event.state == S::kSucceeded) {
    auto published = published_.find(stream);
    if (published == published_.end() || published->second != event.artifact) {
      world_->Fail(
          Cat(stream, " SUCCEEDED with an artifact that the store has not published for it"));
    }
  }
}

void Checker::CheckRecord(const std::string& key, const std::string& value) {
  const JobRecord record = JobRecordFromJson(value).value();
  if (last_state_[key] != record.state)
    world_->Fail(Cat(key, ": the record disagrees with its event log"));
  if (record.state == S::kFinalizing) {
    const auto& by = prepared_[{key, record.artifact}];
    if (!by.contains({record.token.epoch, record.token.random}) ||
        record.token.epoch != record.epoch) {
      world_->Fail(Cat(key, " decided for an artifact that its present token has not prepared"));
    }
  }
  if (record.state == S::kQueued && record.token != JobToken{})
    world_->Fail(Cat(key, " is queued and has a token"));
  records_[key] = record;
}

void Checker::Prepared(const std::string& job_key, const std::string& artifact,
                       const JobToken& token) {
  prepared_[{job_key, artifact}].insert({token.epoch, token.random});
}

void Checker::Published(const std::string& job_key, const std::string& artifact) {
  auto [it, first] = published_.try_emplace(job_key, artifact);
  if (!first && it->second != artifact) world_->Fail(Cat(job_key, " has two published artifacts"));
  if (!first) return;
  auto record = records_.find(job_key);
  const bool decided =
      record != records_.end() && record->second.artifact == artifact &&
      (record->second.state == S::kFinalizing || record->second.state == S::kSucceeded);
  if (!decided) world_->Fail(Cat(job_key, " was published without having been decided"));
}

void Checker::Started(const std::string& worker, const std::string& job_key,
                      const JobToken& token) {
  auto [it, first] = dispatched_.try_emplace({job_key, token.epoch}, token.random, worker);
  if (it->second != std::pair(token.random, worker)) {
    world_->Fail(Cat(job_key, " epoch ", token.epoch, " was given to ", worker, " and to ",
                     it->second.second));
  }
}

bool Checker::AllOver() const {
  for (const std::string& key : accepted_) {
    auto record = records_.find(key);
    const bool over =
        record == records_.end() ? deleted_.contains(key) : IsFinal(record->second.state);
    if (!over) return false;
  }
  return true;
}

void Checker::CheckEnd() {
  for (const std::string& key : accepted_) {
    auto record = records_.find(key);
    if (record == records_.end()) {
      if (!deleted_.contains(key)) world_->Fail(Cat(key, " was accepted and is lost"));
    } else if (!IsFinal(record->second.state)) {
      world_->Fail(Cat(key, " never ended: ", JobStateName(record->second.state), ", ",
                       record->second.pending_reason));
    } else if (published_.contains(key) != (record->second.state == S::kSucceeded)) {
      world_->Fail(
          Cat(key, " is ", JobStateName(record->second.state), ", but the store says otherwise"));
    }
  }
}

}  // namespace swage::sim
