// A pipeline's file: named steps, each a job (`swage submit --pipeline FILE`; docs/cli.md).
//
//   steps:
//   - name: half
//     recipe: int8-dense.yaml      # relative to this file
//     model: models/tiny           # an alias, an artifact, ./DIR (relative to this file), or a step's name
//   - name: small
//     recipe: int4.yaml
//     model: half                  # the result of that step
//     after: [check]               # must have succeeded too; names of steps, or jobs/<id>
//     as: models/tiny-int4
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/status.h"
#include "clients/cli/recipe_source.h"

namespace swage {

struct PipelineStep {
  std::string name;
  RecipeSource recipe;
  std::string model;               // "" when model_step is given
  int model_step = -1;             // index of the step whose result is the model
  std::vector<int> after_steps;
  std::vector<std::string> after;  // jobs that are there already
  std::string alias;
  int priority = 0;
  bool has_priority = false;
};

struct Pipeline {
  std::vector<PipelineStep> steps;  // each after all that it waits for
};

// Everything is checked, recipes and texts included, before anything is sent. Errors: BAD_PIPELINE, and those of
// ReadRecipe and TreeFromYaml.
StatusOr<Pipeline> ReadPipeline(Env* env, const std::string& path);

}  // namespace swage
