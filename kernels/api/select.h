// Choosing and grouping: masks of the largest values, k-means and nearest codewords. Part of Ops
// (kernels/api/ops.h), whose rules hold. Masks are bytes, 1: kept. Masks are the same bytes on every
// implementation; of equal magnitudes the one with the lower index is kept.
//   ops->select().TopK({1, n, n / 2}, scores, mask);            // half of a tensor
//   ops->select().KeepNOfM(rows, columns, 2, 4, scores, mask);  // 2:4
#pragma once

#include <cstdint>

#include "base/status.h"
#include "kernels/numeric/philox.h"

namespace swage {

struct TopKArgs {
  int64_t rows = 0, columns = 0;
  int64_t keep = 0;  // of each row, 0..columns; rows = 1 makes it global
};

// points [n, dim], centers [k, dim], weights [n] (null: all 1) not negative.
struct KMeansArgs {
  int64_t n = 0, dim = 1, k = 0;
  const float* points = nullptr;
  const float* weights = nullptr;
  float* centers = nullptr;       // out; in too when given_centers
  int32_t* assignment = nullptr;  // out, [n]
  int iterations = 20;            // at most; stops when no assignment changes
  bool given_centers = false;     // else k-means++ (Arthur and Vassilvitskii, 2007), drawn with key
  RandomKey key;
};
struct KMeansResult {
  double inertia = 0;  // sum of weight * squared distance to the assigned center
  int iterations = 0;
};

class SelectOps {
 public:
  virtual ~SelectOps() = default;
  // mask[r,i] = 1 for the `keep` largest |scores[r,:]|. NaN counts as larger than infinity.
  virtual Status TopK(const TopKArgs& args, const float* scores, uint8_t* mask);
  // The n largest |scores| of every m neighbours of a row; m divides columns, m <= 64.
  virtual Status KeepNOfM(int64_t rows, int64_t columns, int n, int m, const float* scores,
                          uint8_t* mask);
  // x = 0 where mask is 0.
  virtual Status ApplyMask(int64_t count, const uint8_t* mask, float* x);
  // index[i] of the codeword nearest to points[i] (squared distance; the first of equally near
  // ones, where "equal" is within the rounding of f32), distance2 (may be null) its distance.
  virtual Status Nearest(int64_t n, int64_t dim, int64_t k, const float* points,
                         const float* codebook, int32_t* index, float* distance2);
  // Lloyd's iterations. A center that loses all its points is put on the point that is farthest
  // from its own.
  virtual StatusOr<KMeansResult> KMeans(const KMeansArgs& args);
};

}  // namespace swage
