#include "clients/cli/submit.h"

#include "base/rng.h"
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

StatusOr<Submission> Prepare(const Session& session, const RecipeSource& recipe, const SubmitFlags& flags,
                             ArtifactClient* store) {
  Submission submission;
  submission.model = flags.model;
  submission.recipe_yaml = recipe.yaml;
  submission.output_alias = flags.alias;
  submission.priority = flags.priority;
  submission.skip_cache = flags.no_cache;
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

}  // namespace swage
