#include "workers/report/report.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace swage {
namespace {

using Json = nlohmann::ordered_json;

uint64_t Total(const std::map<std::string, uint64_t>& bytes) {
  uint64_t total = 0;
  for (const auto& [name, value] : bytes) total += value;
  return total;
}

double Ratio(double a, double b) { return b > 0 ? a / b : 0; }

Json BytesJson(const JobReport& report) {
  Json bytes;
  bytes["original"] = Total(report.original_bytes);
  bytes["artifact"] = Total(report.artifact_bytes);
  bytes["ratio"] = Ratio(static_cast<double>(Total(report.original_bytes)),
                         static_cast<double>(Total(report.artifact_bytes)));
  bytes["by_class"] = report.artifact_bytes;
  bytes["original_by_class"] = report.original_bytes;
  bytes["note"] = "report.json itself is not counted";
  return bytes;
}

Json BitsJson(const JobReport& report) {
  uint64_t quantized = 0;
  for (const LayerReport& layer : report.layers) quantized += layer.stored_bytes;
  uint64_t weights = Total(report.artifact_bytes);
  if (auto it = report.artifact_bytes.find("files"); it != report.artifact_bytes.end())
    weights -= it->second;
  Json bits;
  bits["effective"] =
      Ratio(8.0 * static_cast<double>(quantized), static_cast<double>(report.quantized_weights));
  bits["whole_model"] =
      Ratio(8.0 * static_cast<double>(weights), static_cast<double>(report.all_weights));
  bits["quantized_weights"] = report.quantized_weights;
  bits["all_weights"] = report.all_weights;
  bits["note"] =
      "effective: stored bits per weight over the quantized linears, scales and zero points "
      "included; whole_model: over all tensors";
  return bits;
}

Json LayersJson(const JobReport& report) {
  Json layers = Json::array();
  for (const LayerReport& layer : report.layers) {
    Json item;
    item["module"] = layer.module;
    item["shape"] = layer.shape;
    item["scheme"] = layer.scheme;
    item["activations"] = layer.activations.empty() ? Json() : Json(layer.activations);
    item["relative_error"] = std::sqrt(Ratio(layer.error2, layer.norm2));
    item["stored_bytes"] = layer.stored_bytes;
    if (!layer.measured.empty()) item["measured"] = layer.measured;
    if (!layer.remarks.empty()) item["remarks"] = layer.remarks;
    layers.push_back(item);
  }
  return layers;
}

Json QualityJson(const JobReport& report) {
  Json quality;
  if (!report.quality) {
    quality["perplexity"] = quality["kl"] = quality["top1_agreement"] = Json();
    quality["note"] = "not measured: the recipe has no evaluate section";
    return quality;
  }
  const QualityReport& q = *report.quality;
  Json protocol;
  protocol["text"] = q.text;
  protocol["window"] = q.window;
  protocol["windows"] = q.windows;
  protocol["scored_tokens"] = q.scored_tokens;
  protocol["scored_bytes"] = q.bytes;
  protocol["bos"] = q.bos;
  protocol["compute"] = "f32";
  protocol["method"] =
      "non-overlapping windows of the whole text's tokens, tail dropped, BOS before each; natural "
      "log, "
      "f32 log-softmax over the whole vocabulary, f64 sum; exp of the mean over all scored tokens";
  Json& perplexity = quality["perplexity"];
  perplexity["original"] = std::exp(q.original_nll);
  perplexity["compressed"] = std::exp(q.compressed_nll);
  perplexity["protocol"] = protocol;
  quality["nll"] = {{"original", q.original_nll}, {"compressed", q.compressed_nll}};
  quality["bits_per_byte"] = {{"original", q.original_bits_per_byte},
                              {"compressed", q.compressed_bits_per_byte}};
  quality["kl"] = q.kl;
  quality["top1_agreement"] = q.top1_agreement;
  quality["note"] =
      "kl: mean over the scored tokens of KL(original || compressed) in nats; top1_agreement: "
      "share of "
      "them with the same most likely token; the compressed model runs as exported, rounded "
      "activations "
      "included";
  return quality;
}

Json DataJson(const JobReport& report) {
  Json data = Json::array();
  for (const DataReport& item : report.data) {
    data.push_back({{"use", item.use},
                    {"path", item.path},
                    {"sha256", item.sha256.Hex()},
                    {"bytes", item.bytes},
                    {"windows", item.windows}});
  }
  return data;
}

}  // namespace

std::string TensorClass(std::string_view name, const std::vector<std::string>& quantized_modules,
                        const std::vector<std::string>& linear_modules, std::string_view embedding,
                        std::string_view head) {
  const size_t dot = name.rfind('.');
  const std::string_view module = name.substr(0, dot == std::string_view::npos ? 0 : dot);
  const std::string_view suffix = dot == std::string_view::npos ? name : name.substr(dot + 1);
  auto among = [&](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), module) != names.end();
  };
  if (suffix == "bias") return "biases";
  if (among(quantized_modules)) {
    if (suffix == "weight" || suffix == "weight_packed") return "codes";
    if (suffix == "weight_scale") return "scales";
    if (suffix == "weight_zero_point") return "zero_points";
    if (suffix == "weight_shape") return "shapes";
  }
  if (module == embedding) return "embedding";
  if (module == head) return "head";
  if (among(linear_modules)) return "linears";
  const std::string_view last = module.substr(module.rfind('.') + 1);  // npos + 1 is 0
  const bool norm = EndsWith(last, "norm") || StartsWith(last, "ln_");
  return norm ? "norms" : "other";
}

std::string ReportJson(const JobReport& report) {
  Json root;
  root["schema"] = 1;
  root["model"] = {{"digest", report.model_digest.Hex()}, {"architecture", report.architecture}};
  root["action_digest"] = report.action_digest.Hex();
  Json recipe = Json::parse(report.recipe_json, nullptr, /*allow_exceptions=*/false);
  root["recipe"] = recipe.is_discarded() ? Json(report.recipe_json) : recipe;
  root["seed"] = report.seed;
  root["versions"] = report.versions;
  root["numerics_class"] = report.numerics_class;
  root["data"] = DataJson(report);
  root["bytes"] = BytesJson(report);
  root["bits"] = BitsJson(report);
  root["quality"] = QualityJson(report);
  root["layers"] = LayersJson(report);
  root["stages"] = Json::array();
  for (const StageReport& stage : report.stages) {
    root["stages"].push_back(
        {{"name", stage.name}, {"seconds", stage.seconds}, {"peak_bytes", stage.peak_bytes}});
  }
  return root.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace swage
