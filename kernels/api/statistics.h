// Statistics of activations and weights. Part of Ops (kernels/api/ops.h), whose rules hold. Column
// sums are in double and made row by row, so that they are the same bytes for any number of threads;
// parts of a stream are merged by StatisticsTree, whose shape depends on the number of parts only.
//   ColumnStatistics part(h);
//   ops->statistics().Columns({tokens, h, x, DType::kF32}, &part);
//   tree.Add(std::move(part));          // one part per window
//   double kurtosis = tree.Total().Kurtosis(column);
#pragma once

#include <cstdint>
#include <vector>

#include "base/modelfile/dtype.h"
#include "base/status.h"

namespace swage {

// Of the columns of one or more matrices. Host memory.
struct ColumnStatistics {
  explicit ColumnStatistics(int64_t columns = 0);
  int64_t columns() const { return static_cast<int64_t>(max.size()); }
  int64_t rows = 0;
  std::vector<double> power1, power2, power3, power4;  // sums of x, x^2, x^3, x^4
  std::vector<float> min, max;                         // +infinity and -infinity without rows

  float AbsMax(int64_t column) const;
  double Mean(int64_t column) const;
  double SecondMoment(int64_t column) const;  // mean of x^2
  double Variance(int64_t column) const;      // around the mean, divided by rows
  double Kurtosis(int64_t column) const;      // fourth central moment / variance^2; 0 if constant
  void Merge(const ColumnStatistics& later);  // same columns
};

// Merges parts pairwise in the order of their arrival, as a binary counter does: part 0 with 1, 2
// with 3, then the pairs, and so on. A worker that owns parts [i * 2^k, (i+1) * 2^k) can merge them
// alone and hand over the result as one part of that level: the total keeps its bytes.
class StatisticsTree {
 public:
  void Add(ColumnStatistics part, int level = 0);  // levels never exceed the last added part's run
  ColumnStatistics Total() const;                  // of zero columns when nothing was added
  int64_t parts() const { return parts_; }

 private:
  struct Node {
    int level;
    ColumnStatistics sums;
  };
  std::vector<Node> nodes_;  // levels descend
  int64_t parts_ = 0;        // of level 0, those inside merged ones included
};

struct ColumnsArgs {
  int64_t rows = 0, columns = 0;
  const void* x = nullptr;
  DType type = DType::kF32;  // kF32 or kBF16
};

// counts: [below low, `bins` equal parts of [low, high), from high on, NaN]. The bin of x is
// floor((x - low) * (bins / (high - low))) in f32 arithmetic, clamped to the bins.
struct HistogramArgs {
  int64_t n = 0;
  const float* x = nullptr;
  float low = 0, high = 1;
  int64_t bins = 0;
  int64_t* counts = nullptr;  // [bins + 3], added to; host memory
};

class StatisticsOps {
 public:
  virtual ~StatisticsOps() = default;
  virtual Status Columns(const ColumnsArgs& args, ColumnStatistics* sums);  // adds to *sums
  virtual Status Histogram(const HistogramArgs& args);
};

}  // namespace swage
