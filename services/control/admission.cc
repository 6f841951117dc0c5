#include "services/control/admission.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/env.h"
#include "base/limits.h"
#include "services/control/job_id.h"
#include "services/kit/version.h"
#include "workers/catalog/catalog.h"

namespace swage {
namespace {

constexpr int kStoreRetryMs = 3000;  // less than a client's own deadline
constexpr size_t kLabels = 64, kLabelBytes = 256;

Status CheckFields(const JobSpecFields& spec) {
  if (spec.model.empty()) {
    return InvalidInput("MODEL_NOT_GIVEN", "the job names no model", "name an alias such as models/tiny, or an artifact id");
  }
  if (spec.recipe.size() > limits::kRecipeBytes) {
    return InvalidInput("RECIPE_TOO_LARGE", Cat("the recipe has ", spec.recipe.size(), " bytes, at most ",
                                                limits::kRecipeBytes, " are allowed"));
  }
  if (spec.priority < -100 || spec.priority > 100) {
    return InvalidInput("BAD_PRIORITY", Cat("priority ", spec.priority, " is out of range"), "use -100 to 100");
  }
  if (spec.labels.size() > kLabels) return InvalidInput("LABELS_TOO_LARGE", Cat("at most ", kLabels, " labels are allowed"));
  for (const auto& [key, value] : spec.labels) {
    if (key.size() > kLabelBytes || value.size() > kLabelBytes) {
      return InvalidInput("LABELS_TOO_LARGE", Cat("label ", key.substr(0, 40), " is longer than ", kLabelBytes, " bytes"));
    }
  }
  const std::string& alias = spec.output_alias;
  const bool plain = std::all_of(alias.begin(), alias.end(), [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-' || c == '/';
  });
  if (!alias.empty() && (!plain || alias.size() > limits::kNameBytes || !CheckRelativePath(alias).ok())) {
    return InvalidInput("BAD_ALIAS", Cat("'", alias.substr(0, 80), "' cannot be an alias"),
                        "use letters, digits, '.', '_', '-' and '/', for example models/tiny-int4; the version is added");
  }
  return absl::OkStatus();
}

Status CheckResources(const ShapeRecord& r, const Recipe& recipe) {
  const bool sane = r.devices >= 0 && r.devices <= limits::kDevicesPerMember && r.gang >= 0 &&
                    r.gang <= limits::kGangMembers && r.features.size() <= kLabels &&
                    r.host_bytes <= limits::kDeviceBytes && r.device_bytes <= limits::kDeviceBytes;
  if (!sane || (r.devices > 0) != !r.device_kind.empty() || (r.devices == 0 && r.device_bytes > 0)) {
    return InvalidInput("BAD_RESOURCES", "the job's resources contradict themselves or are out of range",
                        Cat("devices (at most ", limits::kDevicesPerMember, ") and device_kind go together; gang is 1 to ",
                            limits::kGangMembers));
  }
  for (const auto& step : recipe.steps) {
    const MethodRow* row = FindMethod(step.method);
    if (row == nullptr) continue;
    if (r.gang > 1 && !row->gang) {
      return InvalidInput("GANG_UNSUPPORTED", Cat(step.method, " runs on one worker; the job asks for ", r.gang),
                          "leave `gang` out");
    }
    const bool runs = r.device_kind.empty() ||
                      std::find(row->devices.begin(), row->devices.end(), r.device_kind) != row->devices.end();
    if (!runs) {
      return InvalidInput("DEVICE_UNSUPPORTED", Cat(step.method, " does not run on ", r.device_kind, " devices"),
                          "leave `device_kind` out: the host's processor does it");
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> TextsOf(const Recipe& recipe) {
  std::vector<std::string> texts;
  for (const auto* windows : {&recipe.calibrate, &recipe.evaluate}) {
    if (*windows && std::find(texts.begin(), texts.end(), (*windows)->text) == texts.end()) {
      texts.push_back((*windows)->text);
    }
  }
  return texts;
}

Status UnknownModel(LazyClient* store, const std::string& model) {
  std::vector<std::string> known;
  SWAGE_ASSIGN_OR_RETURN(ArtifactClient* const client, store->Get());
  if (const auto artifacts = client->List(); artifacts.ok()) {
    for (const ArtifactInfo& artifact : *artifacts) {
      if (artifact.kind == "model") known.insert(known.end(), artifact.aliases.begin(), artifact.aliases.end());
    }
  }
  const std::string near = Nearest(model, known);
  return NotFound("UNKNOWN_MODEL", Cat("there is no model ", model.substr(0, 200)),
                  near.empty() ? "upload it: swage upload DIR --as models/name" : Cat("did you mean ", near, "?"));
}

// The digest of everything that decides the result. Two jobs with one key make the same artifact.
std::string ActionKeyOf(const std::string& model, const Recipe& recipe, const JobSpecFields& spec) {
  nlohmann::json methods = nlohmann::json::array();
  for (const auto& step : recipe.steps) {
    const MethodRow* row = FindMethod(step.method);
    methods.push_back({step.method, row == nullptr ? 0 : row->version});
  }
  const nlohmann::json action = {{"version", kVersion},         {"model", model},
                                 {"recipe", recipe.ToJson()},   {"files", spec.files},
                                 {"methods", methods}};
  return Sha256Of(action.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)).Hex();
}

constexpr int64_t kMinuteNanos = 60'000'000'000;

}  // namespace

std::string JobSpecFields::Digest() const {
  std::string canonical;  // every field with its length, so that no two specs read the same
  const auto put = [&](const auto& field) {
    const std::string text = Cat(field);
    canonical += Cat(text.size(), ":", text);
  };
  const auto put_all = [&](const auto& fields) {
    put(fields.size());
    for (const auto& field : fields) put(field);
  };
  for (const std::string* field : {&model, &recipe, &output_alias}) put(*field);
  for (const auto* pairs : {&files, &labels}) {
    put(pairs->size());
    for (const auto& [key, value] : *pairs) put(key), put(value);
  }
  put(priority);
  put_all(after);
  put(never_preempt);
  put(skip_cache);
  put(resources.host_bytes);
  put(resources.device_kind);
  put(resources.devices);
  put(resources.device_bytes);
  put_all(resources.features);
  put(resources.gang);
  return Sha256Of(canonical).Hex();
}

// An artifact is asked for again after half a minute, as it may have been deleted (the job then fails with INPUT_MISSING); recipes and plans hold as they are.
Admitter::Admitter(std::string store_address, Clock* clock, FindJob find_job, PlanToText plan_to_text)
    : store_address_(std::move(store_address)), clock_(clock), find_job_(std::move(find_job)),
      plan_to_text_(std::move(plan_to_text)), models_(64, kMinuteNanos / 2), recipes_(256, 60 * kMinuteNanos),
      plans_(256, 60 * kMinuteNanos), pinned_(4096, kMinuteNanos), text_sizes_(4096, kMinuteNanos / 2) {}

LazyClient Admitter::Client(const std::string& tenant, const SpanContext& trace, bool may_ask) {
  if (!may_ask) return LazyClient(nullptr);
  return LazyClient([this, tenant, trace] {
    auto client = std::make_unique<ArtifactClient>(store_address_, tenant, kStoreRetryMs);
    client->SetTraceParent(trace);
    return client;
  });
}

Status Admitter::CheckFiles(const std::string& tenant, const Recipe& recipe, const JobSpecFields& spec,
                            LazyClient* store, Admission* admission) {
  const std::vector<std::string> texts = TextsOf(recipe);
  for (const auto& [path, digest] : spec.files) {
    SWAGE_RETURN_IF_ERROR(CheckRelativePath(path));
    if (std::find(texts.begin(), texts.end(), path) == texts.end()) {
      return InvalidInput("FILE_NOT_IN_RECIPE", Cat("the file ", path, " is given but the recipe does not name it"),
                          Cat("the recipe names: ", texts.empty() ? "no file" : Join(texts, ", ")));
    }
  }
  for (const std::string& text : texts) {
    SWAGE_RETURN_IF_ERROR(CheckRelativePath(text));
    const auto given = spec.files.find(text);
    if (given == spec.files.end()) {
      return InvalidInput("FILE_NOT_GIVEN", Cat("the recipe names ", text, ", which is not among the job's files"),
                          "upload it (ArtifactService.Write) and put its digest into `files`; the CLI does both");
    }
    const auto digest = swage::Digest::FromHex(given->second);
    if (!digest.ok()) return Annotate(digest.status(), Cat("files[", text, "]"));
    const std::string known_as = Cat(tenant, "/", given->second);
    auto size = text_sizes_.Find(known_as, clock_->MonotonicNanos());
    if (size == nullptr) {
      SWAGE_ASSIGN_OR_RETURN(ArtifactClient* const client, store->Get());
      const auto asked = client->ObjectSize(*digest);
      if (absl::IsNotFound(asked.status())) {
        return Precondition("INPUT_MISSING", Cat(text, " (", given->second, ") is not in the store"), "upload it first");
      }
      SWAGE_RETURN_IF_ERROR(asked.status());
      size = text_sizes_.Put(known_as, *asked, clock_->MonotonicNanos());
    }
    if (*size == 0) return InvalidInput("TEXT_EMPTY", Cat(text, " is empty"), "give a text of at least one window");
    if (*size > limits::kTextFileBytes) {
      return InvalidInput("TEXT_TOO_LARGE", Cat(text, " has ", HumanBytes(static_cast<double>(*size)), ", at most ",
                                                HumanBytes(static_cast<double>(limits::kTextFileBytes)), " are allowed"));
    }
    admission->file_sizes[text] = *size;
  }
  return absl::OkStatus();
}

// The artifact by which the job is planned. For the result of a job that is still to come that is the model at the
// beginning of the chain, whose shape it has.
StatusOr<std::string> Admitter::ResolveModel(const std::string& tenant, const JobSpecFields& spec,
                                             LazyClient* store, AdmittedJob* job) {
  std::string model = spec.model;
  for (int depth = 0; StartsWith(model, "jobs/") && depth <= limits::kJobDependencies; ++depth) {
    const auto id = ParseJobName(model);
    if (!id.ok()) break;  // an alias that only looks like one
    const auto found = find_job_(tenant, *id);
    if (absl::IsNotFound(found.status()) && depth == 0) break;
    SWAGE_RETURN_IF_ERROR(found.status());
    const JobRecord& record = found->record;
    if (record.state == JobState::kSucceeded) {
      if (depth == 0) job->model_digest = record.artifact;
      return record.artifact;
    }
    if (IsFinal(record.state)) {
      return Precondition("BAD_DEPENDENCY", Cat(model, " is ", JobStateName(record.state), ": it makes no model"),
                          "retry it first");
    }
    SWAGE_ASSIGN_OR_RETURN(const Recipe recipe, RecipeFromJson(found->spec.recipe_json));
    if (recipe.export_format != "dense") {
      return InvalidInput("ALREADY_QUANTIZED", Cat(model, " makes a quantized model, which cannot be compressed again"),
                          "give that job `export: dense`");
    }
    if (depth == 0) job->model_job = *id;
    if (!record.job.model_digest.empty()) return record.job.model_digest;
    model = record.job.model;
  }
  // An id needs no asking: what it names never changes, and whether it is there is seen with its manifest.
  if (swage::Digest::FromHex(model).ok()) {
    job->model_digest = model;
    return model;
  }
  SWAGE_ASSIGN_OR_RETURN(ArtifactClient* const client, store->Get());
  const auto artifact = client->Get(model);
  if (absl::IsNotFound(artifact.status())) return UnknownModel(store, spec.model);
  SWAGE_RETURN_IF_ERROR(artifact.status());
  job->model_digest = artifact->id;
  return artifact->id;
}

StatusOr<std::shared_ptr<const Admitter::Model>> Admitter::CheckedOf(const std::string& tenant,
                                                                     const std::string& artifact,
                                                                     const std::string& name, LazyClient* store) {
  const std::string key = Cat(tenant, "/", artifact);
  if (auto known = models_.Find(key, clock_->MonotonicNanos())) return known;
  SWAGE_ASSIGN_OR_RETURN(ArtifactClient* const client, store->Get());
  const auto manifest = client->GetManifest(artifact);
  if (absl::IsNotFound(manifest.status())) return UnknownModel(store, name);
  SWAGE_RETURN_IF_ERROR(manifest.status());
  Model model;
  SWAGE_ASSIGN_OR_RETURN(model.checked, CheckModel(client, *manifest, artifact, name));
  for (const ManifestFile& file : manifest->files) model.bytes += file.size;
  return models_.Put(key, std::move(model), clock_->MonotonicNanos());
}

StatusOr<std::shared_ptr<const PlannedRecipe>> Admitter::PlannedFor(const std::string& text,
                                                                    const std::string& artifact, const Model& model) {
  const std::string key = Cat(artifact, "/", Sha256Of(text).Hex());
  if (auto known = plans_.Find(key, clock_->MonotonicNanos())) return known;
  PlannedRecipe planned;
  SWAGE_ASSIGN_OR_RETURN(planned.recipe, ParseRecipe(text));
  SWAGE_ASSIGN_OR_RETURN(planned.plan, MakePlan(planned.recipe, model.checked.config));
  planned.plan_json = plan_to_text_(planned.plan);
  planned.plan_digest = Sha256Of(planned.plan_json).Hex();
  return plans_.Put(key, std::move(planned), clock_->MonotonicNanos());
}

StatusOr<Admission> Admitter::Admit(const std::string& tenant, const JobSpecFields& spec, const SpanContext& trace,
                                    bool may_ask) {
  SWAGE_RETURN_IF_ERROR(CheckFields(spec));
  auto recipe = recipes_.Find(spec.recipe, clock_->MonotonicNanos());
  if (recipe == nullptr) {
    SWAGE_ASSIGN_OR_RETURN(Recipe parsed, ParseRecipe(spec.recipe));
    recipe = recipes_.Put(spec.recipe, std::move(parsed), clock_->MonotonicNanos());
  }
  SWAGE_RETURN_IF_ERROR(CheckResources(spec.resources, *recipe));
  Admission admission;
  AdmittedJob& job = admission.job;
  LazyClient store = Client(tenant, trace, may_ask);
  SWAGE_RETURN_IF_ERROR(CheckFiles(tenant, *recipe, spec, &store, &admission));
  SWAGE_RETURN_IF_ERROR(CheckAfter(tenant, spec, &job));
  SWAGE_ASSIGN_OR_RETURN(const std::string artifact, ResolveModel(tenant, spec, &store, &job));
  SWAGE_ASSIGN_OR_RETURN(const auto model, CheckedOf(tenant, artifact, spec.model, &store));
  if (!model->checked.has_tokenizer && !admission.file_sizes.empty()) {
    return InvalidInput("TOKENIZER_MISSING", Cat(spec.model, " has no tokenizer.json, which the recipe's texts need"),
                        "upload the complete Hugging Face folder");
  }
  SWAGE_ASSIGN_OR_RETURN(admission.planned, PlannedFor(spec.recipe, artifact, *model));

  job.tenant = tenant;
  job.model = spec.model;
  job.model_bytes = model->bytes;
  job.output_alias = spec.output_alias;
  job.priority = spec.priority;
  job.preemptible = !spec.never_preempt;
  job.shape = spec.resources;
  job.shape.gang = std::max(1, spec.resources.gang);
  job.shape.host_bytes = std::max(spec.resources.host_bytes, admission.planned->plan.estimate.peak_host_bytes);
  for (const auto& step : recipe->steps) job.shape.methods.push_back(step.method);
  std::sort(job.shape.methods.begin(), job.shape.methods.end());
  std::sort(job.shape.features.begin(), job.shape.features.end());
  job.plan_digest = admission.planned->plan_digest;
  job.estimated_seconds = admission.planned->plan.estimate.seconds;
  if (!spec.skip_cache) {
    const std::string model_name = job.model_job.empty() ? job.model_digest : Cat("jobs/", job.model_job);
    job.action_key = ActionKeyOf(model_name, admission.planned->plan.recipe, spec);
  }
  admission.spec.recipe_yaml = spec.recipe;
  admission.spec.recipe_json = admission.planned->plan.recipe.ToJson();
  admission.spec.files = spec.files;
  admission.spec.labels = spec.labels;
  return admission;
}

Status Admitter::CheckAfter(const std::string& tenant, const JobSpecFields& spec, AdmittedJob* job) {
  if (spec.after.size() > static_cast<size_t>(limits::kJobDependencies)) {
    return InvalidInput("BAD_DEPENDENCY", Cat("a job waits for at most ", limits::kJobDependencies, " others"));
  }
  for (const std::string& name : spec.after) {
    SWAGE_ASSIGN_OR_RETURN(const std::string id, ParseJobName(name));
    const auto found = find_job_(tenant, id);
    if (!found.ok()) return Annotate(found.status(), "after");
    const JobState state = found->record.state;
    if (IsFinal(state) && state != JobState::kSucceeded) {
      return Precondition("BAD_DEPENDENCY", Cat(name, " is ", JobStateName(state), ": a job behind it would never run"),
                          "retry it first");
    }
    job->after.push_back(id);
  }
  return absl::OkStatus();
}

StatusOr<std::string> Admitter::PinInputs(const Admission& admission, const std::string& job_id,
                                          const SpanContext& trace, bool may_ask) {
  if (admission.spec.files.empty()) return std::string();
  Manifest manifest;
  manifest.kind = "inputs";
  std::string key = admission.job.tenant;
  for (const auto& [path, hex] : admission.spec.files) {  // a map: ordered by path, as a manifest wants it
    ManifestFile file;
    file.path = path;
    SWAGE_ASSIGN_OR_RETURN(file.sha256, Digest::FromHex(hex));
    file.size = admission.file_sizes.at(path);
    file.parts.push_back({0, file.size, file.sha256, "", "", {}});
    manifest.files.push_back(std::move(file));
    key += Cat("\n", path, "\n", hex);
  }
  if (const auto known = pinned_.Find(key, clock_->MonotonicNanos())) return *known;
  LazyClient store = Client(admission.job.tenant, trace, may_ask);
  SWAGE_ASSIGN_OR_RETURN(ArtifactClient* const client, store.Get());
  SWAGE_ASSIGN_OR_RETURN(const ArtifactInfo pinned,
                         client->Commit(manifest, Cat("inputs-", job_id), ""));
  return *pinned_.Put(key, pinned.id, clock_->MonotonicNanos());
}

}  // namespace swage
