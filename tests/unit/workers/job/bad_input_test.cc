// What is wrong with the inputs or the machine is named, and leaves nothing half-written.
#include <cstring>

#include "base/modelfile/manifest.h"
#include "tests/unit/workers/job/engine_fixture.h"
#include "tests/unit/workers/job/full_disk_env.h"

namespace swage {
namespace {

class BadInputTest : public EngineFixture {
 protected:
  Status Run(const EngineRequest& request, Env* env = Env::Posix()) {
    Status status = RunRecipe(env, request, {}).status();
    if (ReasonOf(status) != "OUT_DIR_EXISTS") EXPECT_FALSE(Env::Posix()->Exists(request.out_dir));
    EXPECT_FALSE(Env::Posix()->Exists(request.out_dir + ".partial"));
    return status;
  }
};

// Overwrites the first elements of one tensor of a model folder.
void Patch(const std::string& dir, const std::string& tensor, const std::string& bytes) {
  const std::string path = JoinPath(dir, "model.safetensors");
  std::string file = *ReadFile(Env::Posix(), path, 64 << 20);
  const SafetensorsHeader header = *ParseSafetensorsHeader(file, file.size());
  const TensorInfo* info = header.Find(tensor);
  ASSERT_NE(info, nullptr);
  std::memcpy(file.data() + header.data_offset + info->begin, bytes.data(), bytes.size());
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, file).ok());
}

TEST_F(BadInputTest, NanWeightsAreNamedByTensor) {
  EngineRequest request = Request(kInt4);
  request.model_dir = CopyModel();
  Patch(request.model_dir, "model.layers.3.mlp.up_proj.weight", std::string("\xc0\x7f", 2));
  const Status status = Run(request);
  EXPECT_EQ(ReasonOf(status), "WEIGHTS_NOT_FINITE");
  EXPECT_NE(MessageOf(status).find("model.layers.3.mlp.up_proj.weight"), std::string::npos)
      << status;
}

TEST_F(BadInputTest, ATensorOfZerosIsADegenerateResult) {
  EngineRequest request = Request(kInt4);
  request.model_dir = CopyModel();
  Patch(request.model_dir, "model.layers.2.self_attn.o_proj.weight",
        std::string(256 * 256 * 2, '\0'));
  const Status status = Run(request);
  EXPECT_EQ(ReasonOf(status), "DEGENERATE_RESULT");
  EXPECT_NE(MessageOf(status).find("model.layers.2.self_attn.o_proj"), std::string::npos) << status;
  EXPECT_NE(NextStepOf(status).find("ignore"), std::string::npos);
}

TEST_F(BadInputTest, AnEmptyTextAndAMissingOne) {
  EngineRequest request = Request(Cat(kInt4, kEvaluate));
  const std::string empty = JoinPath(dir_.path(), "empty.txt");
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), empty, "").ok());
  request.texts["t.txt"] = empty;
  EXPECT_EQ(ReasonOf(Run(request)), "TEXT_EMPTY");
  request.texts.clear();
  EXPECT_EQ(ReasonOf(Run(request)), "TEXT_MISSING");
}

TEST_F(BadInputTest, AnArtifactIsNoOriginal) {
  EngineRequest request = Request(kInt4);
  ASSERT_TRUE(RunRecipe(Env::Posix(), request, {}).ok());
  EngineRequest again = Request(kInt4, "again");
  again.model_dir = request.out_dir;
  EXPECT_EQ(ReasonOf(Run(again)), "ALREADY_QUANTIZED");
  EXPECT_EQ(ReasonOf(RunRecipe(Env::Posix(), request, {}).status()), "OUT_DIR_EXISTS");
}

TEST_F(BadInputTest, AConfigThatContradictsTheTensors) {
  EngineRequest request = Request(kInt4);
  request.model_dir = CopyModel();
  const std::string path = JoinPath(request.model_dir, "config.json");
  std::string config = *ReadFile(Env::Posix(), path, 1 << 20);
  const std::string from = "\"intermediate_size\": 768";
  config.replace(config.find(from), from.size(), "\"intermediate_size\": 896");
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), path, config).ok());
  EXPECT_EQ(ReasonOf(Run(request)), "TENSOR_SHAPE");
}

TEST_F(BadInputTest, AFullDiskSaysSoWhereverItFills) {
  for (const uint64_t budget : {uint64_t{1000}, uint64_t{400'000}, uint64_t{3'500'000}}) {
    SCOPED_TRACE(budget);
    FullDiskEnv env(budget);
    const Status status = Run(Request(kInt4, Cat("out", budget)), &env);
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << status;
    EXPECT_EQ(ReasonOf(status), "DISK_FULL");
    EXPECT_FALSE(NextStepOf(status).empty());
  }
}

TEST_F(BadInputTest, AMemoryLimitFailsTheJobNotTheMachine) {
  EngineRequest request = Request(Cat(kInt4, kEvaluate));
  request.memory_limit_bytes = 1 << 20;
  const Status status = Run(request);
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), "OOM_REAL");
}

}  // namespace
}  // namespace swage
