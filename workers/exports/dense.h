// Dense export: the dequantized weights in bf16, for readers that know no quantization. What the
// codes cannot say any more (the bits saved, rounded activations) is lost; the report's quality
// figures are measured on these weights.
#pragma once

#include "workers/exports/exporter.h"

namespace swage {

const Exporter* DenseExporter();

}  // namespace swage
