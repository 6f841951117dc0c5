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
#include "scheduler/core/fair_share.h"
#include "scheduler/core/reason.h"
#include "scheduler/core/records.h"
#include "scheduler/core/waiting_jobs.h"

namespace swage {

struct Now {
  int64_t mono_nanos = 0;  // leases, back-off
  int64_t unix_nanos = 0;  // what people read
};

struct CoreOptions {
  uint64_t incarnation = 0;
  int64_t lease_ms = limits::kLeaseMs;
  int64_t usage_half_life_seconds = limits::kUsageHalfLifeSeconds;
  int64_t min_runtime_ms = limits::kMinRuntimeMs;          // before a job may be preempted
  int64_t stop_grace_ms = limits::kStopGraceMs;            // to write a checkpoint
  int64_t gang_barrier_ms = limits::kGangBarrierMs;
  int64_t finished_job_days = limits::kFinishedJobDays;
};

struct DeviceReport {
  std::string id, kind, numerics_class;
  uint64_t total_bytes = 0;  // what jobs may use of it at present
  std::string problem = {};  // why nothing may run on it; "" = healthy
};

struct OutcomeReport {
  std::string manifest_digest;  // 64 hex digits; "" = failed, or a gang's member that is done
  std::string reason, message;
  std::string device = {};      // that failed, with DEVICE_FAILED
};

struct SlotReport {
  std::string tenant, job;
  JobToken token;
  ProgressRecord progress;
  std::optional<OutcomeReport> outcome;
  bool started = false;          // it was told that all members of its gang are there
  bool stopping = false;         // it was told to stop, and is writing its checkpoint
  std::string checkpoint = {};   // artifact with the newest one, "" = none
  std::string rendezvous = {};   // what its gang's other members need to reach it; "" = not yet
  bool gathered = false;         // it has those of all members
};

struct WorkerReport {  // the whole truth about one worker
  std::string worker_id, boot_id;
  uint64_t sequence = 0;
  std::vector<DeviceReport> devices;
  std::vector<SlotReport> slots;
  bool draining = false;
  std::vector<std::string> methods;  // "rtn/1"
  int slot_count = 0;
  std::vector<std::string> features = {};
  std::vector<std::string> cached = {};  // digests of models that it need not fetch
  std::string address = {};              // where its gang's other members reach it
};

struct AssignmentOrder {
  std::string tenant, job;
  JobToken token;
  std::string model_digest, traceparent, checkpoint;
  SpecRecord spec;  // left empty by the core, which does not hold it
  uint64_t memory_limit_bytes = 0;   // of the host; 0: none
  std::vector<DeviceShare> devices;  // beside the host's memory
  int attempt = 0;
  int rank = 0, world = 1;
  bool started = true;             // false: be ready, and wait for the others
  std::vector<std::string> peers;  // addresses by rank, for a gang
  // What the members said under this very token, by rank; empty until all have, and for one that has it.
  std::vector<std::string> rendezvous = {};
};

// The worker still has it and shall end it, with so long to write a checkpoint.
struct StopOrder {
  std::string tenant, job;
  JobToken token;
  std::string reason;
  int64_t grace_ms = 0;
};

// What a worker should be, as far as telling it again is concerned.
struct DesiredSlot {
  JobToken token;
  bool started = false, stop = false;
  bool met = false;  // all members of its gang have said how they are reached
  bool operator==(const DesiredSlot&) const = default;
};

struct PublishOrder {
  std::string tenant, job;
  JobToken token;
  std::string artifact, alias, traceparent;
};

enum class PublishOutcome {
  kPublished,         // `artifact` is now, or already was, the job's result
  kAlreadyPublished,  // another artifact is; `artifact` names that one, and it stands
  kMissing,           // nothing was prepared under that name; or what exists is not complete
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
  std::vector<std::string> dropped_streams;  // with the writes: of deleted jobs
  std::vector<PublishOrder> publishes;
  std::vector<CoreSpan> spans;
  // Records that nothing needs any more; deleted when there is time, whatever their version.
  struct Leftover {
    std::string key;
    std::string job_id;  // a request id's: only while it names this job; "" = whatever it says
  };
  std::vector<Leftover> leftovers;
  bool empty() const {
    return writes.empty() && events.empty() && publishes.empty() && spans.empty() &&
           dropped_streams.empty() && leftovers.empty();
  }
};

struct WorkerJobView {  // what a worker was given
  std::string tenant, job;
  JobState state = JobState::kStarting;
  ProgressRecord progress;
};
struct WorkerView {
  std::string worker_id, boot_id;
  bool connected = false, draining = false;
  int slot_count = 0;
  std::vector<DeviceReport> devices;  // a cordoned one has its `problem`
  std::vector<std::string> jobs;
  int64_t last_seen_unix_nanos = 0;
  std::vector<DeviceShare> free;  // by device
  int free_slots = 0;
  std::vector<std::string> features;
  std::vector<WorkerJobView> running;
};
struct QueuedView {
  std::string tenant, job, pending_reason;
  int priority = 0;
  int64_t queued_unix_nanos = 0;
};
struct ClassView {  // one shape class of one tenant's waiting jobs
  std::string tenant, shape;
  uint64_t jobs = 0;
  std::string oldest, pending_reason;
};
struct TenantView {
  TenantRecord settings;
  Usage average, present;
  double share = 0;        // weighted dominant share, as fair sharing compares it
  double entitlement = 0;  // its part of everything, were all tenants with jobs to want all of it
  uint64_t running = 0, waiting = 0;
};
struct Verdict {  // why one worker does not take a job
  std::string worker, text;
};
struct Explanation {
  std::string state, summary;
  std::vector<std::string> facts;
  std::vector<Verdict> workers;  // nearest fit first
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

  // A job that control has accepted: QUEUED, never assigned. Its record stands as it is until something
  // changes; one that is known already is left alone.
  void HandleCreated(const std::string& key, uint64_t version, JobRecord record, Now now);
  // A request record; it is deleted in the same transaction as what it does.
  void HandleRequest(const std::string& key, uint64_t version, const Request& request, Now now);
  // False: older than what is known of that worker (a late duplicate, or an earlier boot); nothing
  // was changed.
  bool HandleReport(const WorkerReport& report, Now now);
  void HandlePublish(const PublishOrder& order, PublishOutcome outcome, const std::string& artifact,
                     const std::string& message, Now now);
  void Tick(Now now);  // ends leases, deletes what is old

  // Operators' wishes. NOT_FOUND/WORKER_UNKNOWN, /DEVICE_UNKNOWN; INVALID_ARGUMENT/BAD_QUOTA.
  // With `evict`, what runs there is stopped with a checkpoint and goes elsewhere.
  Status SetDrain(const std::string& worker_id, bool drain, bool evict, Now now);
  Status SetCordon(const std::string& worker_id, const std::string& device,
                   const std::string& why, Now now);  // "" = no longer
  Status SetTenant(const TenantRecord& settings, Now now);  // its usage fields are not looked at

  CoreOutput TakeOutput(Now now);
  // When Tick has something to do at the earliest, by the monotonic clock; INT64_MAX: nothing is
  // known of.
  int64_t NextDeadline(Now now) const;

  std::vector<DesiredSlot> Desired(const std::string& worker_id) const;
  // True when what the worker last reported is not what it should be.
  bool NeedsAnswer(const std::string& worker_id) const;
  // The worker's whole desired state, as an answer to the last report handled; remembers that it
  // was said. What is in neither list must end at once.
  std::vector<AssignmentOrder> Answer(const std::string& worker_id);
  std::vector<StopOrder> Stops(const std::string& worker_id) const;

  std::vector<WorkerView> Workers() const;
  std::vector<QueuedView> Queue(const std::string& tenant, size_t limit,
                                Now now) const;  // "" = all tenants
  std::vector<ClassView> QueueClasses(const std::string& tenant, size_t limit, Now now) const;
  std::vector<TenantView> Tenants(Now now) const;
  // NOT_FOUND/JOB_NOT_FOUND.
  StatusOr<Explanation> Explain(const std::string& tenant, const std::string& job, Now now) const;
  // Everything that decisions rest on, as JSON that `swage-sim --replay` reads; docs/formats/state.md.
  std::string Snapshot(Now now) const;
  const JobRecord* FindJob(const std::string& tenant, const std::string& id) const;
  size_t waiting() const { return waiting_.size(); }
  uint64_t refused_outcomes() const {
    return refused_outcomes_;
  }  // carried a token that was not the present one
  uint64_t evictions() const { return evictions_; }

 private:
  static constexpr size_t kExplainedJobs = 64;  // waiting ones whose reason is kept up to date
  struct Member {  // what the leader remembers of one member of the present assignment
    std::optional<uint64_t> delivered;  // the call whose answer last listed the assignment
    int unseen = 0;                     // reports since then that did not list it
    bool ready = false;                 // listed it
    std::string rendezvous = {};        // said under this assignment's token; fixed once all have said theirs
  };
  struct Job {
    JobRecord record;
    uint64_t version = 0;
    bool deleted = false, counted = false;  // counted among its tenant's open jobs
    bool awaits = false;  // other jobs; it is in no queue
    std::string shape;  // its class: jobs of one class need the same of a worker
    int64_t not_before_mono = 0;
    int64_t queued_unix = 0;
    std::map<std::string, Member> members;  // by worker
    int64_t assigned_mono = 0, started_mono = 0;
    Usage use;                              // what fair sharing counts for it
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
    std::vector<DeviceShare> devices;
    uint64_t delivered = 0;
    std::string reason = {};
    int64_t stop_by_mono = 0;  // 0: at once, else with a checkpoint until then
  };
  // An attempt that was given time to write a checkpoint: the next one waits for it, at most so long.
  struct Stopping {
    uint64_t epoch = 0;
    int64_t until_mono = 0;
    int members = 0;  // that have not let go
  };
  struct Reported {
    std::string job_key;
    JobToken token;
    bool ended = false, started = false, stopping = false, gathered = false;
  };
  struct Room {
    int slots = 0;
    std::vector<uint64_t> bytes;  // free, by device
  };
  // Freed by preemption, and kept for the job that it was freed for.
  struct Earmark {
    std::vector<DeviceShare> devices;
    int64_t until_mono = 0;
  };
  struct Worker {
    std::string id, boot_id, address;
    std::deque<std::string> retired_boots;
    uint64_t sequence = 0;
    bool connected = false;     // has reported, and its lease has not ended
    bool draining = false;      // says the worker
    bool drain_wanted = false;  // says the operator
    std::map<std::string, std::string> cordoned;
    uint64_t version = 0;       // of its record
    int slot_count = 0;
    std::vector<DeviceReport> devices;
    std::set<std::string> methods, features, cached;
    int64_t lease_mono = 0, last_seen_unix = 0;
    std::set<std::string> jobs;  // keys of the assignments it should run
    std::vector<Releasing> releasing;
    std::vector<Reported> reported;
    std::map<std::string, Earmark> earmarks;  // by job
    std::string group;  // workers of one group offer the same
    // Of RoomOf, as it is in the index of its group.
    Room room;
    std::pair<uint64_t, uint64_t> indexed;  // largest free device, free host bytes
    bool open = false;
    Usage counted;  // of it in totals_
  };
  struct Group {
    std::set<std::string> methods, features, kinds;
    std::set<std::tuple<uint64_t, uint64_t, std::string>> open;  // with a slot free, fullest first
    std::set<std::string> connected;                             // all of them
  };
  struct TenantState {
    TenantRecord settings;
    uint64_t version = 0;
    uint64_t running = 0, live = 0;  // jobs assigned; jobs that have not ended
    int64_t saved_mono = INT64_MIN / 2;
  };
  struct Refusal {
    int64_t until_mono = 0;
    int times = 0;
  };
  struct Action {
    ActionRecord record;
    uint64_t version = 0;
    bool deleted = false;
  };
  struct Seat {
    Worker* worker = nullptr;
    std::vector<DeviceShare> devices;
  };
  struct Pass {  // one look at the queue
    Now now;
    int looks = 0, heads = 0, placed = 0, preemptions = 0, claims = 0, holds = 0;
    std::map<std::string, std::tuple<WaitingJobs::Place, std::string>> reached;  // by tenant
  };

  // core.cc
  Worker& WorkerOf(const std::string& id);
  Job* Find(const std::string& key);
  const Job* Find(const std::string& key) const;
  void Cancel(Job* job, const Request& request, Now now);
  void Pause(Job* job, Now now);
  void Retry(Job* job, Now now);
  void Delete(Job* job, Now now);
  void DeleteOld(Now now);
  void Dirty(const Job& job);
  void Emit(const Job& job, const char* kind, const std::string& reason, const std::string& message,
            Now now);
  void SetState(Job* job, JobState state, const std::string& reason, const std::string& message,
                Now now);
  // admit.cc: what a job waits for before it is in the queue
  void Index(Job* job);
  void Admit(Job* job, Now now);
  bool AwaitsOthers(Job* job, Now now);
  bool TakesFromCache(Job* job, Now now);
  bool Follows(Job* job, Now now);
  void Ended(Job* job, Now now);
  void ReviveDependents(const Job& job, Now now);
  void ForgetAction(const Job& job);
  static std::string ShapeOf(const JobRecord& record);
  // attempts.cc
  static bool IsActive(const Job& job);  // on a worker, undecided
  void AdoptBoot(Worker* worker, const std::string& boot_id, Now now);
  void HandleSlot(Worker* worker, const SlotReport& slot, Now now);
  void NoteProgress(Job* job, const ProgressRecord& progress, Now now);
  void Conclude(Job* job, Worker* worker, const OutcomeReport& outcome, Now now);
  void CloseAttempt(Job* job, const std::string& reason, const std::string& message, Now now);
  // `gone`: the worker that is known not to run it any more, "" = none is.
  void FailAttempt(Job* job, Reason reason, const std::string& message, const std::string& gone,
                   Now now);
  void Requeue(Job* job, Reason reason, const std::string& message, int64_t wait_nanos, Now now);
  bool ChargeBudget(Job* job, const ReasonPolicy& policy, std::string* message);
  void LearnFromOom(Job* job, Reason* reason) const;
  bool IsPoison(Job* job, Reason reason);
  int64_t BackoffNanos(int failures);
  // Takes the assignment back from all its members; true when one has to be waited for.
  bool Withdraw(Job* job, Reason reason, const std::string& gone, int64_t grace_ms, Now now);
  void Released(const Releasing& entry, Now now);
  void LoseWorker(Worker* worker, Reason reason, const std::string& boot_id_kept, Now now);
  void NoteMissing(Worker* worker, Now now);
  void NoteReady(Job* job, Now now);
  static bool HasMet(const Job& job);
  void PassOn(const Job& job, const Worker& to, AssignmentOrder* order) const;
  void Finish(Job* job, const std::string& artifact, Now now);
  void EndPublish(Job* job, Reason reason, const std::string& said, Now now);
  PublishOrder PublishOrderOf(const Job& job) const;
  void Cordon(Worker* worker, const std::string& device, const std::string& why);
  // placement.cc
  void Enqueue(Job* job, Now now);
  void Dequeue(const Job& job);
  WaitingJobs::Place PlaceOf(const Job& job) const;
  static uint64_t HostNeed(const JobRecord& record);
  static uint64_t DeviceNeed(const JobRecord& record);
  void Schedule(Now now);
  void Serve(const std::string& tenant, Pass* pass, bool* more);
  bool Place(Job* job, Pass* pass);
  void MakeRoom(const Job& first, Pass* pass);
  void Assign(Job* job, const std::vector<Seat>& seats, Now now);
  std::vector<Seat> FindSeats(const Job& job, Now now);
  std::optional<Seat> SeatOn(Worker* worker, const Job& job, Now now) const;
  void SeatFrom(const Group& group, const Job& job, const std::string& not_on, Now now,
                std::vector<Seat>* seats);
  void HoldFor(const Job& job);
  std::string OverQuota(const Job& job) const;
  // room.cc
  Room RoomOf(const Worker& worker, const std::string& for_job) const;
  void Reindex(Worker* worker);
  void Touch(const std::string& worker_id);  // its room may have changed
  void ReindexTouched();
  static bool Usable(const Worker& worker, const DeviceReport& device);
  std::optional<std::vector<DeviceShare>> FitInto(const Worker& worker, const Room& room,
                                                  const JobRecord& record) const;
  static bool Offers(const Group& group, const JobRecord& record);
  Group& GroupOf(const Worker& worker);
  // preempt.cc
  bool Preempt(Job* job, Pass* pass);
  std::vector<Job*> VictimsOn(const Worker& worker, const Job& job, bool reclaim, Now now);
  bool MayEvict(const Job& victim, const Job& for_job, bool reclaim, Now now) const;
  void Evict(Job* victim, Reason reason, const std::string& message, Now now);
  double EntitlementOf(const std::string& tenant) const;
  void DropEarmarks(const std::string& job_key);
  // explain.cc
  void ExplainWaiting(Now now);
  // What the workers have for a shape; the same for all jobs of a class.
  struct Fit {
    int connected = 0, offered = 0, large = 0, accepting = 0, slots = 0, free_slots = 0;
    uint64_t largest = 0, most_free = 0;
    std::string nearest;
  };
  using Fits = std::map<std::string, Fit>;  // by class, for one round of explaining
  std::string PendingReason(const Job& job, Now now, Fits* fits) const;
  Fit FitOf(const Job& job) const;
  std::string NoFit(const Job& job, const Fit& fit) const;
  std::vector<Verdict> Verdicts(const Job& job, Now now) const;
  std::string VerdictOf(const Worker& worker, const Job& job, Now now) const;
  // tenants.cc
  TenantState& TenantOf(const std::string& tenant);
  void CountUse(Job* job, bool begin, Now now);
  void CountLive(Job* job);
  void SaveTenants(Now now);
  void SaveLoad(Now now);

  CoreOptions options_;
  Rng rng_;
  std::map<std::string, Job> jobs_;  // by key
  std::map<std::string, Worker> workers_;
  std::map<std::string, Worker*> workers_with_earmarks_;
  std::map<std::string, Group> groups_;
  std::map<std::string, TenantState> tenants_;
  std::map<std::string, Action> actions_;                  // by key of the record
  std::map<std::string, std::string> doing_;               // action's key -> the job that does it
  std::map<std::string, std::set<std::string>> followers_;   // job -> jobs whose result it makes
  std::map<std::string, std::set<std::string>> dependents_;  // job -> jobs that wait for it
  WaitingJobs waiting_;
  std::set<std::pair<int64_t, std::string>> delayed_;   // not before (monotonic), key
  std::map<std::string, Stopping> stopping_;            // by key of the job
  std::set<std::pair<int64_t, std::string>> finished_;  // end by the wall clock, key
  std::map<std::pair<std::string, std::string>, Refusal> refusals_;  // class and worker
  std::map<std::string, std::set<std::string>> cached_;              // model -> workers
  // Of the passes since room was last gained: classes that fit nowhere, and workers that are kept
  // for the first of them.
  std::set<std::string> parked_;
  std::set<std::string> held_;
  // When room for a tenant's class was last looked for among what runs.
  std::map<std::pair<std::string, std::string>, int64_t> claims_looked_;
  bool gained_ = true;
  bool unfinished_ = false;  // the last pass stopped at its limits
  int64_t unparked_mono_ = INT64_MIN / 2;
  std::set<std::string> gangs_waiting_;  // assigned, and not all members there yet
  FairShare shares_;
  Usage totals_;  // of the connected workers
  std::set<std::string> dirty_, dirty_workers_, dirty_tenants_, dirty_actions_, touched_;
  std::set<std::string> handled_requests_;  // since the last TakeOutput
  uint64_t load_version_ = 0;
  std::string load_written_;
  int64_t load_mono_ = INT64_MIN / 2;
  int64_t explained_mono_ = INT64_MIN / 2;
  CoreOutput output_;
  uint64_t refused_outcomes_ = 0, evictions_ = 0;
};

}  // namespace swage
