#include "workers/runtime/statistics_pass.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/env.h"

namespace swage {
namespace {

using ::testing::ElementsAre;

class StatisticsPassTest : public ::testing::Test {
 protected:
  void Load(const std::string& family, int64_t windows = 3, int64_t tokens = 20) {
    // The golden models keep their weights once, and one config.json a case.
    const std::string dir = JoinPath("tests/golden/forward", family);
    auto copy = [&](const std::string& from, const std::string& to) {
      const auto text = ReadFile(env_, JoinPath(dir, from), 1 << 22);
      ASSERT_TRUE(text.ok()) << from;
      ASSERT_TRUE(WriteFileAtomic(env_, JoinPath(dir_.path(), to), *text).ok());
    };
    copy("model.safetensors", "model.safetensors");
    copy(family == "llama" ? "default.json" : "plain.json", "config.json");
    auto model = Model::Open(env_, dir_.path());
    ASSERT_TRUE(model.ok()) << MessageOf(model.status());
    model_ = std::move(*model);
    windows_.count = windows;
    windows_.tokens = tokens;
    for (int64_t i = 0; i < windows * tokens; ++i)
      windows_.ids.push_back(static_cast<int32_t>((i * 7919 + 13) % model_->config().vocab));
  }
  std::vector<BlockStatistics> Gather(bool hessians, Compute compute = Compute::kF32) {
    std::vector<BlockStatistics> blocks;
    StatisticsPass pass(ops_.get(), *model_, {hessians, compute});
    const Status status = pass.Run(windows_, {}, [&](BlockStatistics block) {
      blocks.push_back(std::move(block));
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << MessageOf(status);
    return blocks;
  }

  Env* env_ = Env::Posix();
  TempDir dir_{"statistics"};
  std::unique_ptr<Ops> ops_ = NewCpuOps(2);
  std::unique_ptr<Model> model_;
  WindowSet windows_;
};

TEST_F(StatisticsPassTest, LinearsThatReadTheSameAreCountedOnce) {
  Load("llama");
  const auto blocks = Gather(false);
  ASSERT_EQ(static_cast<int64_t>(blocks.size()), model_->config().layers);
  const std::string p = "model.layers.1.";
  ASSERT_EQ(blocks[1].inputs.size(), 4u);
  EXPECT_THAT(blocks[1].inputs[0].readers,
              ElementsAre(p + "self_attn.q_proj", p + "self_attn.k_proj", p + "self_attn.v_proj"));
  EXPECT_THAT(blocks[1].inputs[1].readers, ElementsAre(p + "self_attn.o_proj"));
  EXPECT_THAT(blocks[1].inputs[2].readers, ElementsAre(p + "mlp.gate_proj", p + "mlp.up_proj"));
  EXPECT_THAT(blocks[1].inputs[3].readers, ElementsAre(p + "mlp.down_proj"));
  for (const InputStatistics& input : blocks[1].inputs) EXPECT_EQ(input.columns.rows, 60);
  EXPECT_EQ(blocks[1].Find(p + "mlp.up_proj"), &blocks[1].inputs[2]);
  EXPECT_EQ(blocks[1].Find("lm_head"), nullptr);
  EXPECT_TRUE(blocks[1].unseen.empty());
  EXPECT_EQ(blocks[1].keys.rows, 60);
}

// The first block's first input can be computed by hand: the norm of the embeddings.
TEST_F(StatisticsPassTest, TheyAreThoseOfWhatTheLinearReads) {
  Load("llama");
  const auto blocks = Gather(true);
  const int64_t h = model_->config().hidden, rows = windows_.count * windows_.tokens;
  std::vector<float> x(rows * h);
  ASSERT_TRUE(model_->Embed(ops_.get(), windows_.count, windows_.tokens, windows_.ids.data(), x.data()).ok());
  const auto block = model_->LoadBlock(ops_.get(), 0, Compute::kF32);
  ASSERT_TRUE(ops_->RmsNorm(rows, h, x.data(), NormOf(*block, "input_layernorm").weight.data(),
                            static_cast<float>(model_->config().norm_eps), x.data()).ok());
  const InputStatistics& input = blocks[0].inputs[0];
  for (int64_t i = 0; i < h; ++i) {
    double square = 0, most = 0;
    for (int64_t r = 0; r < rows; ++r) {
      square += static_cast<double>(x[r * h + i]) * x[r * h + i];
      most = std::max(most, std::abs(static_cast<double>(x[r * h + i])));
    }
    EXPECT_NEAR(input.columns.SecondMoment(i), square / rows, 1e-9 + 1e-6 * square / rows);
    EXPECT_FLOAT_EQ(input.columns.AbsMax(i), static_cast<float>(most));
    EXPECT_NEAR(input.hessian.data()[i * h + i], square, 1e-5 * square + 1e-9);
    for (int64_t j = i + 1; j < h; ++j) {
      double product = 0;
      for (int64_t r = 0; r < rows; ++r) product += static_cast<double>(x[r * h + i]) * x[r * h + j];
      EXPECT_NEAR(input.hessian.data()[i * h + j], product, 1e-4 * (std::abs(product) + 1));
    }
  }
}

TEST_F(StatisticsPassTest, ExpertsSeeTheRowsThatChoseThem) {
  for (const char* family : {"mixtral", "qwen2-moe"}) {
    windows_ = {};
    Load(family, 2, 9);
    const ModelConfig& config = model_->config();
    const auto blocks = Gather(true, Compute::kBF16);
    int64_t rows = 0;
    for (const InputStatistics& input : blocks[0].inputs) {
      const bool of_expert = input.readers[0].find("experts.") != std::string::npos &&
                             input.readers[0].find("shared") == std::string::npos;
      if (of_expert && input.readers.size() == 2) rows += input.columns.rows;  // gate and up
    }
    EXPECT_EQ(rows, 18 * config.experts.per_token) << family;
    size_t known = blocks[0].unseen.size();
    for (const InputStatistics& input : blocks[0].inputs) known += input.readers.size();
    EXPECT_EQ(known, model_->linears(0).size()) << family;
  }
}

TEST_F(StatisticsPassTest, TheFileGivesBackTheSameBits) {
  Load("mixtral", 1, 3);  // few rows: some experts see none
  const auto blocks = Gather(true);
  const Digest key = StatisticsKey(Sha256Of("m"), Sha256Of("d"), windows_, "class", "", true);
  EXPECT_NE(key, StatisticsKey(Sha256Of("m"), Sha256Of("d"), windows_, "class", "", false));
  EXPECT_NE(key, StatisticsKey(Sha256Of("m"), Sha256Of("d"), windows_, "other", "", true));
  const std::string path = JoinPath(dir_.path(), "statistics.safetensors");
  ASSERT_TRUE(WriteStatistics(env_, path, key, blocks).ok());
  const auto again = ReadStatistics(path, key);
  ASSERT_TRUE(again.ok()) << MessageOf(again.status());
  ASSERT_EQ(again->size(), blocks.size());
  for (size_t b = 0; b < blocks.size(); ++b) {
    EXPECT_EQ((*again)[b].unseen, blocks[b].unseen);
    EXPECT_EQ((*again)[b].keys.power2, blocks[b].keys.power2);
    ASSERT_EQ((*again)[b].inputs.size(), blocks[b].inputs.size());
    for (size_t i = 0; i < blocks[b].inputs.size(); ++i) {
      const InputStatistics &was = blocks[b].inputs[i], &is = (*again)[b].inputs[i];
      EXPECT_EQ(is.readers, was.readers);
      EXPECT_EQ(is.columns.rows, was.columns.rows);
      EXPECT_EQ(is.columns.power4, was.columns.power4);
      EXPECT_EQ(is.columns.max, was.columns.max);
      ASSERT_EQ(is.hessian.size(), was.hessian.size());
      EXPECT_EQ(std::memcmp(is.hessian.data(), was.hessian.data(), static_cast<size_t>(was.hessian.bytes())), 0);
    }
  }
  EXPECT_EQ(ReasonOf(ReadStatistics(path, Sha256Of("another")).status()), "STATISTICS_MISMATCH");

  // Any one byte of the index changed: an error, or what was written.
  const std::string bytes = *ReadFile(env_, path, 1 << 24);
  const size_t index = bytes.find("kv_channels");
  for (size_t at = index; at < index + 400; at += 3) {
    std::string changed = bytes;
    changed[at] = changed[at] == '7' ? '8' : '7';
    ASSERT_TRUE(WriteFileAtomic(env_, path, changed).ok());
    (void)ReadStatistics(path, key).ok();
  }
  std::string fewer = bytes;
  fewer.replace(fewer.find("\"rows\\\":"), 6, "\"sows\\");
  ASSERT_TRUE(WriteFileAtomic(env_, path, fewer).ok());
  EXPECT_EQ(ReasonOf(ReadStatistics(path, key).status()), "STATISTICS_MALFORMED");
}

TEST_F(StatisticsPassTest, ACheckThatFailsEndsTheRun) {
  Load("llama");
  StatisticsPass pass(ops_.get(), *model_, {});
  RunHooks hooks;
  hooks.check = [] { return Unavailable("STOPPED", "stop", ""); };
  int blocks = 0;
  const Status status = pass.Run(windows_, hooks, [&](BlockStatistics) { return ++blocks, absl::OkStatus(); });
  EXPECT_EQ(ReasonOf(status), "STOPPED");
  EXPECT_EQ(blocks, 0);
}

}  // namespace
}  // namespace swage
