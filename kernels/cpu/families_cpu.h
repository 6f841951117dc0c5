// The families of ops (kernels/api) on CPUs. Objects belong to a CpuOps, whose threads they use.
#pragma once

#include <string>
#include <vector>

#include "kernels/api/ops.h"
#include "kernels/cpu/gemm.h"

namespace swage::cpu {

std::string OpenBlasName();  // "0.3.21-Cooperlake": its version and the kernels it chose

// Rank-k updates as oneDNN products of transposed column blocks (the upper block triangle only);
// factorizations by LAPACK (OpenBLAS).
class CpuLinalg : public LinalgOps {
 public:
  CpuLinalg(int threads, Gemm* gemm) : threads_(threads), gemm_(gemm) {}
  Status Syrk(const SyrkArgs& args) override;
  Status MirrorUpper(int64_t n, DType type, void* a) override;
  Status Cholesky(const CholeskyArgs& args) override;
  Status InverseCholesky(const CholeskyArgs& args) override;
  Status TriangularSolve(const TriangularArgs& args) override;
  Status RoundWithFeedback(const FeedbackArgs& args) override;
  Status Eigen(const EigenArgs& args) override;
  Status Svd(const SvdArgs& args) override;

 private:
  const int threads_;
  Gemm* const gemm_;
  std::vector<uint16_t> narrow_;    // a chunk of x, transposed
  std::vector<float> floats_, wide_;  // the same in f32, before and after
  std::vector<float> tile_;           // a block of its product
};

class CpuRandom : public RandomOps {
 public:
  explicit CpuRandom(int threads) : threads_(threads) {}
  Status Words(int64_t n, const RandomKey& key, uint32_t* y) override;
  Status Uniform(int64_t n, const RandomKey& key, float* y) override;
  Status Normal(int64_t n, const RandomKey& key, float* y) override;
  Status RoundToBf16(int64_t n, const float* x, const RandomKey& key, uint16_t* y) override;
  Status RoundToGrid(int64_t n, const float* x, float scale, float zero, int low, int high,
                     const RandomKey& key, int8_t* codes) override;
  Status Hadamard(const HadamardArgs& args) override;

 private:
  const int threads_;
};

class CpuSelect : public SelectOps {
 public:
  explicit CpuSelect(int threads) : threads_(threads) {}
  Status TopK(const TopKArgs& args, const float* scores, uint8_t* mask) override;
  Status KeepNOfM(int64_t rows, int64_t columns, int n, int m, const float* scores,
                  uint8_t* mask) override;
  Status ApplyMask(int64_t count, const uint8_t* mask, float* x) override;
  Status Nearest(int64_t n, int64_t dim, int64_t k, const float* points, const float* codebook,
                 int32_t* index, float* distance2) override;
  StatusOr<KMeansResult> KMeans(const KMeansArgs& args) override;

 private:
  const int threads_;
};

class CpuStatistics : public StatisticsOps {
 public:
  explicit CpuStatistics(int threads) : threads_(threads) {}
  Status Columns(const ColumnsArgs& args, ColumnStatistics* sums) override;
  Status Histogram(const HistogramArgs& args) override;

 private:
  const int threads_;
};

class CpuTrain : public TrainOps {
 public:
  explicit CpuTrain(int threads) : threads_(threads) {}
  Status RmsNormBackward(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                         const float* dy, float* dx, float* dweight) override;
  Status SwiGluBackward(int64_t n, const float* gate, const float* up, const float* dy,
                        float* dgate, float* dup) override;
  Status CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                              const int32_t* target, float scale, float* dlogits) override;
  Status AttentionBackward(const AttentionGradArgs& args) override;
  Status EmbedBackward(int64_t rows, int64_t h, int64_t vocab, const int32_t* ids, const float* dy,
                       float* dtable) override;
  Status LayerNormBackward(const LayerNormGradArgs& args) override;
  Status ActivateBackward(Activation kind, int64_t n, const float* x, const float* up,
                          const float* dy, float* dx, float* dup) override;
  Status SoftCapBackward(int64_t n, float cap, const float* y, float* dy) override;
  Status RouteBackward(const RouteGradArgs& args) override;
  Status ScatterRowsBackward(const ScatterGradArgs& args) override;
  Status AdamW(const AdamWArgs& args) override;
  StatusOr<double> SquaredNorm(int64_t n, const float* x) override;

 private:
  const int threads_;
  // Of AttentionBackward: keys and values as it reads them, and each head's gradients of them.
  std::vector<float> packed_, dk_, dv_;
  std::vector<uint32_t> pairs_;
};

class CpuNarrow : public NarrowOps {
 public:
  explicit CpuNarrow(int threads) : threads_(threads) {}
  Status RmsNorm(int64_t rows, int64_t h, const float* x, const float* weight, float eps,
                 uint16_t* y) override;
  Status SwiGlu(int64_t n, const float* gate, const float* up, uint16_t* y) override;
  Status SwiGlu(int64_t n, const uint16_t* gate, const uint16_t* up, uint16_t* y) override;
  Status SwiGluBackward(int64_t n, const uint16_t* gate, const uint16_t* up, const float* dy,
                        uint16_t* dgate, uint16_t* dup) override;
  Status CrossEntropyBackward(int64_t rows, int64_t vocab, const float* logits,
                              const int32_t* target, float scale, float* nll,
                              uint16_t* dlogits) override;

 private:
  const int threads_;
};

}  // namespace swage::cpu
