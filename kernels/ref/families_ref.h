// The reference of the families of ops: the obvious way, one thread, sums in double.
#pragma once

#include "kernels/api/ops.h"

namespace swage {

class RefLinalg : public LinalgOps {
 public:
  Status Syrk(const SyrkArgs& args) override;
  Status MirrorUpper(int64_t n, DType type, void* a) override;
  Status Cholesky(const CholeskyArgs& args) override;
  Status InverseCholesky(const CholeskyArgs& args) override;
  Status TriangularSolve(const TriangularArgs& args) override;
  Status RoundWithFeedback(const FeedbackArgs& args) override;
  Status Eigen(const EigenArgs& args) override;  // Jacobi's rotations
  Status Svd(const SvdArgs& args) override;      // one-sided Jacobi
};

class RefRandom : public RandomOps {
 public:
  Status Words(int64_t n, const RandomKey& key, uint32_t* y) override;
  Status Uniform(int64_t n, const RandomKey& key, float* y) override;
  Status Normal(int64_t n, const RandomKey& key, float* y) override;
  Status RoundToBf16(int64_t n, const float* x, const RandomKey& key, uint16_t* y) override;
  Status RoundToGrid(int64_t n, const float* x, float scale, float zero, int low, int high,
                     const RandomKey& key, int8_t* codes) override;
  Status Hadamard(const HadamardArgs& args) override;  // as a matrix product
};

class RefSelect : public SelectOps {
 public:
  Status TopK(const TopKArgs& args, const float* scores, uint8_t* mask) override;
  Status KeepNOfM(int64_t rows, int64_t columns, int n, int m, const float* scores,
                  uint8_t* mask) override;
  Status ApplyMask(int64_t count, const uint8_t* mask, float* x) override;
  Status Nearest(int64_t n, int64_t dim, int64_t k, const float* points, const float* codebook,
                 int32_t* index, float* distance2) override;
  StatusOr<KMeansResult> KMeans(const KMeansArgs& args) override;
};

class RefStatistics : public StatisticsOps {
 public:
  Status Columns(const ColumnsArgs& args, ColumnStatistics* sums) override;
  Status Histogram(const HistogramArgs& args) override;
};

class RefTrain : public TrainOps {
 public:
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
};

// By the f32 ops of `ops`, then casts: what the fused ops are compared with.
class RefNarrow : public NarrowOps {
 public:
  explicit RefNarrow(Ops* ops) : ops_(ops) {}
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
  Ops* const ops_;
};

}  // namespace swage
