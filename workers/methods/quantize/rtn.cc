#include "workers/methods/quantize/rtn.h"

#include <algorithm>
#include <cmath>

namespace swage {
namespace {

// The largest |w - dequantized| that rounding to nearest allows. The factor beyond the exact bound
// covers the f32 rounding of the division and of the product.
double AllowedError(const QuantizedLinear& q, double weight, double scale) {
  constexpr double kSlack = 1 + 1e-4;
  if (q.format == "fp8_e4m3") {  // 3 mantissa bits; below 2^-6 the step is 2^-9
    return kSlack * std::max(std::abs(weight) / 16, scale / 1024);
  }
  // Symmetric: half a step, also at the clamped end (7.5 -> 7). Asymmetric: the rounded zero point
  // adds half a step.
  return kSlack * scale * (q.symmetric ? 0.5 : 1.0);
}

class Rtn : public Method {
 public:
  std::string_view id() const override { return "rtn"; }

  StatusOr<QuantizedLinear> Quantize(Ops* ops, const LinearTask& task) const override {
    const QuantScheme& scheme = task.plan->weights;
    SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q,
                           MakeQuantizedLinear(scheme.format, scheme.granularity, scheme.group_size,
                                               scheme.symmetric, task.out, task.in));
    QuantizeArgs args = q.Args();
    args.w = task.weight;
    SWAGE_RETURN_IF_ERROR(ops->Quantize(args));
    return q;
  }

  Status Verify(const LinearTask& task, const QuantizedLinear& q,
                const float* dequantized) const override {
    for (int64_t r = 0; r < task.out; ++r) {
      for (int64_t c = 0; c < task.in; ++c) {
        const double scale = q.scales[q.per_tensor ? 0 : r * q.groups() + c / q.group];
        const double weight = task.weight[r * task.in + c];
        const double off = std::abs(weight - dequantized[r * task.in + c]);
        if (!(off <= AllowedError(q, weight, scale))) {
          return Internal(Cat("rtn of ", task.plan->module, ": weight [", r, ", ", c,
                              "] = ", weight, " is off by ", off, " with scale ", scale));
        }
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace

const Method* RtnMethod() {
  static const auto* method = new Rtn();
  return method;
}

}  // namespace swage
