#include "workers/recipe/estimate.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "base/limits.h"
#include "workers/catalog/catalog.h"
#include "workers/recipe/scheme.h"

namespace swage {
namespace {

// Memory, following the runtime: weights are mapped, so only what is computed with is counted.
//   peak = process + text + max(quantizing, calibrating, evaluating)
//   quantizing = one block in f32 + its codes, scales and packed words
//   evaluating = one block in f32 + the head in f32, twice (original and compressed) + hidden
//   states of the windows,
//                twice, each at most kHiddenBytes + working memory + two chunks of logits
constexpr double kProcessBytes = 96e6;
constexpr double kTextBytes = 32e6;  // the text, its tokens
constexpr double kHiddenBytes = 256 << 20;
constexpr double kWorkingBytes = 128 << 20;
constexpr double kLogitsBytes = 32 << 20;
constexpr double kMicroBatchRows = 4160;

// Time, on the slowest machine that we support (two cores with AVX2): products at kFlopsPerSecond,
// weights quantized at kQuantizeBytesPerSecond of f32, files read and written at
// kFileBytesPerSecond, and a start that is always paid.
constexpr double kFlopsPerSecond = 60e9;
constexpr double kQuantizeBytesPerSecond = 400e6;
constexpr double kFileBytesPerSecond = 200e6;
constexpr double kStartSeconds = 0.5;
// A text whose length is not known here, when the recipe takes all of its windows.
constexpr double kUnknownTextTokens = 1 << 18;

double DTypeBytesOf(const ModelConfig& config) { return config.dtype == "float32" ? 4 : 2; }

struct Weights {
  double quantized = 0, dense = 0;  // elements of linears, by what happens to them
  double block = 0;                 // of the largest block
  double active = 0;                // of all blocks, experts by the part of the tokens they see
  double head = 0, other = 0;
};

double Elements(const std::vector<TensorShape>& tensors) {
  double sum = 0;
  for (const TensorShape& tensor : tensors) {
    double elements = 1;
    for (int64_t d : tensor.shape) elements *= static_cast<double>(d);
    sum += elements;
  }
  return sum;
}

Weights CountWeights(const ModelConfig& config, const std::vector<LinearShape>& shapes,
                     const absl::flat_hash_map<std::string, const LinearPlan*>& plans) {
  Weights weights;
  std::vector<double> blocks(config.layers);
  for (const LinearShape& shape : shapes) {
    const double elements = static_cast<double>(shape.out) * static_cast<double>(shape.in);
    (plans.contains(shape.module) ? weights.quantized : weights.dense) += elements;
    if (shape.bias) weights.other += static_cast<double>(shape.out);
    const std::optional<int64_t> layer = LayerOf(config, shape.module);
    if (!layer) continue;
    blocks[*layer] += elements;
    weights.active += elements * shape.share;
  }
  weights.block = *std::max_element(blocks.begin(), blocks.end());
  weights.head = static_cast<double>(config.vocab) * static_cast<double>(config.embedding_width);
  // Embeddings, positions and norms.
  weights.other += Elements(OuterTensors(config));
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    weights.other += Elements(BlockNorms(config, layer));
  }
  return weights;
}

double EvaluatedTokens(const Recipe& recipe) {
  if (!recipe.evaluate) return 0;
  if (recipe.evaluate->samples == 0) return kUnknownTextTokens;
  return static_cast<double>(recipe.evaluate->samples) *
         static_cast<double>(recipe.evaluate->window + 1);
}

// What calibration adds: statistics of the distinct inputs of a block, and running it twice.
struct CalibrationCost {
  double tokens = 0;         // 0: no method of the recipe calibrates
  double hessian_bytes = 0;  // of the largest block
  double widest = 0;         // inputs of one linear
  double largest = 0;        // weights of one linear
  double square_flops = 0;   // of all blocks, per token
  double cube_flops = 0;     // of all factorizations
};

CalibrationCost CalibrationOf(const Recipe& recipe, const ModelConfig& config,
                              const std::vector<LinearShape>& shapes) {
  CalibrationCost cost;
  const bool needed = std::any_of(recipe.steps.begin(), recipe.steps.end(), [](const auto& step) {
    const MethodRow* row = FindMethod(step.method);
    return row != nullptr && row->needs_calibration;
  });
  if (!needed || !recipe.calibrate) return cost;
  cost.tokens = static_cast<double>(recipe.calibrate->samples) *
                static_cast<double>(recipe.calibrate->window + 1);
  std::vector<double> blocks(config.layers);
  int64_t group = -1;
  for (const LinearShape& shape : shapes) {
    const std::optional<int64_t> layer = LayerOf(config, shape.module);
    if (!layer) continue;
    const double width = static_cast<double>(shape.in);
    cost.widest = std::max(cost.widest, width);
    cost.largest = std::max(cost.largest, width * static_cast<double>(shape.out));
    if (shape.input_group == group) continue;  // linears of one input follow each other
    group = shape.input_group;
    blocks[*layer] += 4 * width * width;
    cost.square_flops += width * width * shape.share;
    cost.cube_flops += width * width * width;
  }
  cost.hessian_bytes = *std::max_element(blocks.begin(), blocks.end());
  return cost;
}

// A block in f32 and in bf16, the hidden states, the statistics; one input's factorization and one
// linear's copies come after the block is gone.
double CalibratingBytes(const Weights& weights, const ModelConfig& config,
                        const CalibrationCost& cost) {
  if (cost.tokens == 0) return 0;
  const double hidden = std::min(static_cast<double>(limits::kHiddenStateBytes),
                                 cost.tokens * static_cast<double>(config.hidden) * 4);
  const double rows = std::min(cost.tokens, kMicroBatchRows);
  const double running = 4 * weights.block + std::min(kWorkingBytes, rows * cost.widest * 16) +
                         rows * cost.widest * 8;
  const double factoring = 4 * cost.widest * cost.widest + 20 * cost.largest;
  return hidden + cost.hessian_bytes + std::max(running, factoring);
}

double PeakBytes(const Weights& weights, const ModelConfig& config, double tokens,
                 const CalibrationCost& calibration) {
  const double block = 4 * weights.block;
  const double quantizing = 2 * block;
  double evaluating = 0;
  if (tokens > 0) {
    const double hidden = std::min(kHiddenBytes, tokens * static_cast<double>(config.hidden) * 4);
    const double widest = static_cast<double>(config.hidden * 4 + config.ffn * 3 +
                                              config.heads * config.head_dim * 4) *
                          4;
    const double working = std::min(kWorkingBytes, tokens * widest);
    const double logits = std::min(kLogitsBytes, tokens * static_cast<double>(config.vocab) * 4);
    evaluating = block + 2 * (4 * weights.head + hidden + logits) + working;
  }
  return kProcessBytes + kTextBytes +
         std::max({quantizing, evaluating, CalibratingBytes(weights, config, calibration)});
}

double Seconds(const Weights& weights, const ModelConfig& config, double tokens, double window,
               double artifact_bytes, const CalibrationCost& calibration) {
  const double layers = static_cast<double>(config.layers);
  // Two operations a weight and token; attention reads half of the window on average, for scores
  // and for values.
  const double per_token =
      2 * (weights.active + weights.head) +
      2 * layers * window * static_cast<double>(config.heads * config.head_dim);
  const double forward =
      2 * tokens * per_token / kFlopsPerSecond;  // the original and the compressed model
  const double quantize = 4 * weights.quantized / kQuantizeBytesPerSecond;
  const double model_bytes =
      (weights.quantized + weights.dense + weights.other) * DTypeBytesOf(config);
  // Every block runs twice; statistics make half of a square; three steps of a third of a cube.
  const double calibrate =
      (calibration.tokens * (4 * weights.active + calibration.square_flops) +
       calibration.cube_flops) /
      kFlopsPerSecond;
  return kStartSeconds + forward + quantize + calibrate +
         (2 * model_bytes + 3 * artifact_bytes) / kFileBytesPerSecond;
}

}  // namespace

std::vector<LinearShape> LinearShapes(const ModelConfig& config) {
  std::vector<LinearShape> shapes;
  int64_t first_group = 0, groups = 0;
  const auto add = [&](const std::string& prefix, const LinearSpec& linear) {
    shapes.push_back({prefix + linear.module, linear.out, linear.in, linear.bias,
                      first_group + linear.input_group, linear.transposed, linear.fixed,
                      linear.share});
    groups = std::max(groups, first_group + linear.input_group + 1);
  };
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = BlockPrefix(config, layer);
    for (const LinearSpec& linear : BlockLinears(config, layer)) add(prefix, linear);
    first_group = groups;
  }
  for (const LinearSpec& linear : OuterLinears(config)) add("", linear);
  first_group = groups;
  if (!config.tie_embeddings) add("", HeadSpec(config));
  return shapes;
}

Estimate EstimateOf(const Plan& plan, const ModelConfig& config) {
  absl::flat_hash_map<std::string, const LinearPlan*> plans;
  for (const LinearPlan& linear : plan.quantized) plans[linear.module] = &linear;
  const std::vector<LinearShape> shapes = LinearShapes(config);
  const Weights weights = CountWeights(config, shapes, plans);
  Estimate estimate;
  double bits = 0;
  uint64_t bytes = static_cast<uint64_t>((weights.dense + weights.other) * DTypeBytesOf(config));
  for (const LinearShape& shape : shapes) {
    const auto found = plans.find(shape.module);
    if (found == plans.end()) continue;
    const StoredSize size =
        StoredSizeOf(*found->second, plan.recipe.export_format, shape.out, shape.in);
    bytes += size.bytes;
    bits += static_cast<double>(size.bits);
  }
  const double tokens = EvaluatedTokens(plan.recipe);
  const double window =
      plan.recipe.evaluate ? static_cast<double>(plan.recipe.evaluate->window) : 0;
  const CalibrationCost calibration = CalibrationOf(plan.recipe, config, shapes);
  estimate.artifact_bytes = bytes;
  estimate.bits_per_weight = weights.quantized > 0 ? bits / weights.quantized : 0;
  estimate.peak_host_bytes = static_cast<uint64_t>(PeakBytes(weights, config, tokens, calibration));
  estimate.seconds =
      Seconds(weights, config, tokens, window, static_cast<double>(bytes), calibration);
  return estimate;
}

}  // namespace swage
