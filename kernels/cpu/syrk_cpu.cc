// Rank-k updates. A chunk of x is transposed, so that its columns become rows that oneDNN's product
// takes as they are; then the upper block triangle is made block by block, each block summed in f32
// and added to the master once.
#include <omp.h>

#include <algorithm>

#include "kernels/api/check_families.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd.h"
#include "kernels/cpu/simd_families.h"

namespace swage::cpu {
namespace {

constexpr int64_t kTransposeColumns = 32;
constexpr int64_t kBlock = 512;     // rows of a block of the product
constexpr int64_t kPanel = 2048;    // columns of it
constexpr int64_t kDiagonal = 128;  // blocks on the diagonal are not halved below this

// y[columns, rows] = x[rows, columns]^T.
template <typename T>
void Transpose(int threads, int64_t rows, int64_t columns, const T* x, T* y) {
  ParallelFor(threads, columns, kTransposeColumns, [&](int64_t begin, int64_t end) {
    TransposeRun(rows, columns, begin, end, x, y);
  });
}

// h[i, j] += alpha * tile[i, j] for j >= i + offset (all of them when offset is very negative).
template <typename Master>
void AddTile(int threads, int64_t rows, int64_t columns, int64_t offset, float alpha,
             const float* tile, Master* h, int64_t stride) {
  ParallelFor(threads, rows, RowGrain(columns), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t j = std::max<int64_t>(0, i + offset); j < columns; ++j) {
        h[i * stride + j] += static_cast<Master>(alpha) * static_cast<Master>(tile[i * columns + j]);
      }
    }
  });
}

struct Chunk {
  const void* transposed;  // [n, rows]
  DType type;
  int64_t rows;
};

class Triangle {
 public:
  Triangle(const SyrkArgs& args, const Chunk& chunk, int threads, Gemm* gemm,
           std::vector<float>* tile)
      : args_(args), chunk_(chunk), threads_(threads), gemm_(gemm), tile_(tile) {}

  // The triangle of columns [begin, begin + count).
  Status Run(int64_t begin, int64_t count) {
    if (count <= kDiagonal) return Rectangle(begin, count, begin, count);
    const int64_t blocks = (count + kDiagonal - 1) / kDiagonal;
    const int64_t first = count > 2 * kBlock ? kBlock : (blocks + 1) / 2 * kDiagonal;
    SWAGE_RETURN_IF_ERROR(Run(begin, first));
    const int64_t end = begin + count;
    for (int64_t panel = begin + first; panel < end; panel += kPanel) {
      SWAGE_RETURN_IF_ERROR(Rectangle(begin, first, panel, std::min(kPanel, end - panel)));
    }
    return Run(begin + first, count - first);
  }

 private:
  const void* Rows(int64_t begin) const {
    const int64_t at = begin * chunk_.rows * static_cast<int64_t>(DTypeBytes(chunk_.type));
    return static_cast<const char*>(chunk_.transposed) + at;
  }

  Status Rectangle(int64_t row, int64_t rows, int64_t column, int64_t columns) {
    tile_->resize(std::max<size_t>(tile_->size(), rows * columns));
    GemmArgs product;
    product.m = rows;
    product.n = columns;
    product.k = chunk_.rows;
    product.a = Rows(row);
    product.b = Rows(column);
    product.c = tile_->data();
    product.a_type = product.b_type = chunk_.type;
    SWAGE_RETURN_IF_ERROR(gemm_->Run(product));
    const int64_t at = row * args_.n + column, offset = row - column;
    if (args_.h_type == DType::kF64) {
      AddTile(threads_, rows, columns, offset, args_.alpha, tile_->data(),
              static_cast<double*>(args_.h) + at, args_.n);
    } else {
      AddTile(threads_, rows, columns, offset, args_.alpha, tile_->data(),
              static_cast<float*>(args_.h) + at, args_.n);
    }
    return Status();
  }

  const SyrkArgs& args_;
  const Chunk& chunk_;
  const int threads_;
  Gemm* const gemm_;
  std::vector<float>* const tile_;
};

}  // namespace

Status CpuLinalg::Syrk(const SyrkArgs& args) {
  SWAGE_RETURN_IF_ERROR(CheckSyrk(args));
  if (args.n == 0 || args.rows == 0) return Status();
  omp_set_num_threads(threads_);
  const bool narrow = args.x_type == DType::kBF16 && Gemm::RunsBf16();
  const int64_t most = std::min(args.rows, args.chunk);
  if (narrow) {
    narrow_.resize(most * args.n);
  } else {
    wide_.resize(most * args.n);
  }
  for (int64_t begin = 0; begin < args.rows; begin += args.chunk) {
    const int64_t rows = std::min(args.chunk, args.rows - begin);
    Chunk chunk{narrow ? static_cast<const void*>(narrow_.data()) : wide_.data(),
                narrow ? DType::kBF16 : DType::kF32, rows};
    const auto* halves = static_cast<const uint16_t*>(args.x) + begin * args.n;
    if (narrow) {
      Transpose(threads_, rows, args.n, halves, narrow_.data());
    } else if (args.x_type == DType::kBF16) {
      floats_.resize(most * args.n);
      ParallelFor(threads_, rows * args.n, kElementGrain, [&](int64_t first, int64_t last) {
        Bf16ToF32(last - first, halves + first, floats_.data() + first);
      });
      Transpose(threads_, rows, args.n, floats_.data(), wide_.data());
    } else {
      Transpose(threads_, rows, args.n, static_cast<const float*>(args.x) + begin * args.n,
                wide_.data());
    }
    SWAGE_RETURN_IF_ERROR(Triangle(args, chunk, threads_, gemm_, &tile_).Run(0, args.n));
  }
  return Status();
}

}  // namespace swage::cpu
