// GPTQ (Frantar, Ashkboos, Hoefler, Alistarh 2023, "GPTQ: accurate post-training quantization for
// generative pre-trained transformers"): weights are rounded column by column, and the error of each is
// made good by the columns behind it, so that the linear's output on the calibration text changes
// least: min tr(D H D^T), H = sum of x x^T over its inputs. Scales are those of the original weights.
//   act_order  none: columns as they lie. static: by falling diagonal of H. group ("group-aware
//              reordering"): groups by their largest diagonal, columns by it within their group. All
//              three leave the columns where they were: no g_idx is stored.
//   damp       this part of the mean diagonal is added to it. When that is not enough for the
//              factorization it is raised tenfold until it is, and the report says so.
// Columns whose input was always zero are rounded to nearest and touch no other. A linear that no
// calibration row reached is rounded to nearest, and the report says so.
#pragma once

#include "workers/methods/method.h"

namespace swage {

const Method* GptqMethod();

}  // namespace swage
