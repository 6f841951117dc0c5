// Lloyd's iterations over any implementation of Nearest: the drawing of the first centers, the
// weighted means (sums in double, in the order of the points, so that they do not depend on
// threads) and the repair of empty clusters. Host memory.
#pragma once

#include "kernels/api/select.h"

namespace swage {

// args were checked.
StatusOr<KMeansResult> RunKMeans(const KMeansArgs& args, SelectOps* ops);

}  // namespace swage
