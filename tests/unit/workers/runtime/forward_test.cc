// The forward pass against what transformers computes (tests/golden/forward, made by
// make_forward.py).
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include <nlohmann/json.hpp>

#include "workers/runtime/score.h"

namespace swage {
namespace {

using Json = nlohmann::json;

class ForwardTest : public testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file("tests/golden/forward/classics-6m.json");
    golden_ = Json::parse(file);
    const std::string dir = golden_["model"];
    auto model = Model::Open(Env::Posix(), dir);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = std::move(*model);
    auto tokenizer = Tokenizer::Load(Env::Posix(), dir);
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
    tokenizer_ = std::move(*tokenizer);
    ops_ = NewCpuOps(1);
  }

  // Largest difference from the golden logits.
  double LogitsOff(Compute compute, int* wrong_argmax) {
    const std::vector<int32_t> ids = golden_["logits"]["ids"];
    const std::vector<int> columns = golden_["logits"]["columns"];
    double worst = 0;
    size_t row = 0;
    const int64_t vocab = model_->config().vocab;
    Status status =
        RunLogits(ops_.get(), *model_, ids, compute, {}, [&](int64_t rows, const float* logits) {
          for (int64_t r = 0; r < rows; ++r, ++row) {
            const float* at = logits + r * vocab;
            for (size_t c = 0; c < columns.size(); ++c) {
              const double want = golden_["logits"]["values"][row][c];
              worst = std::max(worst, std::abs(want - at[columns[c]]));
            }
            *wrong_argmax += std::max_element(at, at + vocab) - at !=
                             golden_["logits"]["argmax"][row].get<int>();
          }
          return absl::OkStatus();
        });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(row, ids.size());
    return worst;
  }

  Json golden_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Ops> ops_;
};

TEST_F(ForwardTest, LogitsAreTransformersInF32) {
  int wrong = 0;
  EXPECT_LT(LogitsOff(Compute::kF32, &wrong), 1e-5 * golden_["logits"]["max_abs"].get<double>());
  EXPECT_EQ(wrong, 0);
}

TEST_F(ForwardTest, Bf16IsNearF32ButNotIt) {
  int wrong = 0;
  const double off = LogitsOff(Compute::kBF16, &wrong);
  EXPECT_LT(off, 0.02 * golden_["logits"]["max_abs"].get<double>());
  EXPECT_GT(off, 1e-4) << "the products were not done in bf16";
}

TEST_F(ForwardTest, PerplexityFollowsTheProtocolTokenForToken) {
  for (const Json& want : golden_["perplexity"]) {
    SCOPED_TRACE(want.dump());
    auto tokens = ReadTokens(Env::Posix(), *tokenizer_, want["text"]);
    ASSERT_TRUE(tokens.ok()) << tokens.status();
    EXPECT_EQ(tokens->size(), want["text_tokens"]);
    auto windows = MakeWindows(*tokens, *tokenizer_, BosToken(model_->config(), *tokenizer_),
                               want["window"], want["max_windows"]);
    ASSERT_TRUE(windows.ok()) << windows.status();
    EXPECT_EQ(windows->count, want["windows"]);
    EXPECT_EQ(windows->scored(), want["tokens"]);
    EXPECT_EQ(windows->bytes, want["bytes"]);
    if (windows->scored() > 1300)
      continue;  // the counts are enough; the sanitizers' builds are slow
    auto score = ScoreWindows(ops_.get(), *model_, nullptr, *windows, Compute::kF32, {});
    ASSERT_TRUE(score.ok()) << score.status();
    EXPECT_EQ(score->scored, want["tokens"]);
    EXPECT_NEAR(score->model.nll_sum / score->scored, want["nll"].get<double>(), 2e-6);
  }
}

TEST_F(ForwardTest, AModelAgainstItselfLosesNothing) {
  auto tokens = ReadTokens(Env::Posix(), *tokenizer_, "tests/data/texts/tinystories-val-160k.txt");
  ASSERT_TRUE(tokens.ok());
  auto windows = MakeWindows(*tokens, *tokenizer_, 1, 16, 3);
  ASSERT_TRUE(windows.ok());
  double last = 0, total = 0;
  RunHooks hooks;
  hooks.progress = [&](double done, double of) {
    EXPECT_GT(done, last);
    last = done;
    total = of;
  };
  auto score = ScoreWindows(ops_.get(), *model_, model_.get(), *windows, Compute::kF32, hooks);
  ASSERT_TRUE(score.ok()) << score.status();
  EXPECT_EQ(score->model.nll_sum, score->reference.nll_sum);
  EXPECT_NEAR(score->kl, 0, 1e-9);
  EXPECT_EQ(score->top1_agreement, 1);
  EXPECT_DOUBLE_EQ(last, total);
}

TEST_F(ForwardTest, StopsWhenTheHookSaysSo) {
  const std::vector<int32_t> tokens(64, 5);
  auto windows = MakeWindows(tokens, *tokenizer_, 1, 16, 0);
  ASSERT_TRUE(windows.ok());
  int asked = 0;
  RunHooks hooks;
  hooks.check = [&] {
    return ++asked == 3 ? Error(StatusCode::kCancelled, "CANCELLED", "stop") : absl::OkStatus();
  };
  auto score = ScoreWindows(ops_.get(), *model_, nullptr, *windows, Compute::kF32, hooks);
  EXPECT_EQ(score.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(asked, 3);
}

TEST_F(ForwardTest, ATokenBeyondTheVocabularyIsAnErrorNotARead) {
  const std::vector<int32_t> tokens(16, 4096);
  auto windows = MakeWindows(tokens, *tokenizer_, 1, 16, 0);
  ASSERT_TRUE(windows.ok());
  auto score = ScoreWindows(ops_.get(), *model_, nullptr, *windows, Compute::kF32, {});
  EXPECT_EQ(ReasonOf(score.status()), "TOKEN_OUT_OF_RANGE");
}

TEST_F(ForwardTest, WindowsFollowTheRules) {
  std::vector<int32_t> tokens;
  for (int i = 0; i < 25; ++i) tokens.push_back(100 + i);
  auto set = MakeWindows(tokens, *tokenizer_, 1, 10, 0);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->count, 2) << "the tail of five is dropped";
  EXPECT_EQ(set->tokens, 11);
  EXPECT_EQ(set->ids[0], 1);
  EXPECT_EQ(set->ids[11], 1);
  EXPECT_EQ(set->ids[12], 110);
  EXPECT_EQ(set->scored(), 20);

  set = MakeWindows(tokens, *tokenizer_, std::nullopt, 10, 1);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->count, 1);
  EXPECT_EQ(set->scored(), 9) << "without BOS the first token has no context";

  set = MakeWindows(tokens, *tokenizer_, 1, 512, 0);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->count, 1) << "a text shorter than a window is one window";
  EXPECT_EQ(set->tokens, 26);

  EXPECT_EQ(ReasonOf(MakeWindows({}, *tokenizer_, 1, 10, 0).status()), "TEXT_EMPTY");
  EXPECT_EQ(ReasonOf(MakeWindows({7}, *tokenizer_, std::nullopt, 10, 0).status()), "TEXT_EMPTY");
  EXPECT_EQ(ReasonOf(MakeWindows(tokens, *tokenizer_, 1, 0, 0).status()), "WINDOW_RANGE");
}

TEST_F(ForwardTest, AnEmptyTextIsNamed) {
  TempDir dir;
  const std::string path = JoinPath(dir.path(), "empty.txt");
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, "").ok());
  auto tokens = ReadTokens(Env::Posix(), *tokenizer_, path);
  EXPECT_EQ(ReasonOf(tokens.status()), "TEXT_EMPTY");
  EXPECT_NE(MessageOf(tokens.status()).find("empty.txt"), std::string::npos);
}

}  // namespace
}  // namespace swage
