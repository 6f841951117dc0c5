#include "services/control/admission.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/env.h"
#include "base/limits.h"
#include "services/control/model_check.h"

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

std::vector<std::string> TextsOf(const Recipe& recipe) {
  std::vector<std::string> texts;
  for (const auto* windows : {&recipe.calibrate, &recipe.evaluate}) {
    if (*windows && std::find(texts.begin(), texts.end(), (*windows)->text) == texts.end()) {
      texts.push_back((*windows)->text);
    }
  }
  return texts;
}

Status CheckFiles(ArtifactClient* client, const Recipe& recipe, const JobSpecFields& spec, Admission* admission) {
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
    const auto size = client->ObjectSize(*digest);
    if (absl::IsNotFound(size.status())) {
      return Precondition("INPUT_MISSING", Cat(text, " (", given->second, ") is not in the store"), "upload it first");
    }
    SWAGE_RETURN_IF_ERROR(size.status());
    if (*size == 0) return InvalidInput("EMPTY_TEXT", Cat(text, " is empty"), "give a text of at least one window");
    if (*size > limits::kTextFileBytes) {
      return InvalidInput("TEXT_TOO_LARGE", Cat(text, " has ", HumanBytes(static_cast<double>(*size)), ", at most ",
                                                HumanBytes(static_cast<double>(limits::kTextFileBytes)), " are allowed"));
    }
    admission->file_sizes[text] = *size;
  }
  return absl::OkStatus();
}

Status UnknownModel(ArtifactClient* client, const std::string& model) {
  std::vector<std::string> known;
  if (const auto artifacts = client->List(); artifacts.ok()) {
    for (const ArtifactInfo& artifact : *artifacts) {
      if (artifact.kind == "model") known.insert(known.end(), artifact.aliases.begin(), artifact.aliases.end());
    }
  }
  const std::string near = Nearest(model, known);
  return NotFound("UNKNOWN_MODEL", Cat("there is no model ", model.substr(0, 200)),
                  near.empty() ? "upload it: swage upload DIR --as models/name" : Cat("did you mean ", near, "?"));
}

}  // namespace

std::string JobSpecFields::Digest() const {
  const nlohmann::json canonical = {{"model", model},   {"recipe", recipe}, {"output_alias", output_alias},
                                    {"files", files},   {"labels", labels}, {"priority", priority}};
  return Sha256Of(canonical.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)).Hex();
}

std::unique_ptr<ArtifactClient> Admitter::Client(const std::string& tenant, const SpanContext& trace) {
  auto client = std::make_unique<ArtifactClient>(store_address_, tenant, kStoreRetryMs);
  client->SetTraceParent(trace);
  return client;
}

StatusOr<Admission> Admitter::Admit(const std::string& tenant, const JobSpecFields& spec, const SpanContext& trace) {
  SWAGE_RETURN_IF_ERROR(CheckFields(spec));
  SWAGE_ASSIGN_OR_RETURN(const Recipe recipe, ParseRecipe(spec.recipe));
  Admission admission;
  const auto client = Client(tenant, trace);
  SWAGE_RETURN_IF_ERROR(CheckFiles(client.get(), recipe, spec, &admission));
  const auto artifact = client->Get(spec.model);
  if (absl::IsNotFound(artifact.status())) return UnknownModel(client.get(), spec.model);
  SWAGE_RETURN_IF_ERROR(artifact.status());
  SWAGE_ASSIGN_OR_RETURN(const Manifest manifest, client->GetManifest(artifact->id));
  SWAGE_ASSIGN_OR_RETURN(const CheckedModel model, CheckModel(client.get(), manifest, artifact->id, spec.model));
  if (!model.has_tokenizer && !admission.file_sizes.empty()) {
    return InvalidInput("TOKENIZER_MISSING", Cat(spec.model, " has no tokenizer.json, which the recipe's texts need"),
                        "upload the complete Hugging Face folder");
  }
  SWAGE_ASSIGN_OR_RETURN(admission.plan, MakePlan(recipe, model.config));

  AdmittedJob& job = admission.job;
  job.tenant = tenant;
  job.model = spec.model;
  job.model_digest = artifact->id;
  job.recipe_yaml = spec.recipe;
  job.recipe_json = admission.plan.recipe.ToJson();
  job.files = spec.files;
  job.output_alias = spec.output_alias;
  job.labels = spec.labels;
  job.priority = spec.priority;
  job.peak_host_bytes = admission.plan.estimate.peak_host_bytes;
  job.estimated_seconds = admission.plan.estimate.seconds;
  return admission;
}

StatusOr<std::string> Admitter::PinInputs(const Admission& admission, const std::string& job_id,
                                          const SpanContext& trace) {
  if (admission.job.files.empty()) return std::string();
  Manifest manifest;
  manifest.kind = "inputs";
  for (const auto& [path, hex] : admission.job.files) {  // a map: ordered by path, as a manifest wants it
    ManifestFile file;
    file.path = path;
    SWAGE_ASSIGN_OR_RETURN(file.sha256, Digest::FromHex(hex));
    file.size = admission.file_sizes.at(path);
    file.parts.push_back({0, file.size, file.sha256, "", "", {}});
    manifest.files.push_back(std::move(file));
  }
  SWAGE_ASSIGN_OR_RETURN(const ArtifactInfo pinned,
                         Client(admission.job.tenant, trace)->Commit(manifest, Cat("inputs-", job_id), ""));
  return pinned.id;
}

}  // namespace swage
