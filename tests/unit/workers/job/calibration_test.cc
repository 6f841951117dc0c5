// Jobs that calibrate: blocks on what the compressed blocks before them give, and the same bytes
// whatever happens on the way.
#include <cmath>

#include "tests/unit/workers/job/engine_fixture.h"

namespace swage {
namespace {

using Json = nlohmann::json;

constexpr char kGptq[] =
    "steps:\n- {kind: quantize, method: gptq, format: int4, granularity: group, group_size: 128}\n"
    "calibrate: {text: t.txt, window: 32, samples: 12}\n";

class CalibrationTest : public EngineFixture {
 protected:
  Json ReportOf(const EngineRequest& request, const EngineHooks& hooks = {}) {
    auto text = RunRecipe(Env::Posix(), request, hooks);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.ok() ? Json::parse(*text) : Json();
  }
  void StopAt(const EngineRequest& request, const std::string& stage) {
    bool stop = false;
    EngineHooks hooks;
    hooks.progress = [&](const Progress& p) { stop |= p.stage == stage; };
    hooks.cancelled = [&] { return stop; };
    EXPECT_EQ(RunRecipe(Env::Posix(), request, hooks).status().code(), StatusCode::kCancelled);
  }
};

TEST_F(CalibrationTest, TheReportSaysWhatWasMeasured) {
  const EngineRequest request = Request(Cat(kGptq, kEvaluate));
  std::vector<std::string> stages;
  double fraction = 0;
  EngineHooks hooks;
  hooks.progress = [&](const Progress& p) {
    if (stages.empty() || stages.back() != p.stage) stages.push_back(p.stage);
    EXPECT_GE(p.fraction, fraction) << "progress went backwards in " << p.stage;
    fraction = p.fraction;
  };
  const Json report = ReportOf(request, hooks);
  EXPECT_EQ(stages,
            (std::vector<std::string>{"load", "calibrate", "block[0]", "block[1]", "block[2]", "block[3]",
                                      "block[4]", "block[5]", "evaluate", "encode"}));
  EXPECT_EQ(report["data"][0]["use"], "calibrate");
  EXPECT_EQ(report["data"][0]["windows"], 12);
  ASSERT_EQ(report["layers"].size(), 42u);
  for (const Json& layer : report["layers"]) {
    EXPECT_GT(layer["measured"]["objective"], 0) << layer;
    EXPECT_EQ(layer["measured"]["calibration_rows"], 12 * 33) << layer;
  }
  EXPECT_NE(report["numerics_class"].get<std::string>().find("/calibrate-"), std::string::npos);
  EXPECT_TRUE(Env::Posix()->ListDir(request.scratch_dir)->empty());
}

TEST_F(CalibrationTest, EveryStageIsASafePlaceToDie) {
  const EngineRequest whole = Request(Cat(kGptq, kEvaluate), "whole");
  ReportOf(whole);
  const auto want = FilesOf(whole.out_dir);
  for (const char* stage : {"calibrate", "block[0]", "block[3]", "evaluate", "encode"}) {
    SCOPED_TRACE(stage);
    const EngineRequest request = Request(Cat(kGptq, kEvaluate), Cat("at-", stage));
    StopAt(request, stage);
    EXPECT_EQ(ReportOf(request)["stages"].size(), 10u);
    EXPECT_EQ(FilesOf(request.out_dir), want);
  }
}

// The blocks behind a damaged one are still there: only it is computed again, from the blocks before.
TEST_F(CalibrationTest, ADamagedBlockIsComputedAgainFromThoseBeforeIt) {
  const EngineRequest whole = Request(kGptq, "whole");
  ReportOf(whole);
  const EngineRequest request = Request(kGptq);
  StopAt(request, "encode");
  const std::string path = JoinPath(request.scratch_dir, "block-2.safetensors");
  std::string bytes = *ReadFile(Env::Posix(), path, 64 << 20);
  bytes[bytes.size() / 2] ^= 4;
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, bytes).ok());
  ReportOf(request);
  EXPECT_EQ(FilesOf(request.out_dir), FilesOf(whole.out_dir));
}

// Hidden states that do not fit are carried through files: the same bytes.
TEST_F(CalibrationTest, ASmallMemoryLimitChangesNothing) {
  const EngineRequest whole = Request(kGptq, "whole");
  ReportOf(whole);
  EngineRequest request = Request(Cat(kGptq, "export: compressed-tensors\n"));
  request.hidden_state_bytes = 1 << 16;
  ReportOf(request);
  EXPECT_EQ(FilesOf(request.out_dir), FilesOf(whole.out_dir));
  EXPECT_TRUE(Env::Posix()->ListDir(request.scratch_dir)->empty()) << "hidden states outlived the job";
}

// Not sequential: what the original model gives is found out once, and later jobs read it, whatever
// format they want.
TEST_F(CalibrationTest, StatisticsOfTheOriginalModelAreShared) {
  const auto request = [&](const std::string& format, const std::string& name, bool cached) {
    EngineRequest r = Request(Cat("steps:\n- {kind: quantize, method: gptq, format: ", format,
                                  ", options: {sequential: false}}\n",
                                  "calibrate: {text: t.txt, window: 32, samples: 12}\n"),
                              name);
    if (cached) r.cache_dir = JoinPath(dir_.path(), "cache");
    return r;
  };
  const EngineRequest first = request("int4", "first", true), plain = request("int4", "plain", false);
  ReportOf(first);
  ReportOf(plain);
  EXPECT_EQ(FilesOf(first.out_dir), FilesOf(plain.out_dir)) << "a cache changes nothing";
  const std::string folder = JoinPath(JoinPath(dir_.path(), "cache"), "statistics");
  const auto keys = Env::Posix()->ListDir(folder);
  ASSERT_TRUE(keys.ok());
  ASSERT_EQ(keys->size(), 1u);
  const std::string path = JoinPath(folder, keys->front().name);
  const auto files = FilesOf(path);
  EXPECT_EQ(files.size(), 6u);
  // One of them is damaged.
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(path, "block-3.safetensors"), "damaged").ok());
  const EngineRequest second = request("int4", "second", true);
  ReportOf(second);
  EXPECT_EQ(FilesOf(second.out_dir), FilesOf(plain.out_dir));
  EXPECT_EQ(FilesOf(path), files) << "the damaged file was not made again";
  ReportOf(request("int3", "third", true));
  EXPECT_EQ(Env::Posix()->ListDir(folder)->size(), 1u) << "another format needs no other statistics";
  EngineRequest other = Request(Cat("steps:\n- {kind: quantize, method: gptq, format: int3, ",
                                    "options: {sequential: false}}\n",
                                    "calibrate: {text: t.txt, window: 32, samples: 4}\n"), "other");
  other.cache_dir = first.cache_dir;
  ReportOf(other);
  EXPECT_EQ(Env::Posix()->ListDir(folder)->size(), 2u) << "other windows, other statistics";
}

TEST_F(CalibrationTest, ShuffledWindowsDependOnTheSeedAlone) {
  const auto weights = [&](const std::string& rest, const std::string& name) {
    const EngineRequest request = Request(
        Cat("steps: [{kind: quantize, method: gptq, format: int4, targets: ['*layers.0*']}]\n",
            "calibrate: {text: t.txt, window: 32, samples: 4, shuffle: true}\n", rest), name);
    ReportOf(request);
    return FilesOf(request.out_dir)["model.safetensors"];
  };
  const std::string a = weights("seed: 1\n", "a"), b = weights("seed: 1\n", "b"), c = weights("seed: 2\n", "c");
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

TEST_F(CalibrationTest, CalibratedBeatsRoundingToNearestOnTheTextItSaw) {
  const std::string evaluate = "evaluate: {text: t.txt, window: 32, max_windows: 12}\n";
  const std::string rtn = "steps: [{kind: quantize, method: rtn, format: int3, granularity: channel}]\n";
  const std::string gptq = "steps: [{kind: quantize, method: gptq, format: int3, granularity: channel}]\n"
                           "calibrate: {text: t.txt, window: 32, samples: 12}\n";
  const Json plain = ReportOf(Request(rtn + evaluate, "rtn")), better = ReportOf(Request(gptq + evaluate, "gptq"));
  EXPECT_LT(better["quality"]["kl"], plain["quality"]["kl"].get<double>() * 0.8);
}

}  // namespace
}  // namespace swage
