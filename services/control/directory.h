// Jobs as control sees them. It writes a job's first record, which wakes the leader; every later one is the leader's,
// and what clients wish of a job goes to it as a request. No gRPC here. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/status.h"
#include "scheduler/core/records.h"
#include "scheduler/state/state_store.h"
#include "services/control/job_id.h"
#include "services/control/recent.h"

namespace swage {

inline constexpr char kWaitsForTurn[] = "waits for its turn";  // pending_reason before the leader has given one

struct JobEntry {
  JobRecord record;
  SpecRecord spec;             // filled by who needs it, from SpecOf
  std::string plan_json;       // likewise, from PlanOf
  uint64_t version = 0;        // of the record
  uint64_t last_sequence = 0;  // filled by who needs it, from LastSequence
};

struct NewJob {
  AdmittedJob job;  // its request_id is the client's
  SpecRecord spec;
  std::string spec_digest;
};

struct JobPage {
  std::vector<JobEntry> jobs;
  std::string next_page_token;
};

class JobDirectory {
 public:
  // `random`: of the ids; see JobIdGenerator.
  JobDirectory(std::shared_ptr<StateStore> state, Clock* clock,
               std::function<uint64_t()> random = RandomU64);

  StatusOr<JobEntry> Get(const std::string& tenant, const std::string& id);  // NOT_FOUND/JOB_NOT_FOUND
  StatusOr<JobEntry> GetWhole(const std::string& tenant, const std::string& id);  // with spec, plan and last_sequence
  StatusOr<uint64_t> LastSequence(const std::string& tenant, const std::string& id);  // of its events; 0: none yet
  // Ordered by id, that is by time. `states` empty: all. A token is good for the same tenant, states and order only.
  StatusOr<JobPage> List(const std::string& tenant, const std::vector<JobState>& states, int page_size,
                         const std::string& page_token, bool newest_first = false);

  // The job that this request_id made before, if any; ALREADY_EXISTS/REQUEST_ID_REUSED when the spec was another one.
  StatusOr<std::optional<std::string>> FindByRequestId(const std::string& tenant, const std::string& request_id,
                                                       const std::string& spec_digest);
  // RESOURCE_EXHAUSTED/QUEUE_FULL when the tenant has as many open jobs as it may; by the leader's count, which is up to
  // a second old.
  Status CheckLoad(const std::string& tenant);
  StatusOr<SpecRecord> SpecOf(const std::string& tenant, const std::string& id);  // empty when there is none
  StatusOr<std::string> PlanOf(const JobRecord& job);                             // JSON, "" when it is not kept
  void KeepPlan(const std::string& tenant, const std::string& digest, const std::string& json);
  // Writes the job, QUEUED; returns the id of the job, which is an earlier one's when request_id was used meanwhile.
  StatusOr<std::string> Create(const NewJob& job);
  std::vector<StatusOr<std::string>> CreateAll(const std::vector<NewJob>& jobs);  // each on its own, made durable together
  // Checks that the job's state allows it, writes the request, waits up to `wait_ms` for the leader.
  // kind: cancel | pause | resume | retry | delete. What holds already is OK and writes nothing.
  Status Act(const std::string& kind, const std::string& tenant, const std::string& id, const std::string& reason,
             int wait_ms);

  std::string NewId() { return ids_.Next(); }

 private:
  StatusOr<std::vector<Record>> Read(const std::string& prefix, const std::string& from, bool back, size_t limit);
  StatusOr<Transaction> Creation(const NewJob& job, bool again);
  StatusOr<std::string> CreateAgain(const NewJob& job);
  Status Put(const Transaction& transaction, const std::string& key);
  void WaitUntilApplied(const std::string& key, int wait_ms);

  const std::shared_ptr<StateStore> state_;
  Clock* const clock_;
  JobIdGenerator ids_;
  Recent<LoadRecord> load_;
  std::mutex mu_;
  std::set<std::string> plans_kept_;
};

}  // namespace swage
