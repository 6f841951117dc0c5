#include "kernels/api/kmeans.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace swage {
namespace {

float WeightOf(const KMeansArgs& args, int64_t i) {
  return args.weights == nullptr ? 1.0f : args.weights[i];
}

// The first point whose running share of `mass` passes unit * total; a point of positive mass.
int64_t Draw(const std::vector<double>& mass, float unit) {
  double total = 0;
  for (const double m : mass) total += m;
  const double wanted = static_cast<double>(unit) * total;
  double sum = 0;
  int64_t last = 0;
  for (size_t i = 0; i < mass.size(); ++i) {
    if (mass[i] <= 0) continue;
    sum += mass[i];
    last = static_cast<int64_t>(i);
    if (sum > wanted) break;
  }
  return last;
}

void CopyPoint(const KMeansArgs& args, int64_t point, int64_t center) {
  std::copy_n(args.points + point * args.dim, args.dim, args.centers + center * args.dim);
}

// k-means++: each next center is a point drawn by weight times squared distance to the nearest
// center so far.
Status DrawCenters(const KMeansArgs& args, SelectOps* ops) {
  std::vector<double> mass(args.n);
  std::vector<float> nearest(args.n, std::numeric_limits<float>::infinity()), distance(args.n);
  std::vector<int32_t> index(args.n);
  for (int64_t i = 0; i < args.n; ++i) mass[i] = WeightOf(args, i);
  for (int64_t c = 0; c < args.k; ++c) {
    CopyPoint(args, Draw(mass, UnitOf(RandomWord(args.key, c))), c);
    if (c + 1 == args.k) break;
    SWAGE_RETURN_IF_ERROR(ops->Nearest(args.n, args.dim, 1, args.points,
                                       args.centers + c * args.dim, index.data(), distance.data()));
    for (int64_t i = 0; i < args.n; ++i) {
      nearest[i] = std::min(nearest[i], distance[i]);
      mass[i] = static_cast<double>(nearest[i]) * WeightOf(args, i);
    }
  }
  return Status();
}

struct Means {
  std::vector<double> sums, weights;
};

Means SumsOf(const KMeansArgs& args) {
  Means means{std::vector<double>(args.k * args.dim), std::vector<double>(args.k)};
  for (int64_t i = 0; i < args.n; ++i) {
    const double weight = WeightOf(args, i);
    const int64_t center = args.assignment[i];
    means.weights[center] += weight;
    for (int64_t d = 0; d < args.dim; ++d) {
      means.sums[center * args.dim + d] += weight * args.points[i * args.dim + d];
    }
  }
  return means;
}

// Centers become means; those without weight go, one after the other, to the points with the
// largest share of the inertia.
void MoveCenters(const KMeansArgs& args, std::vector<float>* distance) {
  const Means means = SumsOf(args);
  for (int64_t c = 0; c < args.k; ++c) {
    if (means.weights[c] > 0) {
      for (int64_t d = 0; d < args.dim; ++d) {
        args.centers[c * args.dim + d] =
            static_cast<float>(means.sums[c * args.dim + d] / means.weights[c]);
      }
      continue;
    }
    int64_t farthest = 0;
    double most = -1;
    for (int64_t i = 0; i < args.n; ++i) {
      const double share = static_cast<double>((*distance)[i]) * WeightOf(args, i);
      if (share > most) {
        most = share;
        farthest = i;
      }
    }
    CopyPoint(args, farthest, c);
    (*distance)[farthest] = 0;
  }
}

double InertiaOf(const KMeansArgs& args, const std::vector<float>& distance) {
  double sum = 0;
  for (int64_t i = 0; i < args.n; ++i) {
    sum += static_cast<double>(distance[i]) * WeightOf(args, i);
  }
  return sum;
}

}  // namespace

StatusOr<KMeansResult> RunKMeans(const KMeansArgs& args, SelectOps* ops) {
  if (!args.given_centers) SWAGE_RETURN_IF_ERROR(DrawCenters(args, ops));
  std::vector<float> distance(args.n);
  std::vector<int32_t> before;
  const auto assign = [&] {
    return ops->Nearest(args.n, args.dim, args.k, args.points, args.centers, args.assignment,
                        distance.data());
  };
  SWAGE_RETURN_IF_ERROR(assign());
  KMeansResult result;
  while (result.iterations < args.iterations) {
    before.assign(args.assignment, args.assignment + args.n);
    MoveCenters(args, &distance);
    SWAGE_RETURN_IF_ERROR(assign());
    ++result.iterations;
    if (std::equal(before.begin(), before.end(), args.assignment)) break;
  }
  result.inertia = InertiaOf(args, distance);
  return result;
}

}  // namespace swage
