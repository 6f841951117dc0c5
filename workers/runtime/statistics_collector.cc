#include "workers/runtime/statistics_collector.h"

#include <algorithm>

namespace swage {

LinearNames NamesOf(const Block& block, const std::string& prefix) {
  LinearNames names;
  for (const auto& [module, linear] : block.linears) names[&linear] = prefix + module;
  return names;
}

Status StatisticsCollector::SeeInput(const Linear& linear, int64_t step, int64_t rows, int64_t width,
                                     const float* x) {
  Entry& entry = EntryOf(linear, step, width);
  current_ = &entry;
  if (entry.seen == std::pair(batch_, step)) return absl::OkStatus();
  entry.seen = {batch_, step};
  SWAGE_ASSIGN_OR_RETURN(ColumnStatistics part, Count(rows, width, x));
  entry.tree.Add(std::move(part));
  return options_.hessians ? AddToHessian(&entry, rows, x) : absl::OkStatus();
}

Status StatisticsCollector::SeeKeysAndValues(int64_t rows, int64_t width, const float* keys,
                                             const float* values) {
  SWAGE_ASSIGN_OR_RETURN(ColumnStatistics k, Count(rows, width, keys));
  SWAGE_ASSIGN_OR_RETURN(ColumnStatistics v, Count(rows, width, values));
  keys_.Add(std::move(k));
  values_.Add(std::move(v));
  return absl::OkStatus();
}

StatusOr<ColumnStatistics> StatisticsCollector::Count(int64_t rows, int64_t width, const float* x) {
  ColumnStatistics part(options_.columns ? width : 0);
  if (options_.columns) {
    SWAGE_RETURN_IF_ERROR(ops_->statistics().Columns({rows, width, x, DType::kF32}, &part));
  } else {
    part.rows = rows;
  }
  return part;
}

BlockStatistics StatisticsCollector::Take(int64_t layer) {
  BlockStatistics out;
  out.layer = layer;
  for (Entry& entry : entries_) {
    entry.result.columns = entry.tree.Total();
    out.inputs.push_back(std::move(entry.result));
  }
  for (const auto& [linear, name] : names_) {
    if (!by_linear_.contains(linear)) out.unseen.push_back(name);
  }
  std::sort(out.unseen.begin(), out.unseen.end());
  out.keys = keys_.Total();
  out.values = values_.Total();
  return out;
}

StatisticsCollector::Entry& StatisticsCollector::EntryOf(const Linear& linear, int64_t step,
                                                         int64_t width) {
  if (auto known = by_linear_.find(&linear); known != by_linear_.end()) return *known->second;
  const bool same_rows = current_ != nullptr && current_->seen == std::pair(batch_, step);
  if (!same_rows) {
    entries_.emplace_back().result.width = width;
    current_ = &entries_.back();
  }
  current_->result.readers.push_back(names_.at(&linear));
  return *(by_linear_[&linear] = current_);
}

Status StatisticsCollector::AddToHessian(Entry* entry, int64_t rows, const float* x) {
  Buffer<float>& h = entry->result.hessian;
  const int64_t width = entry->result.width;
  if (h.size() == 0) {
    SWAGE_ASSIGN_OR_RETURN(h, Buffer<float>::Allocate(width * width));
    std::fill(h.data(), h.data() + h.size(), 0.0f);
  }
  SyrkArgs args;
  args.rows = rows;
  args.n = width;
  args.x = x;
  args.h = h.data();
  if (options_.compute == Compute::kBF16) {  // what the products see
    cast_.Resize(rows * width);
    SWAGE_RETURN_IF_ERROR(ops_->CastFromF32(rows * width, x, DType::kBF16, cast_.data()));
    args.x = cast_.data();
    args.x_type = DType::kBF16;
  }
  return ops_->linalg().Syrk(args);
}

}  // namespace swage
