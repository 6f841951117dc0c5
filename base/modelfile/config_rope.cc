// Rotary embeddings in config.json. "rope_parameters" is transformers 5's form, "rope_theta" with
// "rope_scaling" that of the versions before; models with local layers have one object a kind of
// layer in the new form and "rope_local_base_freq" in the old.
#include "base/limits.h"
#include "base/modelfile/config_fields.h"
#include "base/text.h"

namespace swage {
namespace {

using nlohmann::json;

constexpr double kMostTheta = 1e12;
constexpr double kMostFactor = 1e6;

Status ReadType(const json& object, const std::string& where, const Architecture& row,
                std::string* type) {
  for (const char* key : {"type", "rope_type"}) {
    const json* value = Field(object, key);
    if (value == nullptr) continue;
    if (!value->is_string()) return BadField(Cat(where, ".", key), "a text");
    *type = value->get<std::string>();
  }
  const bool older = *type == "su" || *type == "yarn";
  if (row.config.yarn_is_longrope && older) *type = "longrope";
  static const std::vector<std::string> known = {"default", "linear", "dynamic",
                                                 "llama3",  "yarn",   "longrope"};
  for (const std::string& name : known) {
    if (*type == name) return absl::OkStatus();
  }
  return Unknown("UNSUPPORTED_ROPE", "rope type", *type, known);
}

Status ReadFactors(const json& object, const std::string& key, int64_t count,
                   std::vector<float>* out) {
  const json* list = Field(object, key);
  if (list == nullptr) return MissingField(key);
  const bool fits = list->is_array() && list->size() == static_cast<size_t>(count);
  if (!fits) return BadField(key, Cat("a list of ", count, " numbers: one for each pair that turns"));
  out->clear();
  for (const json& item : *list) {
    const double value = item.is_number() ? item.get<double>() : 0;
    if (!(value > 0 && value <= kMostFactor)) return BadField(key, "a list of positive numbers");
    out->push_back(static_cast<float>(value));
  }
  return absl::OkStatus();
}

// partial_rotary_factor: beside the ropes or in their object.
Status ReadRotaryDim(const json& config, const json* object, const Architecture& row,
                     const ModelConfig& model, RopeConfig* rope) {
  double part = 1.0;
  SWAGE_RETURN_IF_ERROR(ReadDouble(config, "partial_rotary_factor", 0.0, 1.0, &part));
  if (object != nullptr) {
    SWAGE_RETURN_IF_ERROR(ReadDouble(*object, "partial_rotary_factor", 0.0, 1.0, &part));
  }
  if (part != 1.0 && !row.config.partial_rotary) {
    return InvalidInput("UNSUPPORTED_ROPE",
                        Cat("config.json asks for a partial_rotary_factor of ", part, ", but in ",
                            row.name, " all channels of a head turn"),
                        kCheckConfig);
  }
  rope->rotary_dim = static_cast<int64_t>(static_cast<double>(model.head_dim) * part);
  if (rope->rotary_dim % 2 != 0 || rope->rotary_dim == 0) {
    return BadField("head_dim", Cat("such that an even number of its channels turn; ",
                                    rope->rotary_dim, " of ", model.head_dim, " would"));
  }
  return absl::OkStatus();
}

Status ReadLengths(const json& config, const json& object, const Architecture& row,
                   RopeConfig* rope) {
  const char* key = "original_max_position_embeddings";
  const int64_t most = limits::kModelPositions;
  if (row.config.top_original_positions) {
    // Beside the ropes, where it goes before the one inside.
    SWAGE_RETURN_IF_ERROR(ReadInt(object, key, most, row.config.default_positions,
                                  &rope->original_positions));
    return ReadInt(config, key, most, rope->original_positions, &rope->original_positions);
  }
  return ReadInt(object, key, most, rope->max_positions, &rope->original_positions);
}

Status ReadAttentionFactor(const json& object, RopeConfig* rope) {
  double attention = 0;
  SWAGE_RETURN_IF_ERROR(ReadDouble(object, "attention_factor", 0.0, kMostFactor, &attention));
  if (Field(object, "attention_factor") != nullptr) rope->attention_factor = attention;
  return absl::OkStatus();
}

Status ReadYarn(const json& object, RopeConfig* rope) {
  SWAGE_RETURN_IF_ERROR(ReadAttentionFactor(object, rope));
  SWAGE_RETURN_IF_ERROR(ReadDouble(object, "beta_fast", 0.0, kMostFactor, &rope->beta_fast));
  SWAGE_RETURN_IF_ERROR(ReadDouble(object, "beta_slow", 0.0, kMostFactor, &rope->beta_slow));
  if (rope->beta_fast == 0) rope->beta_fast = 32;
  if (rope->beta_slow == 0) rope->beta_slow = 1;
  SWAGE_RETURN_IF_ERROR(ReadDouble(object, "mscale", 0.0, kMostFactor, &rope->mscale));
  SWAGE_RETURN_IF_ERROR(ReadDouble(object, "mscale_all_dim", 0.0, kMostFactor,
                                   &rope->mscale_all_dim));
  return ReadBool(object, "truncate", &rope->truncate);
}

Status ReadLlama3(const json& object, RopeConfig* rope) {
  const double most = kMostFactor;
  SWAGE_RETURN_IF_ERROR(ReadDouble(object, "low_freq_factor", 1e-3, most, &rope->low_freq_factor));
  SWAGE_RETURN_IF_ERROR(
      ReadDouble(object, "high_freq_factor", 1e-3, most, &rope->high_freq_factor));
  if (rope->low_freq_factor < rope->high_freq_factor) return absl::OkStatus();
  return BadField("high_freq_factor", "above low_freq_factor");
}

// What an object of one rope says beyond its theta and type.
Status ReadScaling(const json& config, const json& object, const Architecture& row,
                   RopeConfig* rope) {
  if (rope->type == "default") return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(ReadLengths(config, object, row, rope));
  const bool implied = rope->type == "longrope" || rope->type == "yarn";
  if (Field(object, "factor") == nullptr && !implied) return MissingField("rope factor");
  rope->factor =
      static_cast<double>(rope->max_positions) / static_cast<double>(rope->original_positions);
  // Below 1 a window would be squeezed: no model does, and a dynamic base would not be a number.
  SWAGE_RETURN_IF_ERROR(ReadDouble(object, "factor", 1.0, kMostFactor, &rope->factor));
  if (rope->type == "yarn") return ReadYarn(object, rope);
  if (rope->type == "llama3") return ReadLlama3(object, rope);
  if (rope->type == "dynamic" && rope->rotary_dim < 4) {
    return BadField("head_dim", "at least 4 with a dynamic rope");
  }
  if (rope->type != "longrope") return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(ReadAttentionFactor(object, rope));
  if (rope->original_positions < 2 && !rope->attention_factor) {
    return BadField("original_max_position_embeddings", "at least 2 with a longrope");
  }
  const int64_t pairs = rope->rotary_dim / 2;
  SWAGE_RETURN_IF_ERROR(ReadFactors(object, "short_factor", pairs, &rope->short_factor));
  return ReadFactors(object, "long_factor", pairs, &rope->long_factor);
}

Status ReadRope(const json& config, const json* object, const std::string& where,
                const Architecture& row, const ModelConfig& model, RopeConfig* rope) {
  rope->max_positions = model.max_positions;
  if (object != nullptr && !object->is_object()) return BadField(where, "an object");
  SWAGE_RETURN_IF_ERROR(ReadRotaryDim(config, object, row, model, rope));
  if (object == nullptr) return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(ReadType(*object, where, row, &rope->type));
  SWAGE_RETURN_IF_ERROR(ReadDouble(*object, "rope_theta", 1.0, kMostTheta, &rope->theta));
  if (rope->type == "yarn" && rope->theta <= 1.0) return BadField("rope_theta", "above 1 for yarn");
  return ReadScaling(config, *object, row, rope);
}

}  // namespace

Status ReadRopes(const json& config, const Architecture& row, ModelConfig* out) {
  if (!row.positions.empty()) return absl::OkStatus();
  RopeConfig local;
  out->rope.theta = row.config.default_theta;
  local.theta = row.config.default_local_theta;
  SWAGE_RETURN_IF_ERROR(ReadDouble(config, "rope_theta", 1.0, kMostTheta, &out->rope.theta));
  SWAGE_RETURN_IF_ERROR(ReadDouble(config, "rope_local_base_freq", 1.0, kMostTheta, &local.theta));
  std::string where = "rope_scaling";
  const json* object = Field(config, where);
  if (const json* newer = Field(config, "rope_parameters")) {
    object = newer;
    where = "rope_parameters";
  }
  const bool has_local = row.config.default_local_theta > 0;
  const json* local_object = nullptr;
  if (has_local && object != nullptr && object->is_object() &&
      (object->contains("full_attention") || object->contains("sliding_attention"))) {
    local_object = Field(*object, "sliding_attention");
    object = Field(*object, "full_attention");
  }
  SWAGE_RETURN_IF_ERROR(ReadRope(config, object, where, row, *out, &out->rope));
  if (!has_local) return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(ReadRope(config, local_object, where, row, *out, &local));
  out->local_rope = std::move(local);
  return absl::OkStatus();
}

}  // namespace swage
