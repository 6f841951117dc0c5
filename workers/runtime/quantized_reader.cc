#include "workers/runtime/quantized_reader.h"

#include <cmath>
#include <cstring>

#include "kernels/numeric/formats.h"

namespace swage {
namespace {

int64_t Words(int64_t values, int bits) { return (values * bits + 31) / 32; }

StatusOr<TensorView> Typed(const TensorSource& source, const std::string& name, DType dtype,
                           const std::vector<int64_t>& shape) {
  SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(source, name, shape));
  if (view.info->dtype != dtype) {
    return InvalidInput("TENSOR_DTYPE", Cat(name, " is ", DTypeName(view.info->dtype),
                                            ", its format implies ", DTypeName(dtype)));
  }
  return view;
}

std::vector<int32_t> CopyWords(const TensorView& view) {
  std::vector<int32_t> words(view.bytes.size() / 4);
  std::memcpy(words.data(), view.bytes.data(), view.bytes.size());
  return words;
}

Status ReadCodes(Ops* ops, const TensorSource& source, const std::string& module,
                 const LinearScheme& scheme, QuantizedLinear* q) {
  if (scheme.storage == "pack-quantized") {
    SWAGE_ASSIGN_OR_RETURN(TensorView shape,
                           Typed(source, module + ".weight_shape", DType::kI64, {2}));
    int64_t stored[2];
    std::memcpy(stored, shape.bytes.data(), sizeof stored);
    if (stored[0] != q->out || stored[1] != q->in) {
      return InvalidInput("TENSOR_SHAPE",
                          Cat(module, ".weight_shape says [", stored[0], ", ", stored[1],
                              "], the configuration implies [", q->out, ", ", q->in, "]"));
    }
    SWAGE_ASSIGN_OR_RETURN(TensorView packed, Typed(source, module + ".weight_packed", DType::kI32,
                                                    {q->out, Words(q->in, scheme.bits)}));
    return ops->UnpackRows(q->out, q->in, scheme.bits, CopyWords(packed).data(), q->codes.data());
  }
  if (scheme.bits == 4 && scheme.storage.ends_with("fp4-pack-quantized")) {
    SWAGE_ASSIGN_OR_RETURN(TensorView packed, Typed(source, module + ".weight_packed", DType::kU8,
                                                    {q->out, (q->in + 1) / 2}));
    return ops->UnpackCodes({q->out, q->in, CodePacking::kBits, 4},
                            reinterpret_cast<const uint8_t*>(packed.bytes.data()), q->codes.data());
  }
  const DType dtype = scheme.storage == "int-quantized" ? DType::kI8 : DType::kF8E4M3;
  SWAGE_ASSIGN_OR_RETURN(TensorView view,
                         Typed(source, module + ".weight", dtype, {q->out, q->in}));
  std::memcpy(q->codes.data(), view.bytes.data(), view.bytes.size());
  return absl::OkStatus();
}

Status ReadScales(Ops* ops, const TensorSource& source, const std::string& module,
                  QuantizedLinear* q) {
  const std::string name = module + ".weight_scale";
  const ScaleType type = FindFormat(q->format)->scale_type;
  if (type != ScaleType::kE8M0 && type != ScaleType::kE4M3) {
    SWAGE_ASSIGN_OR_RETURN(TensorView view, FindTensor(source, name, q->scale_shape()));
    return ReadF32(ops, view, 0, view.info->elements(), q->scales.data());
  }
  const DType dtype = type == ScaleType::kE8M0 ? DType::kU8 : DType::kF8E4M3;
  SWAGE_ASSIGN_OR_RETURN(TensorView view, Typed(source, name, dtype, q->scale_shape()));
  for (size_t i = 0; i < view.bytes.size(); ++i) {
    const auto byte = static_cast<uint8_t>(view.bytes[i]);
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
                       QuantizedLinear* q) {
  const int64_t rows = Words(q->out, bits), groups = q->groups();
  SWAGE_ASSIGN_OR_RETURN(TensorView view, Typed(source, name, DType::kI32, {rows, groups}));
  const std::vector<int32_t> words = CopyWords(view);
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

StatusOr<QuantizedLinear> ReadQuantizedLinear(Ops* ops, const TensorSource& source,
                                              const std::string& module, const LinearScheme& scheme,
                                              int64_t out, int64_t in) {
  SWAGE_ASSIGN_OR_RETURN(QuantizedLinear q,
                         MakeQuantizedLinear(scheme.format, scheme.granularity, scheme.group_size,
                                             scheme.symmetric, out, in));
  SWAGE_RETURN_IF_ERROR(ReadCodes(ops, source, module, scheme, &q));
  SWAGE_RETURN_IF_ERROR(ReadScales(ops, source, module, &q));
  if (q.symmetric) return q;
  const std::string zero_name = module + ".weight_zero_point";
  if (scheme.storage == "pack-quantized" && !q.per_tensor) {
    SWAGE_RETURN_IF_ERROR(ReadPackedZeros(ops, source, zero_name, scheme.bits, &q));
  } else {
    SWAGE_ASSIGN_OR_RETURN(TensorView zeros, Typed(source, zero_name, DType::kI8, q.scale_shape()));
    std::memcpy(q.zeros.data(), zeros.bytes.data(), zeros.bytes.size());
  }
  return q;
}

}  // namespace swage
