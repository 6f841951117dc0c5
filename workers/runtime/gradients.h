// Gradients by the full names of tensors, and which of them are asked for.
//   GradientRequest request;
//   request.wanted = [](std::string_view name) { return EndsWith(name, "lora_A.weight"); };
// Names are those of the checkpoint: "model.layers.3.mlp.up_proj.weight", "model.norm.weight"; of a
// LoRA MODULE.lora_A.weight and MODULE.lora_B.weight; of moments MODULE.input_squares (sum over
// rows of x^2, [in]) and MODULE.output_gradient_squares ([out]). The gradient of a linear's weight
// is [out, in], also where the file holds it transposed (GPT-2).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "workers/runtime/buffer.h"
#include "workers/runtime/linear_parameter.h"

namespace swage {

struct GradientRequest {
  std::function<bool(std::string_view name)> wanted;  // null: all
  bool moments = false;                               // those of every linear, as well
  const AppliedParameters* parameters = nullptr;      // null: all linears are dense
};

struct GradientTensor {
  int64_t rows = 0, columns = 0;  // vectors have one row
  Buffer<float> values;
};

// Sums of gradients; what is added to them is added in the order of the calls.
class Gradients {
 public:
  // Zeros at first; null when it is not wanted.
  float* Slot(const GradientRequest& request, const std::string& name, int64_t rows,
              int64_t columns);
  // As Slot, whether it is wanted or not.
  float* Always(const std::string& name, int64_t rows, int64_t columns);

  std::map<std::string, GradientTensor, std::less<>>& tensors() { return tensors_; }
  const std::map<std::string, GradientTensor, std::less<>>& tensors() const { return tensors_; }

 private:
  std::map<std::string, GradientTensor, std::less<>> tensors_;
};

}  // namespace swage
