// What a kernel is compared with: a plain copy by the same number of threads, and oneDNN's best on a
// large square product. Both are measured anew around each benchmark, because on a shared machine
// they move from minute to minute.
#pragma once

#include <benchmark/benchmark.h>
#include <omp.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "base/text.h"
#include "kernels/api/ops.h"
#include "kernels/cpu/parallel.h"

namespace swage::perf {

constexpr int64_t kRows = 8192, kColumns = 8192;  // 256 MiB of f32: beyond every cache
constexpr int64_t kElements = kRows * kColumns;

inline int Threads() {
  static const int threads = [] {
    const char* text = std::getenv("SWAGE_BENCH_THREADS");
    const int wanted = text == nullptr ? 0 : std::atoi(text);
    return wanted > 0 ? wanted : omp_get_num_procs();
  }();
  return threads;
}

inline Ops* TheOps() {
  static Ops* const ops = NewCpuOps(Threads()).release();
  return ops;
}

inline void Require(const Status& status) { SWAGE_CHECK(status.ok(), MessageOf(status)); }

// One thread is timed by its own clock, which other processes on the machine do not advance.
inline double Seconds() {
  timespec now{};
  clock_gettime(Threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

template <typename Body>
double BestSeconds(int repetitions, const Body& body) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repetitions; ++i) {
    const double begin = Seconds();
    body();
    best = std::min(best, Seconds() - begin);
  }
  return best;
}

// kElements values of [-0.1, 0.1).
inline std::vector<float>& Values() {
  static auto* const values = [] {
    auto* made = new std::vector<float>(kElements);
    uint32_t state = 1;
    for (float& w : *made) {
      state = state * 1664525u + 1013904223u;
      w = (static_cast<float>(state >> 8) / 8388608.0f - 1.0f) * 0.1f;
    }
    return made;
  }();
  return *values;
}

// Bytes per second of a copy, reads and writes both counted.
inline double CopyBandwidth() {
  static std::vector<float> target(kElements, 1.0f);
  const double seconds = BestSeconds(3, [] {
    cpu::ParallelFor(Threads(), kElements, cpu::kElementGrain, [](int64_t begin, int64_t end) {
      std::memcpy(target.data() + begin, Values().data() + begin, (end - begin) * sizeof(float));
    });
  });
  return 2.0 * kElements * sizeof(float) / seconds;
}

// FLOP per second of a product of 2048 x 2048 matrices.
inline double ProductRate(DType type) {
  constexpr int64_t kSide = 2048;
  static std::vector<float> a(kSide * kSide, 0.5f), c(kSide * kSide);  // room enough for bf16 too
  GemmArgs args;
  args.m = args.n = args.k = kSide;
  args.a = args.b = a.data();
  args.c = c.data();
  args.a_type = args.b_type = type;
  Require(TheOps()->Gemm(args));
  return 2.0 * kSide * kSide * kSide / BestSeconds(3, [&] { Require(TheOps()->Gemm(args)); });
}

// Runs `op` once to touch its memory, then in turns with the copy that it is compared with.
template <typename Op>
void MemoryBound(benchmark::State& state, double bytes, const Op& op) {
  op();
  const double ceiling = CopyBandwidth();
  double best = std::numeric_limits<double>::infinity();
  for (auto _ : state) {
    const double seconds = BestSeconds(1, op);
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  const double copy = std::max(ceiling, CopyBandwidth());
  state.counters["GB/s"] = bytes / best / 1e9;
  state.counters["copy_GB/s"] = copy / 1e9;
  state.counters["of_copy"] = bytes / best / copy;
}

// As MemoryBound, for what counts operations.
template <typename Op>
void ComputeBound(benchmark::State& state, double flops, DType type, const Op& op) {
  op();
  const double ceiling = ProductRate(type);
  double best = std::numeric_limits<double>::infinity();
  for (auto _ : state) {
    const double seconds = BestSeconds(1, op);
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  const double product = std::max(ceiling, ProductRate(type));
  state.counters["GFLOP/s"] = flops / best / 1e9;
  state.counters["square_GFLOP/s"] = product / 1e9;
  state.counters["of_square"] = flops / best / product;
}

}  // namespace swage::perf
