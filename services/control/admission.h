// Admission: everything that can be known to be wrong with a job is found here, before it is accepted: the recipe, the
// model's configuration against its tensors (from headers alone), the texts. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/modelfile/manifest.h"
#include "base/status.h"
#include "scheduler/core/records.h"
#include "services/control/model_check.h"
#include "services/control/recent.h"
#include "services/kit/artifact_client.h"
#include "workers/recipe/recipe.h"

namespace swage {

struct JobSpecFields {  // swage.v1.JobSpec
  std::string model, recipe, output_alias;
  std::map<std::string, std::string> files, labels;
  int priority = 0;
  std::vector<std::string> after;  // "jobs/<id>"
  ShapeRecord resources;           // as asked for; methods are not looked at
  bool never_preempt = false, skip_cache = false;
  std::string Digest() const;  // SHA-256 of the canonical spec: what request_id is compared by
};

// A recipe planned for a model: the same for every job that asks for it.
struct PlannedRecipe {
  Recipe recipe;
  Plan plan;
  std::string plan_json, plan_digest;
};

struct Admission {
  AdmittedJob job;  // without id, time, trace
  SpecRecord spec;  // without inputs_artifact
  std::shared_ptr<const PlannedRecipe> planned;
  std::map<std::string, uint64_t> file_sizes;  // of spec.files
};

// A job that another one waits for.
struct KnownJob {
  JobRecord record;
  SpecRecord spec;
};

// A client of the store, made when it is first needed: most submissions of a busy day need none. Without a maker the
// store may not be asked: UNAVAILABLE/NEEDS_STORE.
class LazyClient {
 public:
  explicit LazyClient(std::function<std::unique_ptr<ArtifactClient>()> make) : make_(std::move(make)) {}
  StatusOr<ArtifactClient*> Get() {
    if (client_ == nullptr && make_ == nullptr) return Unavailable(kNeedsStore, "the store has to be asked", "ask it");
    if (client_ == nullptr) client_ = make_();
    return client_.get();
  }
  static constexpr std::string_view kNeedsStore = "NEEDS_STORE";

 private:
  const std::function<std::unique_ptr<ArtifactClient>()> make_;
  std::unique_ptr<ArtifactClient> client_;
};

class Admitter {
 public:
  using FindJob = std::function<StatusOr<KnownJob>(const std::string& tenant, const std::string& id)>;
  using PlanToText = std::function<std::string(const Plan&)>;
  Admitter(std::string store_address, Clock* clock, FindJob find_job, PlanToText plan_to_text);

  // Errors: of the recipe's and the model's parsers; UNKNOWN_MODEL, NOT_A_MODEL, CONFIG_MISSING, TOKENIZER_MISSING,
  // NO_WEIGHTS, SHARD_MISSING, ALREADY_QUANTIZED, FILE_NOT_GIVEN, FILE_NOT_IN_RECIPE, PATH_ESCAPES, INPUT_MISSING,
  // TEXT_EMPTY, TEXT_TOO_LARGE, LABELS_TOO_LARGE, BAD_PRIORITY, BAD_ALIAS, BAD_DEPENDENCY, BAD_RESOURCES,
  // GANG_UNSUPPORTED, DEVICE_UNSUPPORTED. Without `may_ask` what is remembered must do, and the call takes microseconds;
  // else UNAVAILABLE/NEEDS_STORE.
  StatusOr<Admission> Admit(const std::string& tenant, const JobSpecFields& spec, const SpanContext& trace,
                            bool may_ask = true);
  // Commits a manifest of kind "inputs" over the job's texts, so that they stay as long as it; "" when there are none.
  StatusOr<std::string> PinInputs(const Admission& admission, const std::string& job_id, const SpanContext& trace,
                                  bool may_ask = true);

 private:
  struct Model {  // what is known of a model's artifact, which never changes
    CheckedModel checked;
    uint64_t bytes = 0;
  };
  LazyClient Client(const std::string& tenant, const SpanContext& trace, bool may_ask);
  Status CheckFiles(const std::string& tenant, const Recipe& recipe, const JobSpecFields& spec, LazyClient* store,
                    Admission* admission);
  StatusOr<std::string> ResolveModel(const std::string& tenant, const JobSpecFields& spec, LazyClient* store,
                                     AdmittedJob* job);
  Status CheckAfter(const std::string& tenant, const JobSpecFields& spec, AdmittedJob* job);
  StatusOr<std::shared_ptr<const Model>> CheckedOf(const std::string& tenant, const std::string& artifact,
                                                   const std::string& name, LazyClient* store);
  StatusOr<std::shared_ptr<const PlannedRecipe>> PlannedFor(const std::string& recipe, const std::string& artifact,
                                                            const Model& model);

  const std::string store_address_;
  Clock* const clock_;
  const FindJob find_job_;
  const PlanToText plan_to_text_;
  Recent<Model> models_;
  Recent<Recipe> recipes_;
  Recent<PlannedRecipe> plans_;
  Recent<std::string> pinned_;
  Recent<uint64_t> text_sizes_;
};

}  // namespace swage
