// ConnectReducer's way to Gloo, without Gloo's headers. Defined only where libgloo was found (SWAGE_GLOO).
#pragma once

#include <memory>

#include "workers/runtime/reducer.h"

namespace swage {

StatusOr<std::unique_ptr<Reducer>> ConnectGloo(const ReducerOptions& options, const Meet& meet);

}  // namespace swage
