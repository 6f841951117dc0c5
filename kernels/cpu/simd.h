// The vector loops of the CPU implementation: one thread each, on a range that the caller chose
// (kernels/cpu/parallel.h). Built for several instruction sets by Highway and chosen at run time:
// AVX-512 and AVX2 on x86, NEON on Arm, and a slow portable fallback. Pointers need no alignment.
// Casts and formats give the same bits as kernels/numeric on every instruction set; sums and
// exponentials are within stated bounds (tests/unit/kernels).
#pragma once

#include <cstdint>
#include <string>

#include "kernels/numeric/number_codec.h"
#include "kernels/numeric/pack_stream.h"

namespace swage::cpu {

std::string SimdName();  // of the chosen instruction set: "avx3", "avx2", ...

// Casts (simd_cast.cc); all round to nearest even.
void Bf16ToF32(int64_t n, const uint16_t* x, float* y);
void F32ToBf16(int64_t n, const float* x, uint16_t* y);
void F16ToF32(int64_t n, const uint16_t* x, float* y);
void F32ToF16(int64_t n, const float* x, uint16_t* y);
void Fp8ToF32(int64_t n, const uint8_t* x, float* y);
void F32ToFp8(int64_t n, const float* x, uint8_t* y);

// Formats (simd_quantize.cc). Codebooks have codec.values and codec.middles set, with 16 values
// readable whatever their count; scales are effective scales, zeros as in ScaleZero.
struct MinMax {
  float min = 0, max = 0;  // zero is always inside
};
MinMax RangeOf(int64_t n, const float* x);
// Of groups that lie one after the other; mins null: maxs[g] = the largest magnitude.
void RangeGroups(int64_t groups, int64_t group, const float* w, float* mins, float* maxs);
void EncodeGroups(const NumberCodec& codec, int64_t groups, int64_t group, const float* w,
                  const float* scales, const float* zeros, int8_t* codes);
void DecodeGroups(const NumberCodec& codec, int64_t groups, int64_t group, const int8_t* codes,
                  const float* scales, const float* zeros, float* w);
// Encoded and decoded in place.
void FakeGroups(const NumberCodec& codec, int64_t groups, int64_t group, const float* scales,
                const float* zeros, float* x);
// Sums of |x| and of SquaredError, in the order of numeric/lane_sum.h. importance may be null.
float AbsSumOf(int64_t n, const float* x);
float ErrorSumOf(const NumberCodec& codec, int64_t n, const float* w, const float* importance,
                 float scale, float zero);

// One row of n codes to its packed bytes and back (simd_pack.cc).
void PackRow(CodePacking packing, int bits, int64_t n, const int8_t* codes, uint8_t* bytes);
void UnpackRow(CodePacking packing, int bits, int64_t n, const uint8_t* bytes, int8_t* codes);

// Element-wise and row-wise ops of the decoder (simd_block.cc).
void RmsNormRow(int64_t h, const float* x, const float* weight, float eps, float* y);
void SwiGluRun(int64_t n, const float* gate, const float* up, float* y);
void AddRun(int64_t n, const float* x, float* y);
void RopeHead(int64_t half, const float* cosine, const float* sine, float* x);  // x[2 * half]
struct SquareSums {
  double error = 0, norm = 0;
};
SquareSums ErrorSumsRun(int64_t n, const float* a, const float* b);
bool AllFiniteRun(int64_t n, const float* x);

// Layers of other architectures (simd_layers.cc). weight, bias and up may be null; y may be x.
void LayerNormRow(int64_t h, const float* x, const float* weight, const float* bias, float eps,
                  float* y);
void SiluRun(int64_t n, const float* x, const float* up, float* y);
void SigmoidRun(int64_t n, const float* x, const float* up, float* y);
void GeluTanhRun(int64_t n, const float* x, const float* up, float* y);
void ReluRun(int64_t n, const float* x, const float* up, float* y);
void SoftCapRun(int64_t n, float cap, float* x);
void ScaleRun(int64_t n, float factor, float* x);
void AddScaledRun(int64_t n, float factor, const float* x, float* y);  // y += factor * x

// Losses of one row of logits (simd_loss.cc).
struct SoftmaxNorm {
  float max = 0;
  double log_sum = 0;  // log(sum(exp(x - max)))
};
SoftmaxNorm SoftmaxNormOf(int64_t n, const float* x);
float KlOf(int64_t n, const float* p, const SoftmaxNorm& p_norm, const float* q,
           const SoftmaxNorm& q_norm);

// Attention (simd_attention.cc): some query rows of one head against all keys before them.
constexpr int64_t kQueryBlock = 32;
constexpr int64_t kKeyBlock = 64;
constexpr int64_t kLanePad = 16;
struct HeadKeys {            // one window and key-value head, repacked
  // Each block of kKeyBlock keys transposed, [head_dim, kKeyBlock]; zeros behind the last.
  const float* k = nullptr;
  const float* v = nullptr;  // [keys, value_width]
  int64_t value_width = 0;   // head_dim rounded up to kLanePad
};
struct QueryBlock {
  const float* q = nullptr;  // first row of this head
  float* out = nullptr;
  int64_t stride = 0;           // between rows of q and of out
  int64_t begin = 0, rows = 0;  // position of the first row in its window; at most kQueryBlock rows
  int64_t head_dim = 0;
  float scale = 0;
  float* logsumexp = nullptr;  // of the first row; null when not wanted
  int64_t logsumexp_stride = 0;
  int64_t window = 0;  // keys that a row sees, its own position the last of them
  float softcap = 0;   // 0: none
};
int64_t AttendScratchFloats(int64_t head_dim);
void AttendBlock(const QueryBlock& queries, const HeadKeys& keys, float* scratch);

}  // namespace swage::cpu
