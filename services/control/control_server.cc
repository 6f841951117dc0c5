#include "services/control/control_server.h"

#include <grpcpp/grpcpp.h>

#include "services/control/admission.h"
#include "services/control/convert.h"
#include "services/control/directory.h"
#include "services/control/watch.h"
#include "services/kit/rpc.h"
#include "services/kit/version.h"
#include "swage/v1/job.grpc.pb.h"
#include "workers/catalog/catalog.h"

namespace swage {
namespace {

constexpr int kActWaitMs = 2000;  // for the leader, so that the answer shows the effect
constexpr size_t kRequestIdBytes = 128;

Status CheckRequestId(const std::string& id) {
  bool printable = true;
  for (const char c : id) printable = printable && c > ' ' && c <= '~' && c != '/';
  if (id.size() <= kRequestIdBytes && printable) return absl::OkStatus();
  return InvalidInput("BAD_REQUEST_ID", "a request_id is 1 to 128 printable characters without blanks and '/'",
                      "use a UUID");
}

// WatchJob by the callback API (a watch must not hold a thread), the rest by the synchronous one (they touch the disk).
using ServiceBase = v1::JobService::WithCallbackMethod_WatchJob<v1::JobService::Service>;

class JobServiceImpl : public ServiceBase {
 public:
  explicit JobServiceImpl(const ControlOptions& options)
      : options_(options), directory_(options.state, options.clock), 
        admitter_(options.store_address, options.clock,
                  [this](const std::string& tenant, const std::string& id) { return FindJob(tenant, id); },
                  [](const Plan& plan) { return PlanToJson(ToProto(plan)); }),
        watches_(options.state, &directory_) {}

  void Shutdown() { watches_.Shutdown(); }

  grpc::Status CreateJob(grpc::ServerContext* context, const v1::CreateJobRequest* request, v1::Job* job) override {
    return ToGrpc(Create(*context, *request, job));
  }

  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::Job* job) override {
    return ToGrpc(Answer(request->tenant(), request->name(), job));
  }

  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override {
    return ToGrpc(List(*request, response));
  }

  grpc::ServerWriteReactor<v1::JobEvent>* WatchJob(grpc::CallbackServerContext*,
                                                   const v1::WatchJobRequest* request) override {
    const auto tenant = CheckTenant(request->tenant());
    if (!tenant.ok()) return WatchSet::Fail(tenant.status());
    const auto id = ParseJobName(request->name());
    if (!id.ok()) return WatchSet::Fail(id.status());
    return watches_.Start(*tenant, *id, request->after_sequence());
  }

  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest* request, v1::Job* job) override {
    return ToGrpc(Act("cancel", request->tenant(), request->name(), request->reason(), job));
  }
  grpc::Status PauseJob(grpc::ServerContext*, const v1::PauseJobRequest* request, v1::Job* job) override {
    return ToGrpc(Act("pause", request->tenant(), request->name(), "", job));
  }
  grpc::Status ResumeJob(grpc::ServerContext*, const v1::ResumeJobRequest* request, v1::Job* job) override {
    return ToGrpc(Act("resume", request->tenant(), request->name(), "", job));
  }
  grpc::Status RetryJob(grpc::ServerContext*, const v1::RetryJobRequest* request, v1::Job* job) override {
    return ToGrpc(Act("retry", request->tenant(), request->name(), "", job));
  }
  grpc::Status DeleteJob(grpc::ServerContext*, const v1::DeleteJobRequest* request, v1::DeleteJobResponse*) override {
    return ToGrpc(Act("delete", request->tenant(), request->name(), "", nullptr));
  }

  grpc::Status ListMethods(grpc::ServerContext*, const v1::ListMethodsRequest* request,
                           v1::ListMethodsResponse* response) override {
    for (const MethodRow& row : Methods()) {
      if (request->kind().empty() || request->kind() == row.kind) *response->add_methods() = ToProto(row);
    }
    return grpc::Status::OK;
  }

  grpc::Status EstimateJob(grpc::ServerContext* context, const v1::EstimateJobRequest* request,
                           v1::Plan* plan) override {
    const auto admission = Admit(request->tenant(), request->job(), TraceOf(*context));
    if (!admission.ok()) return ToGrpc(admission.status());
    *plan = ToProto(admission->planned->plan);
    return grpc::Status::OK;
  }

  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*, v1::ServerInfo* info) override {
    info->set_version(std::string(kVersion));
    info->set_store_address(options_.advertised_store_address);
    info->set_scheduler_address(options_.advertised_scheduler_address);
    return grpc::Status::OK;
  }

 private:
  StatusOr<Admission> Admit(const std::string& tenant_field, const v1::JobSpec& spec, const SpanContext& trace) {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(tenant_field));
    return admitter_.Admit(tenant, FromProto(spec), trace);
  }

  Status Create(const grpc::ServerContext& context, const v1::CreateJobRequest& request, v1::Job* out) {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request.tenant()));
    SWAGE_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
    const JobSpecFields spec = FromProto(request.job());
    const std::string digest = spec.Digest();
    Span span = StartSpan("CreateJob", TraceOf(context));
    const SpanContext trace = span.context().valid() ? span.context() : SpanContext::NewTrace();
    auto admission = admitter_.Admit(tenant, spec, trace);
    if (admission.ok() && !request.validate_only()) {
      if (const Status room = directory_.CheckLoad(tenant); !room.ok()) admission = room;
    }
    span.SetStatus(admission.status());
    // Whether the request_id has made a job is seen when this one is written. Only where there is nothing to write it
    // has to be asked for: a retry gets its job even when the model's alias has moved since.
    if (!admission.ok() && !request.request_id().empty() && !request.validate_only()) {
      const auto earlier = directory_.FindByRequestId(tenant, request.request_id(), digest);
      if (earlier.ok() && *earlier) return Fill(tenant, **earlier, out);
    }
    SWAGE_RETURN_IF_ERROR(admission.status());
    if (request.validate_only()) {
      *out = ToProto(*admission);
      return absl::OkStatus();
    }
    AdmittedJob& job = admission->job;
    job.id = directory_.NewId();
    job.create_unix_nanos = options_.clock->UnixNanos();
    job.traceparent = trace.ToTraceparent();
    job.request_id = request.request_id();
    SWAGE_ASSIGN_OR_RETURN(admission->spec.inputs_artifact, admitter_.PinInputs(*admission, job.id, trace));
    directory_.KeepPlan(tenant, job.plan_digest, admission->planned->plan_json);
    span.SetAttribute("swage.job", job.id);
    SWAGE_ASSIGN_OR_RETURN(const std::string id,
                           directory_.Create(job, admission->spec, request.request_id(), digest));
    if (id != job.id) return Fill(tenant, id, out);
    // As it was just written; the leader has hardly seen it yet.
    JobEntry entry;
    entry.record.job = job;
    entry.record.pending_reason = "WAITING_FOR_SCHEDULER";
    entry.spec = admission->spec;
    *out = ToProto(entry);
    return absl::OkStatus();
  }

  StatusOr<KnownJob> FindJob(const std::string& tenant, const std::string& id) {
    SWAGE_ASSIGN_OR_RETURN(JobEntry entry, directory_.Get(tenant, id));
    SWAGE_ASSIGN_OR_RETURN(SpecRecord spec, directory_.SpecOf(tenant, id));
    return KnownJob{std::move(entry.record), std::move(spec)};
  }

  Span StartSpan(std::string_view name, const SpanContext& parent) {
    return options_.tracer == nullptr ? Span() : options_.tracer->Start(name, parent);
  }

  Status Fill(const std::string& tenant, const std::string& id, v1::Job* out) {
    SWAGE_ASSIGN_OR_RETURN(JobEntry view, directory_.Get(tenant, id));
    SWAGE_ASSIGN_OR_RETURN(view.last_sequence, directory_.LastSequence(tenant, id));
    SWAGE_ASSIGN_OR_RETURN(view.spec, directory_.SpecOf(tenant, id));
    SWAGE_ASSIGN_OR_RETURN(view.plan_json, directory_.PlanOf(view.record));
    *out = ToProto(view);
    return absl::OkStatus();
  }

  Status Answer(const std::string& tenant_field, const std::string& name, v1::Job* out) {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(tenant_field));
    SWAGE_ASSIGN_OR_RETURN(const std::string id, ParseJobName(name));
    return Fill(tenant, id, out);
  }

  Status List(const v1::ListJobsRequest& request, v1::ListJobsResponse* response) {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(request.tenant()));
    std::vector<JobState> states;
    for (const int number : request.states()) {
      SWAGE_ASSIGN_OR_RETURN(const JobState state, FromProto(static_cast<v1::JobState>(number)));
      states.push_back(state);
    }
    SWAGE_ASSIGN_OR_RETURN(const JobPage page,
                           directory_.List(tenant, states, request.page_size(), request.page_token(),
                                           request.newest_first()));
    for (JobEntry view : page.jobs) {  // without plans: GetJob has them
      SWAGE_ASSIGN_OR_RETURN(view.spec, directory_.SpecOf(tenant, view.record.job.id));
      *response->add_jobs() = ToProto(view);
    }
    response->set_next_page_token(page.next_page_token);
    return absl::OkStatus();
  }

  Status Act(const std::string& kind, const std::string& tenant_field, const std::string& name,
             const std::string& reason, v1::Job* out) {
    SWAGE_ASSIGN_OR_RETURN(const std::string tenant, CheckTenant(tenant_field));
    SWAGE_ASSIGN_OR_RETURN(const std::string id, ParseJobName(name));
    SWAGE_RETURN_IF_ERROR(directory_.Act(kind, tenant, id, reason, kActWaitMs));
    return out == nullptr ? absl::OkStatus() : Fill(tenant, id, out);
  }

  const ControlOptions options_;
  JobDirectory directory_;
  Admitter admitter_;
  WatchSet watches_;
};

class ControlServerImpl : public ControlServer {
 public:
  explicit ControlServerImpl(const ControlOptions& options) : service_(options) {}
  std::vector<grpc::Service*> services() override { return {&service_}; }
  void Shutdown() override { service_.Shutdown(); }

 private:
  JobServiceImpl service_;
};

}  // namespace

StatusOr<std::unique_ptr<ControlServer>> ControlServer::Start(const ControlOptions& options) {
  return std::unique_ptr<ControlServer>(std::make_unique<ControlServerImpl>(options));
}

}  // namespace swage
