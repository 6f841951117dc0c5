// Sums along the fixed tree of chunk_tree.h over any Reducer: the same bytes for any number of members. What travels is
// each member's partial sums, at most 2 log2(chunks) of them, one where the world divides the chunks; every member gets
// all of them and adds them itself, piece by piece, so that the memory beside the result is bounded.
//
//   ExactReducer exact(reducer);
//   SWAGE_RETURN_IF_ERROR(exact.Sum(Pointers(stack.nodes()), n, total));   // all members, in the same order
#pragma once

#include <string>
#include <vector>

#include "workers/runtime/chunk_tree.h"
#include "workers/runtime/reducer.h"

namespace swage {

class ExactReducer {
 public:
  // `reducer`: in the host's memory; null is a world of one. Not owned.
  explicit ExactReducer(Reducer* reducer) : reducer_(reducer == nullptr ? &self_ : reducer) {}
  int rank() const { return reducer_->rank(); }
  int world() const { return reducer_->world(); }
  ChunkRange own() const { return ChunksOf(rank(), world()); }

  // The element-wise sum of all members' arrays of `n`; zeros where nobody has one. Errors: the reducer's; BAD_GATHER when
  // what the others say makes no tree.
  Status Sum(const NodeValues<const float*>& mine, int64_t n, float* total) { return SumOf(mine, n, total); }
  Status Sum(const NodeValues<const double*>& mine, int64_t n, double* total) { return SumOf(mine, n, total); }
  StatusOr<std::vector<std::string>> Gather(const std::string& mine) { return GatherTexts(reducer_, mine); }

 private:
  template <typename T>
  Status SumOf(const NodeValues<const T*>& mine, int64_t n, T* total);

  SelfReducer self_;
  Reducer* const reducer_;
};

}  // namespace swage
