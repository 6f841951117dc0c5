#include "workers/runtime/quantized_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/limits.h"
#include "kernels/numeric/formats.h"

namespace swage {
namespace {

int64_t Words(int64_t values, int bits) { return (values * bits + 31) / 32; }

// Rows [begin, begin + count) of a linear of `out` rows.
struct RowRange {
  int64_t out = 0, begin = 0, count = 0;
};

// Their bytes in a view of `rows` rows.
std::string_view RowsOf(const TensorView& view, int64_t rows, int64_t begin, int64_t count) {
  const size_t width = rows > 0 ? view.bytes.size() / static_cast<size_t>(rows) : 0;
  return view.bytes.substr(static_cast<size_t>(begin) * width, static_cast<size_t>(count) * width);
}

StatusOr<TensorView> Typed(const TensorSource& source, const std::string& name, DType dtype,
                           const std::vector<int64_t>& shape) {
  SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(source, name, shape));
  if (view.info->dtype != dtype) {
    return InvalidInput("TENSOR_DTYPE", Cat(name, " is ", DTypeName(view.info->dtype),
                                            ", its format implies ", DTypeName(dtype)));
  }
  return view;
}

std::vector<int32_t> CopyWords(std::string_view bytes) {
  std::vector<int32_t> words(bytes.size() / 4);
  std::memcpy(words.data(), bytes.data(), bytes.size());
  return words;
}

// The rows' bytes, whose pages are dropped once they are read.
class CodeRows {
 public:
  CodeRows(const TensorSource& source, const TensorView& view, const RowRange& range)
      : source_(source), view_(view), bytes_(RowsOf(view, range.out, range.begin, range.count)) {}
  ~CodeRows() {
    const auto end = static_cast<uint64_t>(bytes_.data() + bytes_.size() - view_.bytes.data());
    source_.ReadBehind(view_.info->name, end);
  }
  std::string_view bytes() const { return bytes_; }

 private:
  const TensorSource& source_;
  const TensorView& view_;
  std::string_view bytes_;
};

Status ReadCodes(Ops* ops, const TensorSource& source, const std::string& module,
                 const LinearScheme& scheme, const RowRange& range, QuantizedLinear* q) {
  if (scheme.storage == "pack-quantized") {
    SWAGE_ASSIGN_OR_RETURN(TensorView shape,
                           Typed(source, module + ".weight_shape", DType::kI64, {2}));
    int64_t stored[2];
    std::memcpy(stored, shape.bytes.data(), sizeof stored);
    if (stored[0] != range.out || stored[1] != q->in) {
      return InvalidInput("TENSOR_SHAPE",
                          Cat(module, ".weight_shape says [", stored[0], ", ", stored[1],
                              "], the configuration implies [", range.out, ", ", q->in, "]"));
    }
    SWAGE_ASSIGN_OR_RETURN(TensorView packed, Typed(source, module + ".weight_packed", DType::kI32,
                                                    {range.out, Words(q->in, scheme.bits)}));
    const CodeRows rows(source, packed, range);
    return ops->UnpackRows(q->out, q->in, scheme.bits, CopyWords(rows.bytes()).data(),
                           q->codes.data());
  }
  if (scheme.bits == 4 && scheme.storage.ends_with("fp4-pack-quantized")) {
    SWAGE_ASSIGN_OR_RETURN(TensorView packed, Typed(source, module + ".weight_packed", DType::kU8,
                                                    {range.out, (q->in + 1) / 2}));
    const CodeRows rows(source, packed, range);
    return ops->UnpackCodes({q->out, q->in, CodePacking::kBits, 4},
                            reinterpret_cast<const uint8_t*>(rows.bytes().data()), q->codes.data());
  }
  const DType dtype = scheme.storage == "int-quantized" ? DType::kI8 : DType::kF8E4M3;
  SWAGE_ASSIGN_OR_RETURN(TensorView view,
                         Typed(source, module + ".weight", dtype, {range.out, q->in}));
  const CodeRows rows(source, view, range);
  std::memcpy(q->codes.data(), rows.bytes().data(), rows.bytes().size());
  return absl::OkStatus();
}

// Where those rows are in a tensor with a row of entries for each `block_rows` rows of the linear.
struct ScaleRows {
  std::vector<int64_t> shape;  // of the whole tensor
  int64_t begin = 0;           // in rows of the tensor
  int64_t count = 0;
};

ScaleRows ScaleRowsOf(const QuantizedLinear& q, const RowRange& range) {
  if (q.per_tensor) return {{1}, 0, 1};
  const int64_t rows = (range.out + q.block_rows - 1) / q.block_rows;
  return {{rows, q.groups()}, range.begin / q.block_rows, q.scale_shape().front()};
}

Status ReadScales(Ops* ops, const TensorSource& source, const std::string& module,
                  const RowRange& range, QuantizedLinear* q) {
  const ScaleRows rows = ScaleRowsOf(*q, range);
  const std::string name = module + ".weight_scale";
  const ScaleType type = FindFormat(q->format)->scale_type;
  if (type != ScaleType::kE8M0 && type != ScaleType::kE4M3) {
    SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(source, name, rows.shape));
    const int64_t width = rows.shape.size() < 2 ? 1 : rows.shape[1];
    return ReadF32(ops, view, rows.begin * width, rows.count * width, q->scales.data());
  }
  const DType dtype = type == ScaleType::kE8M0 ? DType::kU8 : DType::kF8E4M3;
  SWAGE_ASSIGN_OR_RETURN(TensorView view, Typed(source, name, dtype, rows.shape));
  const std::string_view bytes = RowsOf(view, rows.shape[0], rows.begin, rows.count);
  for (size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<uint8_t>(bytes[i]);
    if (byte == 255 || (byte == 127 && type == ScaleType::kE4M3)) {
      return InvalidInput("SCALE_IS_NAN",
                          Cat(name, "[", i, "] is ", static_cast<int>(byte), ", NaN"));
    }
    q->scales[i] = type == ScaleType::kE8M0 ? E8M0Value(byte) : DecodeFp8(byte);
  }
  if (!q->two_level()) return absl::OkStatus();
  SWAGE_ASSIGN_OR_RETURN(TensorView global,
                         Typed(source, module + ".weight_global_scale", DType::kF32, {1}));
  std::memcpy(&q->global_scale, global.bytes.data(), sizeof q->global_scale);
  if (!(q->global_scale > 0) || !std::isfinite(q->global_scale)) {
    return InvalidInput("SCALE_IS_NAN", Cat(module, ".weight_global_scale is ", q->global_scale));
  }
  return absl::OkStatus();
}

// Packed along the rows: word [w, g] holds codes of rows w*32/bits onwards of group g.
Status ReadPackedZeros(Ops* ops, const TensorSource& source, const std::string& name, int bits,
                       const RowRange& range, QuantizedLinear* q) {
  const int64_t all = Words(range.out, bits), groups = q->groups();
  const int64_t rows = Words(q->out, bits);
  SWAGE_ASSIGN_OR_RETURN(TensorView view, Typed(source, name, DType::kI32, {all, groups}));
  const std::vector<int32_t> words =
      CopyWords(RowsOf(view, all, range.begin * bits / 32, rows));
  std::vector<int32_t> turned(words.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t g = 0; g < groups; ++g) turned[g * rows + r] = words[r * groups + g];
  }
  std::vector<int8_t> zeros(q->out * groups);
  SWAGE_RETURN_IF_ERROR(ops->UnpackRows(groups, q->out, bits, turned.data(), zeros.data()));
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < q->out; ++r) q->zeros[r * groups + g] = zeros[g * q->out + r];
  }
  return absl::OkStatus();
}

}  // namespace

int64_t QuantizedRowStep(const LinearScheme& scheme) {
  constexpr int64_t kWholeWords = 32;  // as many codes of any width fill whole words
  if (scheme.granularity != "block") return kWholeWords;
  return std::lcm(kWholeWords, std::min(scheme.group_size, limits::kModelWidth));
}

StatusOr<QuantizedLinear> ReadQuantizedRows(Ops* ops, const TensorSource& source,
                                            const std::string& module, const LinearScheme& scheme,
                                            int64_t out, int64_t in, int64_t begin,
                                            int64_t count) {
  const RowRange range{out, begin, count};
  SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q,
                         MakeQuantizedLinear(scheme.format, scheme.granularity, scheme.group_size,
                                             scheme.symmetric, count, in));
  SWAGE_CHECK(begin % QuantizedRowStep(scheme) == 0, module, " from row ", begin);
  SWAGE_RETURN_IF_ERROR(ReadCodes(ops, source, module, scheme, range, &q));
  SWAGE_RETURN_IF_ERROR(ReadScales(ops, source, module, range, &q));
  if (q.symmetric) return q;
  const std::string zero_name = module + ".weight_zero_point";
  if (scheme.storage == "pack-quantized" && !q.per_tensor) {
    SWAGE_RETURN_IF_ERROR(ReadPackedZeros(ops, source, zero_name, scheme.bits, range, &q));
  } else {
    const ScaleRows rows = ScaleRowsOf(q, range);
    SWAGE_ASSIGN_OR_RETURN(TensorView view, Typed(source, zero_name, DType::kI8, rows.shape));
    const std::string_view zeros = RowsOf(view, rows.shape[0], rows.begin, rows.count);
    std::memcpy(q.zeros.data(), zeros.data(), zeros.size());
  }
  return q;
}

}  // namespace swage
