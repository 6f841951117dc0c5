// The order in which pages come and go, whatever the pass; and what a memory limit does to it.
#include "workers/runtime/block_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "base/env.h"
#include "base/text.h"
#include "tests/tools/make_model.h"
#include "workers/runtime/head_stream.h"
#include "workers/runtime/score.h"
#include "workers/runtime/statistics_pass.h"
#include "workers/runtime/write_behind.h"

namespace swage {
namespace {

using ::testing::ElementsAre;

constexpr char kModel[] = "tests/data/models/classics-6m";

// Writes down which block's tensors are wanted and dropped.
class RecordingTensors : public TensorSource {
 public:
  explicit RecordingTensors(std::shared_ptr<TensorSource> real) : real_(std::move(real)) {}
  std::optional<TensorView> Find(std::string_view name) const override { return real_->Find(name); }
  const TensorInfo* Info(std::string_view name) const override { return real_->Info(name); }
  std::vector<std::string> Names() const override { return real_->Names(); }
  void DontNeed(std::string_view name) const override {
    Record("drop", name);
    real_->DontNeed(name);
  }
  void WillNeed(std::string_view name, uint64_t begin, uint64_t size) const override {
    Record("fetch", name);
    if (hold.valid()) hold.wait();
    real_->WillNeed(name, begin, size);
  }
  void ReadBehind(std::string_view name, uint64_t size) const override { real_->ReadBehind(name, size); }

  // "fetch 1", "drop 0": runs of the same are written once.
  std::vector<std::string> events() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return events_;
  }
  int64_t calls(const std::string& event) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto it = calls_.find(event);
    return it == calls_.end() ? 0 : it->second;
  }
  std::shared_future<void> hold;  // when set, a fetch waits for it

 private:
  void Record(std::string_view what, std::string_view name) const {
    const std::string_view prefix = "model.layers.";
    if (!StartsWith(name, prefix)) return;
    const std::string_view number = name.substr(prefix.size());
    const std::string event = Cat(what, " ", number.substr(0, number.find('.')));
    const std::lock_guard<std::mutex> lock(mutex_);
    if (events_.empty() || events_.back() != event) events_.push_back(event);
    ++calls_[event];
  }

  std::shared_ptr<TensorSource> real_;
  mutable std::mutex mutex_;
  mutable std::vector<std::string> events_;
  mutable std::map<std::string, int64_t> calls_;
};

class BlockStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto real = Model::Open(Env::Posix(), kModel);
    ASSERT_TRUE(real.ok()) << real.status();
    tensors_ = std::make_shared<RecordingTensors>((*real)->shared_tensors());
    auto model = Model::FromParts((*real)->config(), tensors_);
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = std::move(*model);
  }
  void TearDown() override { HostMemory().set_limit_bytes(0); }
  int64_t StoredBytes(int64_t layer) const {
    int64_t bytes = 0;
    for (const std::string& name : model_->BlockTensors(layer)) {
      bytes += static_cast<int64_t>(tensors_->Info(name)->bytes());
    }
    return bytes;
  }

  std::shared_ptr<RecordingTensors> tensors_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<Ops> ops_ = NewCpuOps(1);
};

TEST_F(BlockStreamTest, OneBlockIsFetchedAheadAndTheOneBeforeIsDropped) {
  {
    BlockStream stream(*model_, {0, 2, 3});  // block 1 is finished
    for (const int64_t layer : {0, 2, 3}) {
      stream.Enter(layer);
      stream.WaitForFetch();
    }
    EXPECT_THAT(tensors_->events(), ElementsAre("fetch 2", "drop 0", "fetch 3", "drop 2"));
  }
  EXPECT_EQ(tensors_->events().back(), "drop 3") << "the last one stayed";
}

TEST_F(BlockStreamTest, WhatIsLoadedIsDroppedBeforeTheNextIsFetched) {
  BlockStream stream(*model_, {0, 1, 2});
  for (const int64_t layer : {0, 1, 2}) {
    ASSERT_TRUE(stream.Load(ops_.get(), layer, Compute::kF32).ok());
    stream.WaitForFetch();
  }
  EXPECT_THAT(tensors_->events(), ElementsAre("drop 0", "fetch 1", "drop 1", "fetch 2", "drop 2"));
  EXPECT_EQ(stream.fetched_bytes(), 0);
}

TEST_F(BlockStreamTest, AllPassesStream) {
  const auto fetches = [&] {
    int64_t sum = 0;
    for (int layer = 0; layer < 6; ++layer) sum += tensors_->calls(Cat("fetch ", layer));
    return sum;
  };
  WindowSet windows;
  windows.count = 2;
  windows.tokens = 8;
  for (int32_t i = 0; i < 16; ++i) windows.ids.push_back(i * 7);
  ASSERT_TRUE(ScoreWindows(ops_.get(), *model_, nullptr, windows, Compute::kF32, {}).ok());
  // Of the last one nothing is certain: the end of the pass may come before its fetch.
  const int64_t once = fetches();
  EXPECT_GT(once, 0);
  EXPECT_EQ(tensors_->calls("fetch 0"), 0);
  StatisticsPass pass(ops_.get(), *model_, {});
  ASSERT_TRUE(pass.Run(windows, {}, [](BlockStatistics) { return absl::OkStatus(); }).ok());
  EXPECT_GT(fetches(), once);
}

TEST_F(BlockStreamTest, WithoutRoomNothingIsFetchedAhead) {
  BlockStream stream(*model_);
  HostMemory().set_limit_bytes(HostMemory().used_bytes() + StoredBytes(1) - 1);
  stream.Enter(0);
  stream.WaitForFetch();
  EXPECT_EQ(tensors_->calls("fetch 1"), 0);
  HostMemory().set_limit_bytes(HostMemory().used_bytes() + StoredBytes(2));
  stream.Enter(1);
  stream.WaitForFetch();
  EXPECT_GT(tensors_->calls("fetch 2"), 0);
  EXPECT_EQ(stream.fetched_bytes(), StoredBytes(2));
}

TEST_F(BlockStreamTest, ABlockThatDoesNotFitIsAnError) {
  BlockStream stream(*model_);
  HostMemory().set_limit_bytes(HostMemory().used_bytes() + 100'000);
  const Status status = stream.Load(ops_.get(), 0, Compute::kF32).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), "MEMORY_LIMIT");
  EXPECT_FALSE(NextStepOf(status).empty());
  EXPECT_EQ(tensors_->calls("fetch 1"), 0);
}

TEST_F(BlockStreamTest, AFetchThatTheReaderHasOvertakenIsGivenUp) {
  std::promise<void> go;
  tensors_->hold = go.get_future().share();
  BlockStream stream(*model_);
  stream.Enter(0);
  while (tensors_->calls("fetch 1") == 0) std::this_thread::yield();  // it is held in its first piece
  stream.Enter(1);
  go.set_value();
  stream.WaitForFetch();
  EXPECT_EQ(tensors_->calls("fetch 1"), 1);
  EXPECT_EQ(tensors_->calls("fetch 2"), static_cast<int64_t>(model_->BlockTensors(2).size()));
}

TEST_F(BlockStreamTest, TheEndDoesNotWaitForAFetch) {
  std::promise<void> go;
  tensors_->hold = go.get_future().share();
  auto stream = std::make_unique<BlockStream>(*model_);
  stream->Enter(0);
  while (tensors_->calls("fetch 1") == 0) std::this_thread::yield();
  std::thread ending([&] { stream.reset(); });
  go.set_value();
  ending.join();
  EXPECT_LE(tensors_->calls("fetch 1"), static_cast<int64_t>(model_->BlockTensors(1).size()));
  EXPECT_EQ(tensors_->calls("fetch 2"), 0);
}

TEST_F(BlockStreamTest, WhatAScoreHoldsIsWithinWhatIsReserved) {
  WindowSet windows;
  windows.count = 4;
  windows.tokens = 32;
  for (int32_t i = 0; i < 128; ++i) windows.ids.push_back(i * 5);
  const int64_t before = HostMemory().used_bytes();
  HostMemory().ResetPeak();
  ASSERT_TRUE(ScoreWindows(ops_.get(), *model_, model_.get(), windows, Compute::kF32, {}).ok());
  const int64_t peak = HostMemory().peak_bytes() - before;
  const int64_t reserved = ScoreBytes(*model_, true, windows, Compute::kF32);
  EXPECT_LE(peak, reserved);
  EXPECT_GT(peak, reserved / 8) << "the bound says nothing";
}

// A head that is larger than its block: the slices give the logits of the whole.
TEST(HeadStreamTest, SlicesGiveTheLogitsOfTheWhole) {
  TempDir dir;
  MakeModelOptions options;
  options.hidden = 256;
  options.ffn = 256;
  options.layers = 1;
  options.heads = 4;
  options.vocab = 70'001;
  ASSERT_TRUE(MakeModel(dir.path(), options).ok());
  auto model = Model::Open(Env::Posix(), dir.path());
  ASSERT_TRUE(model.ok()) << model.status();
  ASSERT_TRUE(HeadStream::Sliced(**model));
  const std::unique_ptr<Ops> ops = NewCpuOps(2);
  Forward forward(ops.get(), (*model)->config());
  std::vector<float> hidden(3 * 256), whole(3 * 70'001), sliced(3 * 70'001);
  for (size_t i = 0; i < hidden.size(); ++i) hidden[i] = std::sin(static_cast<float>(i));
  for (const Compute compute : {Compute::kF32, Compute::kBF16}) {
    auto head = (*model)->LoadHead(ops.get(), compute);
    ASSERT_TRUE(head.ok());
    ASSERT_TRUE(forward.RunHead(*head, 3, hidden.data(), whole.data()).ok());
    const int64_t before = HostMemory().used_bytes();
    *head = Head();
    HeadStream stream(ops.get(), **model, compute);
    ASSERT_TRUE(stream.Load().ok());
    ASSERT_TRUE(stream.Run(&forward, 3, hidden.data(), sliced.data()).ok());
    EXPECT_LT(HostMemory().used_bytes(), before - (16 << 20)) << "a head stayed";
    double worst = 0;
    for (size_t i = 0; i < whole.size(); ++i)
      worst = std::max(worst, std::fabs(static_cast<double>(whole[i]) - sliced[i]));
    EXPECT_LT(worst, 1e-5);
  }
}

TEST(WriteBehindTest, OneAtATimeAndErrorsAreToldByTheNextCall) {
  WriteBehind writer;
  EXPECT_TRUE(writer.Wait().ok());
  std::promise<void> go;
  std::vector<int> done;
  ASSERT_TRUE(writer.Run([&] {
    go.get_future().wait();
    done.push_back(1);
    return absl::OkStatus();
  }).ok()) << "Run must not wait for what it begins";
  go.set_value();
  ASSERT_TRUE(writer.Run([&]() -> Status {
    done.push_back(2);
    return Error(StatusCode::kResourceExhausted, "DISK_FULL", "full");
  }).ok());
  const Status third = writer.Run([&] {
    done.push_back(3);
    return absl::OkStatus();
  });
  EXPECT_EQ(ReasonOf(third), "DISK_FULL");
  EXPECT_EQ(ReasonOf(writer.Wait()), "DISK_FULL");
  EXPECT_THAT(done, ElementsAre(1, 2)) << "nothing is written after an error";
}

}  // namespace
}  // namespace swage
