#include "kernels/api/check.h"

#include <algorithm>

#include "base/text.h"

namespace swage {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;

Status Refuse(std::string_view op, std::string_view why) {
  return InvalidInput("KERNEL_ARGUMENT", Cat(op, ": ", why));
}

bool GemmType(DType type) { return type == DType::kF32 || type == DType::kBF16; }

bool Offers(const FormatRow& row, std::string_view granularity) {
  return std::find(row.granularities.begin(), row.granularities.end(), granularity) !=
         row.granularities.end();
}

}  // namespace

Status CheckSize(std::string_view op, int64_t rows, int64_t columns) {
  if (rows < 0 || columns < 0) return Refuse(op, "a negative size");
  if (columns != 0 && rows > kMaxElements / columns) {
    return Refuse(op, Cat(rows, " x ", columns, " is more than ", kMaxElements, " elements"));
  }
  return Status();
}

Status CheckGemm(const GemmArgs& args) {
  if (!GemmType(args.a_type) || !GemmType(args.b_type) || !GemmType(args.c_type)) {
    return Refuse("gemm", "types are F32 and BF16");
  }
  if (args.accumulate && (args.c_type != DType::kF32 || args.bias != nullptr)) {
    return Refuse("gemm", "only an F32 product without bias is accumulated");
  }
  SWAGE_RETURN_IF_ERROR(CheckSize("gemm", args.m, args.k));
  SWAGE_RETURN_IF_ERROR(CheckSize("gemm", args.n, args.k));
  return CheckSize("gemm", args.m, args.n);
}

Status CheckRope(const RopeArgs& args) {
  if (args.heads < 0 || args.head_dim < 0 || args.head_dim > (1 << 16)) {
    return Refuse("rope", "heads or head size out of range");
  }
  SWAGE_RETURN_IF_ERROR(CheckSize("rope", args.heads, args.head_dim));
  SWAGE_RETURN_IF_ERROR(CheckSize("rope", args.rows, args.heads * args.head_dim));
  const int64_t turned = args.rotary == 0 ? args.head_dim : args.rotary;
  if (turned % 2 != 0) return Refuse("rope", Cat(turned, " channels of a head: they turn in pairs"));
  if (turned < 0 || turned > args.head_dim) {
    return Refuse("rope", Cat(turned, " of ", args.head_dim, " channels turn"));
  }
  if (args.tokens <= 0) return Refuse("rope", "windows of no tokens");
  if (args.first < 0 || args.first > kMaxElements) return Refuse("rope", "position out of range");
  return Status();
}

Status CheckAttention(const AttentionArgs& args) {
  if (args.kv_heads <= 0 || args.heads <= 0 || args.heads % args.kv_heads != 0) {
    return Refuse("attention",
                  Cat(args.heads, " heads cannot share ", args.kv_heads, " key-value heads"));
  }
  if (args.head_dim <= 0 || args.head_dim > 1024) {
    return Refuse("attention", Cat("head size ", args.head_dim, " is not in 1..1024"));
  }
  if (args.window < 0) return Refuse("attention", Cat("a window of ", args.window, " tokens"));
  if (!(args.softcap >= 0)) return Refuse("attention", Cat("a soft cap of ", args.softcap));
  SWAGE_RETURN_IF_ERROR(CheckSize("attention", args.heads, args.head_dim));
  SWAGE_RETURN_IF_ERROR(CheckSize("attention", args.windows, args.tokens));
  return CheckSize("attention", args.windows * args.tokens, args.heads * args.head_dim);
}

Status CheckBits(std::string_view op, int bits) {
  if (bits >= 2 && bits <= 8) return Status();
  return Refuse(op, Cat(bits, " bits: codes have 2 to 8"));
}

Status CheckCast(DType type) {
  if (type == DType::kF32 || type == DType::kF16 || type == DType::kBF16 ||
      type == DType::kF8E4M3) {
    return Status();
  }
  return Error(StatusCode::kUnimplemented, "KERNEL_TYPE",
               Cat("cast: no conversion between F32 and ", DTypeName(type)));
}

Status CheckIndices(std::string_view op, int64_t count, const int32_t* indices, int64_t limit) {
  for (int64_t i = 0; i < count; ++i) {
    if (indices[i] < 0 || indices[i] >= limit) {
      return Refuse(op, Cat("index ", indices[i], " at row ", i, " is not in 0..", limit - 1));
    }
  }
  return Status();
}

Status CheckRoute(const RouteArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSize("route", args.rows, args.experts));
  if (args.k < 1 || args.k > args.experts) {
    return Refuse("route", Cat(args.k, " of ", args.experts, " experts"));
  }
  return Status();
}

Status CheckRows(std::string_view op, int64_t rows, int64_t width, const int32_t* index,
                 int64_t limit) {
  SWAGE_RETURN_IF_ERROR(CheckSize(op, rows, width));
  SWAGE_RETURN_IF_ERROR(CheckSize(op, limit, width));
  if (index != nullptr) return CheckIndices(op, rows, index, limit);
  return rows <= limit ? Status() : Refuse(op, Cat(rows, " rows into ", limit));
}

Status CheckEmbed(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids, DType type) {
  if (!GemmType(type)) return Refuse("embed", "tables are F32 or BF16");
  SWAGE_RETURN_IF_ERROR(CheckSize("embed", rows, h));
  SWAGE_RETURN_IF_ERROR(CheckSize("embed", vocab, h));
  return CheckIndices("embed", rows, ids, vocab);
}

Status CheckLogits(std::string_view op, int64_t rows, int64_t vocab) {
  if (rows > 0 && vocab == 0) return Refuse(op, "logits of no classes");
  return CheckSize(op, rows, vocab);
}

StatusOr<QuantizeLayout> CheckQuantize(const QuantizeArgs& args, bool reads_w) {
  constexpr std::string_view op = "quantize";
  SWAGE_RETURN_IF_ERROR(CheckSize(op, args.out, args.in));
  QuantizeLayout layout;
  layout.format = FindFormat(args.format);
  if (layout.format == nullptr) return Refuse(op, Cat("no format '", args.format, "'"));
  if (!args.symmetric && !layout.format->has_asymmetric) {
    return Refuse(op, Cat(args.format, " has no zero point"));
  }
  layout.group = args.per_tensor ? args.in : args.group;
  if (!args.per_tensor && args.in > 0 && (args.group <= 0 || args.in % args.group != 0)) {
    return Refuse(op, Cat("groups of ", args.group, " do not divide ", args.in, " columns"));
  }
  layout.groups_per_row = args.in == 0 ? 0 : args.in / layout.group;
  if (layout.groups_per_row > 1 && !Offers(*layout.format, "group")) {
    return Refuse(op, Cat(args.format, " has no group granularity"));
  }
  const bool empty = args.out == 0 || args.in == 0;
  if (!empty && (args.codes == nullptr || args.scales == nullptr ||
                 (reads_w && args.w == nullptr) || (!args.symmetric && args.zeros == nullptr))) {
    return Refuse(op, "a null buffer");
  }
  return layout;
}

StatusOr<const FormatRow*> CheckFakeQuantize(int64_t rows, int64_t n, std::string_view format) {
  SWAGE_RETURN_IF_ERROR(CheckSize("fake quantize", rows, n));
  const FormatRow* row = FindFormat(format);
  if (row == nullptr) return Refuse("fake quantize", Cat("no format '", format, "'"));
  return row;
}

}  // namespace swage
