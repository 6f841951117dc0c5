// `swage submit` and `swage quantize`: texts to the store, then CreateJob, then, with --watch, its events. A pipeline
// is several such jobs, each told which ones it waits for.
#pragma once

#include <string>
#include <vector>

#include "clients/cli/pipeline.h"
#include "clients/cli/recipe_source.h"
#include "clients/cli/session.h"

namespace swage {

struct SubmitFlags {
  std::string model;        // alias or artifact id; a path ("./dir", "/dir") is uploaded first
  std::string alias;        // of the result
  std::string request_id;   // "" = made
  int priority = 0;
  bool no_cache = false;
  bool watch = false;
  bool validate_only = false;
  bool never_preempt = false;
  std::vector<std::string> after;  // ids of jobs
  std::string memory, device_memory;  // as ParseBytes reads them; "" = by the estimate, the whole device
  std::string device_kind;
  int devices = 0, gang = 0;
  std::vector<std::string> features;
};

StatusOr<int> RunSubmit(const Session& session, const RecipeSource& recipe, const SubmitFlags& flags);
// The steps in order; `flags` hold for each of them, but for model and alias, which the file gives. Told by name
// which job each became. With --watch all are shown, one after the other; the exit code is that of the first that did
// not succeed.
StatusOr<int> RunSubmitPipeline(const Session& session, const Pipeline& pipeline, const SubmitFlags& flags);

}  // namespace swage
