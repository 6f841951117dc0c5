// Reads *.jobtest files (tests/jobs/README.md).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace swage {

struct JobExpectation {
  std::string failure, format;
  std::optional<double> effective_bits, perplexity_rise_max, kl_max, top1_agreement_min;
  std::optional<double> relative_error_max;
  std::map<std::string, std::string> tensors;  // "DTYPE [shape]" or "DTYPE [shape] sha256"
  std::vector<std::string> no_tensors;
};

struct JobCase {
  std::string file, name, model_dir, recipe_yaml;
  JobExpectation expect;
};

// All cases of all files in `dir`, sorted by file. A file that cannot be read ends the program: it
// is our own.
std::vector<JobCase> ReadJobTests(const std::string& dir);

}  // namespace swage
