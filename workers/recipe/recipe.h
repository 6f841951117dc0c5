// Recipes (DESIGN 4). Parse checks the grammar and the catalog; Resolve checks against a model and yields the plan.
// All errors are INVALID_ARGUMENT and name the line, what is allowed, and the nearest word ("did you mean").
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/modelfile/model_config.h"
#include "base/status.h"

namespace swage {

struct QuantScheme {        // of weights
  std::string format;       // "int4"
  std::string granularity;  // "tensor" | "channel" | "group" | "block"
  int64_t group_size = 0;   // > 0 only for "group" and "block", whose blocks are squares of it
  bool symmetric = true;
  bool operator==(const QuantScheme&) const = default;
};

struct ActivationScheme {
  std::string format;       // "int8", "fp8_e4m3", "mxfp4", "mxfp8"
  std::string granularity;  // "token" | "group"
  bool dynamic = true;
  int64_t group_size = 0;  // > 0 only for "group"
  bool operator==(const ActivationScheme&) const = default;
};

struct Override {
  std::string match;  // glob on module names
  QuantScheme scheme;
};

struct RecipeStep {
  std::string kind, method;
  QuantScheme weights;
  std::optional<ActivationScheme> activations;
  std::map<std::string, std::string> options;  // complete: defaults filled in, values normalised
  std::vector<std::string> targets, ignore;    // globs
  std::vector<Override> overrides;
};

struct TextWindows {
  std::string text;      // path as written
  int64_t samples = 0;   // calibrate: number of windows; evaluate: max_windows, 0 = all
  int64_t window = 512;
  bool shuffle = false;
};

struct Recipe {
  std::vector<RecipeStep> steps;
  std::optional<TextWindows> calibrate, evaluate;
  std::string export_format = "compressed-tensors";
  uint64_t seed = 0;
  // Canonical JSON with every default written out: equal recipes give equal bytes. What is digested and reported.
  std::string ToJson() const;
};

StatusOr<Recipe> ParseRecipe(std::string_view yaml);
StatusOr<Recipe> RecipeFromJson(std::string_view json);  // inverse of ToJson, equally strict

// What happens to one linear.
struct LinearPlan {
  std::string module;  // full name
  QuantScheme weights;
  std::optional<ActivationScheme> activations;
  bool transposed = false;  // stored [in, out]: Conv1D
};

struct Estimate {
  uint64_t peak_host_bytes = 0;
  double seconds = 0;
  uint64_t artifact_bytes = 0;
  double bits_per_weight = 0;  // over the quantized linears, scales and zeros included
};

struct Plan {
  Recipe recipe;
  std::vector<LinearPlan> quantized;      // in order of the blocks
  std::vector<std::string> kept_dense;    // linears left as they are
  std::vector<std::string> stages;        // "stage_inputs", "load", "block[0]", ..., "evaluate", "encode", "upload", "commit"
  Estimate estimate;
};

// Matches targets, ignore and overrides; refuses a pattern that matches nothing (PATTERN_MATCHES_NOTHING), a group size
// that does not divide the inputs (GROUP_DOES_NOT_DIVIDE), fused shards (q/k/v, gate/up) with different schemes
// (FUSED_SHARDS_DIFFER), a linear that the export format has no words for (EXPORT_CANNOT_EXPRESS). lm_head is kept when
// tied; routers of experts and what else BlockLinears calls fixed always are.
StatusOr<Plan> MakePlan(const Recipe& recipe, const ModelConfig& config);

// Key of the result cache and of checkpoints: method versions, canonical recipe, input digests.
Digest ActionDigest(const Recipe& recipe, const Digest& model, const std::vector<Digest>& data);

}  // namespace swage
