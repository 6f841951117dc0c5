// Gradients and the optimizer, cut among threads so that results do not depend on their number.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/cpu/attention_bf16.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_families.h"

namespace swage::cpu {
namespace {

// Elements whose sum is one addend, whatever the number of threads.
constexpr int64_t kNormChunk = 1 << 14;

int64_t PaddedTo(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// Keys and values of one window and key-value head as the gradient reads them, in one piece.
struct HeadLayout {
  explicit HeadLayout(const AttentionArgs& f)
      : width(PaddedTo(f.head_dim, kLanePad)),
        key_stride(PaddedTo(f.tokens, kKeyBlock)),
        down(f.head_dim * key_stride),
        size(2 * down + key_stride * width) {}
  // keys_down, values_down, keys: see HeadGradient.
  int64_t width, key_stride, down, size;
};

void PackHead(const AttentionArgs& f, const HeadLayout& layout, int64_t item, float* to) {
  std::fill(to, to + layout.size, 0.0f);
  const int64_t kv_width = f.kv_heads * f.head_dim;
  const int64_t first = item / f.kv_heads * f.tokens * kv_width + item % f.kv_heads * f.head_dim;
  for (int64_t t = 0; t < f.tokens; ++t) {
    const float *k = f.k + first + t * kv_width, *v = f.v + first + t * kv_width;
    float* down = to + t / kKeyBlock * kKeyBlock * f.head_dim + t % kKeyBlock;
    for (int64_t d = 0; d < f.head_dim; ++d) {
      down[d * kKeyBlock] = k[d];
      down[layout.down + d * kKeyBlock] = v[d];
    }
    std::copy_n(k, f.head_dim, to + 2 * layout.down + t * layout.width);
  }
}

// The same in bf16 (attention_bf16.h): keys down, values down, keys along.
void PackPairs(const AttentionArgs& f, const HeadLayout& layout, int64_t item, uint32_t* to) {
  const int64_t stride = f.kv_heads * f.head_dim;
  const int64_t first = item / f.kv_heads * f.tokens * stride + item % f.kv_heads * f.head_dim;
  PackPairsDown(f.tokens, f.head_dim, f.k + first, stride, to);
  PackPairsDown(f.tokens, f.head_dim, f.v + first, stride, to + layout.down / 2);
  PackPairsAlong(f.tokens, f.head_dim, f.k + first, stride, to + layout.down);
}
PairHead PairsOf(const HeadLayout& layout, const uint32_t* pairs) {
  PairHead keys;
  keys.keys_down = pairs;
  keys.values_down = pairs + layout.down / 2;
  keys.keys_along = pairs + layout.down;
  return keys;
}

// Sum over the heads that share a key-value head, in their order, of rows of `parts`.
void AddHeads(const AttentionArgs& f, int64_t item, int64_t width, int64_t part_size,
              const std::vector<float>& parts, float* gradient) {
  const int64_t window = item / f.kv_heads, kv_head = item % f.kv_heads;
  const int64_t per_kv = f.heads / f.kv_heads, kv_width = f.kv_heads * f.head_dim;
  for (int64_t t = 0; t < f.tokens; ++t) {
    float* row = gradient + (window * f.tokens + t) * kv_width + kv_head * f.head_dim;
    for (int64_t g = 0; g < per_kv; ++g) {
      const float* part =
          &parts[(window * f.heads + kv_head * per_kv + g) * part_size + t * width];
      for (int64_t d = 0; d < f.head_dim; ++d) row[d] = g == 0 ? part[d] : row[d] + part[d];
    }
  }
}

}  // namespace

Status CpuTrain::RmsNormBackward(int64_t rows, int64_t h, const float* x, const float* weight,
                                 float eps, const float* dy, float* dx, float* dweight) {
  SWAGE_RETURN_IF_ERROR(CheckSize("rms norm backward", rows, h));
  std::vector<NormTerms> terms(rows);
  std::vector<float> factors(rows);
  ParallelFor(threads_, rows, RowGrain(h), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      terms[r] = RmsNormTerms(h, x + r * h, weight, eps, dy + r * h);
      factors[r] = terms[r].factor;
    }
  });
  std::vector<double> sums(h, 0.0);
  const int64_t grain = std::max<int64_t>(32, RowGrain(rows) / 32 * 32);
  ParallelFor(threads_, h, grain, [&](int64_t begin, int64_t end) {
    WeightGradientRun(rows, h, begin, end, x, dy, factors.data(), sums.data());
    for (int64_t i = begin; i < end; ++i) dweight[i] = static_cast<float>(dweight[i] + sums[i]);
  });
  ParallelFor(threads_, rows, RowGrain(h), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      RmsNormBackwardRow(h, x + r * h, weight, terms[r], dy + r * h, dx + r * h);
    }
  });
  return Status();
}

Status CpuTrain::SwiGluBackward(int64_t n, const float* gate, const float* up, const float* dy,
                                float* dgate, float* dup) {
  SWAGE_RETURN_IF_ERROR(CheckSize("swiglu backward", n, 1));
  ParallelFor(threads_, n, kElementGrain, [&](int64_t begin, int64_t end) {
    SwiGluBackwardRun(end - begin, gate + begin, up + begin, dy + begin, dgate + begin,
                      dup + begin);
  });
  return Status();
}

Status CpuTrain::CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                                      const int32_t* target, float scale, float* dlogits) {
  SWAGE_RETURN_IF_ERROR(CheckLogits("cross entropy backward", rows, vocab));
  SWAGE_RETURN_IF_ERROR(CheckTargets(rows, target, vocab));
  ParallelFor(threads_, rows, RowGrain(vocab), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* out = dlogits + r * vocab;
      if (target[r] < 0) {
        std::fill(out, out + vocab, 0.0f);
        continue;
      }
      const SoftmaxNorm norm = SoftmaxNormOf(vocab, logits + r * vocab);
      // The sum goes into the scale: added to the maximum it would lose digits.
      const double share = scale * std::exp(-norm.log_sum);
      SoftmaxRow(vocab, norm.max, static_cast<float>(share), logits + r * vocab, out);
      out[target[r]] -= scale;
    }
  });
  return Status();
}

Status CpuTrain::AttentionBackward(const AttentionGradArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckAttentionBackward(args));
  const AttentionArgs& f = *args.forward;
  if (f.windows == 0 || f.tokens == 0) return Status();
  const int64_t kv_items = f.windows * f.kv_heads, per_kv = f.heads / f.kv_heads;
  const HeadLayout layout(f);
  const int64_t width = layout.width, part_size = layout.key_stride * width;
  const bool narrow = f.narrow && AttentionRunsBf16(f.head_dim);
  packed_.resize(narrow ? 0 : kv_items * layout.size);
  pairs_.resize(narrow ? kv_items * 3 * layout.down / 2 : 0);
  dk_.resize(f.windows * f.heads * part_size);
  dv_.resize(f.windows * f.heads * part_size);
  ParallelForEach(threads_, kv_items, [&](int64_t i) {
    if (narrow) {
      PackPairs(f, layout, i, &pairs_[i * 3 * layout.down / 2]);
    } else {
      PackHead(f, layout, i, &packed_[i * layout.size]);
    }
  });
  ParallelForEach(threads_, f.windows * f.heads, [&](int64_t item) {
    const int64_t window = item / f.heads, head = item % f.heads;
    const int64_t kv_item = window * f.kv_heads + head / per_kv;
    const int64_t q_width = f.heads * f.head_dim;
    const int64_t at = window * f.tokens * q_width + head * f.head_dim;
    thread_local std::vector<float> scratch;
    HeadGradient gradient;
    gradient.tokens = f.tokens;
    gradient.head_dim = f.head_dim;
    gradient.scale = f.scale;
    gradient.window = f.window == 0 ? f.tokens : f.window;
    gradient.softcap = f.softcap;
    gradient.q = f.q + at;
    gradient.out = f.out + at;
    gradient.d_out = args.d_out + at;
    gradient.dq = args.dq + at;
    gradient.stride = q_width;
    gradient.logsumexp = f.logsumexp + window * f.tokens * f.heads + head;
    gradient.logsumexp_stride = f.heads;
    gradient.dk = &dk_[item * part_size];
    gradient.dv = &dv_[item * part_size];
    std::fill_n(gradient.dk, part_size, 0.0f);
    std::fill_n(gradient.dv, part_size, 0.0f);
    gradient.width = width;
    if (narrow) {
      scratch.resize(AttendBackwardPairsScratchFloats(f.head_dim));
      AttendBackwardPairs(gradient, PairsOf(layout, &pairs_[kv_item * 3 * layout.down / 2]),
                          scratch.data());
      return;
    }
    const float* kv = &packed_[kv_item * layout.size];
    gradient.keys_down = kv;
    gradient.values_down = kv + layout.down;
    gradient.keys = kv + 2 * layout.down;
    scratch.resize(AttendBackwardScratchFloats(width));
    AttendBackward(gradient, scratch.data());
  });
  ParallelForEach(threads_, kv_items, [&](int64_t item) {
    AddHeads(f, item, width, part_size, dk_, args.dk);
    AddHeads(f, item, width, part_size, dv_, args.dv);
  });
  return Status();
}

Status CpuTrain::EmbedBackward(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids,
                               const float* dy, float* dtable) {
  SWAGE_RETURN_IF_ERROR(CheckEmbed(rows, h, vocab, ids, DType::kF32));
  // Rows of the table are met in any order, so that threads take columns.
  ParallelFor(threads_, h, std::max<int64_t>(32, RowGrain(rows) / 32 * 32),
              [&](int64_t begin, int64_t end) {
                for (int64_t r = 0; r < rows; ++r) {
                  AddRun(end - begin, dy + r * h + begin, dtable + ids[r] * h + begin);
                }
              });
  return Status();
}

Status CpuTrain::AdamW(const AdamWArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckAdamW(args));
  const AdamWFactors factors = FactorsOf(args);
  ParallelFor(threads_, args.n, kElementGrain, [&](int64_t begin, int64_t end) {
    constexpr int64_t kPiece = 4096;  // rounded to bf16 while it is in the cache
    for (int64_t at = begin; at < end; at += kPiece) {
      const int64_t n = std::min(kPiece, end - at);
      AdamWRun(n, factors, args.eps, args.gradient_scale, args.gradient + at, args.w + at, args.m + at, args.v + at);
      if (args.w_bf16 == nullptr) continue;
      if (args.stochastic) {
        StochasticBf16Run(n, args.w + at, args.key, at, args.w_bf16 + at);
      } else {
        F32ToBf16(n, args.w + at, args.w_bf16 + at);
      }
    }
  });
  return Status();
}

StatusOr<double> CpuTrain::SquaredNorm(int64_t n, const float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("norm", n, 1));
  std::vector<double> chunks((n + kNormChunk - 1) / kNormChunk);
  ParallelFor(threads_, static_cast<int64_t>(chunks.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      chunks[i] = SquaresRun(std::min(kNormChunk, n - i * kNormChunk), x + i * kNormChunk);
    }
  });
  double sum = 0;
  for (const double chunk : chunks) sum += chunk;
  return sum;
}

}  // namespace swage::cpu
