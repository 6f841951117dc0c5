// Admission: everything that can be known to be wrong with a job is found here, before it is accepted: the recipe, the
// model's configuration against its tensors (from headers alone), the texts. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/modelfile/manifest.h"
#include "base/status.h"
#include "scheduler/core/records.h"
#include "services/kit/artifact_client.h"
#include "workers/recipe/recipe.h"

namespace swage {

struct JobSpecFields {  // swage.v1.JobSpec
  std::string model, recipe, output_alias;
  std::map<std::string, std::string> files, labels;
  int priority = 0;
  std::string Digest() const;  // SHA-256 of the canonical spec: what request_id is compared by
};

struct Admission {
  AdmittedJob job;  // without id, inputs_artifact, time, trace
  Plan plan;
  std::map<std::string, uint64_t> file_sizes;  // of job.files
};

class Admitter {
 public:
  explicit Admitter(std::string store_address) : store_address_(std::move(store_address)) {}

  // Errors: of the recipe's and the model's parsers; UNKNOWN_MODEL, NOT_A_MODEL, CONFIG_MISSING, TOKENIZER_MISSING,
  // NO_WEIGHTS, SHARD_MISSING, ALREADY_QUANTIZED, FILE_NOT_GIVEN, FILE_NOT_IN_RECIPE, PATH_ESCAPES, INPUT_MISSING,
  // EMPTY_TEXT, TEXT_TOO_LARGE, LABELS_TOO_LARGE, BAD_PRIORITY, BAD_ALIAS.
  StatusOr<Admission> Admit(const std::string& tenant, const JobSpecFields& spec, const SpanContext& trace);
  // Commits a manifest of kind "inputs" over the job's texts, so that they stay as long as it; "" when there are none.
  StatusOr<std::string> PinInputs(const Admission& admission, const std::string& job_id, const SpanContext& trace);

 private:
  std::unique_ptr<ArtifactClient> Client(const std::string& tenant, const SpanContext& trace);

  const std::string store_address_;
};

}  // namespace swage
