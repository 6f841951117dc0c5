#include "base/modelfile/model_config.h"

#include <cmath>

#include "base/limits.h"
#include "base/modelfile/config_fields.h"
#include "base/modelfile/json.h"
#include "base/text.h"

namespace swage {
namespace {

using nlohmann::json;

Status ReadHeads(const json& config, const ConfigDialect& keys, ModelConfig* out) {
  SWAGE_RETURN_IF_ERROR(ReadInt(config, keys.heads, limits::kModelHeads, 0, &out->heads));
  // null means one for each head; an absent key means the default.
  const bool absent = !config.contains(std::string(keys.kv_heads));
  const int64_t fallback = absent && keys.default_kv_heads > 0 ? keys.default_kv_heads : out->heads;
  SWAGE_RETURN_IF_ERROR(
      ReadInt(config, keys.kv_heads, limits::kModelHeads, fallback, &out->kv_heads));
  if (out->heads % out->kv_heads != 0) {
    return BadField(keys.kv_heads, Cat("a divisor of ", keys.heads, ", which is ", out->heads,
                                       "; it is ", out->kv_heads));
  }
  int64_t share = keys.default_head_dim;
  if (share == 0 || config.contains("head_dim")) share = out->hidden / out->heads;
  const bool even_share = share != out->hidden / out->heads || out->hidden % out->heads == 0;
  if (Field(config, "head_dim") == nullptr && (!even_share || share == 0)) {
    return BadField(keys.hidden,
                    Cat("a multiple of ", keys.heads, ", ", out->heads, ", as there is no head_dim"));
  }
  return ReadInt(config, "head_dim", limits::kModelHeadDim, share, &out->head_dim);
}

Status ReadSizes(const json& config, const ConfigDialect& keys, ModelConfig* out) {
  const int64_t width = limits::kModelWidth;
  SWAGE_RETURN_IF_ERROR(ReadInt(config, keys.hidden, width, 0, &out->hidden));
  SWAGE_RETURN_IF_ERROR(ReadInt(config, keys.ffn, width, keys.ffn_times * out->hidden, &out->ffn));
  SWAGE_RETURN_IF_ERROR(ReadInt(config, keys.layers, limits::kModelLayers, 0, &out->layers));
  SWAGE_RETURN_IF_ERROR(ReadHeads(config, keys, out));
  SWAGE_RETURN_IF_ERROR(ReadInt(config, "vocab_size", limits::kModelVocab, 0, &out->vocab));
  return ReadInt(config, keys.positions, limits::kModelPositions, keys.default_positions,
                 &out->max_positions);
}

// An int, a list of ints (then the first: generation may end at several), null or absent. A token
// beyond the vocabulary is a default that its maker never changed: the model has none.
Status ReadTokenId(const json& config, const char* key, int64_t otherwise, int64_t vocab,
                   std::optional<int64_t>* out) {
  *out = std::nullopt;
  if (!config.contains(key)) {
    if (otherwise >= 0 && otherwise < vocab) *out = otherwise;
    return absl::OkStatus();
  }
  const json* value = Field(config, key);
  if (value != nullptr && value->is_array()) value = value->empty() ? nullptr : &value->front();
  if (value == nullptr) return absl::OkStatus();
  if (value->is_number_integer() && !value->is_number_unsigned() && value->get<int64_t>() == -1) {
    return absl::OkStatus();
  }
  if (!value->is_number_unsigned()) return BadField(key, "a token id, a list of them, or null");
  if (value->get<uint64_t>() < static_cast<uint64_t>(vocab)) *out = value->get<int64_t>();
  return absl::OkStatus();
}

Status ReadArchitecture(const json& config, std::string* out) {
  const json* names = Field(config, "architectures");
  if (names == nullptr) return MissingField("architectures");
  const bool one_text = names->is_array() && !names->empty() && names->front().is_string();
  if (!one_text) return BadField("architectures", "a list with the name of the architecture");
  *out = names->front().get<std::string>();
  if (FindArchitecture(*out) != nullptr) return absl::OkStatus();
  std::vector<std::string> known;
  for (const Architecture& row : Architectures()) known.emplace_back(row.name);
  return Unknown("UNKNOWN_ARCHITECTURE", "architecture", *out, known);
}

Status ReadActivation(const json& config, const ConfigDialect& keys, ActivationKind* out) {
  std::string name(keys.default_activation);
  SWAGE_RETURN_IF_ERROR(ReadText(config, keys.activation, &name));
  static const std::vector<std::pair<std::string, ActivationKind>> known = {
      {"silu", ActivationKind::kSilu},
      {"swish", ActivationKind::kSilu},
      {"gelu", ActivationKind::kGeluErf},
      {"gelu_new", ActivationKind::kGeluTanh},
      {"gelu_fast", ActivationKind::kGeluTanh},
      {"gelu_pytorch_tanh", ActivationKind::kGeluTanh},
      {"relu", ActivationKind::kRelu}};
  std::vector<std::string> names;
  for (const auto& [known_name, kind] : known) {
    if (name == known_name) {
      *out = kind;
      return absl::OkStatus();
    }
    names.push_back(known_name);
  }
  return Unknown("UNSUPPORTED_ACTIVATION", "activation", name, names);
}

Status ReadBias(const json& config, const BiasRule& rule, bool* out) {
  *out = rule.otherwise;
  return rule.key.empty() ? absl::OkStatus() : ReadBool(config, rule.key, out);
}

// null means none, an absent key the default.
Status ReadSoftcap(const json& config, const char* key, double otherwise, double* out) {
  *out = config.contains(key) ? 0 : otherwise;
  if (Field(config, key) == nullptr) return absl::OkStatus();
  return ReadDouble(config, key, 1e-3, 1e6, out);
}

Status ReadAttention(const json& config, const ConfigDialect& keys, ModelConfig* out) {
  double scalar = keys.query_scalar ? 256 : static_cast<double>(out->head_dim);
  if (keys.query_scalar) {
    SWAGE_RETURN_IF_ERROR(ReadDouble(config, "query_pre_attn_scalar", 1e-3, 1e9, &scalar));
  }
  out->attention_scale = 1.0 / std::sqrt(scalar);
  if (keys.attention_softcap) {
    SWAGE_RETURN_IF_ERROR(ReadSoftcap(config, "attn_logit_softcapping",
                                      keys.default_attention_softcap, &out->attention_softcap));
  }
  SWAGE_RETURN_IF_ERROR(ReadBias(config, keys.qkv_bias, &out->qkv_bias));
  SWAGE_RETURN_IF_ERROR(ReadBias(config, keys.o_bias, &out->o_bias));
  return ReadBias(config, keys.mlp_bias, &out->mlp_bias);
}

Status Refuse(const json& config, const char* key) {
  bool on = false;
  SWAGE_RETURN_IF_ERROR(ReadBool(config, key, &on));
  if (!on) return absl::OkStatus();
  return InvalidInput("UNSUPPORTED_OPTION",
                      Cat("config.json sets '", key, "', which Swage does not have"),
                      "use a model of causal decoder blocks without it");
}

// GPT-2's and OPT's own options.
Status ReadLearnedPositionOptions(const json& config, const Architecture& row, ModelConfig* out) {
  if (row.positions.empty()) return absl::OkStatus();
  bool scaled = true, remove_final = false;
  SWAGE_RETURN_IF_ERROR(Refuse(config, "add_cross_attention"));
  SWAGE_RETURN_IF_ERROR(ReadBool(config, "scale_attn_weights", &scaled));
  if (!scaled) out->attention_scale = 1.0;
  SWAGE_RETURN_IF_ERROR(
      ReadBool(config, "scale_attn_by_inverse_layer_idx", &out->scale_by_layer));
  SWAGE_RETURN_IF_ERROR(ReadBool(config, "do_layer_norm_before", &out->norm_before));
  SWAGE_RETURN_IF_ERROR(ReadBool(config, "_remove_final_layer_norm", &remove_final));
  out->final_norm = out->norm_before && !remove_final;
  SWAGE_RETURN_IF_ERROR(ReadBool(config, "layer_norm_elementwise_affine", &out->norm_affine));
  if (row.project_in.empty()) return absl::OkStatus();
  return ReadInt(config, "word_embed_proj_dim", limits::kModelWidth, out->hidden,
                 &out->embedding_width);
}

Status ReadHead(const json& config, const Architecture& row, ModelConfig* out) {
  out->tie_embeddings = row.config.default_tied;
  SWAGE_RETURN_IF_ERROR(ReadBool(config, "tie_word_embeddings", &out->tie_embeddings));
  SWAGE_RETURN_IF_ERROR(ReadTokenId(config, "bos_token_id", row.config.default_bos, out->vocab,
                                    &out->bos_token_id));
  SWAGE_RETURN_IF_ERROR(ReadTokenId(config, "eos_token_id", row.config.default_eos, out->vocab,
                                    &out->eos_token_id));
  if (row.config.default_logit_softcap > 0 || row.config.query_scalar) {
    SWAGE_RETURN_IF_ERROR(ReadSoftcap(config, "final_logit_softcapping",
                                      row.config.default_logit_softcap, &out->logit_softcap));
  }
  SWAGE_RETURN_IF_ERROR(ReadText(config, "torch_dtype", &out->dtype));
  return ReadText(config, "dtype", &out->dtype);
}

}  // namespace

StatusOr<ModelConfig> ParseModelConfig(std::string_view text) {
  if (text.size() > limits::kConfigJsonBytes) {
    return InvalidInput("CONFIG_NOT_JSON", Cat("config.json has ", text.size(),
                                               " bytes; at most ", limits::kConfigJsonBytes,
                                               " are read"));
  }
  SWAGE_ASSIGN_OR_RETURN(const json config, ParseJsonTree(text, "CONFIG_NOT_JSON", "config.json"));
  if (!config.is_object()) {
    return InvalidInput("CONFIG_NOT_JSON", "config.json is not an object", kCheckConfig);
  }
  ModelConfig out;
  out.raw_json = text;
  SWAGE_RETURN_IF_ERROR(ReadArchitecture(config, &out.architecture));
  const Architecture& row = ArchitectureOf(out);
  SWAGE_RETURN_IF_ERROR(ReadActivation(config, row.config, &out.activation));
  SWAGE_RETURN_IF_ERROR(ReadSizes(config, row.config, &out));
  out.embedding_width = out.hidden;
  if (row.scales_embedding) out.embedding_scale = std::sqrt(static_cast<double>(out.hidden));
  out.norm_eps = row.config.default_eps;
  SWAGE_RETURN_IF_ERROR(ReadDouble(config, row.config.norm_eps, 0.0, 1.0, &out.norm_eps));
  SWAGE_RETURN_IF_ERROR(ReadAttention(config, row.config, &out));
  SWAGE_RETURN_IF_ERROR(Refuse(config, "use_bidirectional_attention"));
  SWAGE_RETURN_IF_ERROR(ReadLearnedPositionOptions(config, row, &out));
  SWAGE_RETURN_IF_ERROR(ReadHead(config, row, &out));
  SWAGE_RETURN_IF_ERROR(ReadRopes(config, row, &out));
  SWAGE_RETURN_IF_ERROR(ReadLayers(config, row, &out));
  if (const json* quantization = Field(config, "quantization_config")) {
    if (!quantization->is_object()) return BadField("quantization_config", "an object");
    out.quantization_json = quantization->dump();
  }
  return out;
}

}  // namespace swage
