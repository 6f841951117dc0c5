#include "kernels/api/check.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace swage {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 40;

Status Refuse(std::string_view op, std::string_view why) {
  return InvalidInput("KERNEL_ARGUMENT", Cat(op, ": ", why));
}

bool GemmType(DType type) { return type == DType::kF32 || type == DType::kBF16; }

constexpr std::string_view kQuantize = "quantize";

bool Offers(const FormatRow& row, std::string_view granularity) {
  return std::find(row.granularities.begin(), row.granularities.end(), granularity) !=
         row.granularities.end();
}

Status CheckGrid(const QuantizeArgs& args, const FormatRow& row) {
  if (args.per_tensor) {
    return Offers(row, "tensor") ? Status()
                                 : Refuse(kQuantize, Cat(row.id, " has no tensor granularity"));
  }
  if (args.block_rows < 1 || (args.in > 0 && args.group < 1)) {
    return Refuse(kQuantize, Cat("groups of ", args.group, " and blocks of ", args.block_rows,
                                 " rows: both are at least 1"));
  }
  if (args.block_rows > 1) {
    return Offers(row, "block") ? Status()
                                : Refuse(kQuantize, Cat(row.id, " has no block granularity"));
  }
  if (args.in > 0 && args.in % args.group != 0) {
    return Refuse(kQuantize, Cat("groups of ", args.group, " do not divide ", args.in, " columns"));
  }
  if (row.fixed_group > 0 && args.in > 0 && args.group != row.fixed_group) {
    return Refuse(kQuantize, Cat(row.id, " has groups of ", row.fixed_group, ", not ", args.group));
  }
  return Status();
}

Status CheckRule(const QuantizeArgs& args, const FormatRow& row, ScaleRule rule) {
  const bool power = rule == ScaleRule::kPowerFloor || rule == ScaleRule::kPowerCeil;
  if ((power && row.scale_type != ScaleType::kE8M0) ||
      (rule == ScaleRule::kFourOverSix && row.scale_type != ScaleType::kE4M3) ||
      (rule == ScaleRule::kAbsMean && row.id != "ternary")) {
    return Refuse(kQuantize, Cat(row.id, " has no such rule for its scales"));
  }
  if (rule == ScaleRule::kSearch && (args.search_steps < 1 || args.search_steps > 100)) {
    return Refuse(kQuantize, Cat(args.search_steps, " steps of search are not in 1..100"));
  }
  return Status();
}

// Values and their midpoints stay the caller's business: only the CPU may read them here.
StatusOr<NumberCodec> MakeCodec(const QuantizeArgs& args, const FormatRow& row) {
  NumberCodec codec;
  codec.kind = row.kind;
  codec.bits = row.bits;
  codec.max_value = row.max_value;
  codec.max_exponent = row.kind == CodeKind::kFp4 ? 2 : 8;
  codec.rule = args.rule == ScaleRule::kFormat ? row.scale_rule : args.rule;
  SWAGE_RETURN_IF_ERROR(CheckRule(args, row, codec.rule));
  codec.search_steps = args.search_steps;
  codec.scale_type = row.scale_type;
  if (args.scale_type != ScaleType::kFormat && args.scale_type != row.scale_type) {
    if (row.scale_type != ScaleType::kF32 ||
        (args.scale_type != ScaleType::kF16 && args.scale_type != ScaleType::kBF16)) {
      return Refuse(kQuantize, Cat(row.id, " does not take scales of this type"));
    }
    codec.scale_type = args.scale_type;
  }
  if (row.is_integer()) codec.grid = GridOf(row);
  codec.symmetric = args.symmetric;
  if (!args.symmetric) {
    if (!row.has_asymmetric) return Refuse(kQuantize, Cat(row.id, " has no zero point"));
    if (args.minima != nullptr) codec.kind = CodeKind::kIntegerMinimum;
  } else if (row.is_integer() && row.bits == 1) {
    codec.symmetric_zero = -0.5f;
  }
  if (row.kind == CodeKind::kCodebook) {
    codec.count = kNf4Values;
    if (row.max_value == 0) {
      if (args.codebook == nullptr || args.codebook_size < 2 || args.codebook_size > kMaxCodebook ||
          !(args.codebook_max > 0)) {
        return Refuse(kQuantize, "a codebook has 2..256 values and a largest magnitude above 0");
      }
      codec.values = args.codebook;
      codec.count = args.codebook_size;
      codec.max_value = args.codebook_max;
    }
  }
  return codec;
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
  if (bits >= 1 && bits <= 8) return Status();
  return Refuse(op, Cat(bits, " bits: codes have 1 to 8"));
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

Status CheckPack(std::string_view op, const PackArgs& args) {
  if (args.packing != CodePacking::kTrits) SWAGE_RETURN_IF_ERROR(CheckBits(op, args.bits));
  return CheckSize(op, args.rows, args.n);
}

StatusOr<QuantizeLayout> CheckQuantize(const QuantizeArgs& args, bool reads_w) {
  SWAGE_RETURN_IF_ERROR(CheckSize(kQuantize, args.out, args.in));
  QuantizeLayout layout;
  layout.format = FindFormat(args.format);
  if (layout.format == nullptr) return Refuse(kQuantize, Cat("no format '", args.format, "'"));
  SWAGE_RETURN_IF_ERROR(CheckGrid(args, *layout.format));
  layout.grid = {
      args.out, args.in, args.per_tensor ? std::max<int64_t>(args.out, 1) : args.block_rows,
      args.per_tensor ? std::max<int64_t>(args.in, 1) : std::max<int64_t>(args.group, 1)};
  SWAGE_ASSIGN_OR_RETURN(layout.codec, MakeCodec(args, *layout.format));
  layout.two_level = layout.codec.scale_type == ScaleType::kE4M3;
  const bool zeros_missing = !args.symmetric && (args.minima == nullptr) == (args.zeros == nullptr);
  if (args.out > 0 && args.in > 0 &&
      (args.codes == nullptr || args.scales == nullptr || (reads_w && args.w == nullptr) ||
       zeros_missing || (layout.two_level && args.global_scale == nullptr))) {
    return Refuse(kQuantize, "a null buffer, or both zeros and minima");
  }
  return layout;
}

StatusOr<FakeQuantizeArgs> RowsAsArgs(int64_t rows, int64_t n, const std::string& format,
                                      float* x) {
  constexpr std::string_view op = "fake quantize";
  const size_t slash = format.find('/');
  FakeQuantizeArgs args;
  args.format = format.substr(0, slash);
  const FormatRow* row = FindFormat(args.format);
  if (row == nullptr) return Refuse(op, Cat("no format '", args.format, "'"));
  args.rows = rows;
  args.n = n;
  args.group = row->fixed_group > 0 ? row->fixed_group : n;
  args.x = x;
  if (slash == std::string::npos) return args;
  const char* const end = format.data() + format.size();
  const auto [at, error] = std::from_chars(format.data() + slash + 1, end, args.group);
  if (error != std::errc() || at != end) return Refuse(op, Cat("no group size in '", format, "'"));
  return args;
}

StatusOr<QuantizeLayout> CheckFakeQuantize(const FakeQuantizeArgs& args) {
  constexpr std::string_view op = "fake quantize";
  SWAGE_RETURN_IF_ERROR(CheckSize(op, args.rows, args.n));
  const FormatRow* row = FindFormat(args.format);
  if (row == nullptr) return Refuse(op, Cat("no format '", args.format, "'"));
  if (row->max_value == 0) return Refuse(op, Cat(args.format, " is no format of activations"));
  QuantizeArgs as_weights;
  as_weights.out = args.rows;
  as_weights.in = args.n;
  as_weights.group = args.group;
  as_weights.format = args.format;
  SWAGE_RETURN_IF_ERROR(CheckGrid(as_weights, *row));
  QuantizeLayout layout;
  layout.format = row;
  layout.grid = {args.rows, args.n, 1, std::max<int64_t>(args.group, 1)};
  SWAGE_ASSIGN_OR_RETURN(layout.codec, MakeCodec(as_weights, *row));
  layout.two_level = layout.codec.scale_type == ScaleType::kE4M3;
  if (layout.two_level != (args.global_scale > 0)) {
    return Refuse(op, layout.two_level ? Cat(args.format, " needs a global scale")
                                       : Cat(args.format, " has no global scale"));
  }
  if (args.static_scale != 0 &&
      (!(args.static_scale > 0) || layout.codec.scale_type != ScaleType::kF32)) {
    return Refuse(op, "a static scale must be positive, of a format with f32 scales");
  }
  if (args.rows > 0 && args.n > 0 && args.x == nullptr) return Refuse(op, "a null buffer");
  return layout;
}

}  // namespace swage
