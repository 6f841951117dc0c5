// Fused ops whose results are bf16, cut among threads as their f32 forms are.
#include <algorithm>
#include <cmath>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_families.h"

namespace swage::cpu {

Status CpuNarrow::RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                          uint16_t* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("rms norm", rows, h));
  ParallelFor(threads_, rows, RowGrain(h), [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> row;
    row.resize(h);
    for (int64_t r = begin; r < end; ++r) {
      RmsNormRow(h, x + r * h, weight, eps, row.data());
      F32ToBf16(h, row.data(), y + r * h);
    }
  });
  return Status();
}

Status CpuNarrow::SwiGlu(int64_t n, const float* gate, const float* up, uint16_t* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("swiglu", n, 1));
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    SwiGluNarrowRun(end - begin, gate + begin, up + begin, y + begin);
  });
  return Status();
}

Status CpuNarrow::SwiGlu(int64_t n, const uint16_t* gate, const uint16_t* up, uint16_t* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("swiglu", n, 1));
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    SwiGluNarrowRun(end - begin, gate + begin, up + begin, y + begin);
  });
  return Status();
}

Status CpuNarrow::SwiGluBackward(int64_t n, const uint16_t* gate, const uint16_t* up,
                                 const float* dy, uint16_t* dgate, uint16_t* dup) {
  SWAGE_RETURN_IF_ERROR(CheckSize("swiglu backward", n, 1));
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    SwiGluBackwardNarrowRun(end - begin, gate + begin, up + begin, dy + begin, dgate + begin,
                            dup + begin);
  });
  return Status();
}

Status CpuNarrow::CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                                       const int32_t* target, float scale, float* nll,
                                       uint16_t* dlogits) {
  SWAGE_RETURN_IF_ERROR(CheckLogits("cross entropy backward", rows, vocab));
  SWAGE_RETURN_IF_ERROR(CheckTargets(rows, target, vocab));
  ParallelFor(threads_, rows, RowGrain(vocab), [&](int64_t begin, int64_t end) {
    thread_local std::vector<float> row;
    row.resize(vocab);
    for (int64_t r = begin; r < end; ++r) {
      uint16_t* out = dlogits + r * vocab;
      nll[r] = 0;
      if (target[r] < 0) {
        std::fill(out, out + vocab, uint16_t{0});
        continue;
      }
      const float* x = logits + r * vocab;
      const SoftmaxNorm norm = SoftmaxNormOf(vocab, x);
      nll[r] = static_cast<float>(norm.log_sum + (static_cast<double>(norm.max) - x[target[r]]));
      const double share = scale * std::exp(-norm.log_sum);
      SoftmaxRow(vocab, norm.max, static_cast<float>(share), x, row.data());
      row[target[r]] -= scale;
      F32ToBf16(vocab, row.data(), out);
    }
  });
  return Status();
}

}  // namespace swage::cpu
