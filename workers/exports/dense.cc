#include "workers/exports/dense.h"

#include <cstring>

#include "workers/exports/config_json.h"
#include "workers/runtime/buffer.h"

namespace swage {
namespace {

// Of 16-bit values.
void Transpose(EncodedTensor* tensor) {
  const int64_t rows = tensor->shape[0], columns = tensor->shape[1];
  std::string turned(tensor->bytes.size(), '\0');
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      std::memcpy(&turned[(c * rows + r) * 2], &tensor->bytes[(r * columns + c) * 2], 2);
    }
  }
  tensor->bytes = std::move(turned);
  tensor->shape = {columns, rows};
}

class Dense : public Exporter {
 public:
  std::string_view id() const override { return "dense"; }
  bool lossless() const override { return false; }

  StatusOr<std::vector<EncodedTensor>> Encode(Ops* ops, const LinearPlan& plan,
                                              const QuantizedLinear& q) const override {
    QuantizedLinear copy = q;  // Args() points into a mutable one
    const int64_t count = q.out * q.in;
    Buffer<float> values(count);
    SWAGE_RETURN_IF_ERROR(ops->Dequantize(copy.Args(), values.data()));
    EncodedTensor tensor{
        plan.module + ".weight", DType::kBF16, {q.out, q.in}, std::string(count * 2, '\0')};
    SWAGE_RETURN_IF_ERROR(
        ops->CastFromF32(count, values.data(), DType::kBF16, tensor.bytes.data()));
    if (plan.transposed) Transpose(&tensor);
    std::vector<EncodedTensor> tensors;
    tensors.push_back(std::move(tensor));
    return tensors;
  }

  StatusOr<std::string> ConfigJson(const ModelConfig& config, const Plan& plan) const override {
    for (const LinearPlan& linear : plan.quantized) {
      if (linear.activations) {
        return InvalidInput(
            "EXPORT_CANNOT_EXPRESS",
            Cat("a dense model cannot say that the inputs of ", linear.module, " are rounded"),
            "export as compressed-tensors, or leave activations out of the recipe");
      }
    }
    return ReplaceQuantizationConfig(config.raw_json, nlohmann::ordered_json());
  }
};

}  // namespace

const Exporter* DenseExporter() {
  static const auto* exporter = new Dense();
  return exporter;
}

}  // namespace swage
