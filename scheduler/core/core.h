// The scheduler's decisions: a deterministic state machine over jobs and workers. No I/O, no
// threads, no clock: time comes with every input, randomness from the Rng it was given, and what it
// decides leaves through TakeOutput. The server (scheduler/server) and the simulator (tests/sim)
// drive the same code.
//
// A leader's life:
//   Core core(options, rng);
//   for each record of the store: core.Load(key, version, value);      core.FinishLoad(now);
//   for each job that the store has published: core.Reconciled(...);
//   loop: core.HandleX(...) any number of times;  core.Tick(now);
//         CoreOutput out = core.TakeOutput(now);
//         Apply(out.writes, out.events) as one transaction. Ok: start out.publishes, answer workers
//         by Answer(). Conflict or unknown: throw this Core away and load a new one; nothing of
//         `out` may take effect.
//
// Safety does not rest on time: an assignment is named by a token (incarnation, epoch, random), the
// epoch grows with each assignment of a job, and only the outcome that carries the job's present
// token decides (reference/platform.md 1.3, 1.7 G3, G5, G9). Time only decides when to give up on a
// silent worker. Not thread-safe.
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

#include "base/limits.h"
#include "base/rng.h"
#include "base/status.h"
#include "scheduler/core/reason.h"
#include "scheduler/core/records.h"

namespace swage {

struct Now {
  int64_t mono_nanos = 0;  // leases, back-off
  int64_t unix_nanos = 0;  // what people read
};

struct CoreOptions {
  uint64_t incarnation = 0;
  int64_t lease_ms = limits::kLeaseMs;
};

struct DeviceReport {
  std::string id, kind, numerics_class;
  uint64_t total_bytes = 0;
};

struct OutcomeReport {
  std::string manifest_digest;  // 64 hex digits; "" = failed
  std::string reason, message;
};

struct SlotReport {
  std::string tenant, job;
  JobToken token;
  ProgressRecord progress;
  std::optional<OutcomeReport> outcome;
};

struct WorkerReport {  // the whole truth about one worker
  std::string worker_id, boot_id;
  uint64_t sequence = 0;
  std::vector<DeviceReport> devices;
  std::vector<SlotReport> slots;
  bool draining = false;
  std::vector<std::string> methods;  // "rtn/1"
  int slot_count = 0;
};

struct AssignmentOrder {
  std::string tenant, job;
  JobToken token;
  std::string recipe_json, model_digest, traceparent;
  std::map<std::string, std::string> files;
  uint64_t memory_limit_bytes = 0;  // 0: none
  int attempt = 0;
};

struct PublishOrder {
  std::string tenant, job;
  JobToken token;
  std::string artifact, alias, traceparent;
};

enum class PublishOutcome {
  kPublished,         // `artifact` is now, or already was, the job's result
  kAlreadyPublished,  // another artifact is; `artifact` names that one, and it stands
  kMissing,           // nothing was prepared under that name
  kRefused,           // will never be accepted
};

struct CoreWrite {
  std::string key;
  uint64_t expected_version = 0;
  std::optional<std::string> value;
};
struct CoreEvent {
  std::string stream, value;
};
struct CoreSpan {  // to be recorded in the job's trace
  std::string name, traceparent;
  int64_t start_unix_nanos = 0, end_unix_nanos = 0;
  std::map<std::string, std::string> attributes;
};

struct CoreOutput {
  std::vector<CoreWrite> writes;  // keys unique
  std::vector<CoreEvent> events;
  std::vector<PublishOrder> publishes;
  std::vector<CoreSpan> spans;
  bool empty() const {
    return writes.empty() && events.empty() && publishes.empty() && spans.empty();
  }
};

struct WorkerView {
  std::string worker_id, boot_id;
  bool connected = false, draining = false;
  int slot_count = 0;
  std::vector<DeviceReport> devices;
  std::vector<std::string> jobs;
  int64_t last_seen_unix_nanos = 0;
};
struct QueuedView {
  std::string tenant, job, pending_reason;
};

class Core {
 public:
  Core(const CoreOptions& options, Rng rng);

  // One record of the store; those of other kinds (requests, request ids) are not for it and are
  // skipped.
  Status Load(const std::string& key, uint64_t version, const std::string& value);
  // Every assignment found gets a whole lease from now; decided results are ordered to be published
  // again.
  void FinishLoad(Now now);
  // The artifact store has published this for the job: it stands, whatever the record says.
  void Reconciled(const std::string& tenant, const std::string& job, const std::string& artifact,
                  Now now);

  // A request record; it is deleted in the same transaction as what it does.
  void HandleRequest(const std::string& key, uint64_t version, const Request& request, Now now);
  // False: older than what is known of that worker (a late duplicate, or an earlier boot); nothing
  // was changed.
  bool HandleReport(const WorkerReport& report, Now now);
  void HandlePublish(const PublishOrder& order, PublishOutcome outcome, const std::string& artifact,
                     const std::string& message, Now now);
  Status SetDrain(const std::string& worker_id, bool drain, Now now);
  void Tick(Now now);  // ends leases

  CoreOutput TakeOutput(Now now);
  // When Tick has something to do at the earliest, by the monotonic clock; INT64_MAX: nothing is
  // known of.
  int64_t NextDeadline(Now now) const;

  // The tokens of the worker's desired state.
  std::vector<JobToken> Desired(const std::string& worker_id) const;
  // True when what the worker last reported is not what it should be.
  bool NeedsAnswer(const std::string& worker_id) const;
  // The worker's whole desired state, as an answer to the last report handled; remembers that it
  // was said.
  std::vector<AssignmentOrder> Answer(const std::string& worker_id);

  std::vector<WorkerView> Workers() const;
  std::vector<QueuedView> Queue(const std::string& tenant, size_t limit,
                                Now now) const;  // "" = all tenants
  const JobRecord* FindJob(const std::string& tenant, const std::string& id) const;
  uint64_t refused_outcomes() const {
    return refused_outcomes_;
  }  // carried a token that was not the present one

 private:
  struct Job {
    JobRecord record;
    uint64_t version = 0;
    bool deleted = false;
    std::set<std::string> methods;  // its recipe's, without version
    int64_t not_before_mono = 0;
    int64_t queued_unix = 0;
    std::optional<uint64_t> delivered;      // the call whose answer last listed the assignment
    int unseen = 0;                         // reports since then that did not list it
    int64_t progress_mono = INT64_MIN / 2;  // of the last progress event
    double progress_fraction = -1;
    std::string progress_stage;
    int64_t pending_mono = INT64_MIN / 2;  // of the last change of pending_reason
  };
  // An assignment taken back that the worker may still be running: it holds its slot and bytes
  // until the worker is known to have let go.
  struct Releasing {
    std::string job_key, boot_id;
    JobToken token;
    uint64_t bytes = 0, delivered = 0;
  };
  struct Reported {
    std::string job_key;
    JobToken token;
    bool ended = false;
  };
  struct Worker {
    std::string id, boot_id;
    std::deque<std::string> retired_boots;
    uint64_t sequence = 0;
    bool connected = false;     // has reported, and its lease has not ended
    bool draining = false;      // says the worker
    bool drain_wanted = false;  // says the operator
    uint64_t drain_version = 0;
    int slot_count = 0;
    std::vector<DeviceReport> devices;
    uint64_t capacity_bytes = 0;
    std::set<std::string> methods;
    int64_t lease_mono = 0, last_seen_unix = 0;
    std::set<std::string> jobs;  // keys of the assignments it should run
    std::vector<Releasing> releasing;
    std::vector<Reported> reported;
  };
  struct Room {
    int slots = 0;
    uint64_t bytes = 0;
  };
  using QueuePlace = std::tuple<int, int64_t, std::string>;  // -priority, time of creation, key

  // core.cc
  Worker& WorkerOf(const std::string& id);
  Job* Find(const std::string& key);
  void Create(const Request& request, Now now);
  void Cancel(Job* job, const Request& request, Now now);
  void Pause(Job* job, Now now);
  void Retry(Job* job, Now now);
  void Dirty(const Job& job);
  void Emit(const Job& job, const char* kind, const std::string& reason, const std::string& message,
            Now now);
  void SetState(Job* job, JobState state, const std::string& reason, const std::string& message,
                Now now);
  // attempts.cc
  static bool IsActive(const Job& job);  // on a worker, undecided
  void AdoptBoot(Worker* worker, const std::string& boot_id, Now now);
  void HandleSlot(Worker* worker, const SlotReport& slot, Now now);
  void NoteProgress(Job* job, const ProgressRecord& progress, Now now);
  void Conclude(Job* job, const OutcomeReport& outcome, Now now);
  void CloseAttempt(Job* job, const std::string& reason, const std::string& message, Now now);
  void FailAttempt(Job* job, Reason reason, const std::string& message, Now now);
  bool ChargeBudget(Job* job, const ReasonPolicy& policy, std::string* message);
  int64_t BackoffNanos(int failures);
  void Detach(Job* job);    // the worker has let go
  bool Withdraw(Job* job);  // the worker must let go; true when it has to be waited for
  void Released(const Releasing& entry, Now now);
  void LoseWorker(Worker* worker, Reason reason, const std::string& boot_id_kept, Now now);
  void NoteMissing(Worker* worker, Now now);
  void Finish(Job* job, const std::string& artifact, Now now);
  PublishOrder PublishOrderOf(const Job& job) const;
  // placement.cc
  static QueuePlace PlaceOf(const Job& job);
  void Enqueue(Job* job, Now now);
  void Dequeue(const Job& job);
  uint64_t NeedOf(const Job& job) const;
  Room RoomOf(const Worker& worker) const;
  static bool Offers(const Worker& worker, const Job& job);
  void Schedule(Now now);
  void Assign(Job* job, Worker* worker, Now now);
  void ExplainWaiting(Now now);
  std::string PendingReason(const Job& job, size_t ahead, Now now) const;

  CoreOptions options_;
  Rng rng_;
  std::map<std::string, Job> jobs_;  // by key
  std::map<std::string, Worker> workers_;
  std::set<QueuePlace> ready_;
  std::set<std::pair<int64_t, std::string>> delayed_;  // not before (monotonic), key
  std::set<std::string> dirty_, dirty_workers_;
  std::set<std::string> handled_requests_;  // since the last TakeOutput
  CoreOutput output_;
  uint64_t refused_outcomes_ = 0;
};

}  // namespace swage
