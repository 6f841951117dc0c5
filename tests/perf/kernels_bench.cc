// swage-bench-kernels: how fast the CPU ops are, beside what this machine can do. Memory-bound ops
// print GB/s (bytes read plus bytes written) and their share of a plain copy by the same number of
// threads; products print GFLOP/s and their share of oneDNN's best on a large square product. Both
// ceilings are measured anew before each benchmark, because on a shared machine they move from
// minute to minute.
//   swage-bench-kernels [--benchmark_filter=Quantize] ; SWAGE_BENCH_THREADS=2 sets the number of
//   threads (default: all); SWAGE_BENCH_ROWS=1024 takes that many of 8192 rows of 8192 weights
//   (default 256 MiB of f32: beyond every cache), for short runs between a shared machine's other
//   work
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
#include "kernels/numeric/pack_stream.h"

namespace swage {
namespace {

constexpr int64_t kColumns = 8192;

int64_t NumberFromEnvironment(const char* name, int64_t otherwise) {
  const char* text = std::getenv(name);
  const int64_t wanted = text == nullptr ? 0 : std::atoll(text);
  return wanted > 0 ? wanted : otherwise;
}

const int64_t kRows = NumberFromEnvironment("SWAGE_BENCH_ROWS", 8192);
const int64_t kElements = kRows * kColumns;

int Threads() {
  static const int threads =
      static_cast<int>(NumberFromEnvironment("SWAGE_BENCH_THREADS", omp_get_num_procs()));
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
                      zeros = std::vector<int8_t>(kElements / 16);
  std::vector<float> scales = std::vector<float>(kElements / 16);
  float global = 0;
  // group 0: one scale a row; -1: one for all; -128: blocks of 128 x 128.
  QuantizeArgs Args(const std::string& format, int64_t group, bool symmetric) {
    QuantizeArgs args;
    args.out = kRows;
    args.in = kColumns;
    args.group = group == 0 ? kColumns : std::abs(group);
    args.per_tensor = group == -1;
    args.block_rows = group == -128 ? 128 : 1;
    args.format = format;
    args.symmetric = symmetric;
    args.w = Weights().data();
    args.codes = codes.data();
    args.scales = scales.data();
    args.zeros = symmetric ? nullptr : zeros.data();
    args.global_scale = &global;
    return args;
  }
};

Matrix& TheMatrix() {
  static auto* const matrix = new Matrix;
  return *matrix;
}

double ScaleBytes(const QuantizeArgs& args) {
  if (args.per_tensor) return 4;
  return (args.symmetric ? 4.0 : 5.0) * kElements /
         static_cast<double>(args.group * args.block_rows);
}

void Quantize(benchmark::State& state, const std::string& format, int64_t group, bool symmetric) {
  const QuantizeArgs args = TheMatrix().Args(format, group, symmetric);
  // A scale for the whole tensor needs all of it read before the first code: twice in all.
  const bool twice = args.per_tensor || format == "nvfp4" || format == "nvfp4_46";
  const double bytes = (twice ? 8.0 : 4.0) * kElements + kElements + ScaleBytes(args);
  MemoryBound(state, bytes, [&] { Require(TheOps()->Quantize(args)); });
}
void Dequantize(benchmark::State& state, const std::string& format, int64_t group, bool symmetric) {
  const QuantizeArgs args = TheMatrix().Args(format, group, symmetric);
  Require(TheOps()->Quantize(args));
  std::vector<float> w(kElements);
  MemoryBound(state, 5.0 * kElements + ScaleBytes(args),
              [&] { Require(TheOps()->Dequantize(args, w.data())); });
}
#define QUANTIZE(name, ...)                                        \
  BENCHMARK_CAPTURE(Quantize, name, __VA_ARGS__)->UseManualTime(); \
  BENCHMARK_CAPTURE(Dequantize, name, __VA_ARGS__)->UseManualTime()
QUANTIZE(int4_group128, "int4", 128, true);
QUANTIZE(int4_group128_asym, "int4", 128, false);
QUANTIZE(int8_channel, "int8", 0, true);
QUANTIZE(ternary_channel, "ternary", 0, true);
QUANTIZE(fp8_e4m3_channel, "fp8_e4m3", 0, true);
QUANTIZE(fp8_e4m3_tensor, "fp8_e4m3", -1, true);
QUANTIZE(fp8_e4m3_block, "fp8_e4m3", -128, true);
QUANTIZE(fp8_e5m2_channel, "fp8_e5m2", 0, true);
QUANTIZE(mxfp8, "mxfp8", 32, true);
QUANTIZE(mxfp4, "mxfp4", 32, true);
QUANTIZE(nvfp4, "nvfp4", 16, true);
QUANTIZE(nvfp4_46, "nvfp4_46", 16, true);
QUANTIZE(fp4_ue5m3, "fp4_ue5m3", 16, true);
QUANTIZE(nf4_group64, "nf4", 64, true);

void Pack(benchmark::State& state, CodePacking packing, int bits) {
  const PackArgs args{kRows, kColumns, packing, bits};
  std::vector<int8_t> codes(kElements, 1);
  std::vector<uint8_t> stream(kRows * PackedRowBytes(packing, bits, kColumns));
  MemoryBound(state, static_cast<double>(codes.size() + stream.size()),
              [&] { Require(TheOps()->PackCodes(args, codes.data(), stream.data())); });
}
void Unpack(benchmark::State& state, CodePacking packing, int bits) {
  const PackArgs args{kRows, kColumns, packing, bits};
  std::vector<int8_t> codes(kElements);
  std::vector<uint8_t> stream(kRows * PackedRowBytes(packing, bits, kColumns), 0x5a);
  MemoryBound(state, static_cast<double>(codes.size() + stream.size()),
              [&] { Require(TheOps()->UnpackCodes(args, stream.data(), codes.data())); });
}
#define PACK(name, ...)                                        \
  BENCHMARK_CAPTURE(Pack, name, __VA_ARGS__)->UseManualTime(); \
  BENCHMARK_CAPTURE(Unpack, name, __VA_ARGS__)->UseManualTime()
PACK(bits1, CodePacking::kWords, 1);
PACK(bits2, CodePacking::kWords, 2);
PACK(bits3, CodePacking::kWords, 3);
PACK(bits4, CodePacking::kWords, 4);
PACK(bits5, CodePacking::kWords, 5);
PACK(bits8, CodePacking::kWords, 8);
PACK(nibbles, CodePacking::kBits, 4);
PACK(trits, CodePacking::kTrits, 2);

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
