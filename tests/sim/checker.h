// What must hold after every step, whatever fails (reference/platform.md 1.7). It sees each durable
// write of the state store, each preparation and publication in the artifact store, each lead, and
// what workers start and send.
//
// What a failover may relax. A state store that loses a suffix of acknowledged writes goes back in
// time, and so does what is compared with it: the records, the event logs and their epochs are
// taken back with the suffix (Rewound). Three promises are weaker then, within the declared window
// only: an accepted job whose acceptance was in the suffix may vanish (it is counted, not an
// error); a job may be seen to return to an earlier state and run again; and a worker whose lease
// had ended may get it back, when that it ended is forgotten. Nothing else is
// relaxed: the artifact store does not go back, so that no second result, no result of a token that
// was never decided, and no result after a cancellation may ever become visible; incarnations that
// have led never come again; and a job whose acceptance survived must end.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "scheduler/core/core.h"
#include "scheduler/core/records.h"
#include "scheduler/state/state_store.h"
#include "tests/sim/world.h"

namespace swage::sim {

struct JobModel {
  bool recorded = false, deleted = false;
  std::string request_id;
  // By the record.
  JobState state = JobState::kQueued;
  std::string tenant, reason, artifact;
  std::vector<MemberRecord> members;
  ShapeRecord shape;
  uint64_t epoch = 0, host_need = 0;
  JobToken token;
  int64_t held_since = 0;
  // By the events.
  bool logged = false, adopted = false;
  JobState log_state = JobState::kQueued;
  uint64_t log_epoch = 0;
  std::string log_reason;

  bool over() const { return deleted || (recorded && IsFinal(state)); }
};

struct FirstStart {
  int64_t at = 0;
  std::string workers;
};

class Checker {
 public:
  explicit Checker(World* world) : world_(world) {}

  void AddWorker(const std::string& id, const std::vector<DeviceReport>& devices, int slots);

  void SetStopGrace(int64_t ms) { stop_grace_ms_ = ms; }
  // A job as the state store has it at the start, with no events to tell how it came to be so.
  void Adopt(const std::string& key, const JobRecord& record);

  // The state store. `serial` numbers its changes; those after `serial` have been taken back.
  void Applied(uint64_t serial, const Transaction& transaction);
  void Rewound(uint64_t serial);
  void Forget(uint64_t serial);

  void Acknowledged(const std::string& job_key);  // a client was told that its job is accepted
  void Leads(uint64_t incarnation);
  void Prepared(const std::string& job_key, const std::string& artifact, const JobToken& token);
  void Published(const std::string& job_key, const std::string& artifact);  // took effect
  void Told(const std::string& worker, const std::string& job_key, const JobToken& token);
  void Started(const std::string& worker, const std::string& job_key, const JobToken& token);
  void Computes(const std::string& worker, const std::string& job_key, const JobToken& token);
  void PrepareSent(const std::string& worker, const std::string& job_key, const JobToken& token);

  // After the last fault: is every job over that there is?
  bool AllOver() const;
  void CheckEnd(StateStore* state);
  void FailAsOpen(StateStore* state, const std::string& key);  // it has not ended in time
  const std::map<std::string, JobModel>& jobs() const { return jobs_; }
  size_t acknowledged() const { return acknowledged_.size(); }
  size_t vanished() const { return vanished_.size(); }
  uint64_t preemptions() const { return preemptions_; }
  uint64_t gangs() const { return gangs_; }    // assignments to several workers
  uint64_t shared() const { return shared_; }  // results that were another job's
  const std::map<std::string, FirstStart>& first_starts() const { return first_starts_; }
  const std::map<std::string, double>& slot_seconds() const { return slot_seconds_; }

 private:
  using Attempt = std::tuple<std::string, uint64_t, uint64_t, uint64_t>;  // job, token
  struct Undo {
    uint64_t serial = 0;
    std::vector<std::pair<std::string, std::optional<JobModel>>> jobs;
    std::vector<Attempt> leases_ended;
  };
  struct Shape {
    std::map<std::string, uint64_t> bytes;  // by device
    uint64_t slots = 0;
  };
  struct Promise {  // what was taken from running jobs on a worker is for this one
    std::string job;
    uint64_t incarnation = 0;
    int64_t until = 0;
  };
  JobModel& Change(const std::string& key);
  void SetHolder(const std::string& key, const JobModel& before, const JobModel& after);
  void EndLease(const Attempt& attempt);
  void CheckLedger(const std::string& worker);
  void CheckEvent(const std::string& stream, const std::string& value);
  void CheckState(const std::string& stream, const JobEventRecord& event, JobModel* job);
  void CheckRecord(const std::string& key, const std::string& value);
  void CheckBudgets(const std::string& key, const JobRecord& record);
  void CheckPromises(const std::string& key, const std::string& worker, const JobModel& job);
  void NotePreemption(const JobEventRecord& event, const JobModel& victim);
  void CheckDecision(const std::string& key, const JobModel& job);
  void CheckAssignment(const std::string& key, const JobModel& job);
  void CheckLog(StateStore* state, const std::string& key, const JobModel& job);

  World* const world_;
  int64_t stop_grace_ms_ = limits::kStopGraceMs;
  std::map<std::string, FirstStart> first_starts_;
  std::map<std::string, Shape> workers_;
  std::map<std::string, std::vector<Promise>> promises_;  // by worker
  // Of the transaction at hand: what it gave away before it made them is no breach.
  std::vector<std::pair<std::string, Promise>> new_promises_;
  std::map<std::string, double> slot_seconds_;            // by tenant
  std::map<std::string, JobModel> jobs_;
  std::map<std::string, std::string> job_of_request_id_;
  std::map<std::string, std::set<std::string>> held_;  // worker, jobs whose records name it
  std::map<Attempt, int64_t> lease_ended_;
  std::deque<Undo> undo_;

  // What is never taken back.
  static Attempt AttemptOf(const std::string& key, const JobToken& t) {
    return {key, t.incarnation, t.epoch, t.random};
  }
  uint64_t highest_incarnation_ = 0;
  std::set<std::string> acknowledged_, vanished_;
  std::map<Attempt, std::set<std::string>> assigned_;  // by a durable write; to which workers
  std::map<Attempt, std::set<std::string>> told_;      // those that have heard of it
  std::map<std::tuple<std::string, uint64_t, uint64_t>, uint64_t> random_of_;  // job, incarnation, epoch
  std::map<Attempt, std::set<std::string>> prepared_;
  std::map<std::string, std::set<std::string>> decided_;  // artifacts, by job
  std::map<std::string, std::string> published_;
  std::set<std::pair<std::string, std::string>> artifacts_;  // tenant, artifact: of some job
  uint64_t preemptions_ = 0, gangs_ = 0, shared_ = 0;
};

}  // namespace swage::sim
