#include "tests/tools/make_model.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/env.h"
#include "base/modelfile/safetensors.h"
#include "base/rng.h"

namespace swage {
namespace {

uint16_t ToBf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  bits += 0x7fff + ((bits >> 16) & 1);
  return static_cast<uint16_t>(bits >> 16);
}

// Normal values from one table of 64 Ki draws, walked from a seeded offset: a 3 GB model in seconds.
std::string RandomTensor(int64_t elements, const std::vector<uint16_t>& table, Rng* rng) {
  std::string bytes(static_cast<size_t>(elements) * 2, '\0');
  auto* out = reinterpret_cast<uint16_t*>(bytes.data());
  for (int64_t i = 0; i < elements;) {
    const uint32_t word = (*rng)();
    for (int half = 0; half < 2 && i < elements; ++half, ++i) out[i] = table[(word >> (16 * half)) & 0xffff];
  }
  return bytes;
}

std::string ConfigJson(const MakeModelOptions& o) {
  return Cat("{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"attention_bias\": false,\n  \"bos_token_id\": 1,\n",
             "  \"dtype\": \"bfloat16\",\n  \"eos_token_id\": 0,\n  \"head_dim\": ", o.hidden / o.heads,
             ",\n  \"hidden_act\": \"silu\",\n  \"hidden_size\": ", o.hidden, ",\n  \"intermediate_size\": ", o.ffn,
             ",\n  \"max_position_embeddings\": ", o.positions, ",\n  \"mlp_bias\": false,\n  \"model_type\": \"llama\",\n",
             "  \"num_attention_heads\": ", o.heads, ",\n  \"num_hidden_layers\": ", o.layers,
             ",\n  \"num_key_value_heads\": ", o.kv_heads, ",\n  \"rms_norm_eps\": 1e-05,\n",
             "  \"rope_parameters\": {\"rope_theta\": 10000.0, \"rope_type\": \"default\"},\n",
             "  \"tie_word_embeddings\": true,\n  \"vocab_size\": ", o.vocab, "\n}\n");
}

std::vector<SafetensorsWriter::Declared> Tensors(const MakeModelOptions& o) {
  const int64_t head = o.hidden / o.heads;
  std::vector<SafetensorsWriter::Declared> out = {{"model.embed_tokens.weight", DType::kBF16, {o.vocab, o.hidden}},
                                                  {"model.norm.weight", DType::kBF16, {o.hidden}}};
  for (int64_t layer = 0; layer < o.layers; ++layer) {
    const std::string prefix = Cat("model.layers.", layer, ".");
    const auto add = [&](const char* name, std::vector<int64_t> shape) {
      out.push_back({Cat(prefix, name, ".weight"), DType::kBF16, std::move(shape)});
    };
    add("input_layernorm", {o.hidden});
    add("post_attention_layernorm", {o.hidden});
    add("self_attn.q_proj", {o.heads * head, o.hidden});
    add("self_attn.k_proj", {o.kv_heads * head, o.hidden});
    add("self_attn.v_proj", {o.kv_heads * head, o.hidden});
    add("self_attn.o_proj", {o.hidden, o.heads * head});
    add("mlp.gate_proj", {o.ffn, o.hidden});
    add("mlp.up_proj", {o.ffn, o.hidden});
    add("mlp.down_proj", {o.hidden, o.ffn});
  }
  return out;
}

}  // namespace

Status MakeModel(const std::string& dir, const MakeModelOptions& options) {
  Env* env = Env::Posix();
  if (options.heads <= 0 || options.hidden % options.heads != 0) {
    return InvalidInput("MODEL_SHAPE", "hidden is not a multiple of heads", "choose heads that divide hidden");
  }
  SWAGE_RETURN_IF_ERROR(env->CreateDirs(dir));
  for (const std::string name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(env, JoinPath(options.tokenizer_dir, name), 64 << 20));
    SWAGE_RETURN_IF_ERROR(WriteFileAtomic(env, JoinPath(dir, name), text));
  }
  SWAGE_RETURN_IF_ERROR(WriteFileAtomic(env, JoinPath(dir, "config.json"), ConfigJson(options)));
  Rng rng(options.seed);
  std::vector<uint16_t> table(1 << 16);
  for (uint16_t& value : table) value = ToBf16(static_cast<float>(0.02 * rng.Gaussian()));
  const auto tensors = Tensors(options);
  SWAGE_ASSIGN_OR_RETURN(auto writer, SafetensorsWriter::Create(env, JoinPath(dir, "model.safetensors"), tensors,
                                                                {{"format", "pt"}}));
  for (const auto& tensor : tensors) {
    int64_t elements = 1;
    for (const int64_t size : tensor.shape) elements *= size;
    std::string bytes = RandomTensor(elements, table, &rng);
    if (tensor.shape.size() == 1) {
      for (int64_t i = 0; i < elements; ++i) std::memcpy(bytes.data() + 2 * i, "\x80\x3f", 2);  // 1.0
    }
    SWAGE_RETURN_IF_ERROR(writer.Append(bytes));
  }
  return writer.Finish();
}

}  // namespace swage
