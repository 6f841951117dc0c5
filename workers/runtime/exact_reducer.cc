#include "workers/runtime/exact_reducer.h"

#include <cstring>

namespace swage {
namespace {

constexpr int64_t kPieceBytes = 8 << 20;  // of all members' partial sums, at a time

// The nodes of all members: how many each has, and all in the order of ranks.
struct Gathered {
  std::vector<int64_t> counts;
  std::vector<ChunkNode> nodes;
};

StatusOr<Gathered> GatherNodes(Reducer* reducer, const std::vector<ChunkNode>& mine) {
  std::string text(mine.size() * sizeof(ChunkNode), '\0');
  if (!mine.empty()) std::memcpy(text.data(), mine.data(), text.size());
  SWAGE_ASSIGN_OR_RETURN(const std::vector<std::string> all, GatherTexts(reducer, text));
  Gathered gathered;
  for (const std::string& one : all) {
    const size_t count = one.size() / sizeof(ChunkNode), before = gathered.nodes.size();
    gathered.counts.push_back(static_cast<int64_t>(count));
    gathered.nodes.resize(before + count);
    if (count > 0) std::memcpy(gathered.nodes.data() + before, one.data(), count * sizeof(ChunkNode));
  }
  if (!AreChunkNodes(gathered.nodes))
    return Error(StatusCode::kInternal, "BAD_GATHER", "the members' partial sums are not those of one tree");
  return gathered;
}

}  // namespace

template <typename T>
Status ExactReducer::SumOf(const NodeValues<const T*>& mine, int64_t n, T* total) {
  std::vector<ChunkNode> own;
  for (const auto& [node, values] : mine) own.push_back(node);
  SWAGE_ASSIGN_OR_RETURN(const Gathered all, GatherNodes(reducer_, own));
  const int64_t nodes = static_cast<int64_t>(all.nodes.size());
  if (nodes == 0) {
    std::fill(total, total + n, T{0});
    return absl::OkStatus();
  }
  const int64_t piece = std::max<int64_t>(1, kPieceBytes / (nodes * static_cast<int64_t>(sizeof(T))));
  std::vector<T> sent, received;
  for (int64_t at = 0; at < n; at += piece) {
    const int64_t now = std::min(piece, n - at);
    sent.clear();
    for (const auto& [node, values] : mine) sent.insert(sent.end(), values + at, values + at + now);
    received.resize(static_cast<size_t>(nodes * now));
    std::vector<int64_t> bytes;
    for (const int64_t count : all.counts) bytes.push_back(count * now * static_cast<int64_t>(sizeof(T)));
    SWAGE_RETURN_IF_ERROR(reducer_->AllGatherV(sent.data(), bytes, received.data()));
    NodeValues<T*> values;
    for (int64_t i = 0; i < nodes; ++i) values.emplace_back(all.nodes[static_cast<size_t>(i)], received.data() + i * now);
    const auto sum = CombineChunks<T*>(std::move(values), [now](T** earlier, T* later) {
      for (int64_t i = 0; i < now; ++i) (*earlier)[i] += later[i];
    });
    std::copy(*sum, *sum + now, total + at);
  }
  return absl::OkStatus();
}

template Status ExactReducer::SumOf(const NodeValues<const float*>&, int64_t, float*);
template Status ExactReducer::SumOf(const NodeValues<const double*>&, int64_t, double*);

}  // namespace swage
