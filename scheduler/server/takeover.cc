#include "scheduler/server/takeover.h"

#include "base/log.h"

namespace swage {
namespace {

constexpr size_t kPage = 1000;

struct WaitingRequest {
  std::string key;
  uint64_t version = 0;
  Request request;
};

// Everything that is stored, page by page; requests are kept for later.
Status LoadRecords(StateStore* state, Leadership* leadership,
                   std::vector<WaitingRequest>* requests) {
  std::string after;
  while (true) {
    SWAGE_ASSIGN_OR_RETURN(const std::vector<Record> page, state->Scan("", after, kPage));
    std::string jump;
    for (const Record& record : page) {
      if (record.key == kBeatKey) leadership->beat_version = record.version;
      const KeyParts parts = SplitKey(record.key);
      if (parts.kind == "spec" || parts.kind == "rid" || parts.kind == "plan") {
        // As many as there are jobs, and larger: not for the core. '0' comes after '/'.
        jump = Cat(parts.tenant, "/", parts.kind, "0");
        break;
      }
      if (parts.kind == "request") {
        auto request = RequestFromJson(record.value);
        if (request.ok()) {
          requests->push_back({record.key, record.version, std::move(*request)});
        } else {
          LogError("request ", record.key,
                   " cannot be read and is left alone: ", MessageOf(request.status()));
        }
        continue;
      }
      const Status loaded = leadership->core->Load(record.key, record.version, record.value);
      if (!loaded.ok()) LogError("left alone: ", MessageOf(loaded));
    }
    if (jump.empty() && page.size() < kPage) return absl::OkStatus();
    after = jump.empty() ? page.back().key : jump;
  }
}

Status ReconcileAll(ArtifactStore* artifacts, Leadership* leadership, Now now) {
  std::string after;
  do {
    SWAGE_ASSIGN_OR_RETURN(const ReconcilePage page,
                           artifacts->Reconcile(leadership->incarnation, after));
    if (page.highest_incarnation > leadership->incarnation) {
      return Unavailable("STALE_LEADER", "another scheduler took leadership meanwhile");
    }
    for (const PublishedJob& p : page.published)
      leadership->core->Reconciled(p.tenant, p.job, p.artifact, now);
    after = page.next_after;
  } while (!after.empty());
  return absl::OkStatus();
}

}  // namespace

// A job's first event comes with its record.
std::string NewsKey(const StoredEvent& event) {
  if (event.stream == kRequestStream) return event.value;
  const bool created = event.stream_sequence == 1 && SplitKey(event.stream).kind == "job";
  return created ? event.stream : "";
}

StatusOr<std::function<void(Core&, Now)>> NewsFrom(const Record& record) {
  if (SplitKey(record.key).kind == "job") {
    SWAGE_ASSIGN_OR_RETURN(JobRecord job, JobRecordFromJson(record.value));
    return [key = record.key, version = record.version, job = std::move(job)](Core& core, Now now) {
      core.HandleCreated(key, version, job, now);
    };
  }
  SWAGE_ASSIGN_OR_RETURN(Request request, RequestFromJson(record.value));
  return [key = record.key, version = record.version, request = std::move(request)](Core& core, Now now) {
    core.HandleRequest(key, version, request, now);
  };
}

Now NowOf(Clock* clock) { return {clock->MonotonicNanos(), clock->UnixNanos()}; }

StatusOr<Leadership> TakeOver(StateStore* state, ArtifactStore* artifacts, int64_t lease_ms,
                              uint64_t seed, Clock* clock) {
  CoreOptions options;
  options.lease_ms = lease_ms;
  return TakeOver(state, artifacts, options, seed, clock);
}

StatusOr<Leadership> TakeOver(StateStore* state, ArtifactStore* artifacts, CoreOptions options,
                              uint64_t seed, Clock* clock) {
  SWAGE_ASSIGN_OR_RETURN(const ReconcilePage seen, artifacts->Reconcile(0, ""));
  Leadership leadership;
  SWAGE_ASSIGN_OR_RETURN(leadership.incarnation, state->TakeLeadership(seen.highest_incarnation));
  options.incarnation = leadership.incarnation;
  leadership.core = std::make_unique<Core>(options, Rng(seed, leadership.incarnation));
  // Before the records are read: a request that is written meanwhile is met again in the log, and
  // found gone.
  SWAGE_ASSIGN_OR_RETURN(leadership.event_position, state->WaitForEvents(0, 0));
  std::vector<WaitingRequest> requests;
  SWAGE_RETURN_IF_ERROR(LoadRecords(state, &leadership, &requests));
  const Now now = NowOf(clock);
  leadership.core->FinishLoad(now);
  SWAGE_RETURN_IF_ERROR(ReconcileAll(artifacts, &leadership, now));
  // Their keys are ordered by time within a tenant.
  for (const WaitingRequest& r : requests) {
    if (leadership.core->FindJob(r.request.tenant, r.request.job_id) == nullptr) {
      // Made while the records were being read, behind where the reading was.
      SWAGE_ASSIGN_OR_RETURN(const auto job, state->Get(JobKey(r.request.tenant, r.request.job_id)));
      if (job.has_value()) {
        SWAGE_ASSIGN_OR_RETURN(const auto news, NewsFrom(*job));
        news(*leadership.core, now);
      }
    }
    leadership.core->HandleRequest(r.key, r.version, r.request, now);
  }
  return leadership;
}

}  // namespace swage
