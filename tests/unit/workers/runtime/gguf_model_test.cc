#include "workers/runtime/gguf_model.h"

#include <cstring>

#include "base/modelfile/model_config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernels/numeric/half.h"
#include "tests/unit/base/gguf_bytes.h"
#include "workers/runtime/gguf_config.h"
#include "workers/runtime/model.h"
#include "workers/runtime/tokenizer.h"

namespace swage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint32_t kU32 = 4, kF32 = 6, kText = 8, kList = 9, kI32 = 5;

// A llama of one block, width 32, 2 heads of 16, 8 tokens. Every weight of row r is r, but in q,
// whose rows are Q8_0 with the scale r / 8.
class TinyLlama {
 public:
  std::string architecture = "llama";
  std::string extra;            // the name of one more tensor of 8 elements
  float last_frequency = 0;     // for rope_freqs.weight, of which the others are 1
  std::string model = "llama";  // of the tokenizer

  std::string Bytes() const {
    struct Row {
      std::string name;
      std::vector<uint64_t> ne;
      uint32_t type;
    };
    std::vector<Row> rows = {
        {"token_embd.weight", {32, 8}, 1},      {"output_norm.weight", {32}, 0},
        {"blk.0.attn_norm.weight", {32}, 0},    {"blk.0.ffn_norm.weight", {32}, 0},
        {"blk.0.attn_q.weight", {32, 32}, 8},   {"blk.0.attn_k.weight", {32, 16}, 0},
        {"blk.0.attn_v.weight", {32, 16}, 0},   {"blk.0.attn_output.weight", {32, 32}, 30},
        {"blk.0.ffn_gate.weight", {32, 64}, 0}, {"blk.0.ffn_up.weight", {32, 64}, 0},
        {"blk.0.ffn_down.weight", {64, 32}, 0}};
    if (!extra.empty()) rows.push_back({extra, {8}, 0});
    GgufBytes bytes(3, rows.size(), 14);
    bytes.Text("general.architecture").Put(kText).Text(architecture);
    const auto number = [&](const char* key, uint32_t value) {
      bytes.Text(architecture + "." + key).Put(kU32).Put(value);
    };
    number("embedding_length", 32);
    number("block_count", 1);
    number("context_length", 64);
    number("feed_forward_length", 64);
    number("attention.head_count", 2);
    number("attention.head_count_kv", 1);
    bytes.Text(architecture + ".attention.layer_norm_rms_epsilon").Put(kF32).Put(1e-5f);
    bytes.Text("tokenizer.ggml.model").Put(kText).Text(model);
    bytes.Text("tokenizer.ggml.tokens").Put(kList).Put(kText).Length(8);
    for (const char* token : {"<unk>", "<s>", "<0x0A>", "\xE2\x96\x81", "a", "b", "ab",
                              "\xE2\x96\x81"
                              "a"})
      bytes.Text(token);
    bytes.Text("tokenizer.ggml.scores").Put(kList).Put(kF32).Length(8);
    for (int i = 0; i < 8; ++i) bytes.Put(static_cast<float>(-i));
    bytes.Text("tokenizer.ggml.token_type").Put(kList).Put(kI32).Length(8);
    for (const int32_t type : {2, 3, 6, 1, 1, 1, 1, 1}) bytes.Put(type);
    bytes.Text("tokenizer.ggml.bos_token_id").Put(kU32).Put(1u);
    bytes.Text("llama.rope.freq_base").Put(kF32).Put(500000.0f);
    std::string data;
    std::vector<uint64_t> offsets;
    for (const Row& row : rows) {
      data.resize((data.size() + 31) / 32 * 32);
      offsets.push_back(data.size());
      const uint64_t n = row.ne[0], count = row.ne.size() > 1 ? row.ne[1] : 1;
      for (uint64_t r = 0; r < count; ++r) AppendRow(row.name, row.type, r, n, &data);
    }
    for (size_t i = 0; i < rows.size(); ++i)
      bytes.Tensor(rows[i].name, rows[i].ne, rows[i].type, offsets[i]);
    return bytes.Data(0).get() + data;
  }

 private:
  void AppendRow(const std::string& name, uint32_t type, uint64_t r, uint64_t n,
                 std::string* data) const {
    const auto put = [&](auto value) {
      data->append(reinterpret_cast<const char*>(&value), sizeof value);
    };
    const float value = static_cast<float>(r);
    if (type == 8) {
      put(F16Of(value / 8));
      data->append(n, '\x08');
      return;
    }
    for (uint64_t i = 0; i < n; ++i) {
      if (name == "rope_freqs.weight") {
        put(i + 1 == n ? last_frequency : 1.0f);
      } else if (type == 0) {
        put(value);
      } else {
        put(type == 1 ? F16Of(value) : Bf16Of(value));
      }
    }
  }
};

class GgufModelTest : public testing::Test {
 protected:
  std::string Write(const TinyLlama& llama) {
    const std::string path = JoinPath(dir_.path(), "tiny.gguf");
    EXPECT_TRUE(WriteFileAtomic(Env::Posix(), path, llama.Bytes()).ok());
    return path;
  }
  std::string FailureOf(const TinyLlama& llama) {
    const auto model = OpenGguf(Write(llama));
    EXPECT_FALSE(model.ok());
    return Cat(ReasonOf(model.status()), " ", MessageOf(model.status()));
  }
  TempDir dir_;
};

std::vector<float> FirstColumn(const TensorView& view) {
  std::vector<float> out;
  const int64_t columns = view.info->shape[1];
  for (int64_t r = 0; r < view.info->shape[0]; ++r) {
    float value = 0;
    std::memcpy(&value, view.bytes.data() + r * columns * 4, 4);
    out.push_back(value);
  }
  return out;
}

TEST_F(GgufModelTest, OpensLikeAFolder) {
  for (const std::string& path : {Write(TinyLlama()), dir_.path()}) {
    const auto model = Model::Open(Env::Posix(), path);
    ASSERT_TRUE(model.ok()) << model.status();
    const ModelConfig& config = (*model)->config();
    EXPECT_EQ(config.architecture, "LlamaForCausalLM");
    EXPECT_EQ(config.head_dim, 16);
    EXPECT_EQ(config.kv_heads, 1);
    EXPECT_EQ(config.vocab, 8);
    EXPECT_EQ(config.norm_eps, 1e-5);
    EXPECT_EQ(config.rope.theta, 500000);
    EXPECT_TRUE(config.tie_embeddings);
    EXPECT_EQ(config.bos_token_id, 1);
  }
}

TEST_F(GgufModelTest, RowsOfQAndKAreInOrderAgain) {
  const auto gguf = OpenGguf(Write(TinyLlama()));
  ASSERT_TRUE(gguf.ok()) << gguf.status();
  const auto q = gguf->tensors->Find("model.layers.0.self_attn.q_proj.weight");
  ASSERT_TRUE(q.has_value());
  EXPECT_EQ(q->info->dtype, DType::kF32);
  // Of each head: the even stored rows, then the odd ones.
  std::vector<float> expected;
  for (int head = 0; head < 2; ++head) {
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 8; ++i) expected.push_back(static_cast<float>(head * 16 + 2 * i + half));
    }
  }
  EXPECT_EQ(FirstColumn(*q), expected);
  gguf->tensors->DontNeed("model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(FirstColumn(*gguf->tensors->Find("model.layers.0.self_attn.q_proj.weight")), expected);
  const auto v = gguf->tensors->Find("model.layers.0.self_attn.v_proj.weight");
  EXPECT_EQ(FirstColumn(*v)[5], 5) << "v is as it was";
  EXPECT_EQ(gguf->tensors->Info("model.embed_tokens.weight")->dtype, DType::kF16);
  EXPECT_EQ(gguf->tensors->Info("model.layers.0.self_attn.o_proj.weight")->dtype, DType::kBF16);
  EXPECT_EQ(gguf->tensors->Info("lm_head.weight"), nullptr);
}

TEST_F(GgufModelTest, BringsItsTokenizer) {
  const auto tokenizer = Tokenizer::Load(Env::Posix(), Write(TinyLlama()));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_THAT((*tokenizer)->EncodeWithSpecial("ab\na"), ElementsAre(1, 3, 6, 2, 4))
      << "ab has the better score than \xE2\x96\x81"
         "a";
  EXPECT_EQ((*tokenizer)->Decode({3, 6, 2, 4}), "ab\na");
  EXPECT_EQ((*tokenizer)->bos_id(), 1);
  TinyLlama other;
  other.model = "bert";
  EXPECT_EQ(ReasonOf(Tokenizer::Load(Env::Posix(), Write(other)).status()),
            "UNSUPPORTED_TOKENIZER");
}

TEST_F(GgufModelTest, WhatIsNotUnderstoodIsRefused) {
  TinyLlama llama;
  llama.architecture = "mamba";
  EXPECT_THAT(FailureOf(llama),
              HasSubstr("UNKNOWN_ARCHITECTURE the GGUF file's architecture is mamba"));
  llama = TinyLlama();
  llama.extra = "blk.0.attn_sinks.weight";
  EXPECT_THAT(FailureOf(llama),
              HasSubstr("GGUF_TENSOR the GGUF file has a tensor blk.0.attn_sinks"));
  llama.extra = "rope_freqs.weight";
  llama.last_frequency = 8;
  EXPECT_THAT(FailureOf(llama), HasSubstr("UNSUPPORTED_ROPE"));
  EXPECT_EQ(ReasonOf(OpenGguf(JoinPath(dir_.path(), "none.gguf")).status()),
            ReasonOf(MappedFile::Open(JoinPath(dir_.path(), "none.gguf")).status()));
  Write(TinyLlama());
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(dir_.path(), "two.gguf"), "x").ok());
  EXPECT_EQ(ReasonOf(Model::Open(Env::Posix(), dir_.path()).status()), "GGUF_SEVERAL");
}

TEST(GgufNames, AreThoseOfHuggingFace) {
  EXPECT_EQ(NameOfGguf("blk.12.ffn_down.weight"), "model.layers.12.mlp.down_proj.weight");
  EXPECT_EQ(NameOfGguf("blk.0.attn_q.bias"), "model.layers.0.self_attn.q_proj.bias");
  EXPECT_EQ(NameOfGguf("output.weight"), "lm_head.weight");
  for (const char* name : {"", "blk", "blk.", "blk.0", "blk..attn_q.weight", "blk.x.attn_q.weight",
                           "blk.0.attn_q", "blk.0.attn_q.scale", "blk.12345678.attn_q.weight"}) {
    EXPECT_EQ(NameOfGguf(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace swage
