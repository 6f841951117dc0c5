#include "workers/exports/exporter.h"

#include <algorithm>
#include <cmath>

#include "workers/exports/compressed_tensors.h"
#include "workers/exports/dense.h"

namespace swage {

const std::vector<const Exporter*>& Exporters() {
  static const auto* exporters =
      new std::vector<const Exporter*>{CompressedTensorsExporter(), DenseExporter()};
  return *exporters;
}

const Exporter* FindExporter(std::string_view id) {
  for (const Exporter* exporter : Exporters()) {
    if (exporter->id() == id) return exporter;
  }
  return nullptr;
}

Status CheckNotDegenerate(const std::string& module, const QuantizedLinear& q,
                          const float* dequantized) {
  auto degenerate = [&](std::string_view what) {
    return DataLoss("DEGENERATE_RESULT", Cat(module, ".weight: ", what),
                    Cat("look at this tensor in the model; to leave it as it is, add ", module,
                        " to the step's ignore"));
  };
  for (float scale : q.scales) {
    if (!std::isfinite(scale) || scale <= 0) return degenerate(Cat("a scale of ", scale));
  }
  const int64_t count = q.out * q.in;
  if (count > 1 &&
      std::all_of(q.codes.begin(), q.codes.end(), [&](int8_t c) { return c == q.codes[0]; })) {
    return degenerate(Cat("every code is ", static_cast<int>(q.codes[0])));
  }
  bool any = false;
  for (int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(dequantized[i])) return degenerate("a value is not finite");
    any |= dequantized[i] != 0;
  }
  return any ? absl::OkStatus() : degenerate("every value is zero");
}

}  // namespace swage
