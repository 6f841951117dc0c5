#include "workers/runtime/gguf_config.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numbers>

#include "base/limits.h"
#include "base/text.h"
#include "kernels/numeric/gguf_blocks.h"
#include "nlohmann/json.hpp"

namespace swage {
namespace {

using OrderedJson = nlohmann::ordered_json;

struct KnownArchitecture {
  std::string_view gguf, huggingface, model_type;
  bool permuted;  // rows of q and k
};
constexpr KnownArchitecture kArchitectures[] = {
    {"llama", "LlamaForCausalLM", "llama", true},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", false},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", false},
};

// A block's tensors, without ".weight" and ".bias".
constexpr std::pair<std::string_view, std::string_view> kBlockNames[] = {
    {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},      {"attn_output", "self_attn.o_proj"},
    {"attn_q_norm", "self_attn.q_norm"}, {"attn_k_norm", "self_attn.k_norm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};
constexpr std::pair<std::string_view, std::string_view> kOtherNames[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

Status BadMetadata(std::string_view what) {
  return InvalidInput("GGUF_METADATA", Cat("the GGUF file's metadata: ", what),
                      "convert the model again with llama.cpp's convert_hf_to_gguf.py");
}

const KnownArchitecture* ArchitectureOf(const GgufFile& gguf) {
  const std::string* name = gguf.String("general.architecture");
  for (const KnownArchitecture& row : kArchitectures) {
    if (name != nullptr && row.gguf == *name) return &row;
  }
  return nullptr;
}

// Values of "<architecture>.<key>".
class Metadata {
 public:
  Metadata(const GgufFile& gguf, std::string_view architecture)
      : gguf_(gguf), prefix_(Cat(architecture, ".")) {}

  std::optional<int64_t> Integer(std::string_view key) const {
    return gguf_.Integer(Cat(prefix_, key));
  }
  std::optional<double> Float(std::string_view key) const { return gguf_.Float(Cat(prefix_, key)); }
  StatusOr<int64_t> Need(std::string_view key) const {
    const std::optional<int64_t> value = Integer(key);
    if (!value) return BadMetadata(Cat(prefix_, key, " is missing or no integer"));
    return *value;
  }
  std::string Text(std::string_view key) const {
    const std::string* text = gguf_.String(Cat(prefix_, key));
    return text == nullptr ? "" : *text;
  }
  // A list with one value per layer that is everywhere the same, or the value alone.
  StatusOr<int64_t> SameInAllLayers(std::string_view key, std::optional<int64_t> fallback) const {
    const GgufArray* list = gguf_.Array(Cat(prefix_, key));
    if (list == nullptr) {
      const std::optional<int64_t> value = Integer(key);
      if (!value && !fallback) return Need(key).status();
      return value.value_or(fallback.value_or(0));
    }
    for (const int64_t value : list->integers) {
      if (value != list->integers[0])
        return BadMetadata(Cat(prefix_, key, " differs between layers, which is not supported"));
    }
    if (list->integers.empty()) return BadMetadata(Cat(prefix_, key, " is an empty list"));
    return list->integers[0];
  }

 private:
  const GgufFile& gguf_;
  std::string prefix_;
};

Status UnsupportedRope(std::string_view what) {
  return InvalidInput("UNSUPPORTED_ROPE", Cat("the GGUF file's rope scaling: ", what),
                      "use the model's Hugging Face folder, whose config.json says it");
}

// Llama 3's scaling (Llama-3.1 model card): by how much each frequency is divided.
double Llama3Divisor(double frequency, double factor, double low, double high, double original) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < original / high) return 1;
  if (wavelength > original / low) return factor;
  const double smooth = (original / wavelength - low) / (high - low);
  return 1 / ((1 - smooth) / factor + smooth);
}

// The tensor that llama.cpp writes for Llama 3.x holds these divisors; the numbers that it was made
// from are found again, or the file is refused.
StatusOr<OrderedJson> Llama3Scaling(const GgufTensor& tensor, std::string_view bytes,
                                    double theta) {
  if (tensor.type->type != GgufType::kF32) return UnsupportedRope("rope_freqs.weight is not F32");
  const int64_t half = tensor.elements();
  std::vector<float> divisors(static_cast<size_t>(half));
  DecodeGguf(GgufType::kF32, bytes.data(), half, divisors.data());
  const double factor = divisors.back(), low = 1, high = 4, original = 8192;
  for (int64_t i = 0; i < half; ++i) {
    const double frequency = std::pow(theta, -static_cast<double>(i) / static_cast<double>(half));
    const double wanted = Llama3Divisor(frequency, factor, low, high, original);
    if (!(std::abs(divisors[static_cast<size_t>(i)] - wanted) <= 1e-3 * wanted))
      return UnsupportedRope("rope_freqs.weight is not that of Llama 3.x");
  }
  return OrderedJson{{"rope_type", "llama3"},
                     {"factor", factor},
                     {"low_freq_factor", low},
                     {"high_freq_factor", high},
                     {"original_max_position_embeddings", 8192}};
}

StatusOr<OrderedJson> RopeScaling(const GgufFile& gguf, std::string_view file,
                                  const Metadata& metadata, double theta) {
  if (const GgufTensor* tensor = gguf.Find("rope_freqs.weight"))
    return Llama3Scaling(*tensor, gguf.Bytes(*tensor, file), theta);
  const std::string type = metadata.Text("rope.scaling.type");
  // Old files have the inverse scale alone.
  const std::optional<double> linear = metadata.Float("rope.scale_linear");
  if (type.empty() && linear && *linear != 1)
    return OrderedJson{{"rope_type", "linear"}, {"factor", *linear}};
  if (type.empty() || type == "none") return OrderedJson(nullptr);
  const std::optional<double> factor = metadata.Float("rope.scaling.factor");
  if (!factor) return UnsupportedRope(Cat(type.substr(0, 40), " without a factor"));
  if (type == "linear") return OrderedJson{{"rope_type", "linear"}, {"factor", *factor}};
  const std::optional<int64_t> original = metadata.Integer("rope.scaling.original_context_length");
  if (type == "yarn" && original) {
    return OrderedJson{{"rope_type", "yarn"},
                       {"factor", *factor},
                       {"original_max_position_embeddings", *original}};
  }
  return UnsupportedRope(Cat("the type ", type.substr(0, 40)));
}

// Of the largest tensor: what the checkpoint was.
std::string_view DtypeOf(const GgufFile& gguf) {
  const GgufTensor* largest = nullptr;
  for (const auto& [name, tensor] : gguf.tensors) {
    if (largest == nullptr || tensor.elements() > largest->elements()) largest = &tensor;
  }
  const GgufType type = largest == nullptr ? GgufType::kF32 : largest->type->type;
  return type == GgufType::kF16 ? "float16" : type == GgufType::kBF16 ? "bfloat16" : "float32";
}

}  // namespace

StatusOr<std::string> ConfigOfGguf(const GgufFile& gguf, std::string_view file) {
  const KnownArchitecture* architecture = ArchitectureOf(gguf);
  if (architecture == nullptr) {
    const std::string* name = gguf.String("general.architecture");
    return InvalidInput("UNKNOWN_ARCHITECTURE",
                        Cat("the GGUF file's architecture is ",
                            name == nullptr ? "not given" : name->substr(0, 60)),
                        "GGUF files of llama, qwen2 and qwen3 are read; use the model's Hugging "
                        "Face folder");
  }
  const Metadata metadata(gguf, architecture->gguf);
  if (metadata.Integer("expert_count").value_or(0) > 0)
    return BadMetadata("a mixture of experts is not read from GGUF files");
  const GgufTensor* embedding = gguf.Find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2)
    return InvalidInput("TENSOR_MISSING", "the GGUF file has no matrix token_embd.weight",
                        "give the whole model; parts of a split file must be merged first "
                        "(llama-gguf-split --merge)");
  OrderedJson config = {{"architectures", {architecture->huggingface}},
                        {"model_type", architecture->model_type}};
  SWAGE_ASSIGN_OR_RETURN(const int64_t hidden, metadata.Need("embedding_length"));
  SWAGE_ASSIGN_OR_RETURN(const int64_t heads,
                         metadata.SameInAllLayers("attention.head_count", std::nullopt));
  SWAGE_ASSIGN_OR_RETURN(const int64_t kv_heads,
                         metadata.SameInAllLayers("attention.head_count_kv", heads));
  SWAGE_ASSIGN_OR_RETURN(const int64_t ffn,
                         metadata.SameInAllLayers("feed_forward_length", std::nullopt));
  SWAGE_ASSIGN_OR_RETURN(const int64_t layers, metadata.Need("block_count"));
  SWAGE_ASSIGN_OR_RETURN(const int64_t positions, metadata.Need("context_length"));
  const std::optional<double> eps = metadata.Float("attention.layer_norm_rms_epsilon");
  if (!eps) return BadMetadata("attention.layer_norm_rms_epsilon is missing");
  const bool sensible = heads > 0 && heads <= limits::kModelHeads && kv_heads > 0 &&
                        kv_heads <= limits::kModelHeads && hidden > 0;
  if (!sensible) return BadMetadata(Cat(heads, " heads, ", kv_heads, " of keys, width ", hidden));
  const double theta = metadata.Float("rope.freq_base").value_or(10000.0);
  config["hidden_size"] = hidden;
  config["intermediate_size"] = ffn;
  config["num_hidden_layers"] = layers;
  config["num_attention_heads"] = heads;
  config["num_key_value_heads"] = kv_heads;
  config["head_dim"] = metadata.Integer("attention.key_length").value_or(hidden / heads);
  config["vocab_size"] = embedding->shape[0];
  config["max_position_embeddings"] = positions;
  // f32 in the file; its shortest decimal text is what was meant.
  config["rms_norm_eps"] = std::strtod(Cat(static_cast<float>(*eps)).c_str(), nullptr);
  config["rope_theta"] = theta;
  SWAGE_ASSIGN_OR_RETURN(const OrderedJson scaling, RopeScaling(gguf, file, metadata, theta));
  if (!scaling.is_null()) config["rope_scaling"] = scaling;
  config["hidden_act"] = "silu";
  config["tie_word_embeddings"] = gguf.Find("output.weight") == nullptr;
  config["torch_dtype"] = DtypeOf(gguf);
  if (architecture->permuted) {
    config["attention_bias"] = gguf.Find("blk.0.attn_q.bias") != nullptr;
    config["mlp_bias"] = gguf.Find("blk.0.ffn_up.bias") != nullptr;
  }
  for (const char* which : {"bos", "eos"}) {
    if (const auto id = gguf.Integer(Cat("tokenizer.ggml.", which, "_token_id")))
      config[Cat(which, "_token_id")] = *id;
  }
  return config.dump(2);
}

std::optional<std::string> NameOfGguf(std::string_view name) {
  for (const auto& [from, to] : kOtherNames) {
    if (name == from) return std::string(to);
  }
  const size_t end = name.find('.', 4), last = name.rfind('.');
  if (!StartsWith(name, "blk.") || end == std::string_view::npos || last <= end)
    return std::nullopt;
  const std::string_view layer = name.substr(4, end - 4),
                         part = name.substr(end + 1, last - end - 1), kind = name.substr(last);
  if (layer.empty() || layer.size() > 6 ||
      layer.find_first_not_of("0123456789") != std::string_view::npos ||
      (kind != ".weight" && kind != ".bias"))
    return std::nullopt;
  for (const auto& [from, to] : kBlockNames) {
    if (part == from) return Cat("model.layers.", layer, ".", to, kind);
  }
  return std::nullopt;
}

int64_t PermutedHeads(const GgufFile& gguf, std::string_view name) {
  const KnownArchitecture* architecture = ArchitectureOf(gguf);
  if (architecture == nullptr || !architecture->permuted) return 0;
  const Metadata metadata(gguf, architecture->gguf);
  const bool q = name.find(".attn_q.") != std::string_view::npos,
             k = name.find(".attn_k.") != std::string_view::npos;
  if (!q && !k) return 0;
  const int64_t heads = metadata.SameInAllLayers("attention.head_count", 0).value_or(0);
  return q ? heads : metadata.SameInAllLayers("attention.head_count_kv", heads).value_or(0);
}

}  // namespace swage
