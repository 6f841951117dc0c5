#include "workers/runtime/quantized_linear.h"

#include "kernels/numeric/formats.h"

namespace swage {

std::vector<int64_t> QuantizedLinear::scale_shape() const {
  if (per_tensor) return {1};
  return {(out + block_rows - 1) / block_rows, groups()};
}

bool QuantizedLinear::two_level() const {
  const FormatRow* row = FindFormat(format);
  return row != nullptr && row->scale_type == ScaleType::kE4M3;
}

QuantizeArgs QuantizedLinear::Args() {
  QuantizeArgs args;
  args.out = out;
  args.in = in;
  args.group = group;
  args.per_tensor = per_tensor;
  args.block_rows = block_rows;
  args.format = format;
  args.symmetric = symmetric;
  args.codes = codes.data();
  args.scales = scales.data();
  args.zeros = symmetric ? nullptr : zeros.data();
  args.global_scale = two_level() ? &global_scale : nullptr;
  return args;
}

StatusOr<QuantizedLinear> MakeQuantizedLinear(const std::string& format,
                                              std::string_view granularity, int64_t group_size,
                                              bool symmetric, int64_t out, int64_t in) {
  QuantizedLinear q;
  q.out = out;
  q.in = in;
  q.per_tensor = granularity == "tensor";
  q.group = granularity == "group" || granularity == "block" ? group_size : in;
  if (granularity == "block") q.block_rows = group_size;
  q.symmetric = symmetric;
  q.format = format;
  if (q.group <= 0 || (granularity != "block" && in % q.group != 0)) {
    return InvalidInput("GROUP_DOES_NOT_DIVIDE",
                        Cat("groups of ", q.group, " do not divide ", in, " inputs"),
                        "choose a group size that divides the inputs, or granularity channel");
  }
  q.codes.resize(out * in);
  size_t scales = 1;
  for (const int64_t size : q.scale_shape()) scales *= static_cast<size_t>(size);
  q.scales.resize(scales);
  if (!q.symmetric) q.zeros.resize(q.scales.size());
  return q;
}

}  // namespace swage
