// swage-bench-math: the families of ops (kernels/api/linalg.h, random.h, select.h, statistics.h,
// train.h) beside what this machine can do in the same seconds; see kernel_ceilings.h.
//   swage-bench-math [--benchmark_filter=Syrk] ; SWAGE_BENCH_THREADS=2 sets the number of threads
#include <cstdio>

#include "kernels/numeric/half.h"
#include "tests/perf/kernel_ceilings.h"

namespace swage::perf {
namespace {

#define BENCH(...) BENCHMARK(__VA_ARGS__)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond)
#define BENCH_CAPTURE(...) \
  BENCHMARK_CAPTURE(__VA_ARGS__)->UseManualTime()->Iterations(5)->Unit(benchmark::kMillisecond)

// Bf16 numbers, as many as there are values.
std::vector<uint16_t>& Halves() {
  static auto* const halves = [] {
    auto* made = new std::vector<uint16_t>(kElements);
    Require(TheOps()->CastFromF32(kElements, Values().data(), DType::kBF16, made->data()));
    return made;
  }();
  return *halves;
}

void Syrk(benchmark::State& state, DType type) {
  const int64_t n = state.range(0), rows = state.range(1);
  std::vector<float> h(n * n, 0.0f);
  SyrkArgs args{rows, n};
  args.x = type == DType::kF32 ? static_cast<const void*>(Values().data()) : Halves().data();
  args.x_type = type;
  args.h = h.data();
  // Useful: one product and one sum for each entry of the triangle and each row.
  const double flops = static_cast<double>(n) * static_cast<double>(n + 1) * static_cast<double>(rows);
  ComputeBound(state, flops, type, [&] { Require(TheOps()->linalg().Syrk(args)); });
}
#define SYRK_SHAPES ->Args({256, 8192})->Args({896, 8192})->Args({2048, 8192})->Args({4864, 4096})
BENCH_CAPTURE(Syrk, bf16, DType::kBF16) SYRK_SHAPES;
BENCH_CAPTURE(Syrk, f32, DType::kF32)->Args({896, 8192})->Args({2048, 4096});

// Diagonally dominant, so that every factorization goes through.
std::vector<float> Definite(int64_t n) {
  std::vector<float> a(Values().begin(), Values().begin() + n * n);
  for (int64_t i = 0; i < n; ++i) a[i * n + i] += 0.2f * static_cast<float>(n);
  return a;
}

void InverseCholesky(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<float> start = Definite(n);
  std::vector<float> a = start;
  const double cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  // A third of n^3 for the factor, another third for its inverse.
  ComputeBound(state, cube * 2 / 3, DType::kF32, [&] {
    a = start;
    Require(TheOps()->linalg().InverseCholesky({n, a.data(), DType::kF32}));
  });
}
BENCH(InverseCholesky)->Arg(896)->Arg(2048)->Arg(4864);

void Eigen(benchmark::State& state) {
  const int64_t n = state.range(0);
  const std::vector<float> a = Definite(n);
  std::vector<float> values(n), vectors(n * n);
  const double cube = static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
  ComputeBound(state, cube * 9, DType::kF32, [&] {
    Require(TheOps()->linalg().Eigen({n, a.data(), values.data(), vectors.data(), DType::kF32}));
  });
}
BENCH(Eigen)->Arg(896);

void Hadamard(benchmark::State& state, HadamardSide side, bool signs) {
  static std::vector<float> x = Values();
  const int64_t block = state.range(0);
  // A side that the block divides.
  const int64_t side_length = kRows / block * block;
  HadamardArgs args{side == HadamardSide::kRows ? kRows : side_length,
                    side == HadamardSide::kRows ? side_length : kColumns, block, x.data(), side};
  args.random_signs = signs;
  const double elements = static_cast<double>(args.rows) * static_cast<double>(args.columns);
  MemoryBound(state, 8 * elements, [&] { Require(TheOps()->random().Hadamard(args)); });
}
BENCH_CAPTURE(Hadamard, rows, HadamardSide::kRows, false)
    ->Arg(16)->Arg(128)->Arg(1024)->Arg(8192)->Arg(896);
BENCH_CAPTURE(Hadamard, rows_signs, HadamardSide::kRows, true)->Arg(128)->Arg(4096);
BENCH_CAPTURE(Hadamard, columns, HadamardSide::kColumns, false)->Arg(128)->Arg(4096)->Arg(896);

void Philox(benchmark::State& state, const std::string& what) {
  static std::vector<float> y(kElements);
  static std::vector<uint16_t> halves(kElements);
  RandomOps& random = TheOps()->random();
  const RandomKey key{1, 2, 0};
  const double per_element = what == "round_bf16" ? 6 : what == "round_int" ? 5 : 4;
  MemoryBound(state, per_element * kElements, [&] {
    if (what == "uniform") Require(random.Uniform(kElements, key, y.data()));
    if (what == "normal") Require(random.Normal(kElements, key, y.data()));
    if (what == "round_bf16") {
      Require(random.RoundToBf16(kElements, Values().data(), key, halves.data()));
    }
    if (what == "round_int") {
      Require(random.RoundToGrid(kElements, Values().data(), 0.02f, 0, -8, 7, key,
                                 reinterpret_cast<int8_t*>(halves.data())));
    }
  });
}
BENCH_CAPTURE(Philox, uniform, "uniform");
BENCH_CAPTURE(Philox, normal, "normal");
BENCH_CAPTURE(Philox, round_bf16, "round_bf16");
BENCH_CAPTURE(Philox, round_int4, "round_int");

std::vector<uint8_t>& Mask() {
  static auto* const mask = new std::vector<uint8_t>(kElements);
  return *mask;
}

void TopK(benchmark::State& state) {
  const int64_t rows = state.range(0), columns = kElements / rows;
  MemoryBound(state, 5.0 * kElements, [&] {
    Require(TheOps()->select().TopK({rows, columns, columns / 2}, Values().data(), Mask().data()));
  });
}
BENCH(TopK)->Arg(1)->Arg(kRows);

void NOfM(benchmark::State& state) {
  const int n = static_cast<int>(state.range(0)), m = static_cast<int>(state.range(1));
  MemoryBound(state, 5.0 * kElements, [&] {
    Require(TheOps()->select().KeepNOfM(kRows, kColumns, n, m, Values().data(), Mask().data()));
  });
}
BENCH(NOfM)->Args({2, 4})->Args({4, 8});

void Nearest(benchmark::State& state) {
  const int64_t dim = state.range(0), k = state.range(1), n = (int64_t{1} << 28) / k / dim;
  std::vector<int32_t> index(n);
  // A difference, a product and a sum for each coordinate of each word.
  ComputeBound(state, 3.0 * static_cast<double>(n * dim * k), DType::kF32, [&] {
    Require(TheOps()->select().Nearest(n, dim, k, Values().data(), Values().data(), index.data(),
                                       nullptr));
  });
}
BENCH(Nearest)->Args({1, 16})->Args({8, 256})->Args({8, 4096});

void Columns(benchmark::State& state, DType type) {
  ColumnStatistics sums(kColumns);
  const void* x = type == DType::kF32 ? static_cast<const void*>(Values().data()) : Halves().data();
  const double bytes = static_cast<double>(DTypeBytes(type)) * kElements;
  MemoryBound(state, bytes, [&] {
    Require(TheOps()->statistics().Columns({kRows, kColumns, x, type}, &sums));
  });
}
BENCH_CAPTURE(Columns, f32, DType::kF32);
BENCH_CAPTURE(Columns, bf16, DType::kBF16);

void Histogram(benchmark::State& state) {
  std::vector<int64_t> counts(2051);
  MemoryBound(state, 4.0 * kElements, [&] {
    Require(TheOps()->statistics().Histogram(
        {kElements, Values().data(), -0.1f, 0.1f, 2048, counts.data()}));
  });
}
BENCH(Histogram);

void AdamW(benchmark::State& state) {
  const bool stochastic = state.range(0) != 0;
  std::vector<float> w = Values(), m(kElements), v(kElements);
  std::vector<uint16_t> halves(kElements);
  AdamWArgs args;
  args.n = kElements;
  args.w = w.data();
  args.gradient = Values().data();
  args.m = m.data();
  args.v = v.data();
  args.w_bf16 = halves.data();
  args.stochastic = stochastic;
  MemoryBound(state, 30.0 * kElements, [&] { Require(TheOps()->train().AdamW(args)); });
}
BENCH(AdamW)->Arg(0)->Arg(1);

void RmsNormBackward(benchmark::State& state) {
  constexpr int64_t kHalf = kElements / 2;
  std::vector<float> weight(kColumns, 1.0f), dweight(kColumns), dx(kHalf);
  const float* x = Values().data();
  MemoryBound(state, 12.0 * kHalf, [&] {
    Require(TheOps()->train().RmsNormBackward(kRows / 2, kColumns, x, weight.data(), 1e-5f,
                                              x + kHalf, dx.data(), dweight.data()));
  });
}
BENCH(RmsNormBackward);

void SwiGluBackward(benchmark::State& state) {
  constexpr int64_t kThird = kElements / 3;
  std::vector<float> dgate(kThird), dup(kThird);
  const float* x = Values().data();
  MemoryBound(state, 20.0 * kThird, [&] {
    Require(TheOps()->train().SwiGluBackward(kThird, x, x + kThird, x + 2 * kThird, dgate.data(),
                                             dup.data()));
  });
}
BENCH(SwiGluBackward);

void CrossEntropyBackward(benchmark::State& state) {
  const std::vector<int32_t> target(kRows, 7);
  std::vector<float> dlogits(kElements);
  MemoryBound(state, 8.0 * kElements, [&] {
    Require(TheOps()->train().CrossEntropyBackward(kRows, kColumns, Values().data(), target.data(),
                                                   1, dlogits.data()));
  });
}
BENCH(CrossEntropyBackward);

void AttentionBackward(benchmark::State& state) {
  const int64_t tokens = state.range(0), heads = 14, kv_heads = 2, d = 64;
  const int64_t windows = 4096 / tokens, rows = windows * tokens;
  std::vector<float> out(rows * heads * d), norm(rows * heads), dq(out.size()),
      dk(rows * kv_heads * d), dv(dk.size());
  AttentionArgs forward;
  forward.windows = windows;
  forward.tokens = tokens;
  forward.heads = heads;
  forward.kv_heads = kv_heads;
  forward.head_dim = d;
  forward.scale = 0.125f;
  forward.q = forward.k = forward.v = Values().data();
  forward.out = out.data();
  forward.logsumexp = norm.data();
  Require(TheOps()->Attention(forward));
  const AttentionGradArgs args{&forward, Values().data(), dq.data(), dk.data(), dv.data()};
  // Five products over the causal half of tokens x tokens.
  const double flops = 5.0 * static_cast<double>(windows * heads * tokens * (tokens + 1) * d);
  ComputeBound(state, flops, DType::kF32,
               [&] { Require(TheOps()->train().AttentionBackward(args)); });
}
BENCH(AttentionBackward)->Arg(512)->Arg(2048);

}  // namespace
}  // namespace swage::perf

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::printf("numerics class %s\n", swage::perf::TheOps()->NumericsClass().c_str());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
