#include <gtest/gtest.h>

#include "base/digest.h"
#include "base/modelfile/safetensors.h"
#include "base/text.h"
#include "tests/unit/base/safetensors_bytes.h"

namespace swage {
namespace {

class ModelFilesTest : public testing::Test {
 protected:
  void Put(std::string_view name, std::string_view bytes) {
    ASSERT_TRUE(WriteFileAtomic(env_, JoinPath(dir_.path(), name), bytes).ok());
  }
  void PutShard(std::string_view file, std::string_view tensor) {
    Put(file, SafetensorsBytes(Cat("{\"", tensor, R"(":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})"), 3));
  }
  void PutIndex(std::string_view map) { Put("model.safetensors.index.json", Cat(R"({"metadata":{},"weight_map":{)", map, "}}")); }
  std::string Reason() { return ReasonOf(ModelFiles::Open(env_, dir_.path()).status()); }

  Env* const env_ = Env::Posix();
  TempDir dir_;
};

TEST(ModelFiles, ReadsTheSampleModelByteForByte) {
  const std::string folder = "tests/data/models/classics-6m";
  const auto model = ModelFiles::Open(Env::Posix(), folder);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->Names().size(), 56u);
  EXPECT_EQ(model->files(), std::vector<std::string>{"model.safetensors"});
  EXPECT_EQ(model->total_bytes(), 2u * 5770496u);  // bf16
  const auto embedding = model->Find("model.embed_tokens.weight");
  ASSERT_TRUE(embedding.has_value());
  EXPECT_EQ(embedding->info->shape, (std::vector<int64_t>{4096, 256}));
  EXPECT_EQ(embedding->info->dtype, DType::kBF16);
  EXPECT_EQ(model->Find("model.embed_tokens"), std::nullopt);
  // All views, in the order of the data behind the header, are the file again.
  const std::string file = *ReadFile(Env::Posix(), folder + "/model.safetensors", 1 << 24);
  const auto header = ParseSafetensorsHeader(file, file.size());
  ASSERT_TRUE(header.ok());
  Sha256 hash;
  hash.Update(std::string_view(file).substr(0, header->data_offset));
  for (const TensorInfo& tensor : header->tensors) {
    model->WillNeed(tensor.name);
    hash.Update(model->Find(tensor.name)->bytes);
    model->DontNeed(tensor.name);
  }
  EXPECT_EQ(hash.Finish().Hex(), "99526a43946df99ca77857b0d1c1924c593a75ea0f1d87f9ef454cc7af5c87b1");
}

TEST_F(ModelFilesTest, ShardsAreFoundThroughTheIndex) {
  PutShard("s1.safetensors", "a");
  PutShard("s2.safetensors", "b");
  PutIndex(R"("a":"s1.safetensors","b":"s2.safetensors")");
  const auto model = ModelFiles::Open(env_, dir_.path());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ(model->Names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(model->Find("b")->bytes.size(), 3u);
  EXPECT_EQ(model->files(), (std::vector<std::string>{"s1.safetensors", "s2.safetensors"}));
}

TEST_F(ModelFilesTest, AMissingShardIsNamed) {
  PutShard("s1.safetensors", "a");
  PutIndex(R"("a":"s1.safetensors","b":"s2.safetensors")");
  const Status status = ModelFiles::Open(env_, dir_.path()).status();
  EXPECT_EQ(ReasonOf(status), "SHARD_MISSING");
  EXPECT_NE(MessageOf(status).find("s2.safetensors"), std::string::npos);
}

TEST_F(ModelFilesTest, IndexAndShardsMustAgree) {
  PutShard("s1.safetensors", "a");
  PutShard("s2.safetensors", "b");
  PutIndex(R"("a":"s1.safetensors","c":"s2.safetensors")");  // b is not listed
  EXPECT_EQ(Reason(), "INDEX_MISMATCH");
  PutIndex(R"("a":"s1.safetensors","b":"s2.safetensors","c":"s2.safetensors")");  // c is nowhere
  EXPECT_EQ(Reason(), "INDEX_MISMATCH");
  PutShard("s2.safetensors", "a");  // a is in both
  PutIndex(R"("a":"s1.safetensors","b":"s2.safetensors")");
  EXPECT_EQ(Reason(), "INDEX_MISMATCH");
}

TEST_F(ModelFilesTest, FoldersWithoutSafetensorsSayWhatToDo) {
  EXPECT_EQ(Reason(), "NO_WEIGHTS");
  Put("pytorch_model.bin", "x");
  EXPECT_EQ(Reason(), "PYTORCH_BIN");
  EXPECT_NE(NextStepOf(ModelFiles::Open(env_, dir_.path()).status()).find("save_pretrained"), std::string::npos);
}

TEST_F(ModelFilesTest, ADamagedFileIsNamed) {
  Put("model.safetensors", "short");
  const Status status = ModelFiles::Open(env_, dir_.path()).status();
  EXPECT_EQ(ReasonOf(status), "HEADER_TRUNCATED");
  EXPECT_NE(MessageOf(status).find("model.safetensors"), std::string::npos);
  Put("model.safetensors", "");
  EXPECT_EQ(Reason(), "HEADER_TRUNCATED");
}

TEST(ShardIndex, HostileTextsHaveTheirReason) {
  const struct {
    const char* what;
    std::string json;
    const char* reason;
  } kCases[] = {
      {"no JSON", "x", "INDEX_MISMATCH"},
      {"a list", "[]", "INDEX_MISMATCH"},
      {"no map", "{}", "INDEX_MISMATCH"},
      {"an empty map", R"({"weight_map":{}})", "INDEX_MISMATCH"},
      {"a map that is a list", R"({"weight_map":["a"]})", "INDEX_MISMATCH"},
      {"a map that is a text", R"({"weight_map":"a"})", "INDEX_MISMATCH"},
      {"a file that is a number", R"({"weight_map":{"a":1}})", "INDEX_MISMATCH"},
      {"a file that is an object", R"({"weight_map":{"a":{"b":"c"}}})", "INDEX_MISMATCH"},
      {"two maps", R"({"weight_map":{"a":"b"},"weight_map":{"c":"d"}})", "INDEX_MISMATCH"},
      {"a name twice", R"({"weight_map":{"a":"b","a":"c"}})", "DUPLICATE_TENSOR"},
      {"the folder above", R"({"weight_map":{"a":"../x"}})", "PATH_ESCAPES"},
      {"another folder", R"({"weight_map":{"a":"x/y"}})", "PATH_ESCAPES"},
      {"an absolute path", R"({"weight_map":{"a":"/etc/passwd"}})", "PATH_ESCAPES"},
      {"deep nesting elsewhere", R"({"metadata":)" + std::string(1 << 20, '['), "INDEX_MISMATCH"},
  };
  for (const auto& c : kCases) EXPECT_EQ(ReasonOf(ParseShardIndex(c.json).status()), c.reason) << c.what;
  const auto good = ParseShardIndex(
      R"({"metadata":{"total_size":1,"x":[{"weight_map":{"n":1}}]},"weight_map":{"a":"s"},"other":[1,"t",null]})");
  ASSERT_TRUE(good.ok()) << good.status();
  EXPECT_EQ(*good, (std::map<std::string, std::string>{{"a", "s"}}));
}

}  // namespace
}  // namespace swage
