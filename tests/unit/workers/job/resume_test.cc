// A job that was interrupted goes on from its last finished block and gives the bytes that it would
// have given.
#include "tests/unit/workers/job/engine_fixture.h"
#include "tests/unit/workers/job/full_disk_env.h"
#include "workers/job/checkpoint.h"
#include "workers/runtime/process_memory.h"

namespace swage {
namespace {

using Json = nlohmann::json;

class ResumeTest : public EngineFixture {
 protected:
  // Runs until `stage` is entered, then cancels: what a kill there leaves on disk.
  void StopAt(const EngineRequest& request, const std::string& stage) {
    bool stop = false;
    EngineHooks hooks;
    hooks.progress = [&](const Progress& p) { stop |= p.stage == stage; };
    hooks.cancelled = [&] { return stop; };
    const Status status = RunRecipe(Env::Posix(), request, hooks).status();
    EXPECT_EQ(status.code(), StatusCode::kCancelled) << status;
    EXPECT_FALSE(Env::Posix()->Exists(request.out_dir));
  }
  // Runs to the end; the stages that this run went through.
  std::vector<std::string> Finish(const EngineRequest& request) {
    std::vector<std::string> stages;
    EngineHooks hooks;
    hooks.progress = [&](const Progress& p) {
      if (stages.empty() || stages.back() != p.stage) stages.push_back(p.stage);
    };
    auto report = RunRecipe(Env::Posix(), request, hooks);
    EXPECT_TRUE(report.ok()) << report.status();
    if (report.ok())
      EXPECT_EQ(Json::parse(*report)["stages"].size(), 9u)
          << "stages of the first attempt are missing";
    return stages;
  }
  const std::string recipe_ = Cat(kW8A8, kEvaluate);
};

TEST_F(ResumeTest, EveryStageIsASafePlaceToDie) {
  const EngineRequest whole = Request(recipe_, "whole");
  EXPECT_EQ(Finish(whole).size(), 9u);
  const auto want = FilesOf(whole.out_dir);
  const std::vector<std::pair<std::string, size_t>> cases = {
      {"load", 9}, {"block[0]", 9}, {"block[4]", 5}, {"evaluate", 3}, {"encode", 2}};
  for (const auto& [stage, stages_after] : cases) {
    SCOPED_TRACE(stage);
    const EngineRequest request = Request(recipe_, "at-" + stage);
    StopAt(request, stage);
    EXPECT_EQ(Finish(request).size(), stages_after);
    EXPECT_EQ(FilesOf(request.out_dir), want);
  }
}

TEST_F(ResumeTest, ACheckpointOfAnotherRecipeIsDiscarded) {
  EngineRequest request = Request(Cat(kInt4, kEvaluate));
  StopAt(request, "block[3]");
  request.recipe_json = Request(recipe_).recipe_json;
  EXPECT_EQ(Finish(request).size(), 9u);
}

TEST_F(ResumeTest, ACheckpointOfAnotherNumericsClassIsDiscarded) {
  const EngineRequest request = Request(recipe_);
  StopAt(request, "block[3]");
  const std::string path = JoinPath(request.scratch_dir, "state.json");
  Json state = Json::parse(*ReadFile(Env::Posix(), path, 1 << 20));
  ASSERT_EQ(state["blocks"].size(), 3u);
  state["numerics_class"] = "cuda/sm_90a";
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, state.dump()).ok());
  EXPECT_EQ(Finish(request).size(), 9u);
}

TEST_F(ResumeTest, ADamagedBlockIsComputedAgain) {
  const EngineRequest whole = Request(recipe_, "whole");
  Finish(whole);
  const EngineRequest request = Request(recipe_);
  StopAt(request, "evaluate");
  const std::string path = JoinPath(request.scratch_dir, "block-2.safetensors");
  std::string bytes = *ReadFile(Env::Posix(), path, 64 << 20);
  bytes[bytes.size() / 2] ^= 4;
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, bytes).ok());
  EXPECT_EQ(Finish(request), (std::vector<std::string>{"load", "block[2]", "evaluate", "encode"}));
  EXPECT_EQ(FilesOf(request.out_dir), FilesOf(whole.out_dir));
}

TEST_F(ResumeTest, GarbageInTheStateFileIsNoReasonToFail) {
  for (const char* garbage :
       {"", "{", "[]", "{\"version\": 99}", "{\"version\": 1, \"action\": 5}"}) {
    SCOPED_TRACE(garbage);
    const EngineRequest request = Request(kInt4, Cat("out", std::string(garbage).size()));
    ASSERT_TRUE(Env::Posix()->CreateDirs(request.scratch_dir).ok());
    ASSERT_TRUE(
        WriteFileAtomic(Env::Posix(), JoinPath(request.scratch_dir, "state.json"), garbage).ok());
    EXPECT_TRUE(RunRecipe(Env::Posix(), request, {}).ok());
  }
}

TEST_F(ResumeTest, AStopWaitsForTheBlockUnderWayAndForNothingElse) {
  const EngineRequest whole = Request(recipe_, "whole");
  Finish(whole);
  // Asked for right after the stage has begun.
  const std::vector<std::pair<std::string, size_t>> cases = {
      {"load", 9}, {"block[1]", 7}, {"block[5]", 3}, {"evaluate", 3}};
  for (const auto& [stage, stages_after] : cases) {
    SCOPED_TRACE(stage);
    const EngineRequest request = Request(recipe_, "stopped-" + stage);
    bool seen = false;
    int asked = 0;
    EngineHooks hooks;
    hooks.progress = [&, wanted = stage](const Progress& p) { seen |= p.stage == wanted; };
    hooks.stopping = [&] { return seen && ++asked > 1; };
    EXPECT_EQ(ReasonOf(RunRecipe(Env::Posix(), request, hooks).status()), "STOPPED");
    EXPECT_EQ(Finish(request).size(), stages_after);
    EXPECT_EQ(FilesOf(request.out_dir), FilesOf(whole.out_dir));
  }
}

TEST_F(ResumeTest, CancellationIsSeenWithinABlock) {
  const EngineRequest request = Request(recipe_);
  int asked = 0;
  EngineHooks hooks;
  hooks.cancelled = [&] { return ++asked > 60; };
  EXPECT_EQ(RunRecipe(Env::Posix(), request, hooks).status().code(), StatusCode::kCancelled);
}

std::vector<EncodedTensor> SomeTensors(int64_t bytes) {
  return {{"w", DType::kI8, {bytes}, std::string(bytes, 'x')}};
}

TEST(CheckpointTest, ABlockIsWrittenBehindAndCountsOnceItIsDurable) {
  TempDir dir;
  {
    auto checkpoint = Checkpoint::Open(Env::Posix(), dir.path(), Digest(), "class");
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    ASSERT_TRUE(checkpoint->Add({"block[0]", 1, 1}, SomeTensors(100), {}).ok());
    ASSERT_TRUE(checkpoint->Add({"block[1]", 1, 1}, SomeTensors(100), {}).ok());
    EXPECT_NE(checkpoint->Find("block[0]"), nullptr) << "the second waits for the first";
    ASSERT_TRUE(checkpoint->Add({"block[2]", 1, 1}, {}, {}).ok());
  }  // the end of a job waits for its last block
  auto again = Checkpoint::Open(Env::Posix(), dir.path(), Digest(), "class");
  ASSERT_TRUE(again.ok());
  for (const char* stage : {"block[0]", "block[1]", "block[2]"}) EXPECT_NE(again->Find(stage), nullptr);
  EXPECT_EQ(again->OpenTensors()->size(), 2u);
}

TEST(CheckpointTest, AWriteThatFailsIsToldByTheNextStep) {
  TempDir dir;
  FullDiskEnv env(10'000);
  auto checkpoint = Checkpoint::Open(&env, dir.path(), Digest(), "class");
  ASSERT_TRUE(checkpoint.ok());
  ASSERT_TRUE(checkpoint->Add({"block[0]", 1, 1}, SomeTensors(100), {}).ok());
  ASSERT_TRUE(checkpoint->Add({"block[1]", 1, 1}, SomeTensors(100'000), {}).ok());
  EXPECT_EQ(ReasonOf(checkpoint->Add({"block[2]", 1, 1}, SomeTensors(10), {})), "DISK_FULL");
  EXPECT_EQ(ReasonOf(checkpoint->Flush()), "DISK_FULL");
  EXPECT_NE(checkpoint->Find("block[0]"), nullptr);
  EXPECT_EQ(checkpoint->Find("block[1]"), nullptr);
  EXPECT_EQ(checkpoint->Find("block[2]"), nullptr);
}

TEST_F(ResumeTest, AStageThatCannotFitIsRefusedBeforeItBegins) {
  EngineRequest request = Request(Cat(kW8A8, "evaluate: {text: t.txt, window: 512, max_windows: 32}\n"));
  bool scored = false;
  EngineHooks hooks;
  double fraction = 0;
  hooks.progress = [&](const Progress& p) {
    scored |= p.stage == "evaluate" && fraction > 0 && p.fraction > fraction;
    if (p.stage == "evaluate") fraction = p.fraction;
  };
  // Enough to compress the blocks, too little for the hidden states and logits of 32 windows.
  request.memory_limit_bytes = AnonymousBytes() + (70 << 20);
  const Status status = RunRecipe(Env::Posix(), request, hooks).status();
  EXPECT_EQ(ReasonOf(status), "MEMORY_LIMIT") << status;
  EXPECT_NE(MessageOf(status).find("evaluate needs"), std::string::npos) << status;
  EXPECT_FALSE(scored);
  EXPECT_EQ(HostMemory().limit_bytes(), 0) << "the limit is the job's";
}

}  // namespace
}  // namespace swage
