// Ops with bf16 results: the f32 ops, then a cast.
#include <algorithm>
#include <vector>

#include "kernels/ref/families_ref.h"

namespace swage {
namespace {

Status Cast(Ops* ops, const std::vector<float>& x, uint16_t* y) {
  return ops->CastFromF32(static_cast<int64_t>(x.size()), x.data(), DType::kBF16, y);
}

StatusOr<std::vector<float>> Widened(Ops* ops, int64_t n, const uint16_t* x) {
  std::vector<float> wide(std::max<int64_t>(n, 0));
  SWAGE_RETURN_IF_ERROR(ops->CastToF32(n, x, DType::kBF16, wide.data()));
  return wide;
}

}  // namespace

Status RefNarrow::RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                          uint16_t* y) {
  std::vector<float> wide(std::max<int64_t>(rows * h, 0));
  SWAGE_RETURN_IF_ERROR(ops_->RmsNorm(rows, h, x, weight, eps, wide.data()));
  return Cast(ops_, wide, y);
}

Status RefNarrow::SwiGlu(int64_t n, const float* gate, const float* up, uint16_t* y) {
  std::vector<float> wide(std::max<int64_t>(n, 0));
  SWAGE_RETURN_IF_ERROR(ops_->SwiGlu(n, gate, up, wide.data()));
  return Cast(ops_, wide, y);
}

Status RefNarrow::SwiGlu(int64_t n, const uint16_t* gate, const uint16_t* up, uint16_t* y) {
  SWAGE_ASSIGN_OR_RETURN(const std::vector<float> wide_gate, Widened(ops_, n, gate));
  SWAGE_ASSIGN_OR_RETURN(const std::vector<float> wide_up, Widened(ops_, n, up));
  return SwiGlu(n, wide_gate.data(), wide_up.data(), y);
}

Status RefNarrow::SwiGluBackward(int64_t n, const uint16_t* gate, const uint16_t* up,
                                 const float* dy, uint16_t* dgate, uint16_t* dup) {
  SWAGE_ASSIGN_OR_RETURN(std::vector<float> wide_gate, Widened(ops_, n, gate));
  SWAGE_ASSIGN_OR_RETURN(std::vector<float> wide_up, Widened(ops_, n, up));
  std::vector<float> d_gate(wide_gate.size()), d_up(wide_up.size());
  SWAGE_RETURN_IF_ERROR(ops_->train().SwiGluBackward(n, wide_gate.data(), wide_up.data(), dy,
                                                     d_gate.data(), d_up.data()));
  SWAGE_RETURN_IF_ERROR(Cast(ops_, d_gate, dgate));
  return Cast(ops_, d_up, dup);
}

Status RefNarrow::CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                                       const int32_t* target, float scale, float* nll,
                                       uint16_t* dlogits) {
  std::vector<int32_t> known(target, target + rows);
  for (int32_t& id : known) id = std::max(id, 0);
  SWAGE_RETURN_IF_ERROR(ops_->CrossEntropy(rows, vocab, logits, known.data(), nll));
  for (int64_t r = 0; r < rows; ++r) nll[r] = target[r] < 0 ? 0.0f : nll[r];
  std::vector<float> wide(rows * vocab);
  SWAGE_RETURN_IF_ERROR(
      ops_->train().CrossEntropyBackward(rows, vocab, logits, target, scale, wide.data()));
  return Cast(ops_, wide, dlogits);
}

}  // namespace swage
