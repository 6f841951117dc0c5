// report.json of an artifact (docs/formats/report.md is its schema). Every figure is measured by
// the job that writes it; what was not measured is null, with the reason beside it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/status.h"

namespace swage {

struct LayerReport {
  std::string module;
  std::vector<int64_t> shape;    // [out, in]
  std::string scheme;            // "int4 symmetric, group of 128"
  std::string activations;       // "int8 token dynamic" or ""
  double error2 = 0, norm2 = 0;  // sums over the weights of (w - w')^2 and w^2
  uint64_t stored_bytes = 0;     // codes, scales and zero points
  // What the method measured, by name (docs/methods), and what did not go as usual.
  std::map<std::string, double> measured;
  std::vector<std::string> remarks;
};

struct StageReport {
  std::string name;
  double seconds = 0;
  uint64_t peak_bytes = 0;  // resident memory during the stage
};

struct QualityReport {
  double original_nll = 0, compressed_nll = 0;  // mean, natural log
  double kl = 0, top1_agreement = 0;
  double original_bits_per_byte = 0, compressed_bits_per_byte = 0;
  int64_t scored_tokens = 0, windows = 0, window = 0, bytes = 0;
  bool bos = false;
  std::string text;
};

struct DataReport {
  std::string use;   // "evaluate", "calibrate"
  std::string path;  // as written in the recipe
  Digest sha256;
  uint64_t bytes = 0;
  int64_t windows = 0;  // that were used; 0: none was
};

struct JobReport {
  Digest model_digest, action_digest;
  std::string architecture;
  std::string recipe_json;
  uint64_t seed = 0;
  std::map<std::string, std::string> versions;  // "swage", "method.rtn", "report"
  std::string numerics_class;
  std::vector<DataReport> data;
  std::map<std::string, uint64_t> original_bytes,
      artifact_bytes;  // by class of tensor; "files": all that is no weight
  int64_t quantized_weights = 0, all_weights = 0;  // numbers of parameters
  std::vector<LayerReport> layers;
  std::optional<QualityReport> quality;
  std::vector<StageReport> stages;
};

// The class of a tensor for bytes.by_class: "codes", "scales", "zero_points", "shapes",
// "embedding", "head", "norms", "biases", "linears" (not quantized), "other".
std::string TensorClass(std::string_view name, const std::vector<std::string>& quantized_modules,
                        const std::vector<std::string>& linear_modules, std::string_view embedding,
                        std::string_view head);

std::string ReportJson(const JobReport& report);

}  // namespace swage
