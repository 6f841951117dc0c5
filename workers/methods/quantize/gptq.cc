#include "workers/methods/quantize/gptq.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "kernels/numeric/formats.h"

namespace swage {
namespace {

using Options = std::map<std::string, std::string>;

constexpr double kMostDamping = 10;  // of the mean diagonal; nothing is left of H beyond

struct FactoredInput : PreparedInput {
  std::vector<int32_t> order;      // of the sweep
  Buffer<float> factor;            // R of the damped H, in that order
  std::vector<float> importance;   // [in], the diagonal of H relative to its mean
  double damp = 0, asked_damp = 0;  // parts of the mean diagonal
  int64_t dead = 0, rows = 0;
};

// `group`: columns that share a scale.
std::vector<int32_t> SweepOrder(const std::string& act_order, int64_t group,
                                const std::vector<double>& diagonal) {
  std::vector<int32_t> order(diagonal.size());
  std::iota(order.begin(), order.end(), 0);
  if (act_order == "none") return order;
  std::vector<double> most(diagonal.size() / static_cast<size_t>(group), 0.0);
  for (size_t i = 0; i < diagonal.size(); ++i) {
    double& slot = most[i / static_cast<size_t>(group)];
    slot = std::max(slot, diagonal[i]);
  }
  const bool by_group = act_order == "group";
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const int64_t group_a = a / group, group_b = b / group;
    if (by_group && group_a != group_b) {
      return most[group_a] != most[group_b] ? most[group_a] > most[group_b] : group_a < group_b;
    }
    return diagonal[a] > diagonal[b];
  });
  return order;
}

Status NotFiniteInput(const InputTask& task) {
  return DataLoss("CALIBRATION_NOT_FINITE",
                  Cat("the inputs of ", task.plan->module,
                      " on the calibration text hold NaN or infinity"),
                  "check the model on this text; leave its first linear that overflows out with ignore");
}

// The upper triangle of H in the order of the sweep; dead columns get a diagonal of `mean`.
void Permute(const float* h, int64_t n, const std::vector<int32_t>& order, float mean, float* out) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = order[i];
    for (int64_t j = i; j < n; ++j) {
      const int64_t column = order[j];
      out[i * n + j] = row <= column ? h[row * n + column] : h[column * n + row];
    }
    if (out[i * n + i] == 0) out[i * n + i] = mean;
  }
}

// R of H + damp * mean * I, with as much more damping as it takes.
Status Factorize(Ops* ops, const InputTask& task, float mean, FactoredInput* input) {
  const int64_t n = static_cast<int64_t>(input->order.size());
  float* h = input->factor.data();
  std::vector<float> diagonal(n);
  for (int64_t i = 0; i < n; ++i) diagonal[i] = h[i * n + i];
  for (input->damp = input->asked_damp;; input->damp *= 10) {
    const float added = static_cast<float>(input->damp) * mean;
    for (int64_t i = 0; i < n; ++i) h[i * n + i] = diagonal[i] + added;
    const Status status = ops->linalg().InverseCholesky({n, h, DType::kF32});
    if (status.ok()) return status;
    if (ReasonOf(status) == "NOT_FINITE") return NotFiniteInput(task);
    if (ReasonOf(status) != "NOT_POSITIVE_DEFINITE" || input->damp * 10 > kMostDamping)
      return Annotate(status, task.plan->module);
  }
}

class Gptq : public Method {
 public:
  std::string_view id() const override { return "gptq"; }

  StatisticsOptions Needs(const Options& options) const override {
    StatisticsOptions needs;
    needs.hessians = true;
    needs.columns = false;
    needs.compute = options.at("compute") == "bf16" ? Compute::kBF16 : Compute::kF32;
    return needs;
  }

  StatusOr<std::unique_ptr<PreparedInput>> Prepare(Ops* ops, const InputTask& task) const override {
    const InputStatistics& seen = *task.statistics;
    const int64_t n = seen.width;
    SWAGE_CHECK(seen.hessian.size() == n * n, task.plan->module, " has no Hessian");
    std::vector<double> diagonal(n);
    double sum = 0;
    int64_t live = 0;
    for (int64_t i = 0; i < n; ++i) {
      diagonal[i] = static_cast<double>(seen.hessian.data()[i * n + i]);
      if (!std::isfinite(diagonal[i])) return NotFiniteInput(task);
      sum += diagonal[i];
      live += diagonal[i] > 0 ? 1 : 0;
    }
    if (live == 0) return nullptr;  // always zero: nothing is known
    auto input = std::make_unique<FactoredInput>();
    const double mean = sum / static_cast<double>(live);
    const QuantScheme& scheme = task.plan->weights;
    const int64_t group = scheme.granularity == "group" ? scheme.group_size : n;
    if (group <= 0 || n % group != 0) {
      return InvalidInput("GROUP_DOES_NOT_DIVIDE",
                          Cat("groups of ", group, " do not divide ", n, " inputs"));
    }
    input->order = SweepOrder(task.options->at("act_order"), group, diagonal);
    input->asked_damp = std::strtod(task.options->at("damp").c_str(), nullptr);
    input->dead = n - live;
    input->rows = seen.columns.rows;
    for (const double value : diagonal)
      input->importance.push_back(static_cast<float>(value / mean));
    SWAGE_ASSIGN_OR_RETURN(input->factor, Buffer<float>::Allocate(n * n));
    Permute(seen.hessian.data(), n, input->order, static_cast<float>(mean), input->factor.data());
    SWAGE_RETURN_IF_ERROR(Factorize(ops, task, static_cast<float>(mean), input.get()));
    return input;
  }

  StatusOr<QuantizedLinear> Quantize(Ops* ops, const LinearTask& task) const override {
    const QuantScheme& scheme = task.plan->weights;
    SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q,
                           MakeQuantizedLinear(scheme.format, scheme.granularity, scheme.group_size,
                                               scheme.symmetric, task.out, task.in));
    const auto* input = static_cast<const FactoredInput*>(task.input);
    const std::string& scale = task.options->at("scale");
    QuantizeArgs args = q.Args();
    args.w = task.weight;
    if (scale != "minmax") args.rule = ScaleRule::kSearch;
    if (scale == "importance" && input != nullptr) args.importance = input->importance.data();
    SWAGE_RETURN_IF_ERROR(ops->Quantize(args));  // the scales; where nothing is known, all of it
    if (input == nullptr) {
      Remark(task, "no calibration token reached it: rounded to nearest");
      return q;
    }
    double loss = 0;
    FeedbackArgs sweep;
    sweep.rows = task.out;
    sweep.columns = task.in;
    sweep.w = task.weight;
    sweep.order = input->order.data();
    sweep.factor = input->factor.data();
    sweep.bits = FindFormat(q.format)->bits;
    sweep.group = q.group;
    sweep.scales = q.scales.data();
    sweep.zeros = q.symmetric ? nullptr : q.zeros.data();
    sweep.codes = q.codes.data();
    sweep.loss = &loss;
    SWAGE_RETURN_IF_ERROR(ops->linalg().RoundWithFeedback(sweep));
    if (!std::isfinite(loss)) {
      return DataLoss("DEGENERATE_RESULT",
                      Cat(task.plan->module, ": the errors of the sweep are not finite"),
                      "raise damp, or exclude this linear with ignore");
    }
    Describe(task, *input, loss);
    return q;
  }

  Status Verify(const LinearTask& task, const QuantizedLinear& q,
                const float* dequantized) const override {
    const IntGrid grid = IntGridOf(FindFormat(q.format)->bits);
    for (int64_t r = 0; r < task.out; ++r) {
      for (int64_t c = 0; c < task.in; ++c) {
        const int64_t at = r * q.groups() + c / q.group;
        const float code = q.codes[r * task.in + c], scale = q.scales[at];
        const float zero = q.symmetric ? 0.0f : static_cast<float>(q.zeros[at]);
        const float value = dequantized[r * task.in + c];
        if (scale > 0 && code >= grid.lo && code <= grid.hi && value == (code - zero) * scale)
          continue;
        return Internal(Cat("gptq of ", task.plan->module, ": weight [", r, ", ", c, "] is ", value,
                            ", but its code is ", code, " with scale ", scale, " and zero ", zero));
      }
    }
    return absl::OkStatus();
  }

 private:
  static void Remark(const LinearTask& task, std::string remark) {
    if (task.notes != nullptr) task.notes->remarks.push_back(std::move(remark));
  }

  static void Describe(const LinearTask& task, const FactoredInput& input, double loss) {
    if (task.notes == nullptr) return;
    auto& measured = task.notes->measured;
    measured["objective"] = loss / static_cast<double>(std::max<int64_t>(1, input.rows));
    measured["calibration_rows"] = static_cast<double>(input.rows);
    measured["damp"] = input.damp;
    measured["dead_inputs"] = static_cast<double>(input.dead);
    if (input.damp > input.asked_damp) {
      Remark(task, Cat("damping was raised from ", input.asked_damp, " to ", input.damp,
                       " of the mean diagonal: the calibration text leaves inputs undetermined"));
    }
  }
};

}  // namespace

const Method* GptqMethod() {
  static const auto* method = new Gptq();
  return method;
}

}  // namespace swage
