// The quantization_config of a compressed-tensors artifact (reference/quantize-prune.md 1.7), as
// far as Swage runs it: which scheme each linear has. Hostile input: what is not understood is an
// error, never a silently dense linear.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

struct LinearScheme {
  std::string storage;  // "pack-quantized", "int-quantized", "float-quantized",
                        // "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized"
  std::string format;   // "int4", "int8", "fp8_e4m3", "mxfp4", ...
  int bits = 0;
  std::string granularity;  // "tensor", "channel", "group", "block"
  int64_t group_size = 0;   // for "group" and "block" (squares)
  bool symmetric = true;
  // "" or the format to which inputs are rounded, as Ops::FakeQuantizeRows names it: "int8",
  // "fp8_e4m3" (per token), "fp8_e4m3/128" (in groups), "mxfp4"
  std::string activations;
};

class QuantizationConfig {
 public:
  // "" gives a configuration without schemes. Errors: UNSUPPORTED_QUANTIZATION, naming the key and
  // the value.
  static StatusOr<QuantizationConfig> Parse(std::string_view json);
  bool empty() const { return groups_.empty(); }
  // nullptr: the linear is dense.
  const LinearScheme* SchemeOf(std::string_view module) const;

 private:
  struct Group {
    std::vector<std::string> targets;
    LinearScheme scheme;
  };
  std::vector<Group> groups_;
  std::vector<std::string> ignore_;
};

}  // namespace swage
