// Products, element-wise ops, casts and losses; quantization and attention have files of their own.
#include "kernels/cpu/ops_cpu.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "kernels/api/check.h"
#include "kernels/cpu/numerics_class.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"

namespace swage {
namespace {

// Elements whose sum is one addend, whatever the number of threads.
constexpr int64_t kErrorChunk = 1 << 14;

}  // namespace

CpuOps::CpuOps(int threads)
    : threads_(std::max(1, threads)),
      linalg_(threads_, &gemm_),
      random_(threads_),
      select_(threads_),
      statistics_(threads_),
      train_(threads_),
      narrow_(threads_) {}

std::string CpuOps::NumericsClass() const { return cpu::NumericsClassOf(threads_); }

Status CpuOps::Gemm(const GemmArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckGemm(args));
  omp_set_num_threads(threads_);  // oneDNN takes the calling thread's
  return gemm_.Run(args);
}

StatusOr<std::unique_ptr<PackedMatrix>> CpuOps::PackB(const GemmArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckGemm(args));
  omp_set_num_threads(threads_);
  return gemm_.PackB(args);
}

Status CpuOps::RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                       float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("rms norm", rows, h));
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(h), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) cpu::RmsNormRow(h, x + r * h, weight, eps, y + r * h);
  });
  return Status();
}

void CpuOps::PrepareRope(const RopeArgs& args) {
  const int64_t half = (args.rotary == 0 ? args.head_dim : args.rotary) / 2;
  const bool same = static_cast<int64_t>(rope_.inv_freq.size()) == half &&
                    rope_.scale == args.scale && rope_.first == args.first &&
                    std::equal(rope_.inv_freq.begin(), rope_.inv_freq.end(), args.inv_freq);
  if (same && rope_.tokens >= args.tokens) return;
  rope_.tokens = args.tokens;
  rope_.scale = args.scale;
  rope_.first = args.first;
  rope_.inv_freq.assign(args.inv_freq, args.inv_freq + half);
  rope_.cosine.resize(args.tokens * half);
  rope_.sine.resize(args.tokens * half);
  rope_.minus_sine.resize(args.tokens * half);
  cpu::ParallelFor(threads_, args.tokens, cpu::RowGrain(half * 16),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin * half; i < end * half; ++i) {
                       const float angle =
                           static_cast<float>(args.first + i / half) * rope_.inv_freq[i % half];
                       const double wide = static_cast<double>(angle);
                       rope_.cosine[i] = static_cast<float>(std::cos(wide)) * args.scale;
                       rope_.sine[i] = static_cast<float>(std::sin(wide)) * args.scale;
                       rope_.minus_sine[i] = -rope_.sine[i];
                     }
                   });
}

Status CpuOps::Rope(const RopeArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckRope(args));
  if (args.rows == 0 || args.heads == 0 || args.head_dim == 0) return Status();
  PrepareRope(args);
  const int64_t half = (args.rotary == 0 ? args.head_dim : args.rotary) / 2;
  const std::vector<float>& sine = args.inverse ? rope_.minus_sine : rope_.sine;
  cpu::ParallelFor(threads_, args.rows, cpu::RowGrain(args.heads * args.head_dim),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t r = begin; r < end; ++r) {
                       const int64_t at = r % args.tokens * half;
                       for (int64_t head = 0; head < args.heads; ++head) {
                         cpu::RopeHead(half, &rope_.cosine[at], &sine[at],
                                       args.x + (r * args.heads + head) * args.head_dim);
                       }
                     }
                   });
  return Status();
}

Status CpuOps::SwiGlu(int64_t n, const float* gate, const float* up, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("swiglu", n, 1));
  cpu::ParallelFor(threads_, n, cpu::kElementGrain, [&](int64_t begin, int64_t end) {
    cpu::SwiGluRun(end - begin, gate + begin, up + begin, y + begin);
  });
  return Status();
}

Status CpuOps::Add(int64_t n, const float* x, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("add", n, 1));
  cpu::ParallelFor(threads_, n, cpu::kElementGrain, [&](int64_t begin, int64_t end) {
    cpu::AddRun(end - begin, x + begin, y + begin);
  });
  return Status();
}

Status CpuOps::Embed(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids, const void* table,
                     DType type, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckEmbed(rows, h, vocab, ids, type));
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(h), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (type == DType::kBF16) {
        cpu::Bf16ToF32(h, static_cast<const uint16_t*>(table) + ids[r] * h, y + r * h);
      } else {
        std::copy_n(static_cast<const float*>(table) + ids[r] * h, h, y + r * h);
      }
    }
  });
  return Status();
}

Status CpuOps::CrossEntropy(int64_t rows, int64_t vocab, const float* logits, const int32_t* target,
                            float* nll) {
  SWAGE_RETURN_IF_ERROR(CheckLogits("cross entropy", rows, vocab));
  SWAGE_RETURN_IF_ERROR(CheckIndices("cross entropy", rows, target, vocab));
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(vocab), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = logits + r * vocab;
      const cpu::SoftmaxNorm norm = cpu::SoftmaxNormOf(vocab, row);
      nll[r] = static_cast<float>(norm.log_sum + (static_cast<double>(norm.max) - row[target[r]]));
    }
  });
  return Status();
}

Status CpuOps::CompareLogits(int64_t rows, int64_t vocab, const float* reference,
                             const float* logits, float* kl, uint8_t* same_top1) {
  SWAGE_RETURN_IF_ERROR(CheckLogits("compare logits", rows, vocab));
  cpu::ParallelFor(threads_, rows, cpu::RowGrain(vocab), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float *p = reference + r * vocab, *q = logits + r * vocab;
      const cpu::SoftmaxNorm p_norm = cpu::SoftmaxNormOf(vocab, p),
                             q_norm = cpu::SoftmaxNormOf(vocab, q);
      kl[r] = cpu::KlOf(vocab, p, p_norm, q, q_norm);
      // The first of equal logits counts as the largest.
      same_top1[r] =
          std::find(p, p + vocab, p_norm.max) - p == std::find(q, q + vocab, q_norm.max) - q;
    }
  });
  return Status();
}

Status CpuOps::ErrorSums(int64_t n, const float* a, const float* b, double* error2, double* norm2) {
  SWAGE_RETURN_IF_ERROR(CheckSize("error sums", n, 1));
  std::vector<cpu::SquareSums> chunks((n + kErrorChunk - 1) / kErrorChunk);
  cpu::ParallelFor(threads_, chunks.size(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t at = i * kErrorChunk;
      chunks[i] = cpu::ErrorSumsRun(std::min(kErrorChunk, n - at), a + at, b + at);
    }
  });
  *error2 = *norm2 = 0;
  for (const cpu::SquareSums& chunk : chunks) {
    *error2 += chunk.error;
    *norm2 += chunk.norm;
  }
  return Status();
}

Status CpuOps::CastToF32(int64_t n, const void* x, DType type, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("cast", n, 1));
  SWAGE_RETURN_IF_ERROR(CheckCast(type));
  cpu::ParallelFor(threads_, n, cpu::kElementGrain, [&](int64_t begin, int64_t end) {
    const int64_t count = end - begin;
    switch (type) {
      case DType::kF16:
        return cpu::F16ToF32(count, static_cast<const uint16_t*>(x) + begin, y + begin);
      case DType::kBF16:
        return cpu::Bf16ToF32(count, static_cast<const uint16_t*>(x) + begin, y + begin);
      case DType::kF8E4M3:
        return cpu::Fp8ToF32(count, static_cast<const uint8_t*>(x) + begin, y + begin);
      default:
        std::memcpy(y + begin, static_cast<const float*>(x) + begin, count * sizeof(float));
    }
  });
  return Status();
}

Status CpuOps::CastFromF32(int64_t n, const float* x, DType type, void* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("cast", n, 1));
  SWAGE_RETURN_IF_ERROR(CheckCast(type));
  cpu::ParallelFor(threads_, n, cpu::kElementGrain, [&](int64_t begin, int64_t end) {
    const int64_t count = end - begin;
    switch (type) {
      case DType::kF16:
        return cpu::F32ToF16(count, x + begin, static_cast<uint16_t*>(y) + begin);
      case DType::kBF16:
        return cpu::F32ToBf16(count, x + begin, static_cast<uint16_t*>(y) + begin);
      case DType::kF8E4M3:
        return cpu::F32ToFp8(count, x + begin, static_cast<uint8_t*>(y) + begin);
      default:
        std::memcpy(static_cast<float*>(y) + begin, x + begin, count * sizeof(float));
    }
  });
  return Status();
}

StatusOr<bool> CpuOps::AllFinite(int64_t n, const float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("all finite", n, 1));
  std::atomic<bool> finite = true;
  cpu::ParallelFor(threads_, n, cpu::kElementGrain, [&](int64_t begin, int64_t end) {
    if (!cpu::AllFiniteRun(end - begin, x + begin)) finite = false;
  });
  return finite.load();
}

std::unique_ptr<Ops> NewCpuOps(int threads) {
  return std::make_unique<CpuOps>(threads > 0 ? threads : omp_get_num_procs());
}

}  // namespace swage
