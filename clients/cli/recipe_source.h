// Where a job's recipe comes from: a file (`swage submit R`, `swage compress`) or flags (`swage quantize`), and the
// texts that it names. Paths in a file are relative to the file, paths in flags to the current folder.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/status.h"
#include "workers/recipe/recipe.h"

namespace swage {

struct RecipeSource {
  std::string yaml;                          // what is sent
  Recipe recipe;                             // parsed
  std::map<std::string, std::string> texts;  // path in `yaml` -> path on this machine
};

// A text outside the recipe's folder ("../texts/a.txt", "/data/a.txt") goes by its base name in what is sent: where it
// lies on this machine is nobody's business, and a server takes plain paths only.
// Every text must be there, be a file and not be empty: errors come before anything is sent.
StatusOr<RecipeSource> ReadRecipe(Env* env, const std::string& path);

struct QuantizeFlags {
  std::string method = "rtn", format = "int4", granularity;  // granularity "": group with a group size, else channel
  int64_t group_size = 0;
  bool asymmetric = false;
  std::string activations;  // "" = weights only; "int8", "fp8_e4m3"
  std::vector<std::string> targets, ignore, options;  // options: "name=value"
  std::string evaluate, calibrate;                     // text files
  int64_t window = 512, max_windows = 0, samples = 128;
  std::string export_format;
  uint64_t seed = 0;
};

StatusOr<RecipeSource> RecipeFromFlags(Env* env, const QuantizeFlags& flags);

}  // namespace swage
