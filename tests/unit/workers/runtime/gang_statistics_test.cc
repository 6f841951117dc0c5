// `reduction: exact`: statistics are the same bytes for one process and for several that share the windows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>

#include "base/env.h"
#include "tests/unit/workers/runtime/gang.h"
#include "workers/runtime/statistics_pass.h"

namespace swage {
namespace {

constexpr int64_t kDeadlineMs = 60'000;

void CopyModel(const std::string& family, const std::string& to) {
  const std::string from = JoinPath("tests/golden/forward", family);
  for (const auto& [source, target] : {std::pair("model.safetensors", "model.safetensors"),
                                       std::pair(family == "llama" ? "default.json" : "plain.json", "config.json")}) {
    const auto text = ReadFile(Env::Posix(), JoinPath(from, source), 1 << 22);
    ASSERT_TRUE(text.ok()) << source;
    ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(to, target), *text).ok());
  }
}

WindowSet Windows(const Model& model, int64_t count, int64_t tokens) {
  WindowSet set;
  set.count = count;
  set.tokens = tokens;
  for (int64_t i = 0; i < count * tokens; ++i)
    set.ids.push_back(static_cast<int32_t>((i * 7919 + 13) % model.config().vocab));
  return set;
}

// All bytes of all blocks' statistics. `after_block` sees each block go by.
StatusOr<Digest> DigestOfPass(const std::string& model_dir, int64_t windows, Reducer* reducer, Compute compute,
                              const std::function<void(int64_t)>& after_block = nullptr) {
  SWAGE_ASSIGN_OR_RETURN(const auto model, Model::Open(Env::Posix(), model_dir));
  const auto ops = NewCpuOps(1);
  StatisticsOptions options;
  options.hessians = true;
  options.compute = compute;
  options.exact = true;
  options.reducer = reducer;
  std::string bytes;
  const auto put = [&](const void* data, size_t size) { bytes.append(static_cast<const char*>(data), size); };
  const auto columns = [&](const ColumnStatistics& c) {
    bytes += Cat("\n", c.rows, " ");
    for (const auto* sums : {&c.power1, &c.power2, &c.power3, &c.power4}) put(sums->data(), sums->size() * sizeof(double));
    for (const auto* ends : {&c.min, &c.max}) put(ends->data(), ends->size() * sizeof(float));
  };
  StatisticsPass pass(ops.get(), *model, options);
  SWAGE_RETURN_IF_ERROR(pass.Run(Windows(*model, windows, 9), {}, [&](BlockStatistics block) {
    for (const InputStatistics& input : block.inputs) {
      bytes += Cat(Join(input.readers, " "), " ", input.width);
      columns(input.columns);
      put(input.hessian.data(), static_cast<size_t>(input.hessian.bytes()));
    }
    bytes += Join(block.unseen, " ");
    columns(block.keys);
    columns(block.values);
    if (after_block) after_block(block.layer);
    return absl::OkStatus();
  }));
  return Sha256Of(bytes);
}

// Not a test of its own: what a process does that one of the tests below has started.
TEST(GangMember, RunsWhenAsked) {
  const char* rank_text = std::getenv("SWAGE_TEST_MEMBER");
  if (rank_text == nullptr) return;
  const int rank = std::atoi(rank_text), world = std::atoi(std::getenv("SWAGE_TEST_WORLD"));
  const bool waits = std::getenv("SWAGE_TEST_STANDS_STILL") != nullptr;
  auto reducer = ConnectAsMember(rank, world, kDeadlineMs);
  if (!reducer.ok()) return SayAsMember(ReasonOf(reducer.status()));
  const auto after_block = [&](int64_t layer) {
    SayAsMember(Cat("block ", layer));
    if (waits && rank == 1) pause();  // until it is killed
  };
  const auto digest = DigestOfPass(std::getenv("SWAGE_TEST_MODEL"), 21, reducer->get(), Compute::kF32, after_block);
  SayAsMember(digest.ok() ? digest->Hex() : ReasonOf(digest.status()));
}

class GangStatistics : public ::testing::Test {
 protected:
  void Start(int world, const std::vector<std::string>& more = {}) {
    for (int rank = 0; rank < world; ++rank) {
      std::vector<std::string> environment = {Cat("SWAGE_TEST_MEMBER=", rank), Cat("SWAGE_TEST_WORLD=", world),
                                              Cat("SWAGE_TEST_MODEL=", dir_.path())};
      environment.insert(environment.end(), more.begin(), more.end());
      members_.push_back(std::make_unique<MemberProcess>(environment));
    }
    Introduce(members_);
  }
  std::string End(int rank) {  // of what it says, behind the blocks
    std::string line;
    do line = members_[static_cast<size_t>(rank)]->Next();
    while (StartsWith(line, "block "));
    return line;
  }
  TempDir dir_{"gang"};
  std::vector<std::unique_ptr<MemberProcess>> members_;
};

TEST_F(GangStatistics, AreTheSameBytesForOneTwoThreeAndFourWorkers) {
  if (CollectiveFeatures().empty()) GTEST_SKIP() << "built without Gloo";
  struct Case {
    const char* family;
    int64_t windows;
    Compute compute;
  };
  // Few windows of a model with experts: some experts are seen by one worker only.
  for (const Case& c : {Case{"llama", 21, Compute::kF32}, Case{"llama", 3, Compute::kBF16},
                        Case{"mixtral", 5, Compute::kF32}, Case{"mixtral", 17, Compute::kBF16}}) {
    const std::string model = JoinPath(dir_.path(), Cat(c.family, c.windows));
    ASSERT_TRUE(Env::Posix()->CreateDirs(model).ok());
    CopyModel(c.family, model);
    const auto alone = DigestOfPass(model, c.windows, nullptr, c.compute);
    ASSERT_TRUE(alone.ok()) << alone.status();
    for (int world = 2; world <= 4; ++world) {
      RunGang(world, kDeadlineMs, [&](StatusOr<std::unique_ptr<Reducer>> connected) {
        ASSERT_TRUE(connected.ok()) << connected.status();
        const auto together = DigestOfPass(model, c.windows, connected->get(), c.compute);
        ASSERT_TRUE(together.ok()) << together.status();
        EXPECT_EQ(together->Hex(), alone->Hex()) << c.family << " " << c.windows << " windows, world " << world;
      });
    }
  }
}

TEST_F(GangStatistics, OfTwoAndThreeProcessesAreThoseOfOne) {
  if (CollectiveFeatures().empty()) GTEST_SKIP() << "built without Gloo";
  CopyModel("llama", dir_.path());
  const auto alone = DigestOfPass(dir_.path(), 21, nullptr, Compute::kF32);
  ASSERT_TRUE(alone.ok()) << alone.status();
  for (int world = 2; world <= 3; ++world) {
    members_.clear();
    Start(world);
    for (int rank = 0; rank < world; ++rank) EXPECT_EQ(End(rank), alone->Hex()) << "rank " << rank << " of " << world;
  }
}

TEST_F(GangStatistics, AKilledProcessIsAnErrorForTheOthersAndNoHang) {
  if (CollectiveFeatures().empty()) GTEST_SKIP() << "built without Gloo";
  CopyModel("llama", dir_.path());
  Start(3, {"SWAGE_TEST_STANDS_STILL=1"});
  EXPECT_EQ(members_[1]->Next(), "block 0");
  const auto began = std::chrono::steady_clock::now();
  members_[1]->Signal(SIGKILL);
  EXPECT_EQ(End(0), "PEER_LOST");
  EXPECT_EQ(End(2), "PEER_LOST");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(kDeadlineMs / 2));
}

}  // namespace
}  // namespace swage
