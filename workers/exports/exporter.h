// An export format: how a compressed linear is stored and what config.json says about it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/modelfile/dtype.h"
#include "base/modelfile/model_config.h"
#include "kernels/api/ops.h"
#include "workers/recipe/recipe.h"
#include "workers/runtime/quantized_linear.h"

namespace swage {

struct EncodedTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::string bytes;
};

// Stateless.
class Exporter {
 public:
  virtual ~Exporter() = default;
  virtual std::string_view id() const = 0;  // as recipes name it: "compressed-tensors"
  // True when what is stored decodes to exactly the values that the codes stand for.
  virtual bool lossless() const = 0;
  // The tensors that replace "<module>.weight". The bytes are the same in every numerics class.
  virtual StatusOr<std::vector<EncodedTensor>> Encode(Ops* ops, const LinearPlan& plan,
                                                      const QuantizedLinear& q) const = 0;
  // config.json of the artifact: the model's own text with what the format adds; other keys stay as
  // they are. Errors: EXPORT_CANNOT_EXPRESS when the format has no words for what the plan asks.
  virtual StatusOr<std::string> ConfigJson(const ModelConfig& config, const Plan& plan) const = 0;
};

const Exporter* FindExporter(std::string_view id);  // nullptr when unknown
const std::vector<const Exporter*>& Exporters();

// DATA_LOSS/DEGENERATE_RESULT, naming the tensor, when a result cannot be a compressed weight:
// every code the same, a scale or value that is not finite, all values zero.
Status CheckNotDegenerate(const std::string& module, const QuantizedLinear& q,
                          const float* dequantized);

}  // namespace swage
