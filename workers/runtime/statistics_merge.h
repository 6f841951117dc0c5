// One block's statistics from those of its chunks of samples, along the fixed tree of chunk_tree.h: the same bytes whether
// one process has all chunks or several share them. For StatisticsPass.
//
//   StatisticsMerge merge(&exact);
//   for (chunk of exact.own()) merge.Add(chunk, statistics of the chunk);
//   SWAGE_ASSIGN_OR_RETURN(BlockStatistics block, merge.Total(layer, widths));   // all members
#pragma once

#include <map>
#include <string>
#include <vector>

#include "workers/runtime/exact_reducer.h"
#include "workers/runtime/statistics_pass.h"

namespace swage {

class StatisticsMerge {
 public:
  explicit StatisticsMerge(ExactReducer* exact);
  void Add(int64_t chunk, BlockStatistics part);  // chunks in ascending order
  // `widths`: input width of each linear of the block, by its full name. Errors: the reducer's; BAD_GATHER when the
  // members' statistics are not of one block.
  StatusOr<BlockStatistics> Total(int64_t layer, const std::map<std::string, int64_t>& widths);

 private:
  struct Part {  // one input's; of one chunk, or of several
    ColumnStatistics columns;
    Buffer<float> hessian;
  };
  struct Input {
    std::vector<std::string> readers;
    int64_t width = 0;
    ChunkStack<Part> parts;
  };
  struct Message;
  static void Merge(Part* earlier, Part later);
  Message Own();
  StatusOr<Message> Union(const std::vector<std::string>& texts, const std::map<std::string, int64_t>& widths) const;

  ExactReducer* const exact_;
  std::vector<Input> inputs_;  // in the order in which they were first seen
  ChunkStack<ColumnStatistics> keys_, values_;
  std::vector<NodeValues<Part>> taken_;  // of inputs_, once no chunk is missing
};

}  // namespace swage
