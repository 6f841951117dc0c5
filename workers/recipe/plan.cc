// From a recipe and a model's configuration to what happens to each linear.
#include <algorithm>
#include <map>

#include "base/modelfile/architecture.h"
#include "workers/catalog/catalog.h"
#include "workers/recipe/estimate.h"
#include "workers/recipe/recipe.h"
#include "workers/recipe/scheme.h"

namespace swage {
namespace {

bool MatchesAny(const std::vector<std::string>& patterns, std::string_view module) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return GlobMatch(pattern, module); });
}

Status MatchesNothing(std::string_view key, const std::string& pattern,
                      const std::vector<std::string>& modules) {
  const std::string nearest = Nearest(pattern, modules);
  return InvalidInput(
      "PATTERN_MATCHES_NOTHING",
      Cat("the pattern '", pattern, "' of '", key, "' matches no linear of the model",
          nearest.empty() ? "" : Cat("; did you mean '", nearest, "'?")),
      Cat("linears have names such as ", modules.front(), "; '*' matches any run of characters"));
}

Status CheckPatterns(std::string_view key, const std::vector<std::string>& patterns,
                     const std::vector<std::string>& modules) {
  for (const std::string& pattern : patterns) {
    if (std::none_of(modules.begin(), modules.end(),
                     [&](const std::string& module) { return GlobMatch(pattern, module); })) {
      return MatchesNothing(key, pattern, modules);
    }
  }
  return absl::OkStatus();
}

// The last override that matches wins.
const QuantScheme& SchemeOf(const RecipeStep& step, std::string_view module) {
  const auto found =
      std::find_if(step.overrides.rbegin(), step.overrides.rend(),
                   [&](const Override& override) { return GlobMatch(override.match, module); });
  return found == step.overrides.rend() ? step.weights : found->scheme;
}

std::string DivisorsOf(int64_t in) {
  std::string divisors;
  for (int64_t size = 1024; size >= 16; size /= 2) {
    if (in % size == 0) divisors += Cat(divisors.empty() ? "" : ", ", size);
  }
  return divisors;
}

Status CheckGroup(const LinearShape& shape, const QuantScheme& scheme,
                  const std::optional<ActivationScheme>& activations) {
  const int64_t of_inputs = activations ? activations->group_size : 0;
  if (of_inputs > 0 && shape.in % of_inputs != 0) {
    return InvalidInput("GROUP_DOES_NOT_DIVIDE",
                        Cat("activations in groups of ", of_inputs, " do not divide the ", shape.in,
                            " inputs of ", shape.module),
                        "ignore this linear, or round its inputs per token");
  }
  if (scheme.granularity != "group" || shape.in % scheme.group_size == 0) return absl::OkStatus();
  const std::string problem = Cat("the group size ", scheme.group_size, " does not divide the ",
                                  shape.in, " inputs of ", shape.module);
  if (FindSchemeRules(scheme.format)->fixed_group) {
    return InvalidInput("GROUP_DOES_NOT_DIVIDE", problem,
                        "give this linear another format by an override, or ignore it");
  }
  const std::string divisors = DivisorsOf(shape.in);
  return InvalidInput("GROUP_DOES_NOT_DIVIDE", problem,
                      divisors.empty() ? "use granularity: channel for this linear, by an override"
                                       : Cat("group sizes that divide them: ", divisors,
                                             "; or give this linear an override"));
}

// Adds one step's linears to `plans`. A linear belongs to one step at most.
Status ApplyStep(const RecipeStep& step, const std::vector<LinearShape>& shapes,
                 const std::vector<std::string>& modules, const std::vector<std::string>& names,
                 std::map<std::string, LinearPlan>* plans) {
  SWAGE_RETURN_IF_ERROR(CheckPatterns("targets", step.targets, names));
  SWAGE_RETURN_IF_ERROR(CheckPatterns("ignore", step.ignore, names));
  std::vector<std::string> chosen;
  for (const LinearShape& shape : shapes) {
    if (!MatchesAny(step.targets, shape.module) || MatchesAny(step.ignore, shape.module)) continue;
    if (shape.fixed) continue;
    const QuantScheme& scheme = SchemeOf(step, shape.module);
    SWAGE_RETURN_IF_ERROR(CheckGroup(shape, scheme, step.activations));
    LinearPlan plan{shape.module, scheme, step.activations, shape.transposed};
    if (!plans->emplace(shape.module, std::move(plan)).second) {
      return InvalidInput("STEPS_OVERLAP", Cat("two steps quantize ", shape.module),
                          "narrow the targets of one of the steps, or ignore the linear there");
    }
    chosen.push_back(shape.module);
  }
  if (chosen.empty()) {
    return InvalidInput(
        "NOTHING_TO_QUANTIZE",
        Cat("a step with the method '", step.method, "' is left with no linear"),
        modules.size() < names.size()
            ? "lm_head is tied to the embedding and stays as it is; name other targets"
            : "its ignore list covers all of its targets, or they are routers, which stay as they "
              "are");
  }
  for (const Override& override : step.overrides) {
    SWAGE_RETURN_IF_ERROR(CheckPatterns("overrides", {override.match}, chosen));
  }
  return absl::OkStatus();
}

// Serving engines fuse linears that read the same input (q, k, v; gate, up) into one product: their
// schemes must agree.
Status CheckFusedShards(const std::vector<LinearShape>& shapes,
                        const std::map<std::string, LinearPlan>& plans) {
  std::map<int64_t, const LinearShape*> first_of_group;
  for (const LinearShape& shape : shapes) {
    const auto [slot, is_first] = first_of_group.try_emplace(shape.input_group, &shape);
    if (is_first) continue;
    const auto a = plans.find(slot->second->module), b = plans.find(shape.module);
    const bool same = a == plans.end()
                          ? b == plans.end()
                          : b != plans.end() && a->second.weights == b->second.weights &&
                                a->second.activations == b->second.activations;
    if (same) continue;
    const auto text = [&](const auto& it) {
      return it == plans.end() ? std::string("dense") : SchemeText(it->second.weights);
    };
    return InvalidInput(
        "FUSED_SHARDS_DIFFER",
        Cat(slot->second->module, " (", text(a), ") and ", shape.module, " (", text(b),
            ") read the same input and are fused by serving engines, but their schemes differ"),
        "let targets, ignore and overrides cover both of them or neither");
  }
  return absl::OkStatus();
}

// compressed-tensors knows [out, in] only, and transformers does not look for it in a Conv1D.
Status CheckExport(const Recipe& recipe, const ModelConfig& config,
                   const std::map<std::string, LinearPlan>& plans) {
  if (recipe.export_format != "compressed-tensors") return absl::OkStatus();
  for (const auto& [module, plan] : plans) {
    if (!plan.transposed) continue;
    return InvalidInput("EXPORT_CANNOT_EXPRESS",
                        Cat(config.architecture, " stores ", module,
                            " transposed (Conv1D), which compressed-tensors has no words for"),
                        "write export: dense, which keeps the model's own layout");
  }
  return absl::OkStatus();
}

Status CheckWindow(std::string_view key, const std::optional<TextWindows>& windows,
                   const ModelConfig& config) {
  if (!windows || config.max_positions <= 0 || config.rope.type == "dynamic") {
    return absl::OkStatus();
  }
  // Learned positions end for good, and the token that begins a window takes one.
  const bool learned = !ArchitectureOf(config).positions.empty();
  const int64_t most = config.max_positions - (learned && config.bos_token_id ? 1 : 0);
  if (windows->window <= most) return absl::OkStatus();
  return InvalidInput("WINDOW_TOO_LONG",
                      Cat("the window of ", key, " is ", windows->window,
                          " tokens, but the model has ", config.max_positions, " positions"),
                      Cat("use a window of at most ", most));
}

std::vector<std::string> StagesOf(const Recipe& recipe, const ModelConfig& config) {
  std::vector<std::string> stages = {"stage_inputs", "load"};
  const bool calibrates =
      std::any_of(recipe.steps.begin(), recipe.steps.end(), [](const RecipeStep& step) {
        const MethodRow* method = FindMethod(step.method);
        return method != nullptr && method->needs_calibration;
      });
  if (calibrates) stages.emplace_back("calibrate");
  for (int64_t layer = 0; layer < config.layers; ++layer)
    stages.push_back(Cat("block[", layer, "]"));
  if (recipe.evaluate) stages.emplace_back("evaluate");
  for (const char* stage : {"encode", "upload", "commit"}) stages.emplace_back(stage);
  return stages;
}

}  // namespace

StatusOr<Plan> MakePlan(const Recipe& recipe, const ModelConfig& config) {
  if (!config.quantization_json.empty()) {
    return InvalidInput(
        "ALREADY_QUANTIZED",
        "the model's config.json has a quantization_config: it is quantized already",
        "give the model as it was before quantization");
  }
  SWAGE_RETURN_IF_ERROR(CheckWindow("calibrate", recipe.calibrate, config));
  SWAGE_RETURN_IF_ERROR(CheckWindow("evaluate", recipe.evaluate, config));
  const std::vector<LinearShape> shapes = LinearShapes(config);
  std::vector<std::string> modules;
  for (const LinearShape& shape : shapes) modules.push_back(shape.module);
  // What patterns may name: a tied lm_head has no weights of its own, but recipes for any model
  // ignore it by name.
  std::vector<std::string> names = modules;
  if (config.tie_embeddings) names.emplace_back(FindArchitecture(config.architecture)->lm_head);

  std::map<std::string, LinearPlan> plans;
  for (const RecipeStep& step : recipe.steps)
    SWAGE_RETURN_IF_ERROR(ApplyStep(step, shapes, modules, names, &plans));
  SWAGE_RETURN_IF_ERROR(CheckFusedShards(shapes, plans));
  SWAGE_RETURN_IF_ERROR(CheckExport(recipe, config, plans));

  Plan plan;
  plan.recipe = recipe;
  for (const LinearShape& shape : shapes) {
    const auto found = plans.find(shape.module);
    if (found == plans.end()) {
      plan.kept_dense.push_back(shape.module);
    } else {
      plan.quantized.push_back(found->second);
    }
  }
  plan.stages = StagesOf(recipe, config);
  plan.estimate = EstimateOf(plan, config);
  return plan;
}

}  // namespace swage
