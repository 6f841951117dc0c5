// What every implementation of the ops asks of its arguments, so that all refuse the same calls
// with the same words. Errors: INVALID_ARGUMENT with reason KERNEL_ARGUMENT.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/api/ops.h"
#include "kernels/numeric/formats.h"

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

// How the columns of a quantized matrix share scales.
struct QuantizeLayout {
  const FormatRow* format = nullptr;
  int64_t groups_per_row = 0;  // 1 for channel and tensor
  int64_t group = 0;           // columns of one group
};
// Of Quantize (reads w) and Dequantize (does not).
StatusOr<QuantizeLayout> CheckQuantize(const QuantizeArgs& args, bool reads_w);
// The format that FakeQuantizeRows rounds activations to.
StatusOr<const FormatRow*> CheckFakeQuantize(int64_t rows, int64_t n, std::string_view format);

}  // namespace swage
