#include "workers/runtime/quantization_config.h"

#include <algorithm>

#include "base/modelfile/json.h"

namespace swage {
namespace {

using Json = nlohmann::json;

Status Unsupported(std::string_view key, std::string_view what) {
  return InvalidInput("UNSUPPORTED_QUANTIZATION", Cat("quantization_config.", key, ": ", what),
                      "Swage runs compressed-tensors artifacts with weights in int2 to int8, "
                      "fp8_e4m3, mxfp4, mxfp8 "
                      "or nvfp4 and dynamic activations, per token or in groups");
}

// "" when absent, null or of another type.
std::string TextAt(const Json& object, const char* key) {
  auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}

bool BoolAt(const Json& object, const char* key, bool otherwise) {
  auto it = object.find(key);
  return it != object.end() && it->is_boolean() ? it->get<bool>() : otherwise;
}

int64_t IntAt(const Json& object, const char* key) {
  auto it = object.find(key);
  return it != object.end() && it->is_number_integer() ? it->get<int64_t>() : 0;
}

StatusOr<std::string> FormatOf(const Json& args, std::string_view where) {
  const std::string type = TextAt(args, "type").empty() ? "int" : TextAt(args, "type");
  const int64_t bits = IntAt(args, "num_bits"), group = IntAt(args, "group_size");
  const std::string scale = TextAt(args, "scale_dtype");
  const bool bytes = EndsWith(scale, "uint8"), plain = scale.empty();
  if (type == "int" && bits >= 2 && bits <= 8 && plain) return Cat("int", bits);
  if (type == "float" && bits == 8 && plain) return std::string("fp8_e4m3");
  if (type == "float" && bits == 8 && group == 32 && bytes) return std::string("mxfp8");
  if (type == "float" && bits == 4 && group == 32 && (bytes || plain)) return std::string("mxfp4");
  if (type == "float" && bits == 4 && group == 16 && (plain || EndsWith(scale, "float8_e4m3fn")))
    return std::string("nvfp4");
  return Unsupported(where, Cat("type ", type, " of ", bits, " bits in groups of ", group,
                                " with scales of type '", scale, "'"));
}

StatusOr<std::vector<std::string>> Names(const Json& array, std::string_view where) {
  if (!array.is_array()) return Unsupported(where, "is no list");
  std::vector<std::string> names;
  for (const Json& item : array) {
    if (!item.is_string()) return Unsupported(where, "holds something else than text");
    names.push_back(item.get<std::string>());
    if (StartsWith(names.back(), "re:"))
      return Unsupported(where, Cat("regular expression ", names.back()));
  }
  return names;
}

StatusOr<std::string> ActivationsOf(const Json& group, std::string_view where) {
  auto it = group.find("input_activations");
  if (it == group.end() || it->is_null()) return std::string();
  if (!it->is_object()) return Unsupported(where, "input_activations is no object");
  const std::string strategy = TextAt(*it, "strategy");
  if (!BoolAt(*it, "dynamic", false) || (strategy != "token" && strategy != "group") ||
      !BoolAt(*it, "symmetric", true)) {
    return Unsupported(where,
                       "input_activations that are not dynamic, symmetric, per token or in groups");
  }
  SWAGE_ASSIGN_OR_RETURN(std::string format, FormatOf(*it, where));
  const bool microscaling = StartsWith(format, "mx");
  const int64_t size = IntAt(*it, "group_size");
  if (strategy == "group" && format == "fp8_e4m3" && size > 0) return Cat(format, "/", size);
  if (microscaling != (strategy == "group") ||
      (!microscaling && format != "int8" && format != "fp8_e4m3")) {
    return Unsupported(where, Cat("input_activations in ", format, " per ", strategy));
  }
  return format;
}

// "" when the weights' format is not stored so.
std::string_view StorageOf(std::string_view format, std::string_view written) {
  if (format == "mxfp8") return "mxfp8-quantized";
  if (format == "mxfp4") return "mxfp4-pack-quantized";
  if (format == "nvfp4") return "nvfp4-pack-quantized";
  if (format == "fp8_e4m3") return "float-quantized";
  return written == "int-quantized" ? "int-quantized" : "pack-quantized";
}

StatusOr<int64_t> BlockSizeOf(const Json& weights, std::string_view where) {
  auto it = weights.find("block_structure");
  if (it != weights.end() && it->is_array() && it->size() == 2 && (*it)[0].is_number_integer() &&
      (*it)[0] == (*it)[1] && (*it)[0].get<int64_t>() > 0) {
    return (*it)[0].get<int64_t>();
  }
  return Unsupported(where, "blocks that are no squares");
}

StatusOr<LinearScheme> SchemeOfGroup(const Json& group, const std::string& top_format,
                                     std::string_view where) {
  LinearScheme scheme;
  auto weights = group.find("weights");
  if (weights == group.end() || !weights->is_object()) return Unsupported(where, "has no weights");
  SWAGE_ASSIGN_OR_RETURN(scheme.format, FormatOf(*weights, where));
  SWAGE_ASSIGN_OR_RETURN(scheme.activations, ActivationsOf(group, where));
  scheme.bits = static_cast<int>(IntAt(*weights, "num_bits"));
  scheme.symmetric = BoolAt(*weights, "symmetric", true);
  scheme.granularity = TextAt(*weights, "strategy");
  scheme.group_size = IntAt(*weights, "group_size");
  scheme.storage = TextAt(group, "format").empty() ? top_format : TextAt(group, "format");
  // nvfp4's groups under a global scale are compressed-tensors' tensor_group.
  const std::string_view groups = scheme.format == "nvfp4" ? "tensor_group" : "group";
  if (scheme.granularity == groups) {
    scheme.granularity = "group";
    if (scheme.group_size <= 0) return Unsupported(where, "group without group_size");
  } else if (scheme.granularity == "block" && scheme.format == "fp8_e4m3") {
    SWAGE_ASSIGN_OR_RETURN(scheme.group_size, BlockSizeOf(*weights, where));
  } else if ((scheme.granularity != "tensor" && scheme.granularity != "channel") ||
             scheme.format == "nvfp4") {
    return Unsupported(where, Cat("strategy '", scheme.granularity, "'"));
  }
  const std::string actorder = TextAt(*weights, "actorder");
  if (actorder == "group" || actorder == "dynamic")
    return Unsupported(where, Cat("actorder ", actorder));
  if (scheme.storage != StorageOf(scheme.format, scheme.storage)) {
    return Unsupported(where, Cat("format '", scheme.storage, "' with ", scheme.format));
  }
  const bool is_integer = StartsWith(scheme.format, "int");
  if (!is_integer && !scheme.symmetric) return Unsupported(where, "asymmetric floats");
  if (scheme.format == "fp8_e4m3" && scheme.granularity == "group")
    return Unsupported(where, "fp8 in groups with f32 scales");
  return scheme;
}

}  // namespace

StatusOr<QuantizationConfig> QuantizationConfig::Parse(std::string_view json) {
  QuantizationConfig config;
  if (json.empty()) return config;
  SWAGE_ASSIGN_OR_RETURN(Json root,
                         ParseJsonTree(json, "UNSUPPORTED_QUANTIZATION", "quantization_config"));
  if (!root.is_object()) return Unsupported("", "is no object");
  if (TextAt(root, "quant_method") != "compressed-tensors") {
    return Unsupported("quant_method", Cat("'", TextAt(root, "quant_method"), "'"));
  }
  if (root.contains("kv_cache_scheme") && !root["kv_cache_scheme"].is_null()) {
    return Unsupported("kv_cache_scheme", "is set");
  }
  if (root.contains("ignore")) {
    SWAGE_ASSIGN_OR_RETURN(config.ignore_, Names(root["ignore"], "ignore"));
  }
  if (!root.contains("config_groups") || !root["config_groups"].is_object()) {
    return Unsupported("config_groups", "is missing");
  }
  for (const auto& [name, group] : root["config_groups"].items()) {
    const std::string where = Cat("config_groups.", name);
    if (!group.is_object() || !group.contains("targets"))
      return Unsupported(where, "has no targets");
    Group parsed;
    SWAGE_ASSIGN_OR_RETURN(parsed.targets, Names(group["targets"], where));
    SWAGE_ASSIGN_OR_RETURN(parsed.scheme, SchemeOfGroup(group, TextAt(root, "format"), where));
    config.groups_.push_back(std::move(parsed));
  }
  return config;
}

const LinearScheme* QuantizationConfig::SchemeOf(std::string_view module) const {
  auto has = [&](const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (has(ignore_, module)) return nullptr;
  for (const Group& group : groups_) {  // a name comes before the class of the module
    if (has(group.targets, module)) return &group.scheme;
  }
  for (const Group& group : groups_) {
    if (has(group.targets, "Linear")) return &group.scheme;
  }
  return nullptr;
}

}  // namespace swage
