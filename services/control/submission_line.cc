#include "services/control/submission_line.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/limits.h"
#include "services/control/convert.h"
#include "services/kit/rpc.h"

namespace swage {
namespace {

constexpr size_t kRequestIdBytes = 128;
constexpr int kQuickThreads = 2, kSlowThreads = 16;
constexpr size_t kAtOnce = 64;

Status CheckRequestId(const std::string& id) {
  bool printable = true;
  for (const char c : id) printable = printable && c > ' ' && c <= '~' && c != '/';
  if (id.size() <= kRequestIdBytes && printable) return absl::OkStatus();
  return InvalidInput("BAD_REQUEST_ID", "a request_id is 1 to 128 printable characters without blanks and '/'",
                      "use a UUID");
}

}  // namespace

struct SubmissionLine::Admitted {
  NewJob job;
  Span span;
};

SubmissionLine::SubmissionLine(JobDirectory* directory, Admitter* admitter, Clock* clock, Tracer* tracer)
    : directory_(directory), admitter_(admitter), clock_(clock), tracer_(tracer) {
  quick_.at_once = kAtOnce;
  slow_.may_ask_store = true;
  for (int i = 0; i < kQuickThreads; ++i) quick_threads_.emplace_back([this] { Serve(&quick_); });
  for (int i = 0; i < kSlowThreads; ++i) slow_threads_.emplace_back([this] { Serve(&slow_); });
}

void SubmissionLine::Add(Submission submission) {
  Status refused = Unavailable("SHUTTING_DOWN", "this control plane is stopping", "try again");
  {
    std::lock_guard lock(mu_);
    const size_t in_line = quick_.waiting.size() + slow_.waiting.size();
    if (!quick_.stopping && in_line < static_cast<size_t>(limits::kSubmissionsInLine)) {
      quick_.waiting.push_back(std::move(submission));
      quick_.changed.notify_one();
      return;
    }
    if (!quick_.stopping)
      refused = Error(StatusCode::kResourceExhausted, "OVERLOADED", Cat(in_line, " submissions are waiting"), "try again in a second");
  }
  submission.done(refused);
}

// The quick ones first: they may hand work to the others.
void SubmissionLine::Stop() {
  for (auto* threads : {&quick_threads_, &slow_threads_}) {
    {
      std::lock_guard lock(mu_);
      Line& line = threads == &quick_threads_ ? quick_ : slow_;
      line.stopping = true;
      line.changed.notify_all();
    }
    for (std::thread& thread : *threads) thread.join();
    threads->clear();
  }
}

void SubmissionLine::Serve(Line* line) {
  std::unique_lock lock(mu_);
  while (true) {
    line->changed.wait(lock, [&] { return line->stopping || !line->waiting.empty(); });
    if (line->waiting.empty()) return;
    const auto end = line->waiting.begin() + static_cast<long>(std::min(line->waiting.size(), line->at_once));
    std::vector<Submission> taken(std::make_move_iterator(line->waiting.begin()), std::make_move_iterator(end));
    line->waiting.erase(line->waiting.begin(), end);
    lock.unlock();
    Handle(std::move(taken), line->may_ask_store);
    lock.lock();
  }
}

void SubmissionLine::Handle(std::vector<Submission> submissions, bool may_ask_store) {
  std::vector<NewJob> jobs;
  std::vector<std::pair<Submission*, Span>> written;
  for (Submission& submission : submissions) {
    auto admitted = Admit(submission, may_ask_store);
    if (!may_ask_store && ReasonOf(admitted.status()) == LazyClient::kNeedsStore) {
      std::lock_guard lock(mu_);
      slow_.waiting.push_back(std::move(submission));
      slow_.changed.notify_one();
    } else if (!admitted.ok() || !admitted->has_value()) {
      submission.done(admitted.status());
    } else {
      jobs.push_back(std::move((*admitted)->job));
      written.emplace_back(&submission, std::move((*admitted)->span));
    }
  }
  if (jobs.empty()) return;
  const std::vector<StatusOr<std::string>> ids = directory_->CreateAll(jobs);
  for (size_t i = 0; i < jobs.size(); ++i) {
    auto& [submission, span] = written[i];
    Status status = ids[i].status();
    span.SetStatus(status);
    span.End();
    if (status.ok() && *ids[i] == jobs[i].job.id) {
      // As it was just written; the leader has hardly seen it yet.
      JobEntry entry;
      entry.record.job = std::move(jobs[i].job);
      entry.record.pending_reason = kWaitsForTurn;
      entry.version = entry.last_sequence = 1;
      entry.spec = std::move(jobs[i].spec);
      *submission->job = ToProto(entry);
    } else if (status.ok()) {
      const auto earlier = directory_->GetWhole(jobs[i].job.tenant, *ids[i]);
      if (earlier.ok()) *submission->job = ToProto(*earlier);
      status = earlier.status();
    }
    submission->done(status);
  }
}

// Nothing: there is nothing to write, the answer is filled in.
StatusOr<std::optional<SubmissionLine::Admitted>> SubmissionLine::Admit(const Submission& submission,
                                                                        bool may_ask_store) {
  const v1::CreateJobRequest& request = *submission.request;
  SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request.tenant()));
  SWAGE_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  const JobSpecFields spec = FromProto(request.job());
  Admitted admitted;
  if (tracer_ != nullptr) admitted.span = tracer_->Start("CreateJob", submission.trace);
  const SpanContext trace = admitted.span.context().valid() ? admitted.span.context() : SpanContext::NewTrace();
  NewJob& created = admitted.job;
  created.spec_digest = spec.Digest();
  auto admission = admitter_->Admit(tenant, spec, trace, may_ask_store);
  if (!may_ask_store && ReasonOf(admission.status()) == LazyClient::kNeedsStore) {
    admitted.span.Discard();
    return admission.status();
  }
  if (admission.ok() && !request.validate_only()) {
    if (const Status room = directory_->CheckLoad(tenant); !room.ok()) admission = room;
  }
  admitted.span.SetStatus(admission.status());
  // Whether the request_id has made a job is seen when this one is written. Only where there is nothing to write it
  // has to be asked for: a retry gets its job even when the model's alias has moved since.
  if (!admission.ok() && !request.request_id().empty() && !request.validate_only()) {
    const auto earlier = directory_->FindByRequestId(tenant, request.request_id(), created.spec_digest);
    if (earlier.ok() && *earlier) {
      SWAGE_ASSIGN_OR_RETURN(const JobEntry entry, directory_->GetWhole(tenant, **earlier));
      *submission.job = ToProto(entry);
      return std::optional<Admitted>();
    }
  }
  SWAGE_RETURN_IF_ERROR(admission.status());
  if (request.validate_only()) {
    *submission.job = ToProto(*admission);
    return std::optional<Admitted>();
  }
  const std::string id = directory_->NewId();
  auto pinned = admitter_->PinInputs(*admission, id, trace, may_ask_store);
  if (!pinned.ok()) {
    if (!may_ask_store) admitted.span.Discard();
    return pinned.status();
  }
  created.job = std::move(admission->job);
  AdmittedJob& job = created.job;
  job.id = id;
  job.create_unix_nanos = clock_->UnixNanos();
  job.traceparent = trace.ToTraceparent();
  job.request_id = request.request_id();
  created.spec = std::move(admission->spec);
  created.spec.inputs_artifact = *std::move(pinned);
  directory_->KeepPlan(tenant, job.plan_digest, admission->planned->plan_json);
  admitted.span.SetAttribute("swage.job", job.id);
  return std::optional<Admitted>(std::move(admitted));
}

}  // namespace swage
