// End-to-end gradients against PyTorch's (tests/golden/backward/make_backward.py), for every family
// of the architecture table and for parametrized linears.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "workers/runtime/loss_gradients.h"

namespace swage {
namespace {

constexpr double kGradientBound =
    1e-4;  // of a gradient's norm, in f32; measured: see the test's output
constexpr char kGolden[] = "tests/golden/backward", kModels[] = "tests/golden/forward";

using Tensors = std::map<std::string, std::vector<float>>;

std::vector<std::string> GoldenCases() {
  std::vector<std::string> cases;
  auto files = Env::Posix()->ListDir(kGolden);
  if (!files.ok()) return cases;
  for (const DirEntry& file : *files) {
    if (!EndsWith(file.name, ".safetensors")) continue;
    cases.push_back(file.name.substr(0, file.name.size() - 12));
  }
  return cases;
}

template <typename T>
std::vector<T> ValuesOf(const TensorSource& source, const std::string& name) {
  const std::optional<TensorView> view = source.Find(name);
  EXPECT_TRUE(view.has_value()) << name;
  std::vector<T> values(view ? view->bytes.size() / sizeof(T) : 0);
  if (view) std::memcpy(values.data(), view->bytes.data(), view->bytes.size());
  return values;
}

// As make_backward.py does it.
std::vector<double> SketchOf(const std::vector<float>& x) {
  std::vector<double> sums(32, 0.0);
  for (size_t i = 0; i < x.size(); ++i) {
    uint32_t h = static_cast<uint32_t>(i);
    h = (h ^ (h >> 16)) * 0x85EBCA6BU;
    h = (h ^ (h >> 13)) * 0xC2B2AE35U;
    h ^= h >> 16;
    sums[h & 31] += ((h >> 5) & 1) != 0 ? -static_cast<double>(x[i]) : static_cast<double>(x[i]);
  }
  return sums;
}

// Norm of the difference from the golden tensor, which is whole or a sketch.
double DistanceOf(const std::vector<float>& x, const std::vector<float>& golden) {
  std::vector<double> values(x.begin(), x.end());
  if (golden.size() != x.size()) values = SketchOf(x);
  EXPECT_EQ(values.size(), golden.size());
  double sum = 0;
  for (size_t i = 0; i < std::min(values.size(), golden.size()); ++i) {
    sum += (values[i] - golden[i]) * (values[i] - golden[i]);
  }
  return std::sqrt(sum);
}

class BackwardTest : public testing::TestWithParam<std::string> {
 protected:
  void Open(const std::string& name) {
    const std::string family = name.substr(0, name.find('.'));
    std::string variant = name.substr(name.find('.') + 1);
    if (variant == "parameters") variant = "default";
    std::string dir = "tests/data/models/classics-6m";
    if (family != "classics-6m") {
      const std::string folder = JoinPath(kModels, family);
      const auto copy = [&](const std::string& from, const char* to) {
        auto bytes = ReadFile(Env::Posix(), JoinPath(folder, from), 64 << 20);
        ASSERT_TRUE(bytes.ok()) << bytes.status();
        ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(dir_.path(), to), *bytes).ok());
      };
      copy("model.safetensors", "model.safetensors");
      copy(variant + ".json", "config.json");
      dir = dir_.path();
    }
    auto model = Model::Open(Env::Posix(), dir);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = std::move(*model);
    auto golden = OpenFileTensors(Cat(kGolden, "/", name, ".safetensors"));
    ASSERT_TRUE(golden.ok()) << golden.status();
    golden_ = std::move(*golden);
    ids_ = ValuesOf<int32_t>(*golden_, "ids");
    const auto& shape = golden_->Find("ids")->info->shape;
    args_.windows = shape[0];
    args_.tokens = shape[1];
    args_.ids = ids_.data();
    if (name == "llama.parameters") Parametrize();
  }

  // As parametrize() of make_backward.py.
  void Parametrize() {
    LoraParameter lora;
    lora.rank = 3;
    lora.scale = 0.5f;
    lora.a = ValuesOf<float>(*golden_, "lora_A");
    lora.b = ValuesOf<float>(*golden_, "lora_B");
    parameters_["model.layers.0.self_attn.q_proj"] = std::move(lora);
    parameters_["model.layers.0.mlp.up_proj"] =
        MaskedParameter{ValuesOf<uint8_t>(*golden_, "mask")};
    parameters_["model.layers.0.mlp.down_proj"] = FakeQuantizedParameter{"int4", 8, true, 0.8f};
    parameters_["model.layers.1.mlp.gate_proj"] = FakeQuantizedParameter{"int8", 0, true, 1.0f};
    args_.parameters = &parameters_;
  }

  Status Run(Ops* ops, const GradientRequest& request, Tensors* out) {
    auto report = LossGradients(ops, *model_, args_, request,
                                [&](const std::string& name, GradientTensor* tensor) -> Status {
                                  EXPECT_FALSE(out->contains(name)) << name << " came twice";
                                  const float* x = tensor->values.data();
                                  (*out)[name].assign(x, x + tensor->values.size());
                                  return absl::OkStatus();
                                });
    if (!report.ok()) return report.status();
    report_ = *report;
    return absl::OkStatus();
  }

  TempDir dir_;
  std::unique_ptr<Model> model_;
  std::shared_ptr<TensorSource> golden_;
  std::vector<int32_t> ids_;
  LinearParameters parameters_;
  LossArgs args_;
  LossReport report_;
};

TEST_P(BackwardTest, EveryGradientIsPyTorchs) {
  ASSERT_NO_FATAL_FAILURE(Open(GetParam()));
  const std::unique_ptr<Ops> cpu = NewCpuOps(2);
  Tensors gradients;
  const Status status = Run(cpu.get(), {}, &gradients);
  ASSERT_TRUE(status.ok()) << status;
  const double want = ValuesOf<double>(*golden_, "loss")[0];
  EXPECT_NEAR(report_.loss, want, 1e-6 * want);
  double worst = 0;
  size_t seen = 0;
  for (const std::string& name : golden_->Names()) {
    if (!EndsWith(name, "#norm")) continue;
    ++seen;
    const std::string tensor = name.substr(0, name.size() - 5);
    const double norm = ValuesOf<double>(*golden_, name)[0];
    if (!gradients.contains(tensor)) {
      EXPECT_EQ(norm, 0.0) << tensor << " has no gradient";
      continue;
    }
    const double off = DistanceOf(gradients[tensor], ValuesOf<float>(*golden_, tensor));
    // Keys' biases cancel in the softmax: what is left of their gradient is rounding.
    EXPECT_LE(off, kGradientBound * norm + 2e-7) << tensor << " of norm " << norm;
    if (norm > 1e-5) worst = std::max(worst, off / norm);
  }
  EXPECT_GE(seen, gradients.size());
  std::printf("%-22s loss off %.1e, gradients at most %.1e of their norm\n", GetParam().c_str(),
              std::abs(report_.loss - want) / want, worst);
}

TEST_P(BackwardTest, OnTheReferenceAlso) {
  if (GetParam() == "classics-6m.trained") GTEST_SKIP() << "too slow for the scalar reference";
  ASSERT_NO_FATAL_FAILURE(Open(GetParam()));
  const std::unique_ptr<Ops> cpu = NewCpuOps(1), ref = NewRefOps();
  Tensors gradients, wanted;
  ASSERT_TRUE(Run(cpu.get(), {}, &gradients).ok());
  ASSERT_TRUE(Run(ref.get(), {}, &wanted).ok());
  ASSERT_EQ(gradients.size(), wanted.size());
  for (const auto& [name, values] : wanted) {
    double norm = 0;
    for (const float value : values) norm += static_cast<double>(value) * value;
    EXPECT_LE(DistanceOf(gradients[name], values), 2e-5 * std::sqrt(norm) + 2e-7) << name;
  }
}

std::string BackwardCaseName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Golden, BackwardTest, testing::ValuesIn(GoldenCases()), BackwardCaseName);

TEST_F(BackwardTest, EveryFamilyHasAGoldenGradient) {
  std::string all;
  for (const std::string& name : GoldenCases()) all += name.substr(0, name.find('.')) + " ";
  auto families = Env::Posix()->ListDir(kModels);
  ASSERT_TRUE(families.ok());
  for (const DirEntry& family : *families) {
    if (family.name.find('.') != std::string::npos || family.name.find("make_") == 0) continue;
    EXPECT_NE(all.find(family.name + " "), std::string::npos) << family.name;
  }
}

TEST_F(BackwardTest, OnlyWhatIsWantedIsComputedAndItIsTheSame) {
  Open("llama.parameters");
  const std::unique_ptr<Ops> cpu = NewCpuOps(1);
  Tensors all, some;
  ASSERT_TRUE(Run(cpu.get(), {}, &all).ok());
  GradientRequest request;
  request.wanted = [](std::string_view name) {
    return name.find("lora_") != std::string_view::npos || name == "model.norm.weight";
  };
  ASSERT_TRUE(Run(cpu.get(), request, &some).ok());
  EXPECT_EQ(some.size(), 3u);
  for (const auto& [name, values] : some) EXPECT_EQ(values, all[name]) << name;
}

TEST_F(BackwardTest, WindowsInTwoRunsAddUp) {
  Open("qwen2-moe.plain");
  const std::unique_ptr<Ops> cpu = NewCpuOps(1);
  Tensors whole, half;
  ASSERT_TRUE(Run(cpu.get(), {}, &whole).ok());
  const double loss = report_.loss;
  args_.windows = 1;
  Tensors sum;
  double halves = 0;
  for (int64_t w = 0; w < 2; ++w) {
    args_.ids = ids_.data() + w * args_.tokens;
    half.clear();
    ASSERT_TRUE(Run(cpu.get(), {}, &half).ok());
    halves += report_.loss / 2;
    for (const auto& [name, values] : half) {
      std::vector<float>& total = sum[name];
      total.resize(values.size());
      for (size_t i = 0; i < values.size(); ++i) total[i] += values[i] / 2;
    }
  }
  EXPECT_NEAR(halves, loss, 1e-6 * loss);
  for (const auto& [name, values] : whole) {
    double norm = 0;
    for (const float value : values) norm += static_cast<double>(value) * value;
    ASSERT_EQ(sum[name].size(), values.size()) << name;
    EXPECT_LE(DistanceOf(sum[name], values), 1e-5 * std::sqrt(norm) + 1e-7) << name;
  }
}

TEST_F(BackwardTest, MomentsAreThoseOfInputsAndOutputGradients) {
  Open("phi3.longrope");
  const std::unique_ptr<Ops> cpu = NewCpuOps(1);
  GradientRequest request;
  request.moments = true;
  request.wanted = [](std::string_view) { return false; };
  Tensors out;
  ASSERT_TRUE(Run(cpu.get(), request, &out).ok());
  const std::string module = "model.layers.1.self_attn.qkv_proj";
  ASSERT_EQ(out[module + ".input_squares"].size(), 32u);
  ASSERT_EQ(out[module + ".output_gradient_squares"].size(), 64u);
  for (const float value : out[module + ".output_gradient_squares"]) EXPECT_GT(value, 0.0f);
  // The inputs are normalised rows: with weights w, their squares sum to about rows * w^2.
  const std::vector<int32_t>& ids = ids_;
  for (const float value : out[module + ".input_squares"]) {
    EXPECT_GT(value, 0.0f);
    EXPECT_LT(value, 40.0f * static_cast<float>(ids.size()));
  }
}

TEST_F(BackwardTest, Bf16IsNearAndOverTheSamePath) {
  Open("classics-6m.trained");
  const std::unique_ptr<Ops> cpu = NewCpuOps(2);
  args_.compute = Compute::kBF16;
  Tensors gradients;
  ASSERT_TRUE(Run(cpu.get(), {}, &gradients).ok());
  const std::string name = "model.layers.2.mlp.up_proj.weight";
  const double norm = ValuesOf<double>(*golden_, name + "#norm")[0];
  const double off = DistanceOf(gradients[name], ValuesOf<float>(*golden_, name));
  EXPECT_LE(off, 0.05 * norm);
  EXPECT_GT(off, 1e-4 * norm) << "the products were not done in bf16";
}

TEST_F(BackwardTest, WhatIsKeptNeedNotBeComputedAnew) {
  Open("classics-6m.trained");
  const std::unique_ptr<Ops> cpu = NewCpuOps(2);
  args_.compute = Compute::kBF16;
  Tensors kept, anew;
  ASSERT_TRUE(Run(cpu.get(), {}, &kept).ok());
  args_.keep_bytes = 0;
  ASSERT_TRUE(Run(cpu.get(), {}, &anew).ok());
  ASSERT_EQ(kept.size(), anew.size());
  for (const auto& [name, values] : anew) {
    const double norm = ValuesOf<double>(*golden_, name + "#norm")[0];
    EXPECT_LE(DistanceOf(kept[name], values), 0.02 * norm) << name;
    EXPECT_LE(DistanceOf(values, ValuesOf<float>(*golden_, name)), 0.08 * norm) << name;
  }
}

TEST_F(BackwardTest, WhatCannotBeIsRefusedByName) {
  Open("llama.default");
  const std::unique_ptr<Ops> cpu = NewCpuOps(1);
  Tensors out;
  parameters_["model.layers.7.mlp.up_proj"] = DenseParameter();
  args_.parameters = &parameters_;
  Status status = Run(cpu.get(), {}, &out);
  EXPECT_NE(status.message().find("layers.7.mlp.up_proj"), std::string::npos) << status;
  parameters_.clear();
  parameters_["model.layers.0.mlp.up_proj"] = MaskedParameter{std::vector<uint8_t>(5)};
  status = Run(cpu.get(), {}, &out);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  args_.parameters = nullptr;
  args_.tokens = 1;
  status = Run(cpu.get(), {}, &out);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;

  auto block = model_->LoadBlock(cpu.get(), 0, Compute::kF32);
  ASSERT_TRUE(block.ok());
  block->linears.begin()->second.activations = "int8";
  std::vector<float> hidden(32), d_hidden(32);
  Gradients gradients;
  status = Backward(cpu.get(), model_->config())
               .RunBlock(*block, 1, 1, hidden.data(), d_hidden.data(), {}, &gradients);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented) << status;
}

}  // namespace
}  // namespace swage
