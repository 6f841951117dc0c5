// The families of ops (kernels/api) on an NVIDIA GPU, as far as they are written: rank-k updates
// (into F32), Cholesky and inverse-Cholesky factors (cuSOLVER), random numbers, stochastic rounding, Hadamard transforms of powers of two up
// to kHadamardTile, N:M masks, AdamW and the gradient of SwiGLU. The rest is UNIMPLEMENTED. The rules
// of ops_cuda.h hold.
#pragma once

#include "kernels/api/ops.h"
#include "kernels/cuda/gemm_lt.h"

struct cusolverDnContext;

namespace swage::cuda {

class CudaLinalg : public LinalgOps {
 public:
  explicit CudaLinalg(std::unique_ptr<GemmLt>* gemm) : gemm_(gemm) {}
  ~CudaLinalg() override;
  Status Syrk(const SyrkArgs& args) override;
  Status MirrorUpper(int64_t n, DType type, void* a) override;
  Status Cholesky(const CholeskyArgs& args) override;
  Status InverseCholesky(const CholeskyArgs& args) override;

 private:
  void DestroySolver();

  std::unique_ptr<GemmLt>* const gemm_;  // of the CudaOps that owns this
  float* tile_ = nullptr;                // a block of rows of the product
  int64_t tile_size_ = 0;
  cusolverDnContext* solver_ = nullptr;  // made when it is first needed
};

class CudaRandom : public RandomOps {
 public:
  Status Words(int64_t n, const RandomKey& key, uint32_t* y) override;
  Status Uniform(int64_t n, const RandomKey& key, float* y) override;
  Status Normal(int64_t n, const RandomKey& key, float* y) override;
  Status RoundToBf16(int64_t n, const float* x, const RandomKey& key, uint16_t* y) override;
  Status RoundToGrid(int64_t n, const float* x, float scale, float zero, int low, int high,
                     const RandomKey& key, int8_t* codes) override;
  Status Hadamard(const HadamardArgs& args) override;
};

class CudaSelect : public SelectOps {
 public:
  Status KeepNOfM(int64_t rows, int64_t columns, int n, int m, const float* scores,
                  uint8_t* mask) override;
  Status ApplyMask(int64_t count, const uint8_t* mask, float* x) override;
};

class CudaTrain : public TrainOps {
 public:
  Status SwiGluBackward(int64_t n, const float* gate, const float* up, const float* dy,
                        float* dgate, float* dup) override;
  Status AdamW(const AdamWArgs& args) override;
};

}  // namespace swage::cuda
