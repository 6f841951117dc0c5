#include "kernels/cuda/families_cuda.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "kernels/api/check.h"
#include "kernels/api/check_families.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/index_families.h"
#include "kernels/numeric/hadamard.h"

namespace swage::cuda {
namespace {

constexpr cudaStream_t kDefault = nullptr;  // the default stream
constexpr int64_t kSyrkBlock = 1024;        // rows of the triangle that are made at a time

Status Done(cudaError_t error, std::string_view what) {
  if (error == cudaSuccess) return Status();
  if (error == cudaErrorMemoryAllocation) {
    return Error(StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                 Cat(what, ": no device memory left"));
  }
  return Internal(Cat("CUDA ", what, ": ", cudaGetErrorString(error)));
}

Status OnlyFloats(std::string_view op) {
  return Error(StatusCode::kUnimplemented, "KERNEL_TYPE", Cat(op, " on CUDA: F32 only"),
               "run this op on the CPU");
}

}  // namespace

CudaLinalg::~CudaLinalg() {
  if (tile_ != nullptr) cudaFree(tile_);
  DestroySolver();
}

Status CudaLinalg::Syrk(const SyrkArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSyrk(args));
  if (args.h_type != DType::kF32) return OnlyFloats("rank-k update");
  if (args.n == 0 || args.rows == 0) return Status();
  const int64_t wanted = std::min(kSyrkBlock, args.n) * args.n;
  if (wanted > tile_size_) {
    if (tile_ != nullptr) cudaFree(tile_);
    tile_ = nullptr;
    tile_size_ = 0;
    SWAGE_RETURN_IF_ERROR(
        Done(cudaMalloc(reinterpret_cast<void**>(&tile_), wanted * sizeof(float)), "rank-k update"));
    tile_size_ = wanted;
  }
  const int64_t bytes = static_cast<int64_t>(DTypeBytes(args.x_type));
  for (int64_t begin = 0; begin < args.rows; begin += args.chunk) {
    const char* chunk = static_cast<const char*>(args.x) + begin * args.n * bytes;
    for (int64_t row = 0; row < args.n; row += kSyrkBlock) {
      GemmArgs product;  // rows [row, row + m) of x^T x, from the diagonal on
      product.layout = GemmLayout::kTN;
      product.m = std::min(kSyrkBlock, args.n - row);
      product.n = args.n - row;
      product.k = std::min(args.chunk, args.rows - begin);
      product.a = product.b = chunk + row * bytes;
      product.a_type = product.b_type = args.x_type;
      product.c = tile_;
      SWAGE_RETURN_IF_ERROR(
          (*gemm_)->Run(product, false, kDefault, GemmStrides{args.n, args.n, product.n}));
      SWAGE_RETURN_IF_ERROR(Done(AddTriangle(args.n, row, product.m, row, product.n, args.alpha,
                                             tile_, static_cast<float*>(args.h), kDefault),
                                 "rank-k update"));
    }
  }
  return Status();
}

Status CudaRandom::Words(int64_t n, const RandomKey& key, uint32_t* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("words", n, 1));
  return n == 0 ? Status() : Done(cuda::Words(n, key, y, kDefault), "random words");
}

Status CudaRandom::Uniform(int64_t n, const RandomKey& key, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("uniform", n, 1));
  return n == 0 ? Status() : Done(cuda::Uniform(n, key, y, kDefault), "uniform numbers");
}

Status CudaRandom::Normal(int64_t n, const RandomKey& key, float* y) {
  SWAGE_RETURN_IF_ERROR(CheckNormal(n, key));
  return n == 0 ? Status() : Done(cuda::Normal(n, key, y, kDefault), "normal numbers");
}

Status CudaRandom::RoundToBf16(int64_t n, const float* x, const RandomKey& key, uint16_t* y) {
  SWAGE_RETURN_IF_ERROR(CheckSize("stochastic rounding", n, 1));
  return n == 0 ? Status()
                : Done(cuda::RoundToBf16(n, x, key, y, kDefault), "stochastic rounding");
}

Status CudaRandom::RoundToGrid(int64_t n, const float* x, float scale, float zero, int low,
                               int high, const RandomKey& key, int8_t* codes) {
  SWAGE_RETURN_IF_ERROR(CheckGrid(n, scale, zero, low, high));
  const GridRounding grid{scale, zero, low, high};
  return n == 0 ? Status()
                : Done(cuda::RoundToGrid(n, x, grid, key, codes, kDefault), "stochastic rounding");
}

Status CudaRandom::Hadamard(const HadamardArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckHadamard(args));
  SWAGE_ASSIGN_OR_RETURN(const HadamardShape shape, FindHadamardShape(args.block));
  if (shape.base != 1 || args.block > kHadamardTile) {
    return Error(StatusCode::kUnimplemented, "KERNEL_SHAPE",
                 Cat("hadamard on CUDA: blocks are powers of two up to ", kHadamardTile, ", not ",
                     args.block),
                 "run this op on the CPU");
  }
  if (args.rows == 0 || args.columns == 0) return Status();
  HadamardTask task;
  task.rows = args.rows;
  task.columns = args.columns;
  task.block = static_cast<int>(args.block);
  task.by_rows = args.side == HadamardSide::kRows;
  task.signs = args.random_signs;
  task.inverse = args.inverse;
  task.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(args.block)));
  return Done(cuda::Hadamard(task, args.key, args.x, kDefault), "hadamard");
}

Status CudaSelect::KeepNOfM(int64_t rows, int64_t columns, int n, int m, const float* scores,
                            uint8_t* mask) {
  SWAGE_RETURN_IF_ERROR(CheckNOfM(rows, columns, n, m));
  if (rows == 0 || columns == 0) return Status();
  return Done(cuda::KeepNOfM(rows * columns / m, n, m, scores, mask, kDefault), "n:m");
}

Status CudaSelect::ApplyMask(int64_t count, const uint8_t* mask, float* x) {
  SWAGE_RETURN_IF_ERROR(CheckSize("mask", count, 1));
  return count == 0 ? Status() : Done(cuda::ApplyMask(count, mask, x, kDefault), "mask");
}

Status CudaTrain::SwiGluBackward(int64_t n, const float* gate, const float* up, const float* dy,
                                 float* dgate, float* dup) {
  SWAGE_RETURN_IF_ERROR(CheckSize("swiglu backward", n, 1));
  return n == 0 ? Status()
                : Done(cuda::SwiGluBackward(n, gate, up, dy, dgate, dup, kDefault),
                       "swiglu backward");
}

Status CudaTrain::AdamW(const AdamWArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckAdamW(args));
  if (args.n == 0) return Status();
  const AdamWFactors factors = FactorsOf(args);
  const AdamWConstants step{factors.kept,            factors.beta1,
                            factors.one_minus_beta1, factors.beta2,
                            factors.one_minus_beta2, factors.rate,
                            factors.root_correction, args.eps,
                            args.gradient_scale,     args.stochastic};
  return Done(cuda::AdamW(args.n, step, args.gradient, args.w, args.m, args.v, args.w_bf16, args.key,
                          kDefault),
              "adamw");
}

}  // namespace swage::cuda
