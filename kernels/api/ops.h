// The table of ops: one signature, three implementations (ref: scalar with double accumulators, the
// truth; cpu; cuda). Pointers are memory of the implementation's device, aligned for their element
// type. All matrices are row-major and dense. T = tokens of all windows together, H = hidden, D =
// head size.
//   std::unique_ptr<Ops> ops = NewCpuOps(0);
//   SWAGE_RETURN_IF_ERROR(ops->RmsNorm(rows, h, x, weight, 1e-5f, y));
// One Ops object serves one caller at a time (OpenMP inside). Quantize, Dequantize,
// FakeQuantize(Rows), packing and casts give the same bytes on every implementation; the others are
// within the bounds of tests/unit/kernels, and give the same bytes within one numerics class.
// Errors: INVALID_ARGUMENT (KERNEL_ARGUMENT) for shapes, formats or indices that do not fit,
// UNIMPLEMENTED (KERNEL_TYPE, KERNEL_OP, KERNEL_SHAPE) for what the implementation lacks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/modelfile/dtype.h"
#include "base/status.h"
#include "kernels/api/layer_args.h"
#include "kernels/api/linalg.h"
#include "kernels/api/narrow.h"
#include "kernels/api/random.h"
#include "kernels/api/select.h"
#include "kernels/api/statistics.h"
#include "kernels/api/train.h"
#include "kernels/numeric/number_codec.h"
#include "kernels/numeric/pack_stream.h"

namespace swage {

// How A and B lie in memory: kNT: A [m,k], B [n,k] (a linear layer: weights are [out, in]);
// kNN: A [m,k], B [k,n] (dX = dY W); kTN: A [k,m], B [k,n] (dW = dY^T X).
enum class GemmLayout { kNT, kNN, kTN };

// A second operand in the order in which the implementation's products read it.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
};

struct GemmArgs {  // C[m,n] = A * B^T (+ bias[n]), in the layout kNT
  int64_t m = 0, n = 0, k = 0;
  const void* a = nullptr;
  DType a_type = DType::kF32;  // kF32 or kBF16
  const void* b = nullptr;
  DType b_type = DType::kF32;
  void* c = nullptr;
  DType c_type = DType::kF32;
  const float* bias = nullptr;
  GemmLayout layout = GemmLayout::kNT;
  bool accumulate = false;  // C += A * B; C is F32 and there is no bias
  // Instead of b, of the same type and layout: what PackB made of it.
  const PackedMatrix* packed_b = nullptr;
};

// Rounding of a weight matrix of finite values to a row of kernels/numeric/formats.h. Scales are
// f32 whose values the format's scale type holds exactly. What shares a scale: all (per_tensor), or
// rectangles of block_rows rows and `group` columns. With block_rows 1, group divides in (it is
// `in` for channel granularity); blocks at the edges may be smaller.
struct QuantizeArgs {
  int64_t out = 0, in = 0;
  int64_t group = 0;
  bool per_tensor = false;
  std::string format;  // kernels/numeric id
  bool symmetric = true;
  const float* w = nullptr;  // [out, in]
  int8_t* codes = nullptr;   // [out, in]; integer codes, or the bits of a float or codebook code
  float* scales = nullptr;   // [ceil(out/block_rows), ceil(in/group)], or [1]
  int8_t* zeros = nullptr;   // same shape as scales; only when !symmetric

  int64_t block_rows = 1;
  ScaleType scale_type = ScaleType::kFormat;  // of f32 formats also kF16, kBF16
  ScaleRule rule = ScaleRule::kFormat;
  int search_steps = 80;              // of ScaleRule::kSearch: ranges 1, 0.99, ...; 1..100
  const float* importance = nullptr;  // [in] or null: weights of a search's squared errors
  // Instead of `zeros` when !symmetric: each group's lowest value, as f32 (KIVI, GGUF's Q4_1).
  float* minima = nullptr;
  // [1], of two-level formats (nvfp4): made by Quantize unless given_global, in which case it is
  // read (linears that are fused share one).
  float* global_scale = nullptr;
  bool given_global = false;
  // Quantize takes scales, zeros or minima, and the global scale as they are: codes only.
  bool given_scales = false;
  const float* codebook = nullptr;  // "codebook": codebook_size ascending finite values, 2..256
  int codebook_size = 0;
  float codebook_max = 0;  // their largest magnitude; what absmax is divided by
};

// Rounds x in place to `format` and back, each run of `group` columns by its own absmax scale: what
// a kernel with dynamic activation scales computes with. Integer formats are symmetric.
struct FakeQuantizeArgs {
  int64_t rows = 0, n = 0;
  int64_t group = 0;  // divides n; n: one scale a row (per token)
  std::string format;
  float global_scale = 0;  // > 0, two-level formats only
  // > 0: this scale instead of each run's own (a static scale; formats with f32 scales only).
  float static_scale = 0;
  float* x = nullptr;  // [rows, n]
};

// Rows of n codes and their packed form (kernels/numeric/pack_stream.h): PackedRowBytes bytes a
// row, aligned as bytes are.
struct PackArgs {
  int64_t rows = 0, n = 0;
  CodePacking packing = CodePacking::kWords;
  int bits = 0;  // 1..8; of kTrits ignored
};

class Ops {
 public:
  virtual ~Ops() = default;
  virtual std::string Name() const = 0;  // "cpu"
  // What the bits of results depend on: backend, processor, instruction sets, library versions,
  // threads. "cpu/amd-25-17/avx512_bf16/hwy-avx3/onednn-2.6.3/t2"
  virtual std::string NumericsClass() const = 0;

  virtual Status Gemm(const GemmArgs& args) = 0;
  // Repacks the second operand of several products like `args`, whose other operands are not read:
  // with any m near args.m. Null when nothing is gained by it. What is packed needs b no more and
  // must not outlive this object.
  virtual StatusOr<std::unique_ptr<PackedMatrix>> PackB(const GemmArgs& args);
  virtual Status RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                         float* y) = 0;
  virtual Status Rope(const RopeArgs& args) = 0;
  virtual Status Attention(const AttentionArgs& args) = 0;
  // y = silu(gate) * up
  virtual Status SwiGlu(int64_t n, const float* gate, const float* up, float* y) = 0;
  virtual Status Add(int64_t n, const float* x, float* y) = 0;  // y += x
  // table [vocab, h] of `type` (kF32 or kBF16).
  virtual Status Embed(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids,
                       const void* table, DType type, float* y) = 0;
  // nll[r] = logsumexp(logits[r]) - logits[r][target[r]]; f32 log-softmax.
  virtual Status CrossEntropy(int64_t rows, int64_t vocab, const float* logits,
                              const int32_t* target, float* nll) = 0;
  // Against a second set of logits: kl[r] = KL(softmax(reference[r]) || softmax(logits[r])),
  // same_top1[r] in {0, 1}.
  virtual Status CompareLogits(int64_t rows, int64_t vocab, const float* reference,
                               const float* logits, float* kl, uint8_t* same_top1) = 0;

  virtual Status Quantize(const QuantizeArgs& args) = 0;
  // Reads codes, scales and zeros; args.w is unused.
  virtual Status Dequantize(const QuantizeArgs& args, float* w) = 0;
  // Rounds each row of x to `format` with its own absmax scale and back (what a dynamic per-token
  // kernel computes with); formats with a fixed group: each group with its own; "fp8_e4m3/128":
  // groups of 128. Two-level formats are refused: they need FakeQuantize's global scale.
  virtual Status FakeQuantizeRows(int64_t rows, int64_t n, const std::string& format, float* x) = 0;
  virtual Status FakeQuantize(const FakeQuantizeArgs& args) = 0;
  // Little-endian bit stream along each row: code + 2^(bits-1), ceil(n*bits/32) words a row.
  virtual Status PackRows(int64_t rows, int64_t n, int bits, const int8_t* codes,
                          int32_t* words) = 0;
  virtual Status UnpackRows(int64_t rows, int64_t n, int bits, const int32_t* words,
                            int8_t* codes) = 0;
  // Every packing, as bytes; PackRows is its kWords.
  virtual Status PackCodes(const PackArgs& args, const int8_t* codes, uint8_t* bytes) = 0;
  virtual Status UnpackCodes(const PackArgs& args, const uint8_t* bytes, int8_t* codes) = 0;

  // Sums for reports, in double: {sum((a-b)^2), sum(a^2)}.
  virtual Status ErrorSums(int64_t n, const float* a, const float* b, double* error2,
                           double* norm2) = 0;
  // kF32, kF16, kBF16, kF8E4M3; to a narrow type rounded to nearest even, to fp8 saturating at 448.
  virtual Status CastToF32(int64_t n, const void* x, DType type, float* y) = 0;
  virtual Status CastFromF32(int64_t n, const float* x, DType type, void* y) = 0;
  // False if any value is NaN or infinite.
  virtual StatusOr<bool> AllFinite(int64_t n, const float* x) = 0;

  // Layers of other architectures than Llama's (ref_layers.cc, layers_cpu.cc, layers.cu).
  // y may be x. weight and bias may be null.
  virtual Status LayerNorm(int64_t rows, int64_t h, const float* x, const float* weight,
                           const float* bias, float eps, float* y) = 0;
  // y = kind(x) * up, or kind(x) when up is null. y may be x.
  virtual Status Activate(Activation kind, int64_t n, const float* x, const float* up,
                          float* y) = 0;
  virtual Status SoftCap(int64_t n, float cap, float* x) = 0;  // x = cap * tanh(x / cap)
  virtual Status Scale(int64_t n, float factor, float* x) = 0;
  virtual Status RouteTopK(const RouteArgs& args) = 0;
  // y[r] = x[index[r]]; x has `source` rows.
  virtual Status GatherRows(int64_t rows, int64_t width, const int32_t* index, int64_t source,
                            const float* x, float* y) = 0;
  // y[index[r]] += factor[r] * x[r]; y has `target` rows. No row may be named twice. A null index
  // is 0, 1, 2, ...
  virtual Status ScatterAddRows(int64_t rows, int64_t width, const int32_t* index, int64_t target,
                                const float* factor, const float* x, float* y) = 0;

  // Families of ops with headers of their own, owned by this object. What an implementation lacks
  // of them is UNIMPLEMENTED (KERNEL_OP).
  virtual LinalgOps& linalg();
  virtual RandomOps& random();
  virtual SelectOps& select();
  virtual StatisticsOps& statistics();
  virtual TrainOps& train();
  virtual NarrowOps* narrow() { return nullptr; }  // null: not offered
};

std::unique_ptr<Ops> NewRefOps();
std::unique_ptr<Ops> NewCpuOps(int threads);  // 0: all cores
// Built only with SWAGE_CUDA; NOT_FOUND/NO_DEVICE when there is none at run time.
StatusOr<std::unique_ptr<Ops>> NewCudaOps(int device);

}  // namespace swage
