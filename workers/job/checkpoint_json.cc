#include "workers/job/checkpoint_json.h"

namespace swage {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;

Json StageJson(const StageReport& stage) {
  return {{"name", stage.name}, {"seconds", stage.seconds}, {"peak_bytes", stage.peak_bytes}};
}

StageReport ParseStage(const Json& json) {
  return {json.at("name").get<std::string>(), json.at("seconds").get<double>(),
          json.at("peak_bytes").get<uint64_t>()};
}

Json LayerJson(const LayerReport& layer) {
  return {{"module", layer.module},
          {"shape", layer.shape},
          {"scheme", layer.scheme},
          {"activations", layer.activations},
          {"error2", layer.error2},
          {"norm2", layer.norm2},
          {"stored_bytes", layer.stored_bytes},
          {"measured", layer.measured},
          {"remarks", layer.remarks}};
}

LayerReport ParseLayer(const Json& json) {
  LayerReport layer;
  layer.module = json.at("module").get<std::string>();
  layer.shape = json.at("shape").get<std::vector<int64_t>>();
  layer.scheme = json.at("scheme").get<std::string>();
  layer.activations = json.at("activations").get<std::string>();
  layer.error2 = json.at("error2").get<double>();
  layer.norm2 = json.at("norm2").get<double>();
  layer.stored_bytes = json.at("stored_bytes").get<uint64_t>();
  layer.measured = json.value("measured", std::map<std::string, double>());
  layer.remarks = json.value("remarks", std::vector<std::string>());
  return layer;
}

Json QualityToJson(const QualityReport& q) {
  return {{"original_nll", q.original_nll},
          {"compressed_nll", q.compressed_nll},
          {"kl", q.kl},
          {"top1_agreement", q.top1_agreement},
          {"original_bits_per_byte", q.original_bits_per_byte},
          {"compressed_bits_per_byte", q.compressed_bits_per_byte},
          {"scored_tokens", q.scored_tokens},
          {"windows", q.windows},
          {"window", q.window},
          {"bytes", q.bytes},
          {"bos", q.bos},
          {"text", q.text}};
}

QualityReport ParseQuality(const Json& json) {
  QualityReport q;
  q.original_nll = json.at("original_nll").get<double>();
  q.compressed_nll = json.at("compressed_nll").get<double>();
  q.kl = json.at("kl").get<double>();
  q.top1_agreement = json.at("top1_agreement").get<double>();
  q.original_bits_per_byte = json.at("original_bits_per_byte").get<double>();
  q.compressed_bits_per_byte = json.at("compressed_bits_per_byte").get<double>();
  q.scored_tokens = json.at("scored_tokens").get<int64_t>();
  q.windows = json.at("windows").get<int64_t>();
  q.window = json.at("window").get<int64_t>();
  q.bytes = json.at("bytes").get<int64_t>();
  q.bos = json.at("bos").get<bool>();
  q.text = json.at("text").get<std::string>();
  return q;
}

CheckpointState ParseOrThrow(const Json& json) {
  CheckpointState state;
  state.action = json.at("action").get<std::string>();
  state.numerics_class = json.at("numerics_class").get<std::string>();
  for (const auto& [stage, item] : json.at("blocks").items()) {
    FinishedBlock block;
    block.file = item.at("file").get<std::string>();
    auto digest = Digest::FromHex(item.at("sha256").get<std::string>());
    if (digest.ok()) block.sha256 = *digest;  // a wrong one fails the comparison with the file
    block.stage = ParseStage(item.at("stage"));
    for (const Json& layer : item.at("layers")) block.layers.push_back(ParseLayer(layer));
    state.blocks[stage] = std::move(block);
  }
  if (json.contains("quality")) {
    state.quality = ParseQuality(json.at("quality"));
    state.quality_stage = ParseStage(json.at("quality_stage"));
  }
  return state;
}

}  // namespace

std::string CheckpointJson(const CheckpointState& state) {
  Json json = {
      {"version", kVersion}, {"action", state.action}, {"numerics_class", state.numerics_class}};
  Json& blocks = json["blocks"] = Json::object();
  for (const auto& [stage, block] : state.blocks) {
    Json layers = Json::array();
    for (const LayerReport& layer : block.layers) layers.push_back(LayerJson(layer));
    blocks[stage] = {{"file", block.file},
                     {"sha256", block.sha256.Hex()},
                     {"stage", StageJson(block.stage)},
                     {"layers", layers}};
  }
  if (state.quality) {
    json["quality"] = QualityToJson(*state.quality);
    json["quality_stage"] = StageJson(*state.quality_stage);
  }
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

StatusOr<CheckpointState> ParseCheckpoint(const Json& json) {
  try {
    if (json.at("version").get<int>() != kVersion)
      return Precondition("CHECKPOINT_OTHER", "it is of another version");
    CheckpointState state = ParseOrThrow(json);
    for (const auto& [stage, block] : state.blocks) {
      if (!block.file.empty()) SWAGE_RETURN_IF_ERROR(CheckRelativePath(block.file));
    }
    return state;
  } catch (const Json::exception& e) {
    return DataLoss("CHECKPOINT_UNREADABLE", e.what());
  }
}

}  // namespace swage
