// Arguments of the layers' ops (kernels/api/ops.h), apart from it so that CUDA sources can read them
// without Abseil.
#pragma once

#include <cstdint>

namespace swage {

// Causal; flash-style: no T x T matrix in memory.
struct AttentionArgs {
  int64_t windows = 0, tokens = 0;  // tokens per window; q is [windows*tokens, heads*head_dim]
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  float scale = 0;
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
  float* out = nullptr;
  float* logsumexp = nullptr;  // [windows*tokens, heads] when the backward will be wanted
  int64_t window = 0;  // a query sees this many tokens, itself the last of them; 0: all before it
  // Products may be of bf16 (sums and the softmax are f32) where that is faster; so may the gradient's.
  bool narrow = false;
  float softcap = 0;   // scores become softcap * tanh(scores / softcap); 0: they stay
};

struct RopeArgs {  // half-split ("rotate_half"), in place; position of row r is r % tokens
  int64_t rows = 0, tokens = 0, heads = 0, head_dim = 0;
  const float* inv_freq = nullptr;  // [rotary/2]
  float* x = nullptr;               // [rows, heads*head_dim]
  bool inverse = false;             // turns back: the gradient's way
  int64_t rotary = 0;               // channels at the start of a head that turn; 0: all of them
  float scale = 1;                  // of cosines and sines
  int64_t first = 0;                // added to the position
};

enum class Activation { kSilu, kGeluTanh, kGeluErf, kRelu, kSigmoid };

// Which experts each row takes: the k largest of a softmax over its logits, the first of equal ones
// first. `normalize`: divided by their sum, which is a softmax over the chosen alone.
struct RouteArgs {
  int64_t rows = 0, experts = 0, k = 0;
  const float* logits = nullptr;  // [rows, experts]
  bool normalize = false;
  int32_t* chosen = nullptr;  // [rows, k], the largest first
  float* weights = nullptr;   // [rows, k]
};

}  // namespace swage
