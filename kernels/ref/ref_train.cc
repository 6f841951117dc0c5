// Gradients and the optimizer.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/numeric/half.h"
#include "kernels/ref/families_ref.h"

namespace swage {
namespace {

// Gradients of one head, in double, and where its rows lie.
struct Head {
  const AttentionArgs& f;
  int64_t window, head;
  int64_t q_width = f.heads * f.head_dim, kv_width = f.kv_heads * f.head_dim;
  int64_t kv_head = head / (f.heads / f.kv_heads);
  int64_t QAt(int64_t t) const {
    return (window * f.tokens + t) * q_width + head * f.head_dim;
  }
  int64_t KvAt(int64_t t) const {
    return (window * f.tokens + t) * kv_width + kv_head * f.head_dim;
  }
  double Dot(const float* a, const float* b) const {
    double sum = 0;
    for (int64_t d = 0; d < f.head_dim; ++d) sum += static_cast<double>(a[d]) * b[d];
    return sum;
  }
};

struct Gradients {
  std::vector<double> dq, dk, dv;
};

void AddRow(int64_t n, double factor, const float* x, double* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

void HeadBackward(const AttentionGradArgs& args, const Head& head, Gradients* out) {
  const AttentionArgs& f = head.f;
  for (int64_t t = 0; t < f.tokens; ++t) {
    const int64_t q_at = head.QAt(t);
    const double norm = f.logsumexp[(head.window * f.tokens + t) * f.heads + head.head];
    const double delta = head.Dot(args.d_out + q_at, f.out + q_at);
    const int64_t first = f.window == 0 ? 0 : std::max<int64_t>(0, t - f.window + 1);
    for (int64_t s = first; s <= t; ++s) {
      const int64_t kv_at = head.KvAt(s);
      double score = head.Dot(f.q + q_at, f.k + kv_at) * f.scale, slope = 1;
      if (f.softcap > 0) {
        const double bent = std::tanh(score / f.softcap);
        score = f.softcap * bent;
        slope = 1 - bent * bent;
      }
      const double weight = std::exp(score - norm);
      const double d_weight = head.Dot(args.d_out + q_at, f.v + kv_at);
      const double d_score = weight * (d_weight - delta) * slope * f.scale;
      AddRow(f.head_dim, d_score, f.k + kv_at, &out->dq[q_at]);
      AddRow(f.head_dim, d_score, f.q + q_at, &out->dk[kv_at]);
      AddRow(f.head_dim, weight, args.d_out + q_at, &out->dv[kv_at]);
    }
  }
}

}  // namespace

Status RefTrain::RmsNormBackward(int64_t rows, int64_t h, const float* x, const float* weight,
                                 float eps, const float* dy, float* dx, float* dweight) {
  SWAGE_RETURN_IF_ERROR(CheckSize("rms norm backward", rows, h));
  std::vector<double> sums(h, 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    const float *in = x + r * h, *g = dy + r * h;
    double square = 0, along = 0;
    for (int64_t i = 0; i < h; ++i) {
      square += static_cast<double>(in[i]) * in[i];
      along += static_cast<double>(g[i]) * weight[i] * in[i];
    }
    const double factor = 1.0 / std::sqrt(square / static_cast<double>(h) + eps);
    const double back = along * factor * factor * factor / static_cast<double>(h);
    for (int64_t i = 0; i < h; ++i) {
      sums[i] += g[i] * (in[i] * factor);
      dx[r * h + i] =
          static_cast<float>(static_cast<double>(g[i]) * weight[i] * factor - in[i] * back);
    }
  }
  for (int64_t i = 0; i < h; ++i) dweight[i] = static_cast<float>(dweight[i] + sums[i]);
  return Status();
}

Status RefTrain::SwiGluBackward(int64_t n, const float* gate, const float* up, const float* dy,
                                float* dgate, float* dup) {
  SWAGE_RETURN_IF_ERROR(CheckSize("swiglu backward", n, 1));
  for (int64_t i = 0; i < n; ++i) {
    const double g = gate[i], d = dy[i], sigmoid = 1 / (1 + std::exp(-g));
    dgate[i] = static_cast<float>(d * up[i] * sigmoid * (1 + g * (1 - sigmoid)));
    dup[i] = static_cast<float>(d * g * sigmoid);
  }
  return Status();
}

Status RefTrain::CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                                      const int32_t* target, float scale, float* dlogits) {
  SWAGE_RETURN_IF_ERROR(CheckLogits("cross entropy backward", rows, vocab));
  SWAGE_RETURN_IF_ERROR(CheckTargets(rows, target, vocab));
  for (int64_t r = 0; r < rows; ++r) {
    const float* in = logits + r * vocab;
    float* out = dlogits + r * vocab;
    if (target[r] < 0) {
      std::fill(out, out + vocab, 0.0f);
      continue;
    }
    const double max = *std::max_element(in, in + vocab);
    double sum = 0;
    for (int64_t i = 0; i < vocab; ++i) sum += std::exp(in[i] - max);
    for (int64_t i = 0; i < vocab; ++i) {
      const double p = std::exp(in[i] - max) / sum;
      out[i] = static_cast<float>(scale * (p - (i == target[r] ? 1.0 : 0.0)));
    }
  }
  return Status();
}

Status RefTrain::AttentionBackward(const AttentionGradArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckAttentionBackward(args));
  const AttentionArgs& f = *args.forward;
  const int64_t rows = f.windows * f.tokens;
  const int64_t q_size = rows * f.heads * f.head_dim, kv_size = rows * f.kv_heads * f.head_dim;
  Gradients sums{std::vector<double>(q_size), std::vector<double>(kv_size),
                 std::vector<double>(kv_size)};
  for (int64_t window = 0; window < f.windows; ++window) {
    for (int64_t head = 0; head < f.heads; ++head) HeadBackward(args, {f, window, head}, &sums);
  }
  std::copy(sums.dq.begin(), sums.dq.end(), args.dq);
  std::copy(sums.dk.begin(), sums.dk.end(), args.dk);
  std::copy(sums.dv.begin(), sums.dv.end(), args.dv);
  return Status();
}

Status RefTrain::EmbedBackward(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids,
                               const float* dy, float* dtable) {
  SWAGE_RETURN_IF_ERROR(CheckEmbed(rows, h, vocab, ids, DType::kF32));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < h; ++i) dtable[ids[r] * h + i] += dy[r * h + i];
  }
  return Status();
}

Status RefTrain::AdamW(const AdamWArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckAdamW(args));
  const double b1 = args.beta1, b2 = args.beta2;
  const double correct1 = 1 - std::pow(b1, static_cast<double>(args.step));
  const double correct2 = 1 - std::pow(b2, static_cast<double>(args.step));
  for (int64_t i = 0; i < args.n; ++i) {
    const double g = static_cast<double>(args.gradient_scale) * args.gradient[i];
    const double m = b1 * args.m[i] + (1 - b1) * g, v = b2 * args.v[i] + (1 - b2) * g * g;
    const double kept = args.w[i] * (1 - static_cast<double>(args.lr) * args.decay);
    args.m[i] = static_cast<float>(m);
    args.v[i] = static_cast<float>(v);
    args.w[i] = static_cast<float>(
        kept - args.lr * (m / correct1) / (std::sqrt(v / correct2) + args.eps));
    if (args.w_bf16 == nullptr) continue;
    args.w_bf16[i] = args.stochastic ? StochasticBf16Of(args.w[i], RandomWord(args.key, i))
                                     : Bf16Of(args.w[i]);
  }
  return Status();
}

StatusOr<double> RefTrain::SquaredNorm(int64_t n, const float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("norm", n, 1));
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  return sum;
}

}  // namespace swage
