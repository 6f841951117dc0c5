#include "workers/methods/quantize/rtn.h"

#include <algorithm>
#include <cmath>

#include "kernels/numeric/formats.h"

namespace swage {
namespace {

// The largest |w - dequantized| that rounding to nearest allows, given the scale in use. The factor
// beyond the exact bound covers the f32 rounding of the division and of the product. What lies
// beyond the grid (a rounded or a mean scale leaves some there) is cut off.
double AllowedError(const QuantizedLinear& q, const FormatRow& row, double weight, double scale) {
  constexpr double kSlack = 1 + 1e-4;
  const double size = std::abs(weight) / scale;
  const double cut = size - row.max_value;
  double steps = 0.5;
  switch (row.kind) {
    case CodeKind::kFp8E4M3:  // 3 mantissa bits; below 2^-6 the step is 2^-9
      steps = std::max(size / 16, 1.0 / 1024);
      break;
    case CodeKind::kFp8E5M2:  // 2 mantissa bits; below 2^-14 the step is 2^-16
      steps = std::max(size / 8, 1.0 / 131072);
      break;
    case CodeKind::kFp4:  // 1 mantissa bit; below 1 the step is 0.5
      steps = std::max({size / 4, 0.25, cut});
      break;
    case CodeKind::kCodebook:  // nf4's widest gap is at its lower end
      steps = 0.1520;
      break;
    default:
      // Symmetric: half a step, also at the clamped end (7.5 -> 7). Asymmetric: the rounded zero
      // point adds half a step.
      steps = q.symmetric ? std::max(0.5, row.id == "ternary" ? cut : 0.0) : 1.0;
  }
  return kSlack * scale * steps;
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
    args.given_global = task.global_scale > 0;
    if (args.given_global) q.global_scale = task.global_scale;
    SWAGE_RETURN_IF_ERROR(ops->Quantize(args));
    return q;
  }

  Status Verify(const LinearTask& task, const QuantizedLinear& q,
                const float* dequantized) const override {
    const FormatRow* row = FindFormat(q.format);
    SWAGE_CHECK(row != nullptr, q.format);
    const double global = q.two_level() ? q.global_scale : 1.0;
    for (int64_t r = 0; r < task.out; ++r) {
      for (int64_t c = 0; c < task.in; ++c) {
        const int64_t at = q.per_tensor ? 0 : r / q.block_rows * q.groups() + c / q.group;
        const double scale = q.scales[at] / global;
        const double weight = task.weight[r * task.in + c];
        const double off = std::abs(weight - dequantized[r * task.in + c]);
        if (!(off <= AllowedError(q, *row, weight, scale))) {
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
