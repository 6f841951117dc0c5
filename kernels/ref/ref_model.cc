// The decoder's ops: products, norms, attention, losses.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/numeric/half.h"
#include "kernels/ref/ops_ref.h"

namespace swage {
namespace {

float Load(const void* x, DType type, int64_t i) {
  if (type == DType::kBF16) return FloatOfBf16(static_cast<const uint16_t*>(x)[i]);
  return static_cast<const float*>(x)[i];
}

void Store(void* y, DType type, int64_t i, double value) {
  const float rounded = static_cast<float>(value);
  if (type == DType::kBF16) {
    static_cast<uint16_t*>(y)[i] = Bf16Of(rounded);
  } else {
    static_cast<float*>(y)[i] = rounded;
  }
}

double LogSumExp(const float* x, int64_t n) {
  const double max = *std::max_element(x, x + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - max);
  return max + std::log(sum);
}

// One query row of one head, against the keys that it sees: those up to its own position.
void AttendRow(const AttentionArgs& args, int64_t window, int64_t position, int64_t head,
               std::vector<double>* weights, std::vector<double>* sum) {
  const int64_t q_width = args.heads * args.head_dim, kv_width = args.kv_heads * args.head_dim;
  const int64_t kv_at = head / (args.heads / args.kv_heads) * args.head_dim;
  const int64_t row = window * args.tokens + position;
  const float* q = args.q + row * q_width + head * args.head_dim;
  double max = -INFINITY;
  const int64_t first = args.window == 0 ? 0 : std::max<int64_t>(0, position - args.window + 1);
  for (int64_t t = first; t <= position; ++t) {
    const float* k = args.k + (window * args.tokens + t) * kv_width + kv_at;
    double dot = 0;
    for (int64_t d = 0; d < args.head_dim; ++d) dot += static_cast<double>(q[d]) * k[d];
    dot *= args.scale;
    if (args.softcap > 0) dot = args.softcap * std::tanh(dot / args.softcap);
    (*weights)[t] = dot;
    max = std::max(max, (*weights)[t]);
  }
  double total = 0;
  std::fill(sum->begin(), sum->end(), 0.0);
  for (int64_t t = first; t <= position; ++t) {
    const double weight = std::exp((*weights)[t] - max);
    const float* v = args.v + (window * args.tokens + t) * kv_width + kv_at;
    total += weight;
    for (int64_t d = 0; d < args.head_dim; ++d) (*sum)[d] += weight * v[d];
  }
  float* out = args.out + row * q_width + head * args.head_dim;
  for (int64_t d = 0; d < args.head_dim; ++d) out[d] = static_cast<float>((*sum)[d] / total);
  if (args.logsumexp != nullptr) {
    args.logsumexp[row * args.heads + head] = static_cast<float>(max + std::log(total));
  }
}

}  // namespace

Status RefOps::Gemm(const GemmArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckGemm(args));
  for (int64_t i = 0; i < args.m; ++i) {
    for (int64_t j = 0; j < args.n; ++j) {
      double sum = args.bias == nullptr ? 0.0 : args.bias[j];
      if (args.accumulate) sum += Load(args.c, args.c_type, i * args.n + j);
      const bool a_down = args.layout == GemmLayout::kTN, b_across = args.layout == GemmLayout::kNT;
      for (int64_t l = 0; l < args.k; ++l) {
        sum += static_cast<double>(Load(args.a, args.a_type, a_down ? l * args.m + i : i * args.k + l)) *
               Load(args.b, args.b_type, b_across ? j * args.k + l : l * args.n + j);
      }
      Store(args.c, args.c_type, i * args.n + j, sum);
    }
  }
  return Status();
}

Status RefOps::RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                       float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("rms norm", rows, h));
  for (int64_t r = 0; r < rows; ++r) {
    const float* in = x + r * h;
    double sum = 0;
    for (int64_t i = 0; i < h; ++i) sum += static_cast<double>(in[i]) * in[i];
    const double factor = 1.0 / std::sqrt(sum / static_cast<double>(h) + eps);
    for (int64_t i = 0; i < h; ++i) y[r * h + i] = static_cast<float>(in[i] * factor * weight[i]);
  }
  return Status();
}

Status RefOps::Rope(const RopeArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckRope(args));
  const int64_t half = (args.rotary == 0 ? args.head_dim : args.rotary) / 2;
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t i = 0; i < half; ++i) {
      // The angle is an f32 product and cosine and sine are rounded to f32, as the models were
      // trained with.
      const float angle = static_cast<float>(args.first + r % args.tokens) * args.inv_freq[i];
      const float cosine =
          static_cast<float>(std::cos(static_cast<double>(angle))) * args.scale;
      const float forward =
          static_cast<float>(std::sin(static_cast<double>(angle))) * args.scale;
      const float sine = args.inverse ? -forward : forward;
      for (int64_t head = 0; head < args.heads; ++head) {
        float* low = args.x + (r * args.heads + head) * args.head_dim + i;
        float* high = low + half;
        const double a = *low, b = *high;
        *low = static_cast<float>(a * cosine - b * sine);
        *high = static_cast<float>(b * cosine + a * sine);
      }
    }
  }
  return Status();
}

Status RefOps::Attention(const AttentionArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckAttention(args));
  std::vector<double> weights(args.tokens), sum(args.head_dim);
  for (int64_t window = 0; window < args.windows; ++window) {
    for (int64_t position = 0; position < args.tokens; ++position) {
      for (int64_t head = 0; head < args.heads; ++head) {
        AttendRow(args, window, position, head, &weights, &sum);
      }
    }
  }
  return Status();
}

Status RefOps::SwiGlu(int64_t n, const float* gate, const float* up, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("swiglu", n, 1));
  for (int64_t i = 0; i < n; ++i) {
    const double g = gate[i];
    y[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up[i]);
  }
  return Status();
}

Status RefOps::Add(int64_t n, const float* x, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("add", n, 1));
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
  return Status();
}

Status RefOps::Embed(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids, const void* table,
                     DType type, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckEmbed(rows, h, vocab, ids, type));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < h; ++i) y[r * h + i] = Load(table, type, ids[r] * h + i);
  }
  return Status();
}

Status RefOps::CrossEntropy(int64_t rows, int64_t vocab, const float* logits, const int32_t* target,
                            float* nll) {
  SWAGE_RETURN_IF_ERROR(CheckLogits("cross entropy", rows, vocab));
  SWAGE_RETURN_IF_ERROR(CheckIndices("cross entropy", rows, target, vocab));
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = logits + r * vocab;
    nll[r] = static_cast<float>(LogSumExp(row, vocab) - row[target[r]]);
  }
  return Status();
}

Status RefOps::CompareLogits(int64_t rows, int64_t vocab, const float* reference,
                             const float* logits, float* kl, uint8_t* same_top1) {
  SWAGE_RETURN_IF_ERROR(CheckLogits("compare logits", rows, vocab));
  for (int64_t r = 0; r < rows; ++r) {
    const float *p = reference + r * vocab, *q = logits + r * vocab;
    const double p_norm = LogSumExp(p, vocab), q_norm = LogSumExp(q, vocab);
    double sum = 0;
    for (int64_t i = 0; i < vocab; ++i) {
      const double log_p = p[i] - p_norm;
      sum += std::exp(log_p) * (log_p - (q[i] - q_norm));
    }
    kl[r] = static_cast<float>(sum);
    same_top1[r] = std::max_element(p, p + vocab) - p == std::max_element(q, q + vocab) - q;
  }
  return Status();
}

std::unique_ptr<Ops> NewRefOps() { return std::make_unique<RefOps>(); }

}  // namespace swage
