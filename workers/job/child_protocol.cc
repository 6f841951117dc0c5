// Both ends of the child's JSON lines.
#include <cmath>

#include "base/limits.h"
#include "base/modelfile/json.h"
#include "workers/job/child.h"

namespace swage {
namespace {

using Json = nlohmann::json;

std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);  // the sender adds the newline
}

StatusOr<Json> ParseLine(const std::string& line) {
  SWAGE_ASSIGN_OR_RETURN(Json json,
                         ParseJsonTree(line, "CHILD_PROTOCOL", "a line between worker and child"));
  if (!json.is_object())
    return InvalidInput("CHILD_PROTOCOL", "a line between worker and child is no object");
  return json;
}

StatusOr<std::map<std::string, Digest>> ParseDigests(const Json& json) {
  std::map<std::string, Digest> digests;
  for (const auto& [path, hex] : json.items()) {
    SWAGE_ASSIGN_OR_RETURN(digests[path], Digest::FromHex(hex.get<std::string>()));
  }
  return digests;
}

StatusOr<ChildRun> RunOf(const Json& json) {
  ChildRun run;
  EngineRequest& request = run.request;
  request.model_dir = json.at("model_dir").get<std::string>();
  request.recipe_json = json.at("recipe_json").get<std::string>();
  request.texts = json.at("texts").get<std::map<std::string, std::string>>();
  request.out_dir = json.at("out_dir").get<std::string>();
  request.scratch_dir = json.at("scratch_dir").get<std::string>();
  SWAGE_ASSIGN_OR_RETURN(request.model_digest,
                         Digest::FromHex(json.at("model_digest").get<std::string>()));
  SWAGE_ASSIGN_OR_RETURN(request.text_digests, ParseDigests(json.at("text_digests")));
  request.threads = json.at("threads").get<int>();
  request.memory_limit_bytes = json.at("memory_limit_bytes").get<uint64_t>();
  request.keep_checkpoint = json.value("keep_checkpoint", false);
  request.devices = json.value("devices", std::vector<std::string>());
  request.rank = json.value("rank", 0);
  request.world = json.value("world", 1);
  request.peers = json.value("peers", std::vector<std::string>());
  request.trace_parent = SpanContext::FromTraceparent(json.at("traceparent").get<std::string>());
  run.trace_file = json.at("trace_file").get<std::string>();
  run.job = json.at("job").get<std::string>();
  run.attempt = json.at("attempt").get<int>();
  return run;
}

// Lower-case hex of at most so many bytes.
StatusOr<std::string> BytesFromHex(const std::string& hex) {
  if (hex.size() % 2 != 0 || hex.size() > 2 * limits::kRendezvousBytes)
    return InvalidInput("CHILD_PROTOCOL", "a rendezvous of impossible length");
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const size_t high = kDigits.find(hex[i]), low = kDigits.find(hex[i + 1]);
    if (high == kDigits.npos || low == kDigits.npos)
      return InvalidInput("CHILD_PROTOCOL", "a rendezvous that is not hexadecimal");
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

StatusCode CodeFromName(const std::string& name) {
  for (int code = 1; code <= 16; ++code) {
    if (absl::StatusCodeToString(static_cast<StatusCode>(code)) == name)
      return static_cast<StatusCode>(code);
  }
  return StatusCode::kUnknown;
}

StatusOr<ChildMessage> MessageOfJson(const Json& json) {
  ChildMessage message;
  if (json.contains("progress")) {
    const Json& p = json.at("progress");
    message.progress.stage = p.at("stage").get<std::string>();
    message.progress.fraction = p.at("fraction").get<double>();
    message.progress.eta_seconds = p.at("eta_seconds").get<double>();
    message.progress.message = p.at("message").get<std::string>();
    message.progress.peak_bytes = p.at("peak_bytes").get<uint64_t>();
    return message;
  }
  if (json.contains("done")) {
    message.kind = ChildMessage::Kind::kDone;
    message.report_bytes = json.at("done").at("report_bytes").get<uint64_t>();
    return message;
  }
  if (json.contains("rendezvous")) {
    message.kind = ChildMessage::Kind::kRendezvous;
    SWAGE_ASSIGN_OR_RETURN(message.rendezvous, BytesFromHex(json.at("rendezvous").get<std::string>()));
    return message;
  }
  const Json& f = json.at("failed");
  message.kind = ChildMessage::Kind::kFailed;
  message.failure =
      Error(CodeFromName(f.at("code").get<std::string>()), f.at("reason").get<std::string>(),
            f.at("message").get<std::string>(), f.at("next_step").get<std::string>());
  return message;
}

}  // namespace

std::string EncodeRun(const EngineRequest& request, const std::string& trace_file,
                      const std::string& job, int attempt) {
  Json digests = Json::object();
  for (const auto& [path, digest] : request.text_digests) digests[path] = digest.Hex();
  Json run = {{"model_dir", request.model_dir},
              {"recipe_json", request.recipe_json},
              {"texts", request.texts},
              {"out_dir", request.out_dir},
              {"scratch_dir", request.scratch_dir},
              {"model_digest", request.model_digest.Hex()},
              {"text_digests", digests},
              {"threads", request.threads},
              {"memory_limit_bytes", request.memory_limit_bytes},
              {"keep_checkpoint", request.keep_checkpoint},
              {"devices", request.devices},
              {"rank", request.rank},
              {"world", request.world},
              {"peers", request.peers},
              {"traceparent", request.trace_parent.ToTraceparent()},
              {"trace_file", trace_file},
              {"job", job},
              {"attempt", attempt}};
  return Line({{"run", run}});
}

StatusOr<ChildRun> DecodeRun(const std::string& line) {
  SWAGE_ASSIGN_OR_RETURN(Json json, ParseLine(line));
  try {
    return RunOf(json.at("run"));
  } catch (const Json::exception& e) {
    return InvalidInput("CHILD_PROTOCOL", Cat("the run line: ", e.what()));
  }
}

std::string EncodeMessage(const ChildMessage& message) {
  switch (message.kind) {
    case ChildMessage::Kind::kDone:
      return Line({{"done", {{"report_bytes", message.report_bytes}}}});
    case ChildMessage::Kind::kFailed:
      return Line({{"failed",
                    {{"code", absl::StatusCodeToString(message.failure.code())},
                     {"reason", ReasonOf(message.failure)},
                     {"message", MessageOf(message.failure)},
                     {"next_step", NextStepOf(message.failure)}}}});
    case ChildMessage::Kind::kRendezvous:
      return Line({{"rendezvous", HexLower(message.rendezvous.data(), message.rendezvous.size())}});
    case ChildMessage::Kind::kProgress:
      break;
  }
  const Progress& p = message.progress;
  return Line({{"progress",
                {{"stage", p.stage},
                 {"fraction", p.fraction},
                 {"eta_seconds", std::isfinite(p.eta_seconds) ? p.eta_seconds : -1.0},
                 {"message", p.message},
                 {"peak_bytes", p.peak_bytes}}}});
}

StatusOr<ChildMessage> DecodeMessage(const std::string& line) {
  SWAGE_ASSIGN_OR_RETURN(Json json, ParseLine(line));
  try {
    return MessageOfJson(json);
  } catch (const Json::exception& e) {
    return InvalidInput("CHILD_PROTOCOL", Cat("a line of the child: ", e.what()));
  }
}

std::string EncodeGathered(const std::vector<std::string>& by_rank) {
  Json all = Json::array();
  for (const std::string& said : by_rank) all.push_back(HexLower(said.data(), said.size()));
  return Line({{"gathered", all}});
}

StatusOr<std::vector<std::string>> DecodeGathered(const std::string& line) {
  SWAGE_ASSIGN_OR_RETURN(Json json, ParseLine(line));
  try {
    std::vector<std::string> by_rank;
    for (const Json& said : json.at("gathered")) {
      SWAGE_ASSIGN_OR_RETURN(by_rank.emplace_back(), BytesFromHex(said.get<std::string>()));
    }
    return by_rank;
  } catch (const Json::exception& e) {
    return InvalidInput("CHILD_PROTOCOL", Cat("the gathered line: ", e.what()));
  }
}

}  // namespace swage
