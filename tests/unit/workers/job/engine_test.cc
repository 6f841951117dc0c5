#include <cmath>
#include <set>

#include "tests/unit/workers/job/engine_fixture.h"

namespace swage {
namespace {

using Json = nlohmann::json;
using EngineTest = EngineFixture;

TEST_F(EngineTest, ARecipeBecomesAnArtifactWithAMeasuredReport) {
  const EngineRequest request = Request(Cat(kInt4, kEvaluate));
  std::vector<std::string> stages;
  double fraction = 0;
  EngineHooks hooks;
  hooks.progress = [&](const Progress& p) {
    if (stages.empty() || stages.back() != p.stage) stages.push_back(p.stage);
    EXPECT_GE(p.fraction, fraction) << "progress went backwards in " << p.stage;
    fraction = p.fraction;
  };
  auto text = RunRecipe(Env::Posix(), request, hooks);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(stages,
            (std::vector<std::string>{"load", "block[0]", "block[1]", "block[2]", "block[3]",
                                      "block[4]", "block[5]", "evaluate", "encode"}));
  EXPECT_EQ(fraction, 1);
  EXPECT_EQ(*ReadFile(Env::Posix(), JoinPath(request.out_dir, "report.json"), 1 << 20), *text);
  EXPECT_FALSE(Env::Posix()->Exists(request.out_dir + ".partial"));
  EXPECT_TRUE(Env::Posix()->ListDir(request.scratch_dir)->empty())
      << "checkpoints outlived the job";

  const Json report = Json::parse(*text);
  EXPECT_EQ(report["layers"].size(), 42u);
  for (const Json& layer : report["layers"]) {
    EXPECT_GT(layer["relative_error"], 0.03) << layer;
    EXPECT_LT(layer["relative_error"], 0.2) << layer;
  }
  EXPECT_DOUBLE_EQ(report["bits"]["effective"], 4 + 32.0 / 128);
  EXPECT_EQ(report["stages"].size(), 9u);
  for (const Json& stage : report["stages"]) {
    EXPECT_GT(stage["seconds"], 0) << stage;
    EXPECT_GT(stage["peak_bytes"], 1 << 20) << stage;
  }
  EXPECT_GT(report["quality"]["kl"], 0);
  EXPECT_EQ(report["quality"]["perplexity"]["protocol"]["scored_tokens"], 32);
  uint64_t tensors = 0;
  for (const auto& [name, bytes] : report["bytes"]["by_class"].items()) {
    if (name != "files") tensors += bytes.get<uint64_t>();
  }
  EXPECT_EQ(tensors, ModelFiles::Open(Env::Posix(), request.out_dir)->total_bytes());
}

// The report's figure is what an evaluation of the artifact itself gives.
TEST_F(EngineTest, EvaluatingTheArtifactGivesTheReportsPerplexity) {
  for (const char* recipe : {kInt4, kW8A8}) {
    const EngineRequest request = Request(Cat(recipe, kEvaluate), Cat("out", recipe == kInt4));
    auto text = RunRecipe(Env::Posix(), request, {});
    ASSERT_TRUE(text.ok()) << text.status();
    const Json quality = Json::parse(*text)["quality"];
    EvalRequest eval;
    eval.text_file = kSampleText;
    eval.window = 16;
    eval.max_windows = 2;
    eval.threads = 1;
    eval.model_dir = request.out_dir;
    auto compressed = Evaluate(Env::Posix(), eval, {});
    ASSERT_TRUE(compressed.ok()) << compressed.status();
    EXPECT_DOUBLE_EQ(compressed->perplexity, quality["perplexity"]["compressed"]);
    EXPECT_DOUBLE_EQ(compressed->bits_per_byte, quality["bits_per_byte"]["compressed"]);
    eval.model_dir = kSampleModel;
    auto original = Evaluate(Env::Posix(), eval, {});
    ASSERT_TRUE(original.ok()) << original.status();
    EXPECT_DOUBLE_EQ(original->perplexity, quality["perplexity"]["original"]);
    EXPECT_NE(original->perplexity, compressed->perplexity);
  }
}

TEST_F(EngineTest, EvaluateWritesLogits) {
  EvalRequest eval;
  eval.model_dir = kSampleModel;
  eval.text_file = kSampleText;
  eval.window = 8;
  eval.max_windows = 1;
  eval.threads = 1;
  eval.logits_out = JoinPath(dir_.path(), "l.npy");
  eval.logits_tokens = 5;
  auto result = Evaluate(Env::Posix(), eval, {});
  ASSERT_TRUE(result.ok()) << result.status();
  const std::string bytes = *ReadFile(Env::Posix(), eval.logits_out, 1 << 20);
  EXPECT_NE(bytes.find("(6, 4096)"), std::string::npos) << "BOS and five tokens";
  eval.compute = "f16";
  EXPECT_EQ(ReasonOf(Evaluate(Env::Posix(), eval, {}).status()), "COMPUTE_UNKNOWN");
}

TEST_F(EngineTest, WithoutAnEvaluateSectionQualityIsNull) {
  auto text = RunRecipe(Env::Posix(), Request(kInt4), {});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_TRUE(Json::parse(*text)["quality"]["perplexity"].is_null());
}

TEST_F(EngineTest, ADenseExportHasNoQuantizationAndTheSameTensorNames) {
  const EngineRequest request = Request(Cat(kInt4, kEvaluate, "export: dense\n"));
  auto text = RunRecipe(Env::Posix(), request, {});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_DOUBLE_EQ(Json::parse(*text)["bits"]["effective"], 16);
  const std::string config =
      *ReadFile(Env::Posix(), JoinPath(request.out_dir, "config.json"), 1 << 20);
  EXPECT_EQ(config.find("quantization_config"), std::string::npos);
  EXPECT_EQ(ModelFiles::Open(Env::Posix(), request.out_dir)->Names(),
            ModelFiles::Open(Env::Posix(), kSampleModel)->Names());
}

TEST_F(EngineTest, TwoRunsGiveTheSameBytes) {
  const EngineRequest a = Request(kW8A8, "a"), b = Request(kW8A8, "b");
  ASSERT_TRUE(RunRecipe(Env::Posix(), a, {}).ok());
  ASSERT_TRUE(RunRecipe(Env::Posix(), b, {}).ok());
  EXPECT_EQ(FilesOf(a.out_dir), FilesOf(b.out_dir));
}

class Spans : public SpanSink {
 public:
  void Write(const SpanData& span, std::string_view) override { spans.push_back(span); }
  std::vector<SpanData> spans;
};

TEST_F(EngineTest, EveryStageAndBlockIsASpanOfTheCallersTrace) {
  auto sink = std::make_shared<Spans>();
  Tracer tracer("test", Clock::Real(), sink);
  EngineHooks hooks;
  hooks.tracer = &tracer;
  EngineRequest request = Request(kInt4);
  request.trace_parent = SpanContext::NewTrace();
  ASSERT_TRUE(RunRecipe(Env::Posix(), request, hooks).ok());
  std::set<std::string> names;
  for (const SpanData& span : sink->spans) {
    EXPECT_EQ(span.context.trace_id, request.trace_parent.trace_id);
    names.insert(span.name);
  }
  for (const char* name : {"engine", "load", "block[0]", "block[5]", "encode"})
    EXPECT_TRUE(names.contains(name)) << name;
}

}  // namespace
}  // namespace swage
