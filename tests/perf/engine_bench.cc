// The engine end to end: a calibration forward (hidden states of all blocks, head and loss) or a full
// fine-tune step (forward, backward, gradients of all tensors, AdamW) on windows of a text made up of
// every token. engine_peer.py does the same work with PyTorch; engine_vs_torch.sh runs both in turns.
//   swage-bench-engine MODEL forward|step bf16|f32 WINDOWS [REPETITIONS [profile]]
// Prints one line of JSON: seconds of each repetition (one before them is not counted), tokens, loss,
// peak resident memory; with "profile" the seconds by kind of op of the last repetition as well.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/perf/engine_ops.h"
#include "workers/runtime/loss_gradients.h"
#include "workers/runtime/process_memory.h"

namespace swage {
namespace {

constexpr int64_t kTokens = 512;
constexpr int kThreads = 2;

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

template <typename T>
T Require(StatusOr<T> value) {
  SWAGE_CHECK(value.ok(), MessageOf(value.status()));
  return std::move(value).value();
}
void RequireOk(const Status& status) { SWAGE_CHECK(status.ok(), MessageOf(status)); }

// The model under training: weights as the blocks read them, beside them f32 masters and moments.
class Weights : public TensorSource {
 public:
  Weights(Ops* ops, const TensorSource& from, DType type) : ops_(ops), type_(type) {
    for (const std::string& name : from.Names()) {
      const TensorView view = *from.Find(name);
      State& state = states_[name];
      const int64_t n = view.info->elements();
      state.info = *view.info;
      state.info.dtype = type;
      state.info.begin = 0;
      state.info.end = static_cast<uint64_t>(n) * DTypeBytes(type);
      for (Buffer<float>* buffer : {&state.master, &state.m, &state.v}) buffer->Resize(n);
      RequireOk(ReadF32(ops, view, 0, n, state.master.data()));
      std::fill_n(state.m.data(), n, 0.0f);
      std::fill_n(state.v.data(), n, 0.0f);
      if (type != DType::kBF16) continue;
      state.narrow.Resize(n);
      RequireOk(ops->CastFromF32(n, state.master.data(), type, state.narrow.data()));
    }
  }
  std::optional<TensorView> Find(std::string_view name) const override {
    const auto found = states_.find(name);
    if (found == states_.end()) return std::nullopt;
    const State& state = found->second;
    const void* bytes = type_ == DType::kBF16 ? static_cast<const void*>(state.narrow.data())
                                              : static_cast<const void*>(state.master.data());
    return TensorView{&state.info, {static_cast<const char*>(bytes), state.info.bytes()}};
  }
  std::vector<std::string> Names() const override {
    std::vector<std::string> names;
    for (const auto& [name, state] : states_) names.push_back(name);
    return names;
  }
  Status Step(const std::string& name, const GradientTensor& gradient, int64_t step) {
    State& state = states_.find(name)->second;
    AdamWArgs args;
    args.n = gradient.values.size();
    args.w = state.master.data();
    args.m = state.m.data();
    args.v = state.v.data();
    args.gradient = gradient.values.data();
    args.lr = 1e-5f;
    args.step = step;
    args.w_bf16 = type_ == DType::kBF16 ? state.narrow.data() : nullptr;
    return ops_->train().AdamW(args);
  }

 private:
  struct State {
    TensorInfo info;
    Buffer<float> master, m, v;
    Buffer<uint16_t> narrow;
  };
  Ops* const ops_;
  const DType type_;
  std::map<std::string, State, std::less<>> states_;
};

struct Work {
  bool step = false;
  Compute compute = Compute::kBF16;
  WindowSet windows;
};

// Of one repetition; the loss.
double RunOnce(Ops* ops, const Model& model, Weights* weights, const Work& work, int64_t number) {
  if (!work.step) {
    const Score score =
        Require(ScoreWindows(ops, model, nullptr, work.windows, work.compute, RunHooks()));
    return score.model.nll_sum / static_cast<double>(score.scored);
  }
  LossArgs args;
  args.windows = work.windows.count;
  args.tokens = work.windows.tokens;
  args.ids = work.windows.ids.data();
  args.compute = work.compute;
  const auto sink = [&](const std::string& name, GradientTensor* tensor) {
    return weights->Step(name, *tensor, number);
  };
  return Require(LossGradients(ops, model, args, {}, sink)).loss;
}

void Print(const char* mode, const char* dtype, const Work& work, const std::vector<double>& seconds,
           double loss, const std::map<std::string, double>& kinds) {
  std::printf("{\"side\": \"swage\", \"mode\": \"%s\", \"dtype\": \"%s\", \"windows\": %lld, ", mode,
              dtype, static_cast<long long>(work.windows.count));
  std::printf("\"loss\": %.6f, \"peak_mib\": %.0f, \"seconds\": [", loss,
              static_cast<double>(PeakResidentBytes()) / (1 << 20));
  for (size_t i = 0; i < seconds.size(); ++i) std::printf("%s%.4f", i == 0 ? "" : ", ", seconds[i]);
  std::printf("]");
  if (!kinds.empty()) {
    std::printf(", \"kinds\": {");
    const char* comma = "";
    for (const auto& [kind, spent] : kinds) {
      std::printf("%s\"%s\": %.4f", comma, kind.c_str(), spent);
      comma = ", ";
    }
    std::printf("}");
  }
  std::printf("}\n");
}

int Main(int argc, char** argv) {
  if (argc < 5) {
    std::fprintf(stderr, "%s MODEL forward|step bf16|f32 WINDOWS [REPETITIONS [profile]]\n", argv[0]);
    return 2;
  }
  Work work;
  work.step = std::strcmp(argv[2], "step") == 0;
  work.compute = std::strcmp(argv[3], "bf16") == 0 ? Compute::kBF16 : Compute::kF32;
  const int repetitions = argc > 5 ? std::atoi(argv[5]) : 3;
  const bool profile = argc > 6;
  auto timed = std::make_unique<TimedOps>(kThreads);
  const std::unique_ptr<Ops> plain = NewCpuOps(kThreads);
  Ops* ops = profile ? timed.get() : plain.get();
  auto model = Require(Model::Open(Env::Posix(), argv[1]));
  std::shared_ptr<Weights> weights;
  if (work.step) {
    const DType type = work.compute == Compute::kBF16 ? DType::kBF16 : DType::kF32;
    weights = std::make_shared<Weights>(ops, model->tensors(), type);
    model = Require(Model::FromParts(model->config(), weights));
  }
  work.windows.count = std::atoll(argv[4]);
  work.windows.tokens = kTokens;
  for (int64_t i = 0; i < work.windows.count * kTokens; ++i) {
    work.windows.ids.push_back(static_cast<int32_t>(3 + i * 7919 % (model->config().vocab - 3)));
  }
  std::vector<double> seconds;
  double loss = 0;
  for (int i = 0; i <= repetitions; ++i) {
    timed->Reset();
    const double begin = Seconds();
    loss = RunOnce(ops, *model, weights.get(), work, i + 1);
    if (i > 0) seconds.push_back(Seconds() - begin);
  }
  Print(argv[2], argv[3], work, seconds, loss, timed->kinds());
  return 0;
}

}  // namespace
}  // namespace swage

int main(int argc, char** argv) { return swage::Main(argc, argv); }
