// `swage submit` and `swage quantize`: texts to the store, then CreateJob, then, with --watch, its events.
#pragma once

#include <string>

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
};

StatusOr<int> RunSubmit(const Session& session, const RecipeSource& recipe, const SubmitFlags& flags);

}  // namespace swage
