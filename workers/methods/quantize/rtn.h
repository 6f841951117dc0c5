// Round to nearest: each weight becomes the nearest point of its group's grid, whose scale is the
// group's min-max range. Arithmetic in f32 as compressed-tensors 0.19 does it, so that codes and
// scales are byte-equal to llm-compressor's.
#pragma once

#include "workers/methods/method.h"

namespace swage {

const Method* RtnMethod();

}  // namespace swage
