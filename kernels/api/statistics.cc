#include "kernels/api/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace swage {

ColumnStatistics::ColumnStatistics(int64_t columns)
    : power1(columns),
      power2(columns),
      power3(columns),
      power4(columns),
      min(columns, std::numeric_limits<float>::infinity()),
      max(columns, -std::numeric_limits<float>::infinity()) {}

float ColumnStatistics::AbsMax(int64_t column) const {
  return rows == 0 ? 0.0f : std::max(-min[column], max[column]);
}

double ColumnStatistics::Mean(int64_t column) const {
  return rows == 0 ? 0.0 : power1[column] / static_cast<double>(rows);
}

double ColumnStatistics::SecondMoment(int64_t column) const {
  return rows == 0 ? 0.0 : power2[column] / static_cast<double>(rows);
}

double ColumnStatistics::Variance(int64_t column) const {
  const double mean = Mean(column);
  return std::max(0.0, SecondMoment(column) - mean * mean);
}

double ColumnStatistics::Kurtosis(int64_t column) const {
  const double variance = Variance(column);
  // Below this the difference of two sums of squares is rounding.
  if (rows == 0 || variance <= 1e-13 * SecondMoment(column)) return 0.0;
  const double n = static_cast<double>(rows), mean = Mean(column);
  const double fourth = power4[column] / n - 4 * mean * power3[column] / n +
                        6 * mean * mean * power2[column] / n - 3 * mean * mean * mean * mean;
  return fourth / (variance * variance);
}

void ColumnStatistics::Merge(const ColumnStatistics& later) {
  SWAGE_CHECK(columns() == later.columns(), "statistics of different columns");
  rows += later.rows;
  for (size_t i = 0; i < max.size(); ++i) {
    power1[i] += later.power1[i];
    power2[i] += later.power2[i];
    power3[i] += later.power3[i];
    power4[i] += later.power4[i];
    min[i] = std::min(min[i], later.min[i]);
    max[i] = std::max(max[i], later.max[i]);
  }
}

void StatisticsTree::Add(ColumnStatistics part, int level) {
  SWAGE_CHECK(level >= 0 && level < 62 && parts_ % (int64_t{1} << level) == 0,
              "a part of level ", level, " after ", parts_, " parts");
  parts_ += int64_t{1} << level;
  nodes_.push_back({level, std::move(part)});
  while (nodes_.size() >= 2 && nodes_[nodes_.size() - 2].level == nodes_.back().level) {
    Node later = std::move(nodes_.back());
    nodes_.pop_back();
    nodes_.back().sums.Merge(later.sums);
    ++nodes_.back().level;
  }
}

ColumnStatistics StatisticsTree::Total() const {
  if (nodes_.empty()) return ColumnStatistics(0);
  ColumnStatistics total = nodes_.back().sums;
  for (size_t i = nodes_.size() - 1; i-- > 0;) {
    ColumnStatistics earlier = nodes_[i].sums;
    earlier.Merge(total);
    total = std::move(earlier);
  }
  return total;
}

}  // namespace swage
