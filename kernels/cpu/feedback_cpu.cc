// GPTQ's sweep. Everything lies transposed and in the order of the sweep, so that a column is a run of
// floats and a block's errors are carried on by one product with a part of the factor.
#include <cblas.h>
#include <omp.h>

#include <algorithm>
#include <vector>

#include "kernels/api/check_families.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd_families.h"

namespace swage::cpu {
namespace {

constexpr int64_t kRowTile = 64;  // rows that are transposed together, and swept by one thread

class Sweep {
 public:
  Sweep(const FeedbackArgs& args, int threads)
      : a_(args), threads_(threads), w_(args.rows * args.columns), codes_(w_.size()) {
    errors_.resize(std::min(kFeedbackColumns, a_.columns) * a_.rows);
    group_.resize(a_.columns);
    for (int64_t i = 0; i < a_.columns; ++i)
      group_[i] = static_cast<int32_t>(a_.order[i] / a_.group);
  }

  double Run() {
    Gather();
    double loss = 0;
    for (int64_t begin = 0; begin < a_.columns; begin += kFeedbackColumns) {
      const int64_t count = std::min(kFeedbackColumns, a_.columns - begin);
      loss += Block(begin, count);
      CarryOn(begin, count);
    }
    Scatter();
    return loss;
  }

 private:
  template <typename Body>
  void ForTiles(const Body& body) {
    ParallelFor(threads_, a_.rows, kRowTile, [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; r += kRowTile) body(r, std::min(last, r + kRowTile));
    });
  }

  void Gather() {
    const int64_t groups = a_.columns / a_.group;
    scales_.resize(groups * a_.rows);
    zeros_.assign(groups * a_.rows, 0.0f);
    ForTiles([&](int64_t first, int64_t last) {
      for (int64_t i = 0; i < a_.columns; ++i) {
        const float* from = a_.w + a_.order[i];
        for (int64_t r = first; r < last; ++r) w_[i * a_.rows + r] = from[r * a_.columns];
      }
      for (int64_t g = 0; g < groups; ++g) {
        for (int64_t r = first; r < last; ++r) {
          scales_[g * a_.rows + r] = a_.scales[r * groups + g];
          if (a_.zeros != nullptr)
            zeros_[g * a_.rows + r] = static_cast<float>(a_.zeros[r * groups + g]);
        }
      }
    });
  }

  double Block(int64_t begin, int64_t count) {
    FeedbackBlock block;
    block.columns = count;
    block.stride = a_.rows;
    block.w = w_.data() + begin * a_.rows;
    block.factor = a_.factor + begin * a_.columns + begin;
    block.factor_stride = a_.columns;
    block.scales = scales_.data();
    block.zeros = zeros_.data();
    block.group = group_.data() + begin;
    block.codec.bits = a_.bits;
    block.codec.grid = IntGridOf(a_.bits);
    block.errors = errors_.data();
    block.codes = codes_.data() + begin * a_.rows;
    // One sum a tile, added up in their order: the same bytes for any number of threads.
    std::vector<double> losses((a_.rows + kRowTile - 1) / kRowTile);
    ForTiles([&](int64_t first, int64_t last) {
      FeedbackBlock part = block;
      part.begin = first;
      part.end = last;
      losses[first / kRowTile] = FeedbackRun(part);
    });
    double sum = 0;
    for (const double loss : losses) sum += loss;
    return sum;
  }

  // w[behind, :] -= factor[block, behind]^T errors[block, :]
  void CarryOn(int64_t begin, int64_t count) {
    const int64_t behind = begin + count, left = a_.columns - behind;
    if (left == 0) return;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, static_cast<int>(left),
                static_cast<int>(a_.rows), static_cast<int>(count), -1.0f,
                a_.factor + begin * a_.columns + behind, static_cast<int>(a_.columns),
                errors_.data(), static_cast<int>(a_.rows), 1.0f, w_.data() + behind * a_.rows,
                static_cast<int>(a_.rows));
  }

  void Scatter() {
    ForTiles([&](int64_t first, int64_t last) {
      for (int64_t i = 0; i < a_.columns; ++i) {
        int8_t* to = a_.codes + a_.order[i];
        for (int64_t r = first; r < last; ++r) to[r * a_.columns] = codes_[i * a_.rows + r];
      }
    });
  }

  const FeedbackArgs& a_;
  const int threads_;
  std::vector<float> w_, errors_, scales_, zeros_;
  std::vector<int8_t> codes_;
  std::vector<int32_t> group_;
};

}  // namespace

Status CpuLinalg::RoundWithFeedback(const FeedbackArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckFeedback(args));
  if (args.loss != nullptr) *args.loss = 0;
  if (args.rows == 0 || args.columns == 0) return Status();
  omp_set_num_threads(threads_);
  openblas_set_num_threads(threads_);
  const double loss = Sweep(args, threads_).Run();
  if (args.loss != nullptr) *args.loss = loss;
  return Status();
}

}  // namespace swage::cpu
