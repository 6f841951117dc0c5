// `reduction: exact` (DESIGN, promise 6): sums over samples that are the same bytes for any number of workers. Floating
// point addition is not associative, so the order of additions is fixed: the samples are cut into a fixed number of chunks,
// each chunk is summed by one worker in its own order, and the chunks' sums are added along one binary tree over their
// numbers. A worker owns a run of chunks; what of the tree lies within its run it adds alone, so that only O(log chunks)
// partial sums of each worker travel. A chunk without samples of some kind (an expert nobody chose) has no value; a node of
// the tree with one value below it is that value.
//
//   ChunkStack<ColumnStatistics> stack(ChunksOf(kReductionChunks, rank, world), merge);
//   for (chunk of own) stack.Add(chunk, SumOf(chunk));
//   nodes = stack.Take();                        // travel
//   total = CombineChunks(nodes of all workers, merge);
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"

namespace swage {

inline constexpr int kReductionLevels = 4;
inline constexpr int64_t kReductionChunks = int64_t{1} << kReductionLevels;  // whatever the number of workers

struct ChunkRange {
  int64_t begin = 0, end = 0;
};
// The chunks that member `rank` of `world` computes; members beyond the number of chunks have none.
inline ChunkRange ChunksOf(int rank, int world) {
  return {kReductionChunks * rank / world, kReductionChunks * (rank + 1) / world};
}
// Where the samples of a chunk begin; those of the one behind the last: `samples`.
inline int64_t ChunkBegin(int64_t chunk, int64_t samples) { return samples * chunk / kReductionChunks; }

struct ChunkNode {  // the sum of chunks [index << level, (index + 1) << level)
  int64_t level = 0, index = 0;  // without padding: its bytes travel
  int64_t begin() const { return index << level; }
  int64_t end() const { return (index + 1) << level; }
  bool operator==(const ChunkNode&) const = default;
};

template <typename T>
using NodeValues = std::vector<std::pair<ChunkNode, T>>;
// Adds the later to the earlier one, in place.
template <typename T>
using MergeChunks = std::function<void(T* earlier, T later)>;

// Of one worker: adds what can be added without the others, as soon as it can.
template <typename T>
class ChunkStack {
 public:
  ChunkStack(ChunkRange own, MergeChunks<T> merge) : own_(own), merge_(std::move(merge)) {}

  // In ascending order; a chunk without a value is left out.
  void Add(int64_t chunk, T value) { Add(ChunkNode{0, chunk}, std::move(value)); }
  void Add(ChunkNode node, T value) {
    SWAGE_CHECK(node.begin() >= std::max(own_.begin, next_) && node.end() <= own_.end, "chunk ", node.begin(),
                " is out of turn");
    Collapse(node.begin());
    nodes_.emplace_back(node, std::move(value));
    next_ = node.end();
    Collapse(next_);
  }

  NodeValues<T> Take() {
    Collapse(own_.end);
    return std::exchange(nodes_, {});
  }

 private:
  // Chunks before `done` are complete: the last node rises to its parent while all that lies below the parent is ours
  // and complete, taking in its left neighbour where there is one.
  void Collapse(int64_t done) {
    while (!nodes_.empty() && nodes_.back().first.level < kReductionLevels) {
      const ChunkNode node = nodes_.back().first, parent{node.level + 1, node.index / 2};
      if (parent.begin() < own_.begin || parent.end() > done) return;
      if (nodes_.size() >= 2 && nodes_[nodes_.size() - 2].first.begin() >= parent.begin()) {
        T later = std::move(nodes_.back().second);
        nodes_.pop_back();
        merge_(&nodes_.back().second, std::move(later));
      }
      nodes_.back().first = parent;
    }
  }

  ChunkRange own_;
  MergeChunks<T> merge_;
  int64_t next_ = 0;
  NodeValues<T> nodes_;  // ascending, not overlapping
};

// The whole tree's value from nodes that do not overlap, in any order; none without any.
template <typename T>
std::optional<T> CombineChunks(NodeValues<T> nodes, const MergeChunks<T>& merge) {
  std::sort(nodes.begin(), nodes.end(),
            [](const auto& a, const auto& b) { return a.first.begin() < b.first.begin(); });
  ChunkStack<T> all({0, kReductionChunks}, merge);
  for (auto& [node, value] : nodes) all.Add(node, std::move(value));
  NodeValues<T> root = all.Take();
  if (root.empty()) return std::nullopt;
  return std::move(root.front().second);
}

// Whether these are nodes of the tree that do not overlap; to be asked of what others say.
inline bool AreChunkNodes(std::vector<ChunkNode> nodes) {
  for (const ChunkNode& node : nodes) {
    if (node.level < 0 || node.level > kReductionLevels || node.index < 0 || node.index > kReductionChunks ||
        node.end() > kReductionChunks) {
      return false;
    }
  }
  std::sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a.begin() < b.begin(); });
  for (size_t i = 1; i < nodes.size(); ++i) {
    if (nodes[i].begin() < nodes[i - 1].end()) return false;
  }
  return true;
}

}  // namespace swage
