#include "services/control/control_server.h"

#include <grpcpp/grpcpp.h>

#include "services/control/admission.h"
#include "services/control/convert.h"
#include "services/control/directory.h"
#include "services/control/submission_line.h"
#include "services/control/watch.h"
#include "services/kit/rpc.h"
#include "services/kit/version.h"
#include "swage/v1/job.grpc.pb.h"
#include "workers/catalog/catalog.h"

namespace swage {
namespace {

constexpr int kActWaitMs = 2000;  // for the leader, so that the answer shows the effect

// WatchJob and CreateJob by the callback API (a watch must not hold a thread, submissions go together), the rest by the
// synchronous one (they touch the disk).
using ServiceBase = v1::JobService::WithCallbackMethod_CreateJob<
    v1::JobService::WithCallbackMethod_WatchJob<v1::JobService::Service>>;

class JobServiceImpl : public ServiceBase {
 public:
  explicit JobServiceImpl(const ControlOptions& options)
      : options_(options), directory_(options.state, options.clock),
        admitter_(options.store_address, options.clock,
                  [this](const std::string& tenant, const std::string& id) { return FindJob(tenant, id); },
                  [](const Plan& plan) { return PlanToJson(ToProto(plan)); }),
        line_(&directory_, &admitter_, options.clock, options.tracer),
        watches_(options.state, &directory_) {}

  void Shutdown() {
    watches_.Shutdown();
    line_.Stop();
  }

  grpc::ServerUnaryReactor* CreateJob(grpc::CallbackServerContext* context, const v1::CreateJobRequest* request,
                                      v1::Job* job) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    line_.Add({request, job, TraceOf(*context), [reactor](const Status& status) { reactor->Finish(ToGrpc(status)); }});
    return reactor;
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

  StatusOr<KnownJob> FindJob(const std::string& tenant, const std::string& id) {
    SWAGE_ASSIGN_OR_RETURN(JobEntry entry, directory_.Get(tenant, id));
    SWAGE_ASSIGN_OR_RETURN(SpecRecord spec, directory_.SpecOf(tenant, id));
    return KnownJob{std::move(entry.record), std::move(spec)};
  }

  Status Fill(const std::string& tenant, const std::string& id, v1::Job* out) {
    SWAGE_ASSIGN_OR_RETURN(const JobEntry view, directory_.GetWhole(tenant, id));
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
  SubmissionLine line_;
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
