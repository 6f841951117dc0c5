// Selection, clustering and statistics, cut among threads.
#include <algorithm>
#include <vector>

#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/api/kmeans.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_families.h"
#include "kernels/numeric/select.h"

namespace swage::cpu {
namespace {

constexpr int64_t kChunk = 1 << 16;
constexpr int kHighBits = 15, kLowBits = 16;  // of a magnitude's 31

// The threshold above which everything is kept, and how many equal to it are kept too.
struct Cut {
  uint32_t threshold = 0;
  int64_t ties = 0;
};

// counts[slot] over all elements; slot_of gives a negative number for those that do not count.
template <typename SlotOf>
std::vector<int64_t> CountSlots(int threads, int64_t n, int64_t slots, const SlotOf& slot_of) {
  std::vector<int64_t> total(slots, 0);
  const int64_t grain = std::max(kElementGrain, slots);
  ParallelFor(threads, n, grain, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> counts(slots, 0);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t slot = slot_of(i);
      if (slot >= 0) ++counts[slot];
    }
#pragma omp critical(swage_count_slots)
    for (int64_t i = 0; i < slots; ++i) total[i] += counts[i];
  });
  return total;
}

// The slot, counted from the highest, in which the `wanted`-th element lies; *wanted becomes its
// number within the slot.
int64_t SlotOfRank(const std::vector<int64_t>& counts, int64_t* wanted) {
  int64_t slot = static_cast<int64_t>(counts.size()) - 1;
  while (counts[slot] < *wanted) *wanted -= counts[slot--];
  return slot;
}

// keep is in 1..n.
Cut CutOfAll(int threads, int64_t n, int64_t keep, const float* scores) {
  int64_t wanted = keep;
  const int64_t high = SlotOfRank(
      CountSlots(threads, n, 1 << kHighBits,
                 [&](int64_t i) { return int64_t{MagnitudeBits(scores[i]) >> kLowBits}; }),
      &wanted);
  const int64_t low = SlotOfRank(
      CountSlots(threads, n, 1 << kLowBits,
                 [&](int64_t i) {
                   const uint32_t bits = MagnitudeBits(scores[i]);
                   return bits >> kLowBits == high ? int64_t{bits & 0xffffu} : -1;
                 }),
      &wanted);
  return {static_cast<uint32_t>(high << kLowBits | low), wanted};
}

// Of one row, on one thread: by the upper 11 bits of the magnitudes, then by 10 and 10 more of those
// that the threshold may be among.
class RowCutter {
 public:
  Cut Of(int64_t n, int64_t keep, const float* scores) {
    int64_t wanted = keep;
    counts_.assign(1 << 11, 0);
    for (int64_t i = 0; i < n; ++i) ++counts_[MagnitudeBits(scores[i]) >> 20];
    const auto high = static_cast<uint32_t>(SlotOfRank(counts_, &wanted));
    among_.clear();
    for (int64_t i = 0; i < n; ++i) {
      const uint32_t bits = MagnitudeBits(scores[i]);
      if (bits >> 20 == high) among_.push_back(bits);
    }
    counts_.assign(1 << 10, 0);
    for (const uint32_t bits : among_) ++counts_[bits >> 10 & 0x3ffu];
    const auto middle = static_cast<uint32_t>(high << 10 | SlotOfRank(counts_, &wanted));
    counts_.assign(1 << 10, 0);
    for (const uint32_t bits : among_) {
      if (bits >> 10 == middle) ++counts_[bits & 0x3ffu];
    }
    const auto low = static_cast<uint32_t>(SlotOfRank(counts_, &wanted));
    return {middle << 10 | low, wanted};
  }

 private:
  std::vector<int64_t> counts_;
  std::vector<uint32_t> among_;
};

// Keeps the first `ties` elements that are equal to the threshold.
void KeepTies(int64_t n, const float* scores, uint32_t threshold, int64_t ties, uint8_t* mask) {
  for (int64_t i = 0; i < n && ties > 0; ++i) {
    if (MagnitudeBits(scores[i]) != threshold) continue;
    mask[i] = 1;
    --ties;
  }
}

void TopKOfAll(int threads, int64_t n, int64_t keep, const float* scores, uint8_t* mask) {
  const Cut cut = CutOfAll(threads, n, keep, scores);
  const int64_t chunks = (n + kChunk - 1) / kChunk;
  std::vector<int64_t> equal(chunks);
  const auto size_of = [&](int64_t chunk) { return std::min(kChunk, n - chunk * kChunk); };
  ParallelForEach(threads, chunks, [&](int64_t chunk) {
    const int64_t at = chunk * kChunk;
    equal[chunk] = MaskAboveRun(size_of(chunk), scores + at, cut.threshold, mask + at);
  });
  int64_t left = cut.ties;
  for (int64_t chunk = 0; chunk < chunks && left > 0; ++chunk) {
    const int64_t at = chunk * kChunk, here = std::min(left, equal[chunk]);
    KeepTies(size_of(chunk), scores + at, cut.threshold, here, mask + at);
    left -= here;
  }
}

}  // namespace

Status CpuSelect::TopK(const TopKArgs& args, const float* scores, uint8_t* mask) {
  SWAGE_RETURN_IF_ERROR(CheckTopK(args));
  const int64_t n = args.columns;
  if (args.keep == 0 || args.rows == 0) {
    std::fill(mask, mask + args.rows * n, uint8_t{0});
    return Status();
  }
  if (args.rows == 1) {
    TopKOfAll(threads_, n, args.keep, scores, mask);
    return Status();
  }
  ParallelFor(threads_, args.rows, RowGrain(n), [&](int64_t begin, int64_t end) {
    RowCutter cutter;
    for (int64_t r = begin; r < end; ++r) {
      const Cut cut = cutter.Of(n, args.keep, scores + r * n);
      MaskAboveRun(n, scores + r * n, cut.threshold, mask + r * n);
      KeepTies(n, scores + r * n, cut.threshold, cut.ties, mask + r * n);
    }
  });
  return Status();
}

Status CpuSelect::KeepNOfM(int64_t rows, int64_t columns, int n, int m, const float* scores,
                           uint8_t* mask) {
  SWAGE_RETURN_IF_ERROR(CheckNOfM(rows, columns, n, m));
  ParallelFor(threads_, rows * columns / m, RowGrain(m), [&](int64_t begin, int64_t end) {
    KeepNOfMRun(end - begin, n, m, scores + begin * m, mask + begin * m);
  });
  return Status();
}

Status CpuSelect::ApplyMask(int64_t count, const uint8_t* mask, float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("mask", count, 1));
  ParallelFor(threads_, count, kElementGrain, [&](int64_t begin, int64_t end) {
    ApplyMaskRun(end - begin, mask + begin, x + begin);
  });
  return Status();
}

Status CpuSelect::Nearest(int64_t n, int64_t dim, int64_t k, const float* points,
                          const float* codebook, int32_t* index, float* distance2) {
  SWAGE_RETURN_IF_ERROR(CheckNearest(n, dim, k));
  constexpr int64_t kVectorsOfPoints = 64;
  const int64_t grain = std::max(kVectorsOfPoints, RowGrain(dim * k) / kVectorsOfPoints * kVectorsOfPoints);
  ParallelFor(threads_, n, grain, [&](int64_t begin, int64_t end) {
    NearestRun(end - begin, dim, k, points + begin * dim, codebook, index + begin,
               distance2 == nullptr ? nullptr : distance2 + begin);
  });
  return Status();
}

StatusOr<KMeansResult> CpuSelect::KMeans(const KMeansArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckKMeans(args));
  return RunKMeans(args, this);
}

Status CpuStatistics::Columns(const ColumnsArgs& args, ColumnStatistics* sums) {
  SWAGE_RETURN_IF_ERROR(CheckColumns(args, *sums));
  const ColumnSums out{sums->power1.data(), sums->power2.data(), sums->power3.data(),
                       sums->power4.data(), sums->min.data(),    sums->max.data()};
  // Whole cache lines of columns for each thread.
  const int64_t grain = std::max<int64_t>(32, RowGrain(args.rows) / 32 * 32);
  ParallelFor(threads_, args.columns, grain, [&](int64_t begin, int64_t end) {
    if (args.type == DType::kBF16) {
      ColumnsRun(args.rows, args.columns, begin, end, static_cast<const uint16_t*>(args.x), out);
    } else {
      ColumnsRun(args.rows, args.columns, begin, end, static_cast<const float*>(args.x), out);
    }
  });
  sums->rows += args.rows;
  return Status();
}

Status CpuStatistics::Histogram(const HistogramArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckHistogram(args));
  const HistogramGrid grid(args.low, args.high, args.bins);
  const std::vector<int64_t> counts = CountSlots(
      threads_, args.n, args.bins + 3, [&](int64_t i) { return grid.SlotOf(args.x[i]); });
  for (int64_t i = 0; i < args.bins + 3; ++i) args.counts[i] += counts[i];
  return Status();
}

}  // namespace swage::cpu
