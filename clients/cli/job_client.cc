#include "clients/cli/job_client.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/limits.h"
#include "clients/cli/convert.h"
#include "services/kit/rpc.h"
#include "swage/v1/job.grpc.pb.h"

namespace swage {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr int kFirstWaitMs = 20;
constexpr int kLongestWaitMs = 1000;
constexpr int kPageSize = 200;

bool IsUnreachable(const Status& status) { return ReasonOf(status) == "UNREACHABLE"; }

bool IsCut(const Status& status) {
  // A server that shuts down in good order ends its streams with CANCELLED; a deadline is ours to renew.
  return status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kCancelled ||
         status.code() == StatusCode::kDeadlineExceeded;
}

}  // namespace

struct JobClient::State {
  JobClientOptions options;
  std::string address;
  std::unique_ptr<v1::JobService::Stub> stub;
  bool answered = false;  // has this server ever answered us

  Status Connect() {
    SWAGE_ASSIGN_OR_RETURN(address, options.address());
    stub = v1::JobService::NewStub(NewChannel(address));
    return absl::OkStatus();
  }

  int PatienceMs() const { return answered ? options.away_ms : options.connect_ms; }

  Status Away(const Status& status) const {
    if (!IsUnreachable(status)) return status;
    return Unavailable(answered ? "SERVER_AWAY" : "NO_SERVER",
                       Cat("no server answers at ", address, " (", MessageOf(status), ")"),
                       answered ? "start it again with 'swage up'; accepted jobs go on from where they were"
                                : "start one with 'swage up', or name a running one with --data DIR or --server HOST:PORT");
  }

  // Calls `call` until it answers, fails for good, or patience is over. With `once`, a call that may have reached
  // the server is not repeated.
  Status Retry(const std::function<grpc::Status(grpc::ClientContext*)>& call, bool once = false) {
    const auto begin = SteadyClock::now();
    int wait_ms = kFirstWaitMs;
    while (true) {
      Status status = stub == nullptr ? Connect() : absl::OkStatus();
      if (status.ok()) {
        grpc::ClientContext context;
        PrepareContext(&context, limits::kUnaryDeadlineMs, options.trace);
        status = FromGrpc(call(&context));
        const bool silent = IsUnreachable(status) || status.code() == StatusCode::kDeadlineExceeded;
        if (!silent) answered = true;
        if (!silent && status.code() != StatusCode::kUnavailable) return status;
        if (once && !IsUnreachable(status)) return status;
        if (IsUnreachable(status)) stub = nullptr;
      } else if (!answered) {
        return status;  // nothing was ever started there: say so at once
      }
      if (SteadyClock::now() - begin >= std::chrono::milliseconds(PatienceMs())) return Away(status);
      std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
      wait_ms = std::min(2 * wait_ms, kLongestWaitMs);
    }
  }

  template <typename Method, typename Request, typename Response>
  Status Call(Method method, const Request& request, Response* response, bool once = false) {
    return Retry([&](grpc::ClientContext* context) { return (stub.get()->*method)(context, request, response); }, once);
  }

  v1::CreateJobRequest CreateRequest(const Submission& submission) const {
    v1::CreateJobRequest request;
    request.set_tenant(options.tenant);
    v1::JobSpec* job = request.mutable_job();
    job->set_model(submission.model);
    job->set_recipe(submission.recipe_yaml);
    job->set_output_alias(submission.output_alias);
    job->set_priority(submission.priority);
    job->set_skip_cache(submission.skip_cache);
    job->set_never_preempt(submission.never_preempt);
    for (const std::string& name : submission.after) job->add_after(name);
    v1::Resources* resources = job->mutable_resources();
    resources->set_host_bytes(submission.memory_bytes);
    resources->set_device_kind(submission.device_kind);
    resources->set_devices(submission.devices);
    resources->set_device_bytes(submission.device_bytes);
    resources->set_gang(submission.gang);
    for (const std::string& feature : submission.features) resources->add_features(feature);
    for (const auto& [path, digest] : submission.files) (*job->mutable_files())[path] = digest;
    for (const auto& [key, value] : submission.labels) (*job->mutable_labels())[key] = value;
    return request;
  }

  // One stream, until its end. Sets *last to the newest sequence seen, *final_seen at the job's last event.
  Status WatchOnce(const std::string& name, uint64_t* last, bool* final_seen, const WatchCallbacks& callbacks,
                   const std::function<void()>& alive) {
    if (stub == nullptr) SWAGE_RETURN_IF_ERROR(Connect());
    v1::WatchJobRequest request;
    request.set_tenant(options.tenant);
    request.set_name(name);
    request.set_after_sequence(*last);
    grpc::ClientContext context;
    PrepareContext(&context, limits::kGivenStreamDeadlineMs, options.trace);
    const auto stream = stub->WatchJob(&context, request);
    v1::JobEvent event;
    while (stream->Read(&event)) {
      alive();
      if (event.sequence() <= *last) continue;
      *last = event.sequence();
      const EventView view = ToView(event);
      *final_seen = view.kind == "state" && IsFinalState(view.state);
      if (callbacks.event) callbacks.event(view);
    }
    const Status status = FromGrpc(stream->Finish());
    if (IsUnreachable(status)) stub = nullptr;
    return status;
  }
};

JobClient::JobClient(JobClientOptions options) : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
}
JobClient::~JobClient() = default;

StatusOr<ServerInfoView> JobClient::ServerInfo() {
  v1::ServerInfo info;
  SWAGE_RETURN_IF_ERROR(state_->Call(&v1::JobService::Stub::GetServerInfo, v1::GetServerInfoRequest(), &info));
  ServerInfoView view;
  view.version = info.version();
  view.address = state_->address;
  view.store_address = info.store_address().empty() ? view.address : info.store_address();
  view.scheduler_address = info.scheduler_address().empty() ? view.address : info.scheduler_address();
  return view;
}

StatusOr<JobView> JobClient::Create(const Submission& submission, const std::string& request_id) {
  SWAGE_CHECK(!request_id.empty(), "a submission without a request id cannot be repeated");
  v1::CreateJobRequest request = state_->CreateRequest(submission);
  request.set_request_id(request_id);
  v1::Job job;
  SWAGE_RETURN_IF_ERROR(state_->Call(&v1::JobService::Stub::CreateJob, request, &job));
  return ToView(job);
}

StatusOr<PlanView> JobClient::Validate(const Submission& submission) {
  v1::CreateJobRequest request = state_->CreateRequest(submission);
  request.set_validate_only(true);
  v1::Job job;
  SWAGE_RETURN_IF_ERROR(state_->Call(&v1::JobService::Stub::CreateJob, request, &job));
  return ToView(job.plan());
}

StatusOr<JobView> JobClient::Get(const std::string& name) {
  v1::GetJobRequest request;
  request.set_tenant(state_->options.tenant);
  request.set_name(name);
  v1::Job job;
  SWAGE_RETURN_IF_ERROR(state_->Call(&v1::JobService::Stub::GetJob, request, &job));
  return ToView(job);
}

StatusOr<std::vector<JobView>> JobClient::List(int limit, bool newest_first) {
  v1::ListJobsRequest request;
  request.set_newest_first(newest_first);
  request.set_tenant(state_->options.tenant);
  std::vector<JobView> jobs;
  do {
    v1::ListJobsResponse page;
    request.set_page_size(std::min<int>(kPageSize, limit - static_cast<int>(jobs.size())));
    SWAGE_RETURN_IF_ERROR(state_->Call(&v1::JobService::Stub::ListJobs, request, &page));
    for (const v1::Job& job : page.jobs()) jobs.push_back(ToView(job));
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && static_cast<int>(jobs.size()) < limit);
  return jobs;
}

StatusOr<JobView> JobClient::Act(Action action, const std::string& name) {
  v1::Job job;
  const auto send = [&](auto request, auto method, bool once) {
    request.set_tenant(state_->options.tenant);
    request.set_name(name);
    return state_->Call(method, request, &job, once);
  };
  Status status;
  switch (action) {
    case Action::kCancel:
      status = send(v1::CancelJobRequest(), &v1::JobService::Stub::CancelJob, false);
      break;
    case Action::kPause:
      status = send(v1::PauseJobRequest(), &v1::JobService::Stub::PauseJob, false);
      break;
    case Action::kResume:
      status = send(v1::ResumeJobRequest(), &v1::JobService::Stub::ResumeJob, false);
      break;
    case Action::kRetry:
      status = send(v1::RetryJobRequest(), &v1::JobService::Stub::RetryJob, true);
      break;
  }
  SWAGE_RETURN_IF_ERROR(status);
  return ToView(job);
}

Status JobClient::Delete(const std::string& name) {
  v1::DeleteJobRequest request;
  request.set_tenant(state_->options.tenant);
  request.set_name(name);
  v1::DeleteJobResponse response;
  return state_->Call(&v1::JobService::Stub::DeleteJob, request, &response, /*once=*/true);
}

StatusOr<JobView> JobClient::Watch(const std::string& name, uint64_t after_sequence, const WatchCallbacks& callbacks) {
  uint64_t last = after_sequence;
  bool final_seen = false, away = false;
  int wait_ms = kFirstWaitMs;
  while (true) {
    // First a short call: it waits for a server that is away, and tells when there is nothing left to watch.
    SWAGE_ASSIGN_OR_RETURN(const JobView job, Get(name));
    if (away && callbacks.back) callbacks.back();
    away = false;
    if (IsFinalState(job.state) && (final_seen || job.last_sequence <= last)) return job;

    const Status status = state_->WatchOnce(name, &last, &final_seen, callbacks, [&] { wait_ms = kFirstWaitMs; });
    if (!status.ok() && !IsCut(status)) return status;
    if (final_seen || (status.ok() && IsFinalState(job.state))) return Get(name);
    if (IsUnreachable(status)) {
      away = true;
      if (callbacks.away) callbacks.away(status);
    }
    // A stream that ends early, again and again, must not become a busy loop.
    std::this_thread::sleep_for(std::chrono::milliseconds(wait_ms));
    wait_ms = std::min(2 * wait_ms, kLongestWaitMs);
  }
}

}  // namespace swage
