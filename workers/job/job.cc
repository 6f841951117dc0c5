#include "workers/job/job.h"

#include <set>

namespace swage {

LinearSpec Job::SpecOf(const std::string& module) const {
  const ModelConfig& config = original->config();
  if (const std::optional<int64_t> layer = LayerOf(config, module)) {
    const std::string within = module.substr(BlockPrefix(config, *layer).size());
    for (const LinearSpec& spec : BlockLinears(config, *layer)) {
      if (within == spec.module) return spec;
    }
  }
  SWAGE_CHECK(module == original->architecture().lm_head, "no linear ", module);
  return HeadSpec(config);
}

std::vector<const LinearPlan*> Job::LinearsOf(int64_t layer) const {
  const ModelConfig& config = original->config();
  std::vector<const LinearPlan*> linears;
  for (const LinearPlan& linear : plan.quantized) {
    if (LayerOf(config, linear.module).value_or(config.layers - 1) == layer) {
      linears.push_back(&linear);
    }
  }
  return linears;
}

StatusOr<std::shared_ptr<TensorSource>> CompressedTensors(const Job& job) {
  SWAGE_ASSIGN_OR_RETURN(std::vector<std::shared_ptr<TensorSource>> sources,
                         job.checkpoint->OpenTensors());
  sources.push_back(job.original->shared_tensors());
  return Overlay(std::move(sources));
}

std::vector<std::string> ArtifactTensors(const Job& job, const TensorSource& compressed) {
  std::set<std::string> left_out;
  for (const LinearPlan& linear : job.plan.quantized) {
    // Formats that keep the name "weight" have put their own tensor over the original's.
    const bool replaced = compressed.Find(linear.module + ".weight_packed").has_value();
    if (replaced) left_out.insert(linear.module + ".weight");
  }
  // A tied head is the embedding; a second copy of it would be a tensor that readers do not expect.
  if (job.original->config().tie_embeddings)
    left_out.insert(Cat(job.original->architecture().lm_head, ".weight"));
  std::vector<std::string> names;
  for (std::string& name : compressed.Names()) {
    if (!left_out.contains(name)) names.push_back(std::move(name));
  }
  return names;
}

std::string ActivationSchemeText(const std::optional<ActivationScheme>& scheme) {
  if (!scheme) return "";
  return Cat(scheme->format, " ", scheme->granularity, scheme->dynamic ? " dynamic" : " static");
}

}  // namespace swage
