// SWAGE_HD marks the scalar functions that the CPU reference and the CUDA kernels share, so that
// there is one definition of every format and of every index computation. Headers that use it stay
// within C++17, which nvcc compiles them as.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define SWAGE_HD __host__ __device__ inline
#else
#define SWAGE_HD inline
#endif

namespace swage {

SWAGE_HD uint32_t BitsOf(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}

SWAGE_HD float FloatOf(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

}  // namespace swage
