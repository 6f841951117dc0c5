// Every row of the architecture table against what transformers computes with the same weights
// (tests/golden/forward/make_architectures.py).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include "base/modelfile/architecture.h"
#include "workers/runtime/score.h"

namespace swage {
namespace {

// The largest difference from the golden logits, as a share of the largest of them.
constexpr double kBound = 1e-5;  // measured: below 2e-6

struct Case {
  std::string family, name;
};

std::string Root() {
  const char* other = std::getenv("SWAGE_GOLDEN_FORWARD");
  return other != nullptr ? other : "tests/golden/forward";
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  auto families = Env::Posix()->ListDir(Root());
  if (!families.ok()) return cases;
  for (const DirEntry& family : *families) {
    auto files = Env::Posix()->ListDir(JoinPath(Root(), family.name));
    if (!files.ok()) continue;
    for (const DirEntry& file : *files) {
      if (!EndsWith(file.name, ".json")) continue;
      cases.push_back({family.name, file.name.substr(0, file.name.size() - 5)});
    }
  }
  return cases;
}

template <typename T>
std::vector<T> Values(const TensorSource& source, const char* name) {
  const std::optional<TensorView> view = source.Find(name);
  EXPECT_TRUE(view.has_value()) << name;
  std::vector<T> values(view ? view->bytes.size() / sizeof(T) : 0);
  if (view) std::memcpy(values.data(), view->bytes.data(), view->bytes.size());
  return values;
}

class ArchitectureTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string folder = JoinPath(Root(), GetParam().family);
    const auto copy = [&](const std::string& from, const char* to) {
      auto bytes = ReadFile(Env::Posix(), JoinPath(folder, from), 64 << 20);
      ASSERT_TRUE(bytes.ok()) << bytes.status();
      ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(dir_.path(), to), *bytes).ok());
    };
    copy("model.safetensors", "model.safetensors");
    copy(GetParam().name + ".json", "config.json");
    auto golden = OpenFileTensors(JoinPath(folder, GetParam().name + ".golden.safetensors"));
    ASSERT_TRUE(golden.ok()) << golden.status();
    ids_ = Values<int32_t>(**golden, "ids");
    logits_ = Values<float>(**golden, "logits");
    auto model = Model::Open(Env::Posix(), dir_.path());
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = std::move(*model);
  }

  std::vector<float> Logits(Ops* ops, Compute compute) {
    std::vector<float> all;
    const Status status =
        RunLogits(ops, *model_, ids_, compute, {}, [&](int64_t rows, const float* logits) {
          all.insert(all.end(), logits, logits + rows * model_->config().vocab);
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    return all;
  }

  // Share of the largest golden logit.
  double Off(const std::vector<float>& logits) const {
    EXPECT_EQ(logits.size(), logits_.size());
    double worst = 0, most = 0;
    for (size_t i = 0; i < std::min(logits.size(), logits_.size()); ++i) {
      const double off = std::abs(static_cast<double>(logits[i]) - logits_[i]);
      if (!(off <= worst)) worst = off;
      most = std::max(most, std::abs(static_cast<double>(logits_[i])));
    }
    return worst / most;
  }

  TempDir dir_;
  std::unique_ptr<Model> model_;
  std::vector<int32_t> ids_;
  std::vector<float> logits_;
};

TEST_P(ArchitectureTest, GoldenLogitsInF32) {
  const std::unique_ptr<Ops> cpu = NewCpuOps(1);
  const double off = Off(Logits(cpu.get(), Compute::kF32));
  RecordProperty("off", Cat(off));
  std::printf("%-20s %-16s %.2e of max|logit|\n", GetParam().family.c_str(),
              GetParam().name.c_str(), off);
  EXPECT_LE(off, kBound);
}

TEST_P(ArchitectureTest, GoldenLogitsOfTheReference) {
  if (logits_.size() > 100000) GTEST_SKIP() << "too slow for the scalar reference";
  const std::unique_ptr<Ops> ref = NewRefOps();
  EXPECT_LE(Off(Logits(ref.get(), Compute::kF32)), kBound);
}

TEST_P(ArchitectureTest, Bf16ComputesNearlyTheSame) {
  const std::unique_ptr<Ops> cpu = NewCpuOps(1);
  const double off = Off(Logits(cpu.get(), Compute::kBF16));
  // Where a rounded router picks another expert, single rows are far off.
  const bool experts = model_->config().experts.count > 0;
  EXPECT_LT(off, experts ? 1.0 : 0.1);
  EXPECT_GT(off, 1e-4) << "the products were not done in bf16";
}

TEST_P(ArchitectureTest, WindowsDoNotSeeEachOther) {
  if (logits_.size() > 100000) GTEST_SKIP() << "the tiny models show it";
  const std::unique_ptr<Ops> cpu = NewCpuOps(1);
  const int64_t tokens = static_cast<int64_t>(ids_.size()), h = model_->config().hidden;
  std::vector<int32_t> twice = ids_;
  twice.insert(twice.end(), ids_.begin(), ids_.end());
  std::vector<float> hidden(2 * tokens * h);
  ASSERT_TRUE(model_->Embed(cpu.get(), 2, tokens, twice.data(), hidden.data()).ok());
  Forward forward(cpu.get(), model_->config());
  for (int64_t layer = 0; layer < model_->config().layers; ++layer) {
    auto block = model_->LoadBlock(cpu.get(), layer, Compute::kF32);
    ASSERT_TRUE(block.ok()) << block.status();
    ASSERT_TRUE(forward.RunBlock(*block, 2, tokens, hidden.data()).ok());
  }
  for (int64_t i = 0; i < tokens * h; ++i) {
    ASSERT_NEAR(hidden[i], hidden[tokens * h + i], 1e-4 * (1 + std::abs(hidden[i])));
  }
}

TEST_P(ArchitectureTest, EveryTensorIsAccountedFor) {
  std::set<std::string> expected;
  const ModelConfig& config = model_->config();
  for (const TensorShape& tensor : OuterTensors(config)) expected.insert(tensor.name);
  for (const std::string& module : LinearModules(config)) expected.insert(module + ".weight");
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const TensorShape& norm : BlockNorms(config, layer)) expected.insert(norm.name);
    for (const LinearSpec& spec : BlockLinears(config, layer)) {
      if (spec.bias) expected.insert(Cat(BlockPrefix(config, layer), spec.module, ".bias"));
    }
  }
  for (const std::string& name : model_->tensors().Names()) {
    EXPECT_TRUE(expected.contains(name)) << name << " is in the file but in no row";
  }
}

std::string CaseName(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.family + "_" + info.param.name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, ArchitectureTest, testing::ValuesIn(Cases()), CaseName);

TEST(Architectures, EachHasAGoldenCase) {
  std::set<std::string> seen;
  for (const Case& one : Cases()) {
    const std::string path = Cat(Root(), "/", one.family, "/", one.name, ".json");
    auto config = ParseModelConfig(*ReadFile(Env::Posix(), path, 1 << 20));
    ASSERT_TRUE(config.ok()) << path << ": " << config.status();
    seen.insert(config->architecture);
  }
  if (std::getenv("SWAGE_GOLDEN_FORWARD") != nullptr) GTEST_SKIP() << "another set of cases";
  for (const Architecture& row : Architectures()) {
    EXPECT_TRUE(seen.contains(std::string(row.name))) << row.name;
  }
}

}  // namespace
}  // namespace swage
