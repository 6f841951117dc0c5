// What every implementation of the ops asks of its arguments, so that all refuse the same calls
// with the same words. Errors: INVALID_ARGUMENT with reason KERNEL_ARGUMENT.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/api/ops.h"
#include "kernels/numeric/formats.h"
#include "kernels/numeric/scale_grid.h"

namespace swage {

Status CheckGemm(const GemmArgs& args);
Status CheckRope(const RopeArgs& args);
Status CheckAttention(const AttentionArgs& args);
Status CheckSize(std::string_view op, int64_t rows, int64_t columns);
// kF32, kF16, kBF16, kF8E4M3; others are UNIMPLEMENTED with reason KERNEL_TYPE.
Status CheckCast(DType type);
Status CheckBits(std::string_view op, int bits);
// `indices` are indices below `limit`: classes of a cross-entropy, rows of an embedding.
Status CheckIndices(std::string_view op, int64_t count, const int32_t* indices, int64_t limit);

// Table [vocab, h] of F32 or BF16.
Status CheckEmbed(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids, DType type);
// Two sets of logits, or one: at least one class when there are rows.
Status CheckLogits(std::string_view op, int64_t rows, int64_t vocab);

Status CheckRoute(const RouteArgs& args);
// Of the rows of x that GatherRows reads or of y that ScatterAddRows adds to. index may be null.
Status CheckRows(std::string_view op, int64_t rows, int64_t width, const int32_t* index,
                 int64_t limit);

// Bits 1..8 for a bit stream, anything for trits; sizes.
Status CheckPack(std::string_view op, const PackArgs& args);

// How a quantized matrix is computed.
struct QuantizeLayout {
  const FormatRow* format = nullptr;
  ScaleGrid grid;
  NumberCodec codec;
  bool two_level = false;
};
// Of Quantize (reads w) and Dequantize (does not).
StatusOr<QuantizeLayout> CheckQuantize(const QuantizeArgs& args, bool reads_w);
// Of FakeQuantize: rows of x as a matrix in groups.
StatusOr<QuantizeLayout> CheckFakeQuantize(const FakeQuantizeArgs& args);
// FakeQuantizeRows in FakeQuantize's words.
StatusOr<FakeQuantizeArgs> RowsAsArgs(int64_t rows, int64_t n, const std::string& format, float* x);

}  // namespace swage
