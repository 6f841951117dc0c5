// Comparisons of magnitudes, and distances to codewords for a vector of points at a time.
#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/cpu/simd_families.h"
#include "kernels/numeric/select.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_select.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Float = hn::ScalableTag<float>;
using Integer = hn::RebindToSigned<Float>;
using Byte = hn::Rebind<uint8_t, Integer>;
using VF = hn::Vec<Float>;
using VI = hn::Vec<Integer>;

// Magnitudes as signed integers: their order is that of the unsigned ones.
HWY_INLINE VI Magnitude(VF x) { return hn::BitCast(Integer(), hn::Abs(x)); }

HWY_INLINE void StoreMask(VI ones, uint8_t* mask) {
  hn::StoreU(hn::DemoteTo(Byte(), ones), Byte(), mask);
}

int64_t MaskAboveRun(int64_t n, const float* x, uint32_t threshold, uint8_t* mask) {
  const Float df;
  const Integer di;
  const int64_t lanes = hn::Lanes(df);
  const VI limit = hn::Set(di, static_cast<int32_t>(threshold)), one = hn::Set(di, 1);
  int64_t equal = 0, i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI own = Magnitude(hn::LoadU(df, x + i));
    StoreMask(hn::IfThenElseZero(hn::Gt(own, limit), one), mask + i);
    equal += hn::CountTrue(di, hn::Eq(own, limit));
  }
  for (; i < n; ++i) {
    const uint32_t own = MagnitudeBits(x[i]);
    mask[i] = own > threshold;
    equal += own == threshold;
  }
  return equal;
}

// How many of the other members of each group come before `own`: larger ones, and equal ones with a
// lower index.
HWY_INLINE VI Before(VI own, VI other, bool other_is_first) {
  const VI one = hn::Set(Integer(), 1);
  return other_is_first ? hn::IfThenZeroElse(hn::Lt(other, own), one)
                        : hn::IfThenElseZero(hn::Gt(other, own), one);
}

void KeepOfFour(int64_t groups, int n, const float* x, uint8_t* mask) {
  int64_t g = 0;
#if HWY_TARGET != HWY_SCALAR  // whose vectors of bytes are not four times as long
  const Float df;
  const Integer di;
  const int64_t lanes = hn::Lanes(df);
  const VI limit = hn::Set(di, n), one = hn::Set(di, 1);
  for (; g + lanes <= groups; g += lanes) {
    VF v0, v1, v2, v3;
    hn::LoadInterleaved4(df, x + 4 * g, v0, v1, v2, v3);
    const VI a = Magnitude(v0), b = Magnitude(v1), c = Magnitude(v2), d = Magnitude(v3);
    const auto keep = [&](VI rank) { return hn::IfThenElseZero(hn::Lt(rank, limit), one); };
    const VI ra = hn::Add(hn::Add(Before(a, b, false), Before(a, c, false)), Before(a, d, false));
    const VI rb = hn::Add(hn::Add(Before(b, a, true), Before(b, c, false)), Before(b, d, false));
    const VI rc = hn::Add(hn::Add(Before(c, a, true), Before(c, b, true)), Before(c, d, false));
    const VI rd = hn::Add(hn::Add(Before(d, a, true), Before(d, b, true)), Before(d, c, true));
    // The four bytes of a group in one 32-bit lane, lowest first.
    const VI bytes = hn::Or(hn::Or(keep(ra), hn::ShiftLeft<8>(keep(rb))),
                            hn::Or(hn::ShiftLeft<16>(keep(rc)), hn::ShiftLeft<24>(keep(rd))));
    hn::StoreU(hn::BitCast(hn::Repartition<uint8_t, Integer>(), bytes),
               hn::Repartition<uint8_t, Integer>(), mask + 4 * g);
  }
#endif
  for (; g < groups; ++g) {
    for (int i = 0; i < 4; ++i) mask[4 * g + i] = KeptOfGroup(x + 4 * g, 4, n, i);
  }
}

// Groups become lanes: member j of `lanes` groups in one vector.
void KeepOfMany(int64_t groups, int n, int m, const float* x, uint8_t* mask) {
  constexpr int kMost = 64;
  const Float df;
  const Integer di;
  const int64_t lanes = hn::Lanes(df);
  const VI limit = hn::Set(di, n), one = hn::Set(di, 1);
  HWY_ALIGN float members[kMost * hn::MaxLanes(df)];
  HWY_ALIGN int32_t kept[hn::MaxLanes(df)];
  int64_t g = 0;
  for (; g + lanes <= groups; g += lanes) {
    for (int64_t lane = 0; lane < lanes; ++lane) {
      for (int j = 0; j < m; ++j) members[j * lanes + lane] = x[(g + lane) * m + j];
    }
    for (int i = 0; i < m; ++i) {
      const VI own = Magnitude(hn::Load(df, members + i * lanes));
      VI rank = hn::Zero(di);
      for (int j = 0; j < m; ++j) {
        if (j == i) continue;
        rank = hn::Add(rank, Before(own, Magnitude(hn::Load(df, members + j * lanes)), j < i));
      }
      hn::Store(hn::IfThenElseZero(hn::Lt(rank, limit), one), di, kept);
      for (int64_t lane = 0; lane < lanes; ++lane) {
        mask[(g + lane) * m + i] = static_cast<uint8_t>(kept[lane]);
      }
    }
  }
  for (; g < groups; ++g) {
    for (int i = 0; i < m; ++i) mask[g * m + i] = KeptOfGroup(x + g * m, m, n, i);
  }
}

void KeepNOfMRun(int64_t groups, int n, int m, const float* x, uint8_t* mask) {
  if (m == 4) {
    KeepOfFour(groups, n, x, mask);
  } else {
    KeepOfMany(groups, n, m, x, mask);
  }
}

void ApplyMaskRun(int64_t n, const uint8_t* mask, float* x) {
  const Float df;
  const Integer di;
  const int64_t lanes = hn::Lanes(df);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const VI kept = hn::PromoteTo(di, hn::LoadU(Byte(), mask + i));
    const auto dropped = hn::RebindMask(df, hn::Eq(kept, hn::Zero(di)));
    hn::StoreU(hn::IfThenZeroElse(dropped, hn::LoadU(df, x + i)), df, x + i);
  }
  for (; i < n; ++i) x[i] = mask[i] != 0 ? x[i] : 0.0f;
}

// kVectors vectors of points, their coordinates in columns [dim, kVectors * lanes].
template <int kVectors>
HWY_INLINE void NearestOf(int64_t dim, int64_t k, const float* columns, const float* codebook,
                          int32_t* index, float* distance2) {
  const Float df;
  const Integer di;
  const int64_t lanes = hn::Lanes(df), width = kVectors * lanes;
  VF best[kVectors];
  VI best_index[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    best[v] = hn::Set(df, std::numeric_limits<float>::infinity());
    best_index[v] = hn::Zero(di);
  }
  for (int64_t c = 0; c < k; ++c) {
    VF sum[kVectors];
    for (int v = 0; v < kVectors; ++v) sum[v] = hn::Zero(df);
    for (int64_t d = 0; d < dim; ++d) {
      const VF coordinate = hn::Set(df, codebook[c * dim + d]);
      for (int v = 0; v < kVectors; ++v) {
        const VF difference = hn::Sub(hn::LoadU(df, columns + d * width + v * lanes), coordinate);
        sum[v] = hn::MulAdd(difference, difference, sum[v]);
      }
    }
    const VI own = hn::Set(di, static_cast<int32_t>(c));
    for (int v = 0; v < kVectors; ++v) {
      const auto nearer = hn::Lt(sum[v], best[v]);
      best[v] = hn::IfThenElse(nearer, sum[v], best[v]);
      best_index[v] = hn::IfThenElse(hn::RebindMask(di, nearer), own, best_index[v]);
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    hn::Store(best_index[v], di, index + v * lanes);
    hn::Store(best[v], df, distance2 + v * lanes);
  }
}

void NearestRun(int64_t n, int64_t dim, int64_t k, const float* points, const float* codebook,
                int32_t* index, float* distance2) {
  constexpr int kVectors = 4;
  const int64_t lanes = hn::Lanes(Float()), width = kVectors * lanes;
  std::vector<float> columns(dim * width);
  HWY_ALIGN int32_t nearest[kVectors * hn::MaxLanes(Float())];
  HWY_ALIGN float distances[kVectors * hn::MaxLanes(Float())];
  for (int64_t i = 0; i < n; i += width) {
    const int64_t count = std::min(width, n - i);
    for (int64_t p = 0; p < width; ++p) {
      const float* point = points + (i + std::min(p, count - 1)) * dim;  // the last one fills up
      for (int64_t d = 0; d < dim; ++d) columns[d * width + p] = point[d];
    }
    NearestOf<kVectors>(dim, k, columns.data(), codebook, nearest, distances);
    std::copy_n(nearest, count, index + i);
    if (distance2 != nullptr) std::copy_n(distances, count, distance2 + i);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(MaskAboveRun);
HWY_EXPORT(KeepNOfMRun);
HWY_EXPORT(ApplyMaskRun);
HWY_EXPORT(NearestRun);

int64_t MaskAboveRun(int64_t n, const float* x, uint32_t threshold, uint8_t* mask) {
  return HWY_DYNAMIC_DISPATCH(MaskAboveRun)(n, x, threshold, mask);
}
void KeepNOfMRun(int64_t groups, int n, int m, const float* x, uint8_t* mask) {
  HWY_DYNAMIC_DISPATCH(KeepNOfMRun)(groups, n, m, x, mask);
}
void ApplyMaskRun(int64_t n, const uint8_t* mask, float* x) {
  HWY_DYNAMIC_DISPATCH(ApplyMaskRun)(n, mask, x);
}
void NearestRun(int64_t n, int64_t dim, int64_t k, const float* points, const float* codebook,
                int32_t* index, float* distance2) {
  HWY_DYNAMIC_DISPATCH(NearestRun)(n, dim, k, points, codebook, index, distance2);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
