// Loss and all gradients of classics-6m, and the same with an AdamW step; beside it, in the same
// minute, tests/perf/gradients_peer.py does so with PyTorch.
//   swage-bench-gradients --benchmark_min_time=5
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "workers/runtime/loss_gradients.h"

namespace swage {
namespace {

constexpr int64_t kWindows = 8, kTokens = 128;

// As a training run: f32 master weights and two moments for each tensor.
class Optimizer {
 public:
  explicit Optimizer(Ops* ops) : ops_(ops) {}
  Status Step(const std::string& name, const GradientTensor& gradient) {
    State& state = states_[name];
    const int64_t n = gradient.values.size();
    if (state.w.empty()) {
      state.w.resize(n);
      state.m.resize(n);
      state.v.resize(n);
    }
    AdamWArgs args;
    args.n = n;
    args.w = state.w.data();
    args.m = state.m.data();
    args.v = state.v.data();
    args.gradient = gradient.values.data();
    args.lr = 1e-4f;
    return ops_->train().AdamW(args);
  }

 private:
  struct State {
    std::vector<float> w, m, v;
  };
  Ops* ops_;
  std::map<std::string, State> states_;
};

void Gradients6m(benchmark::State& state) {
  const char* dir = std::getenv("SWAGE_BENCH_MODEL");
  auto model = Model::Open(Env::Posix(), dir != nullptr ? dir : "tests/data/models/classics-6m");
  if (!model.ok()) return state.SkipWithError(std::string(model.status().message()).c_str());
  const std::unique_ptr<Ops> ops = NewCpuOps(2);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < kWindows * kTokens; ++i) {
    ids.push_back(static_cast<int32_t>(3 + i * 7919 % ((*model)->config().vocab - 3)));
  }
  LossArgs args;
  args.windows = kWindows;
  args.tokens = kTokens;
  args.ids = ids.data();
  args.compute = state.range(0) != 0 ? Compute::kBF16 : Compute::kF32;
  Optimizer optimizer(ops.get());
  const auto step = [&]() {
    return LossGradients(ops.get(), **model, args, {},
                         [&](const std::string& name, GradientTensor* tensor) -> Status {
                           if (state.range(1) == 0) return absl::OkStatus();
                           return optimizer.Step(name, *tensor);
                         });
  };
  const auto warm = step();  // oneDNN generates its products
  if (!warm.ok()) return state.SkipWithError(std::string(warm.status().message()).c_str());
  for (auto _ : state) {
    auto report = step();
    benchmark::DoNotOptimize(report);
  }
  state.counters["tokens/s"] = benchmark::Counter(
      static_cast<double>(state.iterations() * kWindows * kTokens), benchmark::Counter::kIsRate);
}
BENCHMARK(Gradients6m)
    ->ArgNames({"bf16", "adamw"})
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace swage

BENCHMARK_MAIN();
