// Matrix products through oneDNN's matmul. Primitives are made once per shape and kept. Threads are
// OpenMP's: the caller sets their number (omp_set_num_threads). Not thread-safe.
#pragma once

#include <memory>

#include "kernels/api/ops.h"

namespace swage::cpu {

class Gemm {
 public:
  Gemm();
  ~Gemm();
  // F32 x F32 runs as such. With BF16 on either side: BF16 x BF16 natively where oneDNN has it for
  // this CPU (from AVX-512 on), else both are widened to F32 first. Sums are f32 in every case.
  Status Run(const GemmArgs& args);
  // In the layout that oneDNN chooses for these shapes; null when that is the one it has.
  StatusOr<std::unique_ptr<PackedMatrix>> PackB(const GemmArgs& args);
  // Whether this CPU multiplies BF16 faster than F32.
  static bool RunsBf16();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string OneDnnVersion();  // "2.6.3"
std::string OneDnnIsa();      // "avx512_bf16": what oneDNN uses at most on this CPU

}  // namespace swage::cpu
