// What differs from layer to layer: sliding windows and experts.
#include "base/limits.h"
#include "base/modelfile/config_fields.h"
#include "base/text.h"

namespace swage {
namespace {

using nlohmann::json;

Status ReadLayerTypes(const json& list, ModelConfig* out) {
  if (!list.is_array() || list.size() != static_cast<size_t>(out->layers)) {
    return BadField("layer_types", Cat("a list of ", out->layers, " kinds: one for each layer"));
  }
  out->local_layers.clear();
  for (const json& item : list) {
    const std::string kind = item.is_string() ? item.get<std::string>() : "";
    if (kind != "sliding_attention" && kind != "full_attention") {
      return Unknown("UNSUPPORTED_OPTION", "layer type", kind,
                     {"full_attention", "sliding_attention"});
    }
    out->local_layers.push_back(kind == "sliding_attention");
  }
  return absl::OkStatus();
}

Status LayersByRule(const json& config, WindowRule rule, ModelConfig* out) {
  int64_t upper = 0, pattern = 6;
  if (rule == WindowRule::kUpperIfUsed || rule == WindowRule::kLowerEvenIfUsed) {
    upper = 28;
    const json* value = Field(config, "max_window_layers");
    if (value != nullptr && value->is_number_unsigned() && value->get<uint64_t>() == 0) {
      upper = 0;
    } else {
      SWAGE_RETURN_IF_ERROR(
          ReadInt(config, "max_window_layers", limits::kModelLayers, upper, &upper));
    }
  }
  if (rule == WindowRule::kPattern) {
    SWAGE_RETURN_IF_ERROR(
        ReadInt(config, "sliding_window_pattern", limits::kModelLayers, pattern, &pattern));
  }
  for (int64_t i = 0; i < out->layers; ++i) {
    bool local = true;
    if (rule == WindowRule::kUpperIfUsed) local = i >= upper;
    if (rule == WindowRule::kLowerEvenIfUsed) local = i % 2 == 0 && i < upper;
    if (rule == WindowRule::kEven) local = i % 2 == 0;
    if (rule == WindowRule::kPattern) local = (i + 1) % pattern != 0;
    out->local_layers.push_back(local);
  }
  return absl::OkStatus();
}

Status ReadWindows(const json& config, const ConfigDialect& dialect, ModelConfig* out) {
  const WindowRule rule = dialect.window;
  if (rule == WindowRule::kNone) return absl::OkStatus();
  const bool by_use = rule == WindowRule::kAllIfUsed || rule == WindowRule::kUpperIfUsed ||
                      rule == WindowRule::kLowerEvenIfUsed;
  bool used = !by_use;
  if (by_use) SWAGE_RETURN_IF_ERROR(ReadBool(config, "use_sliding_window", &used));
  if (!used) return absl::OkStatus();
  // null means none; an absent key means the default.
  const bool absent = !config.contains("sliding_window");
  const int64_t fallback = absent ? dialect.default_window : 0;
  if (Field(config, "sliding_window") == nullptr && fallback == 0) return absl::OkStatus();
  SWAGE_RETURN_IF_ERROR(ReadInt(config, "sliding_window", limits::kModelPositions, fallback,
                                &out->sliding_window));
  const bool all = rule == WindowRule::kAll || rule == WindowRule::kAllIfUsed;
  const json* types = all ? nullptr : Field(config, "layer_types");
  return types != nullptr ? ReadLayerTypes(*types, out) : LayersByRule(config, rule, out);
}

Status ReadDenseLayers(const json& config, ModelConfig* out) {
  int64_t step = 1;
  SWAGE_RETURN_IF_ERROR(ReadInt(config, "decoder_sparse_step", limits::kModelLayers, 1, &step));
  for (int64_t i = 0; i < out->layers; ++i) out->expert_layers[i] = (i + 1) % step == 0;
  const json* list = Field(config, "mlp_only_layers");
  if (list == nullptr) return absl::OkStatus();
  if (!list->is_array()) return BadField("mlp_only_layers", "a list of layers");
  for (const json& item : *list) {
    const bool fits = item.is_number_unsigned() &&
                      item.get<uint64_t>() < static_cast<uint64_t>(out->layers);
    if (!fits) return BadField("mlp_only_layers", Cat("a list of layers below ", out->layers));
    out->expert_layers[item.get<size_t>()] = 0;
  }
  return absl::OkStatus();
}

Status ReadExperts(const json& config, const Architecture& row, ModelConfig* out) {
  if (row.router.empty()) return absl::OkStatus();
  ExpertsConfig& experts = out->experts;
  const char* key = Field(config, "num_local_experts") != nullptr ? "num_local_experts"
                                                                  : "num_experts";
  SWAGE_RETURN_IF_ERROR(
      ReadInt(config, key, limits::kModelExperts / out->layers, 0, &experts.count));
  SWAGE_RETURN_IF_ERROR(
      ReadInt(config, "num_experts_per_tok", experts.count, 0, &experts.per_token));
  experts.ffn = out->ffn;
  if (!row.config.expert_ffn.empty()) {
    SWAGE_RETURN_IF_ERROR(
        ReadInt(config, row.config.expert_ffn, limits::kModelWidth, 0, &experts.ffn));
  }
  if (!row.shared_expert.empty()) {
    SWAGE_RETURN_IF_ERROR(ReadInt(config, "shared_expert_intermediate_size", limits::kModelWidth, 0,
                                  &experts.shared_ffn));
  }
  experts.normalize = row.config.always_normalize;
  if (!experts.normalize) SWAGE_RETURN_IF_ERROR(ReadBool(config, "norm_topk_prob", &experts.normalize));
  out->expert_layers.assign(out->layers, 1);
  return row.config.sparse_steps ? ReadDenseLayers(config, out) : absl::OkStatus();
}

}  // namespace

Status ReadLayers(const json& config, const Architecture& row, ModelConfig* out) {
  SWAGE_RETURN_IF_ERROR(ReadWindows(config, row.config, out));
  return ReadExperts(config, row, out);
}

}  // namespace swage
