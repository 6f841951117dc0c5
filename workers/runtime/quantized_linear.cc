#include "workers/runtime/quantized_linear.h"

namespace swage {

QuantizeArgs QuantizedLinear::Args() {
  QuantizeArgs args;
  args.out = out;
  args.in = in;
  args.group = group;
  args.per_tensor = per_tensor;
  args.format = format;
  args.symmetric = symmetric;
  args.codes = codes.data();
  args.scales = scales.data();
  args.zeros = symmetric ? nullptr : zeros.data();
  return args;
}

StatusOr<QuantizedLinear> MakeQuantizedLinear(const std::string& format,
                                              std::string_view granularity, int64_t group_size,
                                              bool symmetric, int64_t out, int64_t in) {
  QuantizedLinear q;
  q.out = out;
  q.in = in;
  q.per_tensor = granularity == "tensor";
  q.group = granularity == "group" ? group_size : in;
  q.symmetric = symmetric;
  q.format = format;
  if (q.group <= 0 || in % q.group != 0) {
    return InvalidInput("GROUP_DOES_NOT_DIVIDE",
                        Cat("groups of ", q.group, " do not divide ", in, " inputs"),
                        "choose a group size that divides the inputs, or granularity channel");
  }
  q.codes.resize(out * in);
  q.scales.resize(q.per_tensor ? 1 : out * q.groups());
  if (!q.symmetric) q.zeros.resize(q.scales.size());
  return q;
}

}  // namespace swage
