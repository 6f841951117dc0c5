// Selection, clustering and statistics.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/api/kmeans.h"
#include "kernels/numeric/half.h"
#include "kernels/numeric/select.h"
#include "kernels/ref/families_ref.h"

namespace swage {
namespace {

// mask of the `keep` largest of `count` scores.
void KeepLargest(int64_t count, int64_t keep, const float* scores, uint8_t* mask) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t i, int64_t j) {
    return MagnitudeBits(scores[i]) > MagnitudeBits(scores[j]);
  });
  std::fill(mask, mask + count, uint8_t{0});
  for (int64_t i = 0; i < keep; ++i) mask[order[i]] = 1;
}

double Distance2(int64_t dim, const float* a, const float* b) {
  double sum = 0;
  for (int64_t d = 0; d < dim; ++d) {
    const double difference = static_cast<double>(a[d]) - b[d];
    sum += difference * difference;
  }
  return sum;
}

}  // namespace

Status RefSelect::TopK(const TopKArgs& args, const float* scores, uint8_t* mask) {
  SWAGE_RETURN_IF_ERROR(CheckTopK(args));
  for (int64_t r = 0; r < args.rows; ++r) {
    KeepLargest(args.columns, args.keep, scores + r * args.columns, mask + r * args.columns);
  }
  return Status();
}

Status RefSelect::KeepNOfM(int64_t rows, int64_t columns, int n, int m, const float* scores,
                           uint8_t* mask) {
  SWAGE_RETURN_IF_ERROR(CheckNOfM(rows, columns, n, m));
  for (int64_t at = 0; at < rows * columns; at += m) KeepLargest(m, n, scores + at, mask + at);
  return Status();
}

Status RefSelect::ApplyMask(int64_t count, const uint8_t* mask, float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("mask", count, 1));
  for (int64_t i = 0; i < count; ++i) x[i] = mask[i] != 0 ? x[i] : 0.0f;
  return Status();
}

Status RefSelect::Nearest(int64_t n, int64_t dim, int64_t k, const float* points,
                          const float* codebook, int32_t* index, float* distance2) {
  SWAGE_RETURN_IF_ERROR(CheckNearest(n, dim, k));
  for (int64_t i = 0; i < n; ++i) {
    int32_t best = 0;
    double best_distance = INFINITY;
    for (int64_t c = 0; c < k; ++c) {
      const double distance = Distance2(dim, points + i * dim, codebook + c * dim);
      if (distance < best_distance) {
        best_distance = distance;
        best = static_cast<int32_t>(c);
      }
    }
    index[i] = best;
    if (distance2 != nullptr) distance2[i] = static_cast<float>(best_distance);
  }
  return Status();
}

StatusOr<KMeansResult> RefSelect::KMeans(const KMeansArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckKMeans(args));
  return RunKMeans(args, this);
}

Status RefStatistics::Columns(const ColumnsArgs& args, ColumnStatistics* sums) {
  SWAGE_RETURN_IF_ERROR(CheckColumns(args, *sums));
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t c = 0; c < args.columns; ++c) {
      const int64_t at = r * args.columns + c;
      const float x = args.type == DType::kF32 ? static_cast<const float*>(args.x)[at]
                                               : FloatOfBf16(static_cast<const uint16_t*>(args.x)[at]);
      const double wide = x, square = wide * wide;
      sums->power1[c] += wide;
      sums->power2[c] += square;
      sums->power3[c] += square * wide;
      sums->power4[c] += square * square;
      sums->min[c] = std::min(sums->min[c], x);
      sums->max[c] = std::max(sums->max[c], x);
    }
  }
  sums->rows += args.rows;
  return Status();
}

Status RefStatistics::Histogram(const HistogramArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckHistogram(args));
  const HistogramGrid grid(args.low, args.high, args.bins);
  for (int64_t i = 0; i < args.n; ++i) ++args.counts[grid.SlotOf(args.x[i])];
  return Status();
}

}  // namespace swage
