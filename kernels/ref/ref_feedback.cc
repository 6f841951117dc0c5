// GPTQ's sweep as its definition says: one column after the other, each error carried to all columns
// behind it at once, in double. Only what is rounded is f32, as the codes are.
#include <vector>

#include "kernels/api/check_families.h"
#include "kernels/numeric/int_quant.h"
#include "kernels/ref/families_ref.h"

namespace swage {

Status RefLinalg::RoundWithFeedback(const FeedbackArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckFeedback(args));
  const int64_t n = args.columns, groups = n > 0 ? n / args.group : 0;
  const IntGrid grid = IntGridOf(args.bits);
  double loss = 0;
  std::vector<double> row(n);
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t i = 0; i < n; ++i) row[i] = args.w[r * n + args.order[i]];
    for (int64_t i = 0; i < n; ++i) {
      const int64_t column = args.order[i], at = r * groups + column / args.group;
      const float zero = args.zeros == nullptr ? 0.0f : static_cast<float>(args.zeros[at]);
      const int8_t code = QuantizeInt(static_cast<float>(row[i]), args.scales[at], zero, grid);
      args.codes[r * n + column] = code;
      const float* factor = args.factor + i * n;
      const double error = (row[i] - DequantizeInt(code, args.scales[at], zero)) / factor[i];
      loss += error * error;
      for (int64_t j = i + 1; j < n; ++j) row[j] -= error * factor[j];
    }
  }
  if (args.loss != nullptr) *args.loss = loss;
  return Status();
}

}  // namespace swage
