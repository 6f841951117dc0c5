// The implementation side of the catalog: every row of workers/catalog has one Method, joined by id
// (a test checks both ways). A method's run and its own check of the result live in one file.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/api/ops.h"
#include "workers/recipe/recipe.h"
#include "workers/runtime/quantized_linear.h"
#include "workers/runtime/statistics_pass.h"

namespace swage {

// What a method makes once of an input that several linears read (q, k, v; gate, up): an order of its
// columns, a factorization.
class PreparedInput {
 public:
  virtual ~PreparedInput() = default;
};

struct InputTask {
  const LinearPlan* plan = nullptr;  // of the first of the linears; their schemes are the same
  const std::map<std::string, std::string>* options = nullptr;  // of the step, complete
  const InputStatistics* statistics = nullptr;
};

// What a method has to say of one linear, for the report.
struct MethodNotes {
  std::map<std::string, double> measured;  // "objective"
  std::vector<std::string> remarks;        // for people: what did not go as usual
};

struct LinearTask {
  const LinearPlan* plan = nullptr;
  const std::map<std::string, std::string>* options = nullptr;  // of the step, complete
  int64_t out = 0, in = 0;
  const float* weight = nullptr;  // [out, in]
  // Of two-level formats: > 0 is the global scale to take, since linears that are fused share one.
  float global_scale = 0;
  // Of methods that calibrate: what Prepare made of its input; null when no row of the calibration
  // reached this linear (an expert that was never chosen).
  const PreparedInput* input = nullptr;
  MethodNotes* notes = nullptr;  // may be null
};

// Stateless; thread-safe as far as the Ops given are.
class Method {
 public:
  virtual ~Method() = default;
  virtual std::string_view id() const = 0;
  // What it asks of the inputs of its linears. Only for methods that calibrate.
  virtual StatisticsOptions Needs(const std::map<std::string, std::string>& /*options*/) const {
    return {};
  }
  // Only for methods that calibrate. May be null.
  virtual StatusOr<std::unique_ptr<PreparedInput>> Prepare(Ops* /*ops*/,
                                                           const InputTask& /*task*/) const {
    return nullptr;
  }
  // Deterministic within a numerics class: the result depends on the task alone.
  virtual StatusOr<QuantizedLinear> Quantize(Ops* ops, const LinearTask& task) const = 0;
  // What must hold of every result, checked on the values that the codes stand for, `dequantized`
  // [out, in]. INTERNAL when it does not: a bug or broken memory, never the user's fault.
  virtual Status Verify(const LinearTask& task, const QuantizedLinear& result,
                        const float* dequantized) const = 0;
};

}  // namespace swage
