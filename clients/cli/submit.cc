#include "clients/cli/submit.h"

#include <nlohmann/json.hpp>

#include "base/rng.h"
#include "clients/cli/admin_view.h"
#include "clients/cli/artifacts.h"
#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/jobs.h"
#include "services/kit/artifact_client.h"

namespace swage {
namespace {

bool IsPath(const std::string& model) {
  return StartsWith(model, "./") || StartsWith(model, "../") || StartsWith(model, "/") || model == ".";
}

Status AddNeeds(const SubmitFlags& flags, Submission* submission) {
  submission->never_preempt = flags.never_preempt;
  for (const std::string& job : flags.after) {
    SWAGE_ASSIGN_OR_RETURN(const std::string name, JobName(job));
    submission->after.push_back(name);
  }
  if (!flags.memory.empty()) {
    SWAGE_ASSIGN_OR_RETURN(submission->memory_bytes, ParseBytes(flags.memory));
  }
  if (!flags.device_memory.empty()) {
    SWAGE_ASSIGN_OR_RETURN(submission->device_bytes, ParseBytes(flags.device_memory));
  }
  submission->device_kind = flags.device_kind.empty() && flags.devices > 0 ? "cuda" : flags.device_kind;
  submission->devices = flags.devices == 0 && !submission->device_kind.empty() ? 1 : flags.devices;
  submission->gang = flags.gang;
  submission->features = flags.features;
  return absl::OkStatus();
}

StatusOr<Submission> Prepare(const Session& session, const RecipeSource& recipe, const SubmitFlags& flags,
                             ArtifactClient* store) {
  Submission submission;
  submission.model = flags.model;
  submission.recipe_yaml = recipe.yaml;
  submission.output_alias = flags.alias;
  submission.priority = flags.priority;
  submission.skip_cache = flags.no_cache;
  SWAGE_RETURN_IF_ERROR(AddNeeds(flags, &submission));
  if (IsPath(flags.model)) {
    SWAGE_ASSIGN_OR_RETURN(const ArtifactInfo uploaded, UploadShown(session, store, flags.model, ""));
    submission.model = uploaded.id;
  }
  const std::string upload_id = RandomHex(16);
  for (const auto& [written, local] : recipe.texts) {
    SWAGE_ASSIGN_OR_RETURN(const Digest digest, store->UploadFile(local, upload_id));
    submission.files[written] = digest.Hex();
  }
  return submission;
}

}  // namespace

StatusOr<int> RunSubmit(const Session& session, const RecipeSource& recipe, const SubmitFlags& flags) {
  const auto tracer = session.NewTracer();
  Span span = tracer->Start("swage submit", {}, {{"swage.model", flags.model}, {"swage.tenant", session.tenant}});
  const auto client = NewJobClient(session, span.context());
  SWAGE_ASSIGN_OR_RETURN(const ServerInfoView server, client->ServerInfo());
  ArtifactClient store(server.store_address, session.tenant);
  store.SetTraceParent(span.context());

  SWAGE_ASSIGN_OR_RETURN(const Submission submission, Prepare(session, recipe, flags, &store));
  if (flags.validate_only) {
    SWAGE_ASSIGN_OR_RETURN(const PlanView plan, client->Validate(submission));
    PrintOut(session.json ? ToJson(plan) + "\n" : PlanText(plan));
    return kExitOk;
  }
  const std::string request_id = flags.request_id.empty() ? RandomHex(16) : flags.request_id;
  const auto job = client->Create(submission, request_id);
  span.SetStatus(job.status());
  SWAGE_RETURN_IF_ERROR(job.status());
  span.SetAttribute("swage.job", job->name);
  span.End();
  if (!flags.watch) {
    PrintOut(session.json ? ToJson(*job) + "\n" : Cat(job->name, "  ", job->state, "\n"));
    return kExitOk;
  }
  if (!session.json) PrintErr(Cat(job->name, "\n"));
  return WatchToEnd(session, client.get(), job->name);
}

namespace {

// The jobs of a pipeline's steps, in their order.
StatusOr<std::vector<JobView>> SubmitSteps(const Session& session, const Pipeline& pipeline, const SubmitFlags& flags,
                                           JobClient* client, ArtifactClient* store) {
  const std::string request_id = flags.request_id.empty() ? RandomHex(12) : flags.request_id;
  std::vector<JobView> jobs;
  for (const PipelineStep& step : pipeline.steps) {
    SubmitFlags own = flags;
    own.alias = step.alias;
    own.model = step.model_step >= 0 ? jobs[step.model_step].name : step.model;
    if (step.has_priority) own.priority = step.priority;
    own.after.insert(own.after.end(), step.after.begin(), step.after.end());
    for (const int other : step.after_steps) own.after.push_back(jobs[other].name);
    const auto submission = Prepare(session, step.recipe, own, store);
    auto job = submission.ok() ? client->Create(*submission, Cat(request_id, "-", step.name)) : submission.status();
    if (!job.ok()) {
      std::string said = Cat("step '", step.name, "'");
      if (!jobs.empty()) said += Cat(" (the ", jobs.size(), " before it are submitted, ", jobs[0].name, " first)");
      return Annotate(job.status(), said);
    }
    jobs.push_back(*std::move(job));
  }
  return jobs;
}

void PrintSteps(const Session& session, const Pipeline& pipeline, const std::vector<JobView>& jobs) {
  nlohmann::ordered_json steps = nlohmann::ordered_json::array();
  TextTable table({{"STEP"}, {"JOB"}, {"STATE"}});
  for (size_t i = 0; i < jobs.size(); ++i) {
    steps.push_back({{"step", pipeline.steps[i].name}, {"job", jobs[i].name}, {"state", jobs[i].state}});
    table.AddRow({pipeline.steps[i].name, jobs[i].name, jobs[i].state});
  }
  PrintOut(session.json ? nlohmann::ordered_json{{"steps", steps}}.dump() + "\n" : table.ToString());
}

}  // namespace

StatusOr<int> RunSubmitPipeline(const Session& session, const Pipeline& pipeline, const SubmitFlags& flags) {
  if (!flags.model.empty() || !flags.alias.empty() || flags.validate_only) {
    return InvalidInput("USAGE", "--model, --as and --validate-only are not for pipelines",
                        "the pipeline's file says 'model' and 'as' for each step");
  }
  const auto tracer = session.NewTracer();
  Span span = tracer->Start("swage submit", {}, {{"swage.tenant", session.tenant}});
  const auto client = NewJobClient(session, span.context());
  SWAGE_ASSIGN_OR_RETURN(const ServerInfoView server, client->ServerInfo());
  ArtifactClient store(server.store_address, session.tenant);
  store.SetTraceParent(span.context());
  SWAGE_ASSIGN_OR_RETURN(const auto jobs, SubmitSteps(session, pipeline, flags, client.get(), &store));
  span.End();
  PrintSteps(session, pipeline, jobs);
  if (!flags.watch) return kExitOk;
  int first_bad = kExitOk;
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (!session.json) PrintErr(Cat(pipeline.steps[i].name, ": ", jobs[i].name, "\n"));
    SWAGE_ASSIGN_OR_RETURN(const int code, WatchToEnd(session, client.get(), jobs[i].name));
    if (first_bad == kExitOk) first_bad = code;
  }
  return first_bad;
}

}  // namespace swage
