#include "services/control/directory.h"

#include <algorithm>

#include "base/digest.h"
#include "base/limits.h"
#include "base/rng.h"

namespace swage {
namespace {

constexpr size_t kScanRows = 200;
constexpr size_t kPlansRemembered = 1000;
constexpr int kMaxPage = 1000, kDefaultPage = 100;
constexpr int kPutTries = 5;

constexpr int64_t kLoadGoodNanos = 200'000'000;

// What control knows of a record. One that the leader has not had a reason to write yet has nothing to say of itself.
StatusOr<JobEntry> EntryFrom(const Record& record) {
  JobEntry entry;
  SWAGE_ASSIGN_OR_RETURN(entry.record, JobRecordFromJson(record.value));
  entry.version = record.version;
  if (entry.version == 1 && entry.record.pending_reason.empty()) entry.record.pending_reason = kWaitsForTurn;
  return entry;
}

// A page token is an id and a checksum over it and the arguments, so that one from another listing is refused.
std::string PageToken(const std::string& id, const std::string& tenant, const std::vector<JobState>& states,
                      bool newest_first) {
  std::string bound = Cat("jobs\n", tenant, "\n", id);
  for (const JobState state : states) bound += Cat("\n", JobStateName(state));
  if (newest_first) bound += "\nnewest";
  return Cat(id, Sha256Of(bound).Hex().substr(0, 12));
}

StatusOr<std::string> IdOfPageToken(const std::string& token, const std::string& tenant,
                                    const std::vector<JobState>& states, bool newest_first) {
  const std::string id = token.substr(0, 26);
  if (!IsJobId(id) || PageToken(id, tenant, states, newest_first) != token) {
    return InvalidInput("BAD_PAGE_TOKEN", "this page_token does not belong to a listing with these arguments",
                        "repeat the listing from its first page with an empty page_token");
  }
  return id;
}

bool Wanted(const JobRecord& record, const std::vector<JobState>& states) {
  return states.empty() || std::find(states.begin(), states.end(), record.state) != states.end();
}

Status WrongState(const std::string& kind, const JobRecord& record) {
  const std::string next = kind == "delete"   ? "cancel the job first, or wait for its end"
                           : kind == "retry"  ? "only a job that has failed or was cancelled is retried"
                           : kind == "resume" ? "only a paused job is resumed"
                                              : "the job is over; `swage job` shows how it ended";
  return Precondition("WRONG_STATE", Cat("cannot ", kind, " jobs/", record.job.id, ": it is ", JobStateName(record.state)),
                      next);
}

// OK(true): write the request; OK(false): it is so already.
StatusOr<bool> Allowed(const std::string& kind, const JobRecord& record) {
  const JobState state = record.state;
  const bool active = !IsFinal(state) && state != JobState::kPaused;
  if (kind == "cancel") {
    if (state == JobState::kCancelled || state == JobState::kCancelling) return false;
    if (IsFinal(state)) return WrongState(kind, record);
    return true;
  }
  if (kind == "pause") {
    if (state == JobState::kPaused) return false;
    if (!active || state == JobState::kCancelling || state == JobState::kFinalizing) return WrongState(kind, record);
    return true;
  }
  if (kind == "resume") {
    if (state == JobState::kPaused) return true;
    if (active && state != JobState::kCancelling) return false;
    return WrongState(kind, record);
  }
  if (kind == "retry") {
    if (state == JobState::kFailed || state == JobState::kCancelled) return true;
    return WrongState(kind, record);
  }
  SWAGE_CHECK(kind == "delete", kind);
  if (!IsFinal(state)) return WrongState(kind, record);
  return true;
}

}  // namespace

JobDirectory::JobDirectory(std::shared_ptr<StateStore> state, Clock* clock,
                           std::function<uint64_t()> random)
    : state_(std::move(state)), clock_(clock), ids_(clock, std::move(random)), load_(1, kLoadGoodNanos) {}

StatusOr<JobEntry> JobDirectory::Get(const std::string& tenant, const std::string& id) {
  SWAGE_ASSIGN_OR_RETURN(const auto record, state_->Get(JobKey(tenant, id)));
  if (record) return EntryFrom(*record);
  return NotFound("JOB_NOT_FOUND", Cat("there is no job jobs/", id), "`swage jobs` lists the jobs");
}

StatusOr<JobEntry> JobDirectory::GetWhole(const std::string& tenant, const std::string& id) {
  SWAGE_ASSIGN_OR_RETURN(JobEntry entry, Get(tenant, id));
  SWAGE_ASSIGN_OR_RETURN(entry.last_sequence, LastSequence(tenant, id));
  SWAGE_ASSIGN_OR_RETURN(entry.spec, SpecOf(tenant, id));
  SWAGE_ASSIGN_OR_RETURN(entry.plan_json, PlanOf(entry.record));
  return entry;
}

// Sequences have no gap, so "is there one after n" can be searched by halving instead of reading all.
StatusOr<uint64_t> JobDirectory::LastSequence(const std::string& tenant, const std::string& id) {
  const std::string stream = JobStream(tenant, id);
  uint64_t low = 0, high = 1;  // the last one is >= low; after the first loop < high
  while (true) {
    SWAGE_ASSIGN_OR_RETURN(const auto next, state_->ReadStream(stream, high - 1, 1));
    if (next.empty()) break;
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    SWAGE_ASSIGN_OR_RETURN(const auto next, state_->ReadStream(stream, middle - 1, 1));
    (next.empty() ? high : low) = middle;
  }
  return low;
}

StatusOr<std::vector<Record>> JobDirectory::Read(const std::string& prefix, const std::string& from, bool back,
                                                 size_t limit) {
  return back ? state_->ScanBack(prefix, from, limit) : state_->Scan(prefix, from, limit);
}

StatusOr<JobPage> JobDirectory::List(const std::string& tenant, const std::vector<JobState>& states, int page_size,
                                     const std::string& page_token, bool newest_first) {
  if (page_size < 0) return InvalidInput("BAD_PAGE_SIZE", "page_size must not be negative", "use 0 for the default of 100");
  const size_t wanted = page_size == 0 ? kDefaultPage : std::min(page_size, kMaxPage);
  std::string from;  // "" = from the beginning, or from the end
  if (!page_token.empty()) {
    SWAGE_ASSIGN_OR_RETURN(from, IdOfPageToken(page_token, tenant, states, newest_first));
  }
  std::vector<JobEntry> found;
  std::string cursor = from.empty() ? "" : JobKey(tenant, from);
  bool more = true;
  while (more && found.size() <= wanted) {
    SWAGE_ASSIGN_OR_RETURN(const auto records, Read(JobKey(tenant, ""), cursor, newest_first, kScanRows));
    more = records.size() == kScanRows;
    for (const Record& record : records) {
      cursor = record.key;
      SWAGE_ASSIGN_OR_RETURN(JobEntry entry, EntryFrom(record));
      if (Wanted(entry.record, states)) found.push_back(std::move(entry));
    }
  }
  JobPage page;
  if (found.size() > wanted) {
    found.resize(wanted);
    page.next_page_token = PageToken(found.back().record.job.id, tenant, states, newest_first);
  }
  page.jobs = std::move(found);
  return page;
}

StatusOr<std::optional<std::string>> JobDirectory::FindByRequestId(const std::string& tenant,
                                                                   const std::string& request_id,
                                                                   const std::string& spec_digest) {
  SWAGE_ASSIGN_OR_RETURN(const auto record, state_->Get(RequestIdKey(tenant, request_id)));
  if (!record) return std::optional<std::string>();
  SWAGE_ASSIGN_OR_RETURN(const RequestIdRecord known, RequestIdFromJson(record->value));
  const int64_t age = clock_->UnixNanos() - known.unix_nanos;
  if (age > int64_t{limits::kRequestIdHours} * 3600 * 1000000000) return std::optional<std::string>();
  if (known.spec_digest != spec_digest) {
    return Error(StatusCode::kAlreadyExists, "REQUEST_ID_REUSED",
                 Cat("request_id '", request_id, "' was used for another job: jobs/", known.job_id),
                 "use a new request_id for a new job");
  }
  return std::optional<std::string>(known.job_id);
}

StatusOr<SpecRecord> JobDirectory::SpecOf(const std::string& tenant, const std::string& id) {
  SWAGE_ASSIGN_OR_RETURN(const auto record, state_->Get(SpecKey(tenant, id)));
  if (!record) return SpecRecord{};
  return SpecRecordFromJson(record->value);
}

StatusOr<std::string> JobDirectory::PlanOf(const JobRecord& job) {
  if (job.job.plan_digest.empty()) return std::string();
  SWAGE_ASSIGN_OR_RETURN(const auto record, state_->Get(PlanKey(job.job.tenant, job.job.plan_digest)));
  return record ? record->value : std::string();
}

// Equal plans are kept once. For display: that it could not be written is no reason to refuse a job.
void JobDirectory::KeepPlan(const std::string& tenant, const std::string& digest, const std::string& json) {
  const std::string key = PlanKey(tenant, digest);
  {
    std::lock_guard lock(mu_);
    if (plans_kept_.contains(key)) return;
  }
  const auto known = state_->Get(key);
  if (!known.ok()) return;
  Transaction transaction;
  transaction.writes.push_back({key, 0, json});
  if (!known->has_value() && state_->Apply(transaction) == ApplyResult::kUnknown) return;
  std::lock_guard lock(mu_);
  if (plans_kept_.size() > kPlansRemembered) plans_kept_.clear();
  plans_kept_.insert(key);
}

Status JobDirectory::CheckLoad(const std::string& tenant) {
  std::shared_ptr<const LoadRecord> load = load_.Find("", clock_->MonotonicNanos());
  if (load == nullptr) {
    SWAGE_ASSIGN_OR_RETURN(const auto record, state_->Get(std::string(kLoadKey)));
    LoadRecord fresh;
    if (record) {
      SWAGE_ASSIGN_OR_RETURN(fresh, LoadRecordFromJson(record->value));
    }
    load = load_.Put("", std::move(fresh), clock_->MonotonicNanos());
  }
  const auto queued = load->queued.find(tenant);
  const auto own = load->limit.find(tenant);
  const uint64_t limit =
      own == load->limit.end() ? static_cast<uint64_t>(limits::kQueuedJobsPerTenant) : own->second;
  if (queued == load->queued.end() || queued->second < limit) return absl::OkStatus();
  return Error(StatusCode::kResourceExhausted, "QUEUE_FULL",
               Cat("tenant ", tenant, " has ", queued->second, " jobs that have not ended; its limit is ", limit),
               "try again when some have ended, or let an operator raise it: swage quota set");
}

// `again`: an earlier try conflicted or its result is unknown. The first goes without asking: most request_ids are new.
StatusOr<Transaction> JobDirectory::Creation(const NewJob& created, bool again) {
  const AdmittedJob& job = created.job;
  JobRecord record;
  record.job = job;
  JobEventRecord event;
  event.kind = "state";
  event.unix_nanos = job.create_unix_nanos;
  event.message = "accepted";
  Transaction transaction;
  transaction.writes.push_back({JobKey(job.tenant, job.id), 0, ToJson(record)});
  transaction.writes.push_back({SpecKey(job.tenant, job.id), 0, ToJson(created.spec)});
  transaction.events.push_back({JobStream(job.tenant, job.id), ToJson(event)});
  if (job.request_id.empty()) return transaction;
  const std::string id_key = RequestIdKey(job.tenant, job.request_id);
  uint64_t version = 0;
  if (again) {
    SWAGE_ASSIGN_OR_RETURN(const auto old, state_->Get(id_key));
    version = old ? old->version : 0;
  }
  transaction.writes.push_back(
      {id_key, version, ToJson(RequestIdRecord{job.id, created.spec_digest, job.create_unix_nanos})});
  return transaction;
}

StatusOr<std::string> JobDirectory::Create(const NewJob& job) { return CreateAll({job})[0]; }

std::vector<StatusOr<std::string>> JobDirectory::CreateAll(const std::vector<NewJob>& jobs) {
  std::vector<Transaction> transactions;
  for (const NewJob& job : jobs) transactions.push_back(Creation(job, false).value());
  const std::vector<ApplyResult> applied = state_->ApplyAll(transactions);
  std::vector<StatusOr<std::string>> ids;
  for (size_t i = 0; i < jobs.size(); ++i) {
    ids.push_back(applied[i] == ApplyResult::kOk ? StatusOr<std::string>(jobs[i].job.id) : CreateAgain(jobs[i]));
  }
  return ids;
}

StatusOr<std::string> JobDirectory::CreateAgain(const NewJob& created) {
  const AdmittedJob& job = created.job;
  for (int attempt = 1; attempt < kPutTries; ++attempt) {
    if (job.request_id.empty()) {
      if (Get(job.tenant, job.id).ok()) return job.id;  // the try whose result was unknown had happened
    } else {
      SWAGE_ASSIGN_OR_RETURN(const auto earlier, FindByRequestId(job.tenant, job.request_id, created.spec_digest));
      if (earlier) return *earlier;  // ours after an unknown result, or a twin's
    }
    SWAGE_ASSIGN_OR_RETURN(const Transaction transaction, Creation(created, true));
    if (state_->Apply(transaction) == ApplyResult::kOk) return job.id;
  }
  return Unavailable("STATE_UNAVAILABLE", "the job could not be recorded", "try again with the same request_id");
}

Status JobDirectory::Put(const Transaction& transaction, const std::string& key) {
  for (int attempt = 0; attempt < kPutTries; ++attempt) {
    if (state_->Apply(transaction) == ApplyResult::kOk) return absl::OkStatus();
    // Unknown: it may be there. A conflict can only mean that (the key is new). Applying a request twice is harmless.
    SWAGE_ASSIGN_OR_RETURN(const auto record, state_->Get(key));
    if (record) return absl::OkStatus();
  }
  return Unavailable("STATE_UNAVAILABLE", "the request could not be recorded", "try again");
}

Status JobDirectory::Act(const std::string& kind, const std::string& tenant, const std::string& id,
                         const std::string& reason, int wait_ms) {
  SWAGE_ASSIGN_OR_RETURN(const JobEntry view, Get(tenant, id));
  SWAGE_ASSIGN_OR_RETURN(const bool needed, Allowed(kind, view.record));
  if (!needed) return absl::OkStatus();
  Request request;
  request.kind = kind;
  request.tenant = tenant;
  request.job_id = id;
  request.reason = reason;
  const std::string key = RequestKey(tenant, ids_.Next());
  Transaction transaction;
  transaction.writes.push_back({key, 0, ToJson(request)});
  transaction.events.push_back({std::string(kRequestStream), key});
  SWAGE_RETURN_IF_ERROR(Put(transaction, key));
  WaitUntilApplied(key, wait_ms);
  return absl::OkStatus();
}

// The leader deletes a request when it has applied it. Without a leader the request stays and is applied later.
void JobDirectory::WaitUntilApplied(const std::string& key, int wait_ms) {
  const int64_t end = clock_->MonotonicNanos() + int64_t{wait_ms} * 1000000;
  uint64_t last = 0;
  if (const auto newest = state_->WaitForEvents(INT64_MAX, 0); newest.ok()) last = *newest;
  while (clock_->MonotonicNanos() < end) {
    const auto record = state_->Get(key);
    if (!record.ok() || !*record) return;
    const auto newest = state_->WaitForEvents(last, 20);
    if (!newest.ok()) return;
    last = std::max(last, *newest);
  }
}

}  // namespace swage
