// check.h for the families of ops (linalg.h, random.h, select.h, statistics.h, train.h). Errors:
// INVALID_ARGUMENT with reason KERNEL_ARGUMENT, UNIMPLEMENTED with KERNEL_TYPE.
#pragma once

#include "kernels/api/ops.h"

namespace swage {

Status CheckSyrk(const SyrkArgs& args);
Status CheckSquare(std::string_view op, int64_t n, DType type, const void* a);
Status CheckTriangular(const TriangularArgs& args);
Status CheckFeedback(const FeedbackArgs& args);
Status CheckSvd(const SvdArgs& args);
// A matrix that was not positive definite: what the factorizations return, and what they leave in
// *pivot (may be null).
Status NotPositiveDefinite(std::string_view op, int64_t failed, int64_t n, int64_t* pivot);
Status NotFinite(std::string_view op);

Status CheckHadamard(const HadamardArgs& args);
Status CheckNormal(int64_t n, const RandomKey& key);
Status CheckGrid(int64_t n, float scale, float zero, int low, int high);

Status CheckTopK(const TopKArgs& args);
Status CheckNOfM(int64_t rows, int64_t columns, int n, int m);
Status CheckNearest(int64_t n, int64_t dim, int64_t k);
Status CheckKMeans(const KMeansArgs& args);  // reads the weights

Status CheckColumns(const ColumnsArgs& args, const ColumnStatistics& sums);
Status CheckHistogram(const HistogramArgs& args);

Status CheckAttentionBackward(const AttentionGradArgs& args);
Status CheckRouteBackward(const RouteGradArgs& args);
Status CheckAdamW(const AdamWArgs& args);
// As CheckIndices, but -1 is allowed.
Status CheckTargets(int64_t rows, const int32_t* target, int64_t vocab);

}  // namespace swage
