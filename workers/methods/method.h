// The implementation side of the catalog: every row of workers/catalog has one Method, joined by id
// (a test checks both ways). A method's run and its own check of the result live in one file.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "kernels/api/ops.h"
#include "workers/recipe/recipe.h"
#include "workers/runtime/quantized_linear.h"

namespace swage {

struct LinearTask {
  const LinearPlan* plan = nullptr;
  const std::map<std::string, std::string>* options = nullptr;  // of the step, complete
  int64_t out = 0, in = 0;
  const float* weight = nullptr;  // [out, in]
  // Of two-level formats: > 0 is the global scale to take, since linears that are fused share one.
  float global_scale = 0;
};

// Stateless; thread-safe as far as the Ops given are.
class Method {
 public:
  virtual ~Method() = default;
  virtual std::string_view id() const = 0;
  // Deterministic within a numerics class: the result depends on the task alone.
  virtual StatusOr<QuantizedLinear> Quantize(Ops* ops, const LinearTask& task) const = 0;
  // What must hold of every result, checked on the values that the codes stand for, `dequantized`
  // [out, in]. INTERNAL when it does not: a bug or broken memory, never the user's fault.
  virtual Status Verify(const LinearTask& task, const QuantizedLinear& result,
                        const float* dequantized) const = 0;
};

}  // namespace swage
