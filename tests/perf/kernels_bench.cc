// swage-bench-kernels: how fast the CPU ops are, beside what this machine can do. Memory-bound ops
// print GB/s (bytes read plus bytes written) and their share of a plain copy by the same number of
// threads; products print GFLOP/s and their share of oneDNN's best on a large square product. Both
// ceilings are measured anew before each benchmark, because on a shared machine they move from
// minute to minute.
//   swage-bench-kernels [--benchmark_filter=Quantize] ; SWAGE_BENCH_THREADS=2 sets the number of
//   threads (default: all)
#include <benchmark/benchmark.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#include "base/text.h"
#include "kernels/api/ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/numeric/half.h"
#include "kernels/numeric/int_quant.h"

namespace swage {
namespace {

constexpr int64_t kRows = 8192, kColumns = 8192;  // 256 MiB of f32: beyond every cache
constexpr int64_t kElements = kRows * kColumns;

int Threads() {
  static const int threads = [] {
    const char* text = std::getenv("SWAGE_BENCH_THREADS");
    const int wanted = text == nullptr ? 0 : std::atoi(text);
    return wanted > 0 ? wanted : omp_get_num_procs();
  }();
  return threads;
}

Ops* TheOps() {
  static Ops* const ops = NewCpuOps(Threads()).release();
  return ops;
}

template <typename Body>
double BestSeconds(int repetitions, const Body& body) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repetitions; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    best = std::min(
        best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

const std::vector<float>& Weights() {
  static const auto* const weights = [] {
    auto* made = new std::vector<float>(kElements);
    uint32_t state = 1;
    for (float& w : *made) {
      state = state * 1664525u + 1013904223u;
      w = (static_cast<float>(state >> 8) / 8388608.0f - 1.0f) * 0.1f;
    }
    return made;
  }();
  return *weights;
}

// Bytes per second of a copy, reads and writes both counted.
double CopyBandwidth() {
  static std::vector<float> target(kElements, 1.0f);
  const double seconds = BestSeconds(5, [] {
    cpu::ParallelFor(Threads(), kElements, cpu::kElementGrain, [](int64_t begin, int64_t end) {
      std::memcpy(target.data() + begin, Weights().data() + begin, (end - begin) * sizeof(float));
    });
  });
  return 2.0 * kElements * sizeof(float) / seconds;
}

void Require(const Status& status) { SWAGE_CHECK(status.ok(), MessageOf(status)); }

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

struct Matrix {
  std::vector<int8_t> codes = std::vector<int8_t>(kElements),
                      zeros = std::vector<int8_t>(kElements / 32);
  std::vector<float> scales = std::vector<float>(kElements / 32);
  QuantizeArgs Args(const std::string& format, int64_t group, bool per_tensor, bool symmetric) {
    QuantizeArgs args;
    args.out = kRows;
    args.in = kColumns;
    args.group = group == 0 ? kColumns : group;
    args.per_tensor = per_tensor;
    args.format = format;
    args.symmetric = symmetric;
    args.w = Weights().data();
    args.codes = codes.data();
    args.scales = scales.data();
    args.zeros = zeros.data();
    return args;
  }
};

Matrix& TheMatrix() {
  static auto* const matrix = new Matrix;
  return *matrix;
}

void Quantize(benchmark::State& state, const std::string& format, int64_t group, bool per_tensor,
              bool symmetric) {
  const QuantizeArgs args = TheMatrix().Args(format, group, per_tensor, symmetric);
  const double scales = per_tensor ? 4 : 4.0 * kElements / static_cast<double>(args.group);
  // One scale for the tensor needs all of it read before the first code: twice in all.
  const double bytes = (per_tensor ? 8.0 : 4.0) * kElements + kElements + scales;
  MemoryBound(state, bytes, [&] { Require(TheOps()->Quantize(args)); });
}
BENCHMARK_CAPTURE(Quantize, int4_group128, "int4", 128, false, true)->UseManualTime();
BENCHMARK_CAPTURE(Quantize, int4_group128_asym, "int4", 128, false, false)->UseManualTime();
BENCHMARK_CAPTURE(Quantize, int8_channel, "int8", 0, false, true)->UseManualTime();
BENCHMARK_CAPTURE(Quantize, fp8_channel, "fp8_e4m3", 0, false, true)->UseManualTime();
BENCHMARK_CAPTURE(Quantize, fp8_tensor, "fp8_e4m3", 0, true, true)->UseManualTime();

void Dequantize(benchmark::State& state, const std::string& format, int64_t group) {
  const QuantizeArgs args = TheMatrix().Args(format, group, false, true);
  Require(TheOps()->Quantize(args));
  std::vector<float> w(kElements);
  MemoryBound(state, 5.0 * kElements, [&] { Require(TheOps()->Dequantize(args, w.data())); });
}
BENCHMARK_CAPTURE(Dequantize, int4_group128, "int4", 128)->UseManualTime();
BENCHMARK_CAPTURE(Dequantize, int8_channel, "int8", 0)->UseManualTime();
BENCHMARK_CAPTURE(Dequantize, fp8_channel, "fp8_e4m3", 0)->UseManualTime();

void Pack(benchmark::State& state) {
  const int bits = static_cast<int>(state.range(0));
  std::vector<int8_t> codes(kElements, 1);
  std::vector<int32_t> words(kRows * PackedWords(kColumns, bits));
  const double bytes = static_cast<double>(kElements) + 4.0 * static_cast<double>(words.size());
  MemoryBound(state, bytes, [&] {
    Require(TheOps()->PackRows(kRows, kColumns, bits, codes.data(), words.data()));
  });
}
BENCHMARK(Pack)->Arg(3)->Arg(4)->Arg(8)->UseManualTime();

void Unpack(benchmark::State& state) {
  const int bits = static_cast<int>(state.range(0));
  std::vector<int8_t> codes(kElements);
  std::vector<int32_t> words(kRows * PackedWords(kColumns, bits), 0x12345678);
  const double bytes = static_cast<double>(kElements) + 4.0 * static_cast<double>(words.size());
  MemoryBound(state, bytes, [&] {
    Require(TheOps()->UnpackRows(kRows, kColumns, bits, words.data(), codes.data()));
  });
}
BENCHMARK(Unpack)->Arg(3)->Arg(4)->Arg(8)->UseManualTime();

void CastTo(benchmark::State& state, DType type) {
  std::vector<uint16_t> narrow(kElements);
  const double bytes = (4.0 + static_cast<double>(DTypeBytes(type))) * kElements;
  MemoryBound(state, bytes, [&] {
    Require(TheOps()->CastFromF32(kElements, Weights().data(), type, narrow.data()));
  });
}
BENCHMARK_CAPTURE(CastTo, bf16, DType::kBF16)->UseManualTime();
BENCHMARK_CAPTURE(CastTo, fp8, DType::kF8E4M3)->UseManualTime();

void CastFrom(benchmark::State& state, DType type) {
  std::vector<uint16_t> narrow(kElements, 0x3f80);
  std::vector<float> wide(kElements);
  const double bytes = (4.0 + static_cast<double>(DTypeBytes(type))) * kElements;
  MemoryBound(state, bytes,
              [&] { Require(TheOps()->CastToF32(kElements, narrow.data(), type, wide.data())); });
}
BENCHMARK_CAPTURE(CastFrom, bf16, DType::kBF16)->UseManualTime();
BENCHMARK_CAPTURE(CastFrom, f16, DType::kF16)->UseManualTime();
BENCHMARK_CAPTURE(CastFrom, fp8, DType::kF8E4M3)->UseManualTime();

double GemmSeconds(int repetitions, int64_t m, int64_t n, int64_t k, DType type) {
  std::vector<float> a(m * k, 0.5f), b(n * k, 0.25f), c(m * n);  // f32's room serves bf16 too
  GemmArgs args;
  args.m = m;
  args.n = n;
  args.k = k;
  args.a = a.data();
  args.b = b.data();
  args.c = c.data();
  args.a_type = args.b_type = type;
  Require(TheOps()->Gemm(args));
  return BestSeconds(repetitions, [&] { Require(TheOps()->Gemm(args)); });
}

void Gemm(benchmark::State& state, DType type) {
  const int64_t m = state.range(0), n = state.range(1), k = state.range(2);
  const double peak = 2.0 * 2048 * 2048 * 2048 / GemmSeconds(3, 2048, 2048, 2048, type);
  double best = std::numeric_limits<double>::infinity();
  for (auto _ : state) {
    const double seconds = GemmSeconds(5, m, n, k, type);
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  const double flops =
      2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k) / best;
  state.counters["GFLOP/s"] = flops / 1e9;
  state.counters["square_GFLOP/s"] = peak / 1e9;
  state.counters["of_square"] = flops / peak;
}
// 8 windows of 512 tokens in a small model, one window in a wide one.
#define GEMM_SHAPES            \
  ->Args({4096, 256, 256})     \
      ->Args({4096, 768, 256}) \
      ->Args({512, 4864, 896}) \
      ->Iterations(5)          \
      ->UseManualTime()
BENCHMARK_CAPTURE(Gemm, f32, DType::kF32) GEMM_SHAPES;
BENCHMARK_CAPTURE(Gemm, bf16, DType::kBF16) GEMM_SHAPES;

void Attention(benchmark::State& state) {
  const int64_t windows = 8, tokens = state.range(0), heads = 14, kv_heads = 2, d = 64;
  const int64_t rows = windows * tokens;
  std::vector<float> q(rows * heads * d, 0.1f), k(rows * kv_heads * d, 0.2f),
      v(rows * kv_heads * d, 0.3f), out(q.size());
  const AttentionArgs args{windows, tokens,   heads,    kv_heads, d,
                           0.125f,  q.data(), k.data(), v.data(), out.data()};
  Require(TheOps()->Attention(args));
  double best = std::numeric_limits<double>::infinity();
  for (auto _ : state) {
    const double seconds = BestSeconds(1, [&] { Require(TheOps()->Attention(args)); });
    state.SetIterationTime(seconds);
    best = std::min(best, seconds);
  }
  const double peak = 2.0 * 2048 * 2048 * 2048 / GemmSeconds(3, 2048, 2048, 2048, DType::kF32);
  // Two products over the causal half of tokens x tokens.
  const double flops =
      2.0 * static_cast<double>(windows * heads * tokens * (tokens + 1) * d) / best;
  state.counters["GFLOP/s"] = flops / 1e9;
  state.counters["of_square"] = flops / peak;
}
BENCHMARK(Attention)->Arg(512)->Arg(2048)->UseManualTime();

void RmsNorm(benchmark::State& state) {
  std::vector<float> y(kElements), weight(kColumns, 1.0f);
  MemoryBound(state, 8.0 * kElements, [&] {
    Require(TheOps()->RmsNorm(kRows, kColumns, Weights().data(), weight.data(), 1e-5f, y.data()));
  });
}
BENCHMARK(RmsNorm)->UseManualTime();

void SwiGlu(benchmark::State& state) {
  std::vector<float> y(kElements);
  MemoryBound(state, 12.0 * kElements, [&] {
    Require(TheOps()->SwiGlu(kElements, Weights().data(), Weights().data(), y.data()));
  });
}
BENCHMARK(SwiGlu)->UseManualTime();

void CrossEntropy(benchmark::State& state) {
  std::vector<int32_t> target(kRows, 7);
  std::vector<float> nll(kRows);
  MemoryBound(state, 4.0 * kElements, [&] {
    Require(TheOps()->CrossEntropy(kRows, kColumns, Weights().data(), target.data(), nll.data()));
  });
}
BENCHMARK(CrossEntropy)->UseManualTime();

}  // namespace
}  // namespace swage

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::printf("numerics class %s\n", swage::TheOps()->NumericsClass().c_str());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
