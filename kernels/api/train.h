// Reverse mode and the optimizer. Part of Ops (kernels/api/ops.h), whose rules hold. A name that
// begins with d is the gradient of the loss by what follows; "+=" marks gradients that are added to.
// The backward of a product is two products: Gemm with layout kNN (dX = dY W) and kTN with
// accumulate (dW += dY^T X).
#pragma once

#include <cstdint>

#include "base/status.h"
#include "kernels/api/layer_args.h"
#include "kernels/numeric/philox.h"

namespace swage {

// Of AttentionArgs' forward, which saved `logsumexp`. The weights are computed anew, tile by tile
// (FlashAttention-2, arXiv 2307.08691): no T x T matrix is in memory.
struct AttentionGradArgs {
  const AttentionArgs* forward = nullptr;  // q, k, v, out and logsumexp as after the forward
  const float* d_out = nullptr;            // as out
  float* dq = nullptr;                     // as q
  float* dk = nullptr;                     // as k
  float* dv = nullptr;
};

// dx, dweight += and dbias += of LayerNorm; weight, dweight and dbias may be null. dx may be dy.
struct LayerNormGradArgs {
  int64_t rows = 0, h = 0;
  const float* x = nullptr;
  const float* weight = nullptr;
  float eps = 0;
  const float* dy = nullptr;
  float* dx = nullptr;
  float* dweight = nullptr;
  float* dbias = nullptr;
};

// Of RouteTopK: the choice itself has no gradient.
struct RouteGradArgs {
  const RouteArgs* forward = nullptr;  // logits and chosen as after the forward
  const float* d_weights = nullptr;    // [rows, k]
  float* d_logits = nullptr;           // [rows, experts]
};

// Of ScatterAddRows: dx[r] = factor[r] * dy[index[r]], dfactor[r] = x[r] . dy[index[r]].
struct ScatterGradArgs {
  int64_t rows = 0, width = 0, target = 0;
  const int32_t* index = nullptr;
  const float* factor = nullptr;
  const float* x = nullptr;   // [rows, width]
  const float* dy = nullptr;  // [target, width]
  float* dx = nullptr;
  float* dfactor = nullptr;
};

// AdamW (arXiv 1711.05101) on n elements, as torch.optim.AdamW:
// w -= lr * decay * w; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
// w -= lr * (m / (1-b1^step)) / (sqrt(v / (1-b2^step)) + eps), with g = gradient_scale * gradient.
struct AdamWArgs {
  int64_t n = 0;
  float* w = nullptr;  // master weights
  const float* gradient = nullptr;
  float* m = nullptr;
  float* v = nullptr;
  float lr = 1e-3f, beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f, decay = 0;
  int64_t step = 1;            // from 1
  float gradient_scale = 1;    // ClipFactor, 1 / batches
  uint16_t* w_bf16 = nullptr;  // not null: receives the new weights in bf16
  bool stochastic = false;     // rounded stochastically, keyed by `key`; else to nearest
  RandomKey key;
};

// What gradients of this norm are multiplied by, so that it is at most max_norm (torch's
// clip_grad_norm_).
inline float ClipFactor(double norm, double max_norm) {
  return norm > max_norm ? static_cast<float>(max_norm / (norm + 1e-6)) : 1.0f;
}

// The constants of one step, made in double: what implementations in f32 multiply by.
struct AdamWFactors {
  float kept = 1;  // 1 - lr * decay
  float beta1 = 0, one_minus_beta1 = 1, beta2 = 0, one_minus_beta2 = 1;
  float rate = 0;             // lr / (1 - beta1^step)
  float root_correction = 1;  // 1 / (1 - beta2^step)
};
AdamWFactors FactorsOf(const AdamWArgs& args);

class TrainOps {
 public:
  virtual ~TrainOps() = default;
  // dx and dweight += of RmsNorm. dx may be dy.
  virtual Status RmsNormBackward(int64_t rows, int64_t h, const float* x, const float* weight,
                                 float eps, const float* dy, float* dx, float* dweight);
  // dgate and dup may be dy.
  virtual Status SwiGluBackward(int64_t n, const float* gate, const float* up, const float* dy,
                                float* dgate, float* dup);
  // dlogits[r] = scale * (softmax(logits[r]) - onehot(target[r])); rows of target -1 (padding) get
  // zeros. dlogits may be logits.
  virtual Status CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                                      const int32_t* target, float scale, float* dlogits);
  virtual Status AttentionBackward(const AttentionGradArgs& args);
  // dtable[ids[r]] += dy[r], in the order of the rows.
  virtual Status EmbedBackward(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids,
                               const float* dy, float* dtable);
  virtual Status LayerNormBackward(const LayerNormGradArgs& args);
  // Of y = kind(x) * up, or of kind(x) when up and dup are null. dx and dup may be dy.
  virtual Status ActivateBackward(Activation kind, int64_t n, const float* x, const float* up,
                                  const float* dy, float* dx, float* dup);
  // y as it left SoftCap; dy is in place.
  virtual Status SoftCapBackward(int64_t n, float cap, const float* y, float* dy);
  virtual Status RouteBackward(const RouteGradArgs& args);
  virtual Status ScatterRowsBackward(const ScatterGradArgs& args);
  virtual Status AdamW(const AdamWArgs& args);
  // Sum of squares in double, the same for any number of threads.
  virtual StatusOr<double> SquaredNorm(int64_t n, const float* x);
};

}  // namespace swage
