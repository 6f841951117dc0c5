#include "tests/sim/checker.h"

#include <algorithm>
#include <utility>

namespace swage::sim {
namespace {

using S = JobState;

// reference/platform.md 1.8, as edges. SUCCEEDED may follow any open state: the artifact store had
// published already.
bool Allowed(S from, S to) {
  switch (from) {
    case S::kQueued:
      // FINALIZING: an equal job has made the result. FAILED: a job that it waits for has.
      return to != S::kQueued && to != S::kRunning && to != S::kCancelling;
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

// What is being cancelled holds its place until the worker has let go; of a gang the record does not
// tell which of them have.
bool Holds(const JobModel& job) {
  if (!job.recorded || job.members.empty()) return false;
  return job.state == S::kStarting || job.state == S::kRunning ||
         (job.state == S::kCancelling && job.members.size() == 1);
}

}  // namespace

void Checker::AddWorker(const std::string& id, const std::vector<DeviceReport>& devices,
                        int slots) {
  Shape& shape = workers_[id];
  shape.slots = static_cast<uint64_t>(slots);
  for (const DeviceReport& device : devices) shape.bytes[device.id] = device.total_bytes;
}

JobModel& Checker::Change(const std::string& key) {
  const auto it = jobs_.find(key);
  undo_.back().jobs.emplace_back(
      key, it == jobs_.end() ? std::nullopt : std::optional<JobModel>(it->second));
  return it == jobs_.end() ? jobs_[key] : it->second;
}

void Checker::Applied(uint64_t serial, const Transaction& transaction) {
  undo_.push_back({serial, {}, {}});
  for (const NewEvent& event : transaction.events) {
    if (SplitKey(event.stream).kind == "job") CheckEvent(event.stream, event.value);
  }
  for (const Write& write : transaction.writes) {
    const KeyParts parts = SplitKey(write.key);
    if (parts.kind != "job") continue;
    if (write.value.has_value()) {
      CheckRecord(write.key, *write.value);
      continue;
    }
    JobModel& job = Change(write.key);
    if (!IsFinal(job.log_state)) world_->Fail("G1", Cat(write.key, " was deleted before its end"));
    const JobModel before = job;
    job.deleted = true;
    job.recorded = false;
    SetHolder(write.key, before, job);
  }
  // Only now: one write may give what another of the same transaction takes.
  std::set<std::string> workers;
  for (const auto& [key, before] : undo_.back().jobs) {
    for (const MemberRecord& member : jobs_.at(key).members) workers.insert(member.worker);
  }
  for (const std::string& worker : workers) CheckLedger(worker);
  for (const auto& [key, before] : undo_.back().jobs) {
    const JobModel& job = jobs_.at(key);
    const bool given = !before.has_value() || before->token != job.token;
    if (!given || job.state != S::kStarting) continue;
    for (const MemberRecord& member : job.members) CheckPromises(key, member.worker, job);
  }
  for (const auto& [worker, promise] : std::exchange(new_promises_, {})) {
    std::vector<Promise>& promises = promises_[worker];  // one for a job, whatever it took
    std::erase_if(promises, [&job = promise.job](const Promise& p) { return p.job == job; });
    promises.push_back(promise);
  }
}

void Checker::Rewound(uint64_t serial) {
  for (; !undo_.empty() && undo_.back().serial >= serial; undo_.pop_back()) {
    for (const Attempt& attempt : undo_.back().leases_ended) lease_ended_.erase(attempt);
    auto& changed = undo_.back().jobs;
    for (auto it = changed.rbegin(); it != changed.rend(); ++it) {
      const std::string& key = it->first;
      const JobModel now = jobs_[key];
      const JobModel before = it->second.value_or(JobModel{});
      SetHolder(key, now, before);
      if (now.recorded && !before.recorded && !before.deleted)
        job_of_request_id_.erase(now.request_id);
      if (it->second.has_value()) {
        jobs_[key] = before;
      } else {
        jobs_.erase(key);
        if (acknowledged_.contains(key)) vanished_.insert(key);
      }
    }
  }
}

void Checker::Forget(uint64_t serial) {
  while (!undo_.empty() && undo_.front().serial < serial) undo_.pop_front();
}

void Checker::CheckEvent(const std::string& stream, const std::string& value) {
  const JobEventRecord event = JobEventFromJson(value).value();
  world_->Note("event ", stream, " ", event.kind, " ", JobStateName(event.state), " epoch ",
               event.epoch, " ", event.reason, " ", event.message);
  if (event.kind == "progress") return;
  JobModel& job = Change(stream);
  if (event.kind == "attempt" && event.reason == "PREEMPTED") NotePreemption(event, job);
  // The loss of one worker ends a gang on all, and the others are told in time.
  if (event.kind == "attempt" && event.reason == "WORKER_LOST" && job.members.size() == 1)
    EndLease(AttemptOf(stream, job.token));
  if (event.kind == "state" && !IsNotice(event.reason)) CheckState(stream, event, &job);
}

void Checker::EndLease(const Attempt& attempt) {
  if (lease_ended_.try_emplace(attempt, world_->now()).second)
    undo_.back().leases_ended.push_back(attempt);
}

void Checker::CheckState(const std::string& stream, const JobEventRecord& event, JobModel* job) {
  if (!job->logged ? event.state != S::kQueued : !Allowed(job->log_state, event.state)) {
    world_->Fail("G4", Cat(stream, " went from ",
                           job->logged ? JobStateName(job->log_state) : "nothing", " to ",
                           JobStateName(event.state)));
  }
  const uint64_t expected = job->log_epoch + (event.state == S::kStarting ? 1 : 0);
  if (event.epoch != expected)
    world_->Fail("G5", Cat(stream, ": epoch ", event.epoch, " where ", expected, " was due"));
  const auto published = published_.find(stream);
  if (event.state == S::kSucceeded &&
      (published == published_.end() || published->second != event.artifact)) {
    world_->Fail("G3", Cat(stream, " SUCCEEDED with an artifact that is not published for it"));
  }
  if ((event.state == S::kCancelled || event.state == S::kFailed) &&
      published != published_.end()) {
    world_->Fail("G9", Cat(stream, " is ", JobStateName(event.state), " and has a result"));
  }
  job->logged = true;
  job->log_state = event.state;
  job->log_epoch = event.epoch;
  job->log_reason = event.reason;
}

void Checker::CheckRecord(const std::string& key, const std::string& value) {
  const JobRecord record = JobRecordFromJson(value).value();
  JobModel& job = Change(key);
  const JobModel before = job;
  job.recorded = true;
  job.state = record.state;
  job.reason = record.reason;
  job.artifact = record.artifact;
  job.tenant = record.job.tenant;
  job.members = record.members;
  job.shape = record.job.shape;
  job.host_need = std::max(record.job.shape.host_bytes, record.learned_bytes);
  job.epoch = record.epoch;
  job.token = record.token;
  if (!before.recorded) {
    job.request_id = record.job.request_id.empty() ? key : record.job.request_id;
    const auto [it, first] = job_of_request_id_.try_emplace(job.request_id, key);
    if (!first && it->second != key)
      world_->Fail("G2", Cat(key, " and ", it->second, " come of one request_id"));
  }
  if (!job.logged || job.log_state != job.state || job.log_epoch != job.epoch ||
      job.log_reason != job.reason) {
    world_->Fail("G4", Cat(key, ": the record disagrees with its event log"));
  }
  if (job.state == S::kQueued && job.token != JobToken{})
    world_->Fail("G4", Cat(key, " is queued and has a token"));
  CheckBudgets(key, record);
  if (job.state != S::kQueued) {  // it is placed, or needs no place any more
    for (auto& [worker, promises] : promises_)
      std::erase_if(promises, [&key = key](const Promise& p) { return p.job == key; });
  }
  if (job.state == S::kFinalizing && record.shared) {
    if (before.state != S::kFinalizing) ++shared_;
    if (!artifacts_.contains({job.tenant, job.artifact}))
      world_->Fail("G15", Cat(key, " takes a result that no job of its tenant has published"));
    decided_[key].insert(job.artifact);
  } else if (job.state == S::kFinalizing) {
    CheckDecision(key, job);
  }
  SetHolder(key, before, job);
  if (job.state == S::kStarting && before.token != job.token) CheckAssignment(key, job);
}

void Checker::CheckDecision(const std::string& key, const JobModel& job) {
  const auto by = prepared_.find(AttemptOf(key, job.token));
  if (by == prepared_.end() || !by->second.contains(job.artifact) ||
      job.token.epoch != job.epoch) {
    world_->Fail("G3",
                 Cat(key, " decided for an artifact that its present token has not prepared"));
  }
  decided_[key].insert(job.artifact);
}

void Checker::CheckAssignment(const std::string& key, const JobModel& job) {
  if (job.members.size() != static_cast<size_t>(job.shape.gang)) {
    world_->Fail("G11", Cat(key, " is a gang of ", job.shape.gang, " and was given ",
                            job.members.size(), " workers"));
  }
  if (job.members.size() > 1) ++gangs_;
  std::set<std::string>& workers = assigned_[AttemptOf(key, job.token)];
  for (const MemberRecord& member : job.members) {
    if (!workers.insert(member.worker).second)
      world_->Fail("G11", Cat(key, " has two members on ", member.worker));
  }
  FirstStart& start = first_starts_[key];
  if (start.workers.empty())
    start = {world_->now(), Join(std::vector<std::string>(workers.begin(), workers.end()), ", ")};
  const auto [it, first] = random_of_.try_emplace(
      {key, job.token.incarnation, job.token.epoch}, job.token.random);
  if (!first && it->second != job.token.random)
    world_->Fail("G5", Cat(key, ": one incarnation has given epoch ", job.token.epoch, " twice"));
}

// A job's own failures and our losses are counted apart, and each has its end; evictions too.
void Checker::CheckBudgets(const std::string& key, const JobRecord& record) {
  if (record.user_failures > limits::kJobAttempts || record.infra_losses > limits::kInfraLosses)
    world_->Fail("G8", Cat(key, " goes on after ", record.user_failures, " failures and ",
                           record.infra_losses, " losses"));
  if (record.evictions > limits::kEvictionsPerJob)
    world_->Fail("G13", Cat(key, " was evicted ", record.evictions, " times"));
}

// "made room for jobs/<id>": until that one is placed, nobody else is given what it needs.
void Checker::NotePreemption(const JobEventRecord& event, const JobModel& victim) {
  constexpr std::string_view kMark = "jobs/";
  const size_t at = event.message.find(kMark);
  if (at == std::string::npos || victim.members.empty()) return;
  ++preemptions_;
  const std::string id = event.message.substr(at + kMark.size());
  for (const auto& [key, job] : jobs_) {
    if (SplitKey(key).name != id) continue;
    const int64_t until = world_->now() + 4 * stop_grace_ms_ * kMillisecond;
    new_promises_.push_back({victim.members[0].worker, {key, victim.token.incarnation, until}});
  }
}

// What was freed by preemption goes to whom it was freed for (G13; Kueue #13797).
void Checker::CheckPromises(const std::string& key, const std::string& worker,
                            const JobModel& job) {
  std::vector<Promise>& promises = promises_[worker];
  std::erase_if(promises, [&](const Promise& promise) {
    const auto other = jobs_.find(promise.job);
    return promise.until <= world_->now() || other == jobs_.end() || promise.job == key ||
           other->second.state != S::kQueued || promise.incarnation != job.token.incarnation;
  });
  const auto shape = workers_.find(worker);
  if (promises.empty() || shape == workers_.end()) return;
  uint64_t bytes = 0, slots = 0;
  for (const std::string& other : held_[worker]) {
    for (const MemberRecord& member : jobs_.at(other).members) {
      if (member.worker != worker) continue;
      ++slots;
      for (const DeviceShare& share : member.devices)
        bytes += share.device == "cpu0" ? share.bytes : 0;
    }
  }
  for (const Promise& promise : promises) {
    ++slots;
    bytes += jobs_.at(promise.job).host_need;
  }
  if (slots > shape->second.slots || bytes > shape->second.bytes.at("cpu0")) {
    world_->Fail("G13", Cat(worker, " was emptied for ", promises[0].job, ", and is given to ", key));
  }
}

void Checker::SetHolder(const std::string& key, const JobModel& before, const JobModel& after) {
  if (Holds(before)) {
    for (const MemberRecord& member : before.members) held_[member.worker].erase(key);
    slot_seconds_[before.tenant] += static_cast<double>(world_->now() - before.held_since) / 1e9 *
                                    static_cast<double>(before.members.size());
  }
  if (!Holds(after)) return;
  for (const MemberRecord& member : after.members) held_[member.worker].insert(key);
  jobs_.at(key).held_since = world_->now();
}

// The ledger by the records: what is promised of a worker is never more than it has.
void Checker::CheckLedger(const std::string& worker) {
  const std::set<std::string>& jobs = held_[worker];
  if (jobs.empty()) return;
  const auto shape = workers_.find(worker);
  if (shape == workers_.end()) return world_->Fail("G10", Cat(worker, " is no worker"));
  std::map<std::string, uint64_t> used;
  for (const std::string& key : jobs) {
    for (const MemberRecord& member : jobs_.at(key).members) {
      if (member.worker != worker) continue;
      for (const DeviceShare& share : member.devices) used[share.device] += share.bytes;
    }
  }
  if (jobs.size() > shape->second.slots)
    world_->Fail("G10", Cat(worker, " has ", shape->second.slots, " slots and is promised to ",
                            jobs.size(), " jobs"));
  for (const auto& [device, bytes] : used) {
    const uint64_t has = shape->second.bytes[device];
    if (bytes > has)
      world_->Fail("G10", Cat(worker, " has ", has, " bytes of ", device, " and promises ", bytes));
  }
}

void Checker::Adopt(const std::string& key, const JobRecord& record) {
  JobModel& job = jobs_[key];
  job.recorded = job.logged = job.adopted = true;
  job.request_id = record.job.request_id.empty() ? key : record.job.request_id;
  job.state = job.log_state = record.state;
  job.reason = job.log_reason = record.reason;
  job.epoch = job.log_epoch = record.epoch;
  job.tenant = record.job.tenant;
  job.artifact = record.artifact;
  job.members = record.members;
  job.shape = record.job.shape;
  job.token = record.token;
  job_of_request_id_[job.request_id] = key;
  SetHolder(key, {}, job);
  if (record.state == S::kFinalizing) decided_[key].insert(record.artifact);
  if (record.state == S::kSucceeded) {
    published_[key] = record.artifact;
    artifacts_.emplace(job.tenant, record.artifact);
  }
  for (const MemberRecord& member : record.members)
    assigned_[AttemptOf(key, record.token)].insert(member.worker);
}

void Checker::Acknowledged(const std::string& job_key) {
  acknowledged_.insert(job_key);
  if (!jobs_.contains(job_key)) vanished_.insert(job_key);  // lost before the answer arrived
}

void Checker::Leads(uint64_t incarnation) {
  if (incarnation <= highest_incarnation_) {
    world_->Fail("G5", Cat("incarnation ", incarnation, " leads after ", highest_incarnation_));
  }
  highest_incarnation_ = std::max(highest_incarnation_, incarnation);
}

void Checker::Prepared(const std::string& job_key, const std::string& artifact,
                       const JobToken& token) {
  prepared_[AttemptOf(job_key, token)].insert(artifact);
}

void Checker::Published(const std::string& job_key, const std::string& artifact) {
  const auto [it, first] = published_.try_emplace(job_key, artifact);
  if (!first && it->second != artifact) world_->Fail("G3", Cat(job_key, " has two results"));
  if (!first) return;
  artifacts_.emplace(std::string(SplitKey(job_key).tenant), artifact);
  const auto decided = decided_.find(job_key);
  if (decided == decided_.end() || !decided->second.contains(artifact))
    return world_->Fail("G3", Cat(job_key, " was published without having been decided"));
  const auto job = jobs_.find(job_key);
  if (job != jobs_.end() && job->second.recorded &&
      (job->second.state == S::kCancelled || job->second.state == S::kFailed)) {
    world_->Fail("G9", Cat(job_key, " was published when it was ", JobStateName(job->second.state)));
  }
}

void Checker::Told(const std::string& worker, const std::string& job_key, const JobToken& token) {
  const auto assigned = assigned_.find(AttemptOf(job_key, token));
  if (assigned == assigned_.end() || !assigned->second.contains(worker)) {
    world_->Fail("G3", Cat(worker, " is told to run ", job_key, " epoch ", token.epoch,
                           ", which was never durably given to it"));
  }
  told_[AttemptOf(job_key, token)].insert(worker);
}

void Checker::Started(const std::string& worker, const std::string& job_key,
                      const JobToken& token) {
  const auto told = told_.find(AttemptOf(job_key, token));
  if (told == told_.end() || !told->second.contains(worker)) {
    world_->Fail("G3", Cat(worker, " runs ", job_key, " epoch ", token.epoch,
                           ", which it was not told to"));
  }
}

// Of a gang nobody computes before all have taken the work up.
void Checker::Computes(const std::string& worker, const std::string& job_key,
                       const JobToken& token) {
  const auto& workers = assigned_[AttemptOf(job_key, token)];
  for (const std::string& other : workers) {
    if (told_[AttemptOf(job_key, token)].contains(other)) continue;
    world_->Fail("G11", Cat(worker, " computes ", job_key, " epoch ", token.epoch, ", and ", other,
                            " of its gang has not heard of it"));
  }
}

// A worker stops by itself before the scheduler gives its work away.
void Checker::PrepareSent(const std::string& worker, const std::string& job_key,
                          const JobToken& token) {
  const auto ended = lease_ended_.find(AttemptOf(job_key, token));
  if (ended == lease_ended_.end()) return;
  world_->Fail("fence", Cat(worker, " prepares a result of ", job_key, " epoch ", token.epoch, " ",
                            (world_->now() - ended->second) / kMillisecond,
                            " ms after its lease ended"));
}

bool Checker::AllOver() const {
  return std::all_of(jobs_.begin(), jobs_.end(), [](const auto& j) { return j.second.over(); });
}

void Checker::FailAsOpen(StateStore* state, const std::string& key) {
  const auto stored = state->Get(key).value();
  const std::string why =
      stored.has_value() ? JobRecordFromJson(stored->value)->pending_reason : "not taken up";
  world_->Fail("G12", Cat(key, " never ended: ", JobStateName(jobs_.at(key).state), ", ", why));
}

void Checker::CheckEnd(StateStore* state) {
  for (const std::string& key : acknowledged_) {
    if (!jobs_.contains(key) && !vanished_.contains(key))
      world_->Fail("G1", Cat(key, " was accepted and is lost"));
  }
  for (const auto& [key, job] : jobs_) {
    if (!job.over()) {
      FailAsOpen(state, key);
    } else if (job.recorded && published_.contains(key) != (job.state == S::kSucceeded)) {
      world_->Fail("G3", Cat(key, " is ", JobStateName(job.state),
                             ", but the artifact store says otherwise"));
    }
    CheckLog(state, key, job);
  }
}

// The stored log has no gap, and its last state is the record's.
void Checker::CheckLog(StateStore* state, const std::string& key, const JobModel& job) {
  if (!job.recorded || job.adopted) return;
  constexpr size_t kPage = 1000;
  uint64_t after = 0;
  S last = S::kQueued;
  while (true) {
    const auto page = state->ReadStream(key, after, kPage).value();
    for (const StoredEvent& stored : page) {
      if (stored.stream_sequence != ++after)
        return world_->Fail("G4", Cat(key, ": event ", after, " is missing"));
      const JobEventRecord event = JobEventFromJson(stored.value).value();
      if (event.kind == "state" && !IsNotice(event.reason)) last = event.state;
    }
    if (page.size() < kPage) break;
  }
  if (last != job.state)
    world_->Fail("G4", Cat(key, ": its log ends in ", JobStateName(last), ", the record is ",
                           JobStateName(job.state)));
}

}  // namespace swage::sim
