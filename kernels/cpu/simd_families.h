// The vector loops behind families_cpu.h; the rules of simd.h hold: one thread each, any alignment,
// several instruction sets, chosen at run time.
#pragma once

#include <cstdint>

#include "kernels/api/train.h"
#include "kernels/numeric/number_codec.h"
#include "kernels/numeric/philox.h"

namespace swage::cpu {

// Randomness (simd_random.cc): elements [at, at + n) of the tensor. Same bits as
// kernels/numeric/philox.h, except for normal numbers.
void WordsRun(int64_t n, const RandomKey& key, uint64_t at, uint32_t* y);
void UniformRun(int64_t n, const RandomKey& key, uint64_t at, float* y);
void NormalRun(int64_t n, const RandomKey& key, uint64_t at, float* y);  // key.first + at is even
void StochasticBf16Run(int64_t n, const float* x, const RandomKey& key, uint64_t at, uint16_t* y);
struct StochasticGrid {
  float scale = 1, zero = 0;
  int low = -128, high = 127;
};
void StochasticGridRun(int64_t n, const float* x, const StochasticGrid& grid, const RandomKey& key,
                       uint64_t at, int8_t* codes);

// Hadamard (simd_hadamard.cc), without the factor 1/sqrt(order).
// Each run of `block` (a power of two) values of x[n] transformed; block divides n.
void HadamardRun(int64_t n, int64_t block, float* x);
// x seen as [order, width], order a power of two, width a multiple of kStripPad: transformed along
// the first side.
constexpr int64_t kStripPad = 16;
void HadamardStrip(int64_t order, int64_t width, float* x);
// x seen as [base, inner], replaced by matrix [base, base] times x. base <= kMaxPaleyOrder.
void MixRows(int64_t base, int64_t inner, const float* matrix, float* x);
void MixPairedRows(int64_t base, int64_t inner, const float* matrix, float* x);  // IsPairedPaley
void TimesEachRun(int64_t n, const float* factors, float* x);  // x *= factors
void TimesRun(int64_t n, float factor, const float* x, float* y);  // y = factor * x; y may be x

// Selection (simd_select.cc).
// mask = |x| above `threshold` (bits of a magnitude); returns how many are equal to it.
int64_t MaskAboveRun(int64_t n, const float* x, uint32_t threshold, uint8_t* mask);
void KeepNOfMRun(int64_t groups, int n, int m, const float* x, uint8_t* mask);
void ApplyMaskRun(int64_t n, const uint8_t* mask, float* x);
void NearestRun(int64_t n, int64_t dim, int64_t k, const float* points, const float* codebook,
                int32_t* index, float* distance2);

// GPTQ's sweep (simd_feedback.cc): a block of columns, for some rows of the weight matrix.
constexpr int64_t kFeedbackColumns = 128;
struct FeedbackBlock {
  int64_t columns = 0;              // at most kFeedbackColumns
  int64_t begin = 0, end = 0;       // rows
  int64_t stride = 0;               // all rows: from column to column of w, errors and codes
  const float* w = nullptr;         // [columns, stride]
  const float* factor = nullptr;    // the block's own square of it
  int64_t factor_stride = 0;
  const float* scales = nullptr;    // [groups, stride]
  const float* zeros = nullptr;     // as scales
  const int32_t* group = nullptr;   // [columns]: the row of `scales`
  NumberCodec codec;
  float* errors = nullptr;          // [columns, stride], out
  int8_t* codes = nullptr;          // [columns, stride], out
};
double FeedbackRun(const FeedbackBlock& block);  // sum of the squared errors

// Statistics (simd_statistics.cc) of columns [begin, end) of x [rows, columns], added in the order
// of the rows.
struct ColumnSums {
  double *power1, *power2, *power3, *power4;
  float *min, *max;
};
void ColumnsRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const float* x,
                const ColumnSums& sums);
void ColumnsRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const uint16_t* bf16,
                const ColumnSums& sums);
// sums[c] += dy[r, c] * (x[r, c] * factors[r]), in the order of the rows.
void WeightGradientRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const float* x,
                       const float* dy, const float* factors, double* sums);

// Columns [begin, end) of x [rows, columns] become rows of y [columns, rows] (simd_transpose.cc).
void TransposeRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const uint16_t* x,
                  uint16_t* y);
void TransposeRun(int64_t rows, int64_t columns, int64_t begin, int64_t end, const float* x,
                  float* y);

// Gradients and optimizer (simd_train.cc).
struct NormTerms {
  float factor = 0;  // 1 / root mean square
  float back = 0;    // what x is multiplied by in dx
};
NormTerms RmsNormTerms(int64_t h, const float* x, const float* weight, float eps, const float* dy);
// dx = dy * weight * terms.factor - x * terms.back
void RmsNormBackwardRow(int64_t h, const float* x, const float* weight, const NormTerms& terms,
                        const float* dy, float* dx);
void SwiGluBackwardRun(int64_t n, const float* gate, const float* up, const float* dy, float* dgate,
                       float* dup);
// With bf16 results (simd_narrow.cc), values read before any is written.
void SwiGluNarrowRun(int64_t n, const float* gate, const float* up, uint16_t* y);
void SwiGluNarrowRun(int64_t n, const uint16_t* gate, const uint16_t* up, uint16_t* y);
void SwiGluBackwardNarrowRun(int64_t n, const uint16_t* gate, const uint16_t* up, const float* dy,
                             uint16_t* dgate, uint16_t* dup);
// y = scale * exp(x - shift); y may be x.
void SoftmaxRow(int64_t n, float shift, float scale, const float* x, float* y);
void AdamWRun(int64_t n, const AdamWFactors& step, float eps, float gradient_scale,
              const float* gradient, float* w, float* m, float* v);
double SquaresRun(int64_t n, const float* x);

// Gradient of attention (simd_attention_grad.cc) for one head of one window. Widths are head_dim
// rounded up to kLanePad, keys are tokens rounded up to kKeyBlock (simd.h); what is beyond is zero.
struct HeadGradient {
  int64_t tokens = 0, head_dim = 0;
  float scale = 0;
  int64_t window = 0;  // keys that a row sees, its own position the last of them
  float softcap = 0;   // 0: none
  const float *q = nullptr, *out = nullptr, *d_out = nullptr;  // this head's first row
  float* dq = nullptr;
  int64_t stride = 0;  // between rows of the four
  const float* logsumexp = nullptr;
  int64_t logsumexp_stride = 0;
  // Blocks of kKeyBlock keys or values, [head_dim, kKeyBlock] each.
  const float *keys_down = nullptr, *values_down = nullptr;
  const float* keys = nullptr;                               // [keys, width]
  float *dk = nullptr, *dv = nullptr;                        // [keys, width], added to
  int64_t width = 0;
};
int64_t AttendBackwardScratchFloats(int64_t width);
void AttendBackward(const HeadGradient& head, float* scratch);

}  // namespace swage::cpu
