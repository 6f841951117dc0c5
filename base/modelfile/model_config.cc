#include "base/modelfile/model_config.h"

#include <cmath>

#include "base/limits.h"
#include "base/modelfile/json.h"
#include "base/text.h"

namespace swage {
namespace {

using nlohmann::json;

constexpr char kCheckConfig[] = "check config.json against the model's original";

// Present and not null.
const json* Field(const json& object, const char* key) {
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

Status Missing(std::string_view key) {
  return InvalidInput("CONFIG_FIELD_MISSING", Cat("config.json has no '", key, "'"), kCheckConfig);
}

Status BadField(std::string_view key, std::string_view expected) {
  return InvalidInput("CONFIG_FIELD_RANGE", Cat("config.json: '", key, "' must be ", expected), kCheckConfig);
}

struct IntField {
  const char* key;
  int64_t ModelConfig::*member;
  int64_t most;
  int64_t fallback;  // 0: the field is required
};

Status ReadInt(const json& config, const IntField& field, ModelConfig* out) {
  const json* value = Field(config, field.key);
  if (value == nullptr) {
    if (field.fallback == 0) return Missing(field.key);
    out->*field.member = field.fallback;
    return absl::OkStatus();
  }
  const bool in_range = value->is_number_unsigned() && value->get<uint64_t>() >= 1 &&
                        value->get<uint64_t>() <= static_cast<uint64_t>(field.most);
  if (!in_range) return BadField(field.key, Cat("an integer from 1 to ", field.most));
  out->*field.member = value->get<int64_t>();
  return absl::OkStatus();
}

Status ReadBool(const json& config, const char* key, bool* out) {
  const json* value = Field(config, key);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_boolean()) return BadField(key, "true or false");
  *out = value->get<bool>();
  return absl::OkStatus();
}

Status ReadDouble(const json& config, const char* key, double least, double most, double* out) {
  const json* value = Field(config, key);
  if (value == nullptr) return absl::OkStatus();
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= least && number <= most)) return BadField(key, Cat("a number from ", least, " to ", most));
  *out = number;
  return absl::OkStatus();
}

Status ReadSizes(const json& config, ModelConfig* out) {
  const IntField fixed[] = {
      {"hidden_size", &ModelConfig::hidden, limits::kModelWidth, 0},
      {"intermediate_size", &ModelConfig::ffn, limits::kModelWidth, 0},
      {"num_hidden_layers", &ModelConfig::layers, limits::kModelLayers, 0},
      {"num_attention_heads", &ModelConfig::heads, limits::kModelHeads, 0},
      {"vocab_size", &ModelConfig::vocab, limits::kModelVocab, 0},
      {"max_position_embeddings", &ModelConfig::max_positions, limits::kModelPositions, 2048},
  };
  for (const IntField& field : fixed) SWAGE_RETURN_IF_ERROR(ReadInt(config, field, out));
  SWAGE_RETURN_IF_ERROR(
      ReadInt(config, {"num_key_value_heads", &ModelConfig::kv_heads, limits::kModelHeads, out->heads}, out));
  if (out->heads % out->kv_heads != 0) {
    return BadField("num_key_value_heads", Cat("a divisor of num_attention_heads, which is ", out->heads, "; it is ",
                                               out->kv_heads));
  }
  if (Field(config, "head_dim") == nullptr && out->hidden % out->heads != 0) {
    return BadField("hidden_size", Cat("a multiple of num_attention_heads, ", out->heads, ", as there is no head_dim"));
  }
  const int64_t even_share = out->hidden / out->heads;
  SWAGE_RETURN_IF_ERROR(ReadInt(config, {"head_dim", &ModelConfig::head_dim, limits::kModelHeadDim, even_share}, out));
  if (out->head_dim % 2 != 0 || out->head_dim == 0) {
    return BadField("head_dim", "even: rotary embeddings turn pairs of channels");
  }
  return absl::OkStatus();
}

Status UnsupportedRope(std::string_view what) {
  return InvalidInput("UNSUPPORTED_ROPE", Cat("config.json asks for ", what, "; known is the rope type 'default'"),
                      "use a model with default rotary embeddings");
}

// "rope_parameters" is transformers 5's form, "rope_theta" with "rope_scaling" that of the versions before.
Status ReadRope(const json& config, RopeConfig* rope) {
  SWAGE_RETURN_IF_ERROR(ReadDouble(config, "rope_theta", 1.0, 1e12, &rope->theta));
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const json* object = Field(config, key);
    if (object == nullptr) continue;
    if (!object->is_object()) return BadField(key, "an object");
    for (const char* type_key : {"type", "rope_type"}) {
      const json* type = Field(*object, type_key);
      if (type == nullptr) continue;
      if (!type->is_string()) return BadField(Cat(key, ".", type_key), "a text");
      rope->type = type->get<std::string>();
      if (rope->type != "default") return UnsupportedRope(Cat("the rope type '", rope->type.substr(0, 40), "'"));
    }
    SWAGE_RETURN_IF_ERROR(ReadDouble(*object, "rope_theta", 1.0, 1e12, &rope->theta));
    double rotated = 1.0;
    SWAGE_RETURN_IF_ERROR(ReadDouble(*object, "partial_rotary_factor", 0.0, 1.0, &rotated));
    if (rotated != 1.0) return UnsupportedRope(Cat("a partial_rotary_factor of ", rotated));
  }
  return absl::OkStatus();
}

// An int, a list of ints (then the first: generation may end at several), null or absent.
Status ReadTokenId(const json& config, const char* key, int64_t vocab, std::optional<int64_t>* out) {
  const auto at = config.find(key);
  if (at == config.end()) return absl::OkStatus();
  *out = std::nullopt;
  const json* value = Field(config, key);
  if (value != nullptr && value->is_array()) value = value->empty() ? nullptr : &value->front();
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_number_unsigned() || value->get<uint64_t>() >= static_cast<uint64_t>(vocab)) {
    return BadField(key, Cat("a token id below vocab_size, which is ", vocab));
  }
  *out = value->get<int64_t>();
  return absl::OkStatus();
}

Status ReadArchitecture(const json& config, std::string* out) {
  const json* names = Field(config, "architectures");
  if (names == nullptr) return Missing("architectures");
  const bool one_text = names->is_array() && !names->empty() && names->front().is_string();
  if (!one_text) return BadField("architectures", "a list with the name of the architecture");
  *out = names->front().get<std::string>();
  if (FindArchitecture(*out) != nullptr) return absl::OkStatus();
  std::vector<std::string> known;
  for (const Architecture& row : Architectures()) known.emplace_back(row.name);
  return InvalidInput("UNKNOWN_ARCHITECTURE", Cat("config.json names the architecture '", out->substr(0, 80), "'"),
                      Cat("known architectures: ", Join(known, ", ")));
}

Status ReadText(const json& config, const char* key, std::string* out) {
  const json* value = Field(config, key);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_string()) return BadField(key, "a text");
  *out = value->get<std::string>();
  return absl::OkStatus();
}

Status ReadActivation(const json& config) {
  std::string activation = "silu";
  SWAGE_RETURN_IF_ERROR(ReadText(config, "hidden_act", &activation));
  if (activation == "silu" || activation == "swish") return absl::OkStatus();
  return InvalidInput("UNSUPPORTED_ACTIVATION", Cat("config.json has the hidden_act '", activation.substr(0, 40), "'"),
                      "known is silu");
}

}  // namespace

StatusOr<ModelConfig> ParseModelConfig(std::string_view text) {
  if (text.size() > limits::kConfigJsonBytes) {
    return InvalidInput("CONFIG_NOT_JSON", Cat("config.json has ", text.size(), " bytes; at most ",
                                               limits::kConfigJsonBytes, " are read"));
  }
  SWAGE_ASSIGN_OR_RETURN(const json config, ParseJsonTree(text, "CONFIG_NOT_JSON", "config.json"));
  if (!config.is_object()) return InvalidInput("CONFIG_NOT_JSON", "config.json is not an object", kCheckConfig);
  ModelConfig out;
  out.raw_json = text;
  SWAGE_RETURN_IF_ERROR(ReadArchitecture(config, &out.architecture));
  SWAGE_RETURN_IF_ERROR(ReadActivation(config));
  SWAGE_RETURN_IF_ERROR(ReadSizes(config, &out));
  out.rms_norm_eps = 1e-6;  // LlamaConfig's, when the file does not say
  SWAGE_RETURN_IF_ERROR(ReadDouble(config, "rms_norm_eps", 0.0, 1.0, &out.rms_norm_eps));
  SWAGE_RETURN_IF_ERROR(ReadBool(config, "tie_word_embeddings", &out.tie_embeddings));
  SWAGE_RETURN_IF_ERROR(ReadBool(config, "attention_bias", &out.attention_bias));
  SWAGE_RETURN_IF_ERROR(ReadBool(config, "mlp_bias", &out.mlp_bias));
  SWAGE_RETURN_IF_ERROR(ReadText(config, "torch_dtype", &out.dtype));
  SWAGE_RETURN_IF_ERROR(ReadText(config, "dtype", &out.dtype));
  SWAGE_RETURN_IF_ERROR(ReadRope(config, &out.rope));
  out.bos_token_id = 1;  // LlamaConfig's, when the file has no such name at all; null means none
  out.eos_token_id = 2;
  SWAGE_RETURN_IF_ERROR(ReadTokenId(config, "bos_token_id", out.vocab, &out.bos_token_id));
  SWAGE_RETURN_IF_ERROR(ReadTokenId(config, "eos_token_id", out.vocab, &out.eos_token_id));
  if (const json* quantization = Field(config, "quantization_config")) {
    if (!quantization->is_object()) return BadField("quantization_config", "an object");
    out.quantization_json = quantization->dump();
  }
  return out;
}

}  // namespace swage
