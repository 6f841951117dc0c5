#include "workers/runtime/tokenizer_json.h"

#include <algorithm>

#include "workers/runtime/tokenizer_json_parts.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace tokenizer_json {

namespace {

constexpr size_t kMaxAddedTokenBytes = 4096;
constexpr size_t kMaxAddedTokens = 1u << 20;

Status ReadAdded(const json& list, TokenizerParts* parts) {
  if (list.is_null()) return absl::OkStatus();
  if (!list.is_array() || list.size() > kMaxAddedTokens)
    return BadField(Cat("added_tokens is no list of at most ", kMaxAddedTokens));
  // The library numbers the tokens itself, in the order of the list: one that the model has keeps
  // the model's id, the others follow the vocabulary. In a well-made file that gives the ids that
  // the file says.
  int64_t next_id = static_cast<int64_t>(parts->id_of_token.size());
  for (const json& node : list) {
    AddedToken token;
    token.content = GetString(node, "content");
    if (!AsId(Get(node, "id")) || token.content.size() > kMaxAddedTokenBytes) {
      return BadField(Cat("the added token ", token.content.substr(0, 100),
                          " has no valid id or more than ", kMaxAddedTokenBytes, " bytes"));
    }
    if (token.content.empty()) continue;
    token.id =
        parts->id_of_token.try_emplace(token.content, static_cast<int32_t>(next_id)).first->second;
    next_id = std::max(next_id, int64_t{token.id} + 1);
    if (next_id > std::numeric_limits<int32_t>::max()) return BadField("ids beyond 2^31-2");
    token.single_word = GetBool(node, "single_word", false);
    token.lstrip = GetBool(node, "lstrip", false);
    token.rstrip = GetBool(node, "rstrip", false);
    token.normalized = GetBool(node, "normalized", false);
    if (token.normalized) {  // searched, and decoded, in its normalized form
      std::string storage;
      token.content = std::string(parts->normalizer.Run(token.content, &storage));
    }
    parts->text_of_id[token.id] = token.content;
    if (!token.content.empty()) parts->added.push_back(std::move(token));
  }
  return absl::OkStatus();
}

StatusOr<json> ParseObject(std::string_view text, std::string_view file) {
  json root = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (root.is_object()) return root;
  return InvalidInput("TOKENIZER_NOT_JSON", Cat(file, " is not a JSON object"),
                      "check that the file is complete");
}

std::optional<std::string> SpecialToken(const json& root, const char* key) {
  const json& token = Get(root, key);
  if (token.is_string()) return token.get<std::string>();
  if (Get(token, "content").is_string()) return GetString(token, "content");
  return std::nullopt;
}

Status ReadTemplate(const json& node, std::vector<int32_t>* prefix, std::vector<int32_t>* suffix) {
  const json& single = Get(node, "single");
  if (!single.is_array() || single.size() > kMaxSteps)
    return BadField("a TemplateProcessing has no list \"single\"");
  int texts = 0;
  for (const json& piece : single) {
    if (Get(piece, "Sequence").is_object()) {
      if (GetString(Get(piece, "Sequence"), "id") != "A" || ++texts > 1)
        return Unsupported("a TemplateProcessing whose \"single\" has not the text A once");
      continue;
    }
    const std::string name = GetString(Get(piece, "SpecialToken"), "id");
    const json& ids = Get(Get(Get(node, "special_tokens"), name.c_str()), "ids");
    if (!ids.is_array() || ids.size() > kMaxSteps)
      return BadField(
          Cat("a TemplateProcessing needs ids of its special token ", name.substr(0, 100)));
    for (const json& value : ids) {
      const std::optional<int32_t> id = AsId(value);
      if (!id) return BadField("a TemplateProcessing has an id that is none");
      (texts == 0 ? prefix : suffix)->push_back(*id);
    }
  }
  if (texts == 0)
    return Unsupported("a TemplateProcessing whose \"single\" has not the text A once");
  return absl::OkStatus();
}

// ["</s>", 2]
StatusOr<int32_t> PairId(const json& node, const char* key) {
  const json& pair = Get(node, key);
  const std::optional<int32_t> id =
      pair.is_array() && pair.size() == 2 ? AsId(pair[1]) : std::nullopt;
  if (!id) return BadField(Cat("a post-processor has no pair ", key));
  return *id;
}

}  // namespace

Status ReadPostProcessor(const json& node, TokenizerParts* parts) {
  if (node.is_null()) return absl::OkStatus();
  SWAGE_ASSIGN_OR_RETURN(const auto nodes, Flatten(node, "processors"));
  for (const json* step : nodes) {
    const std::string type = TypeOf(*step);
    std::vector<int32_t> prefix, suffix;
    if (type == "TemplateProcessing") {
      SWAGE_RETURN_IF_ERROR(ReadTemplate(*step, &prefix, &suffix));
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      SWAGE_ASSIGN_OR_RETURN(const int32_t first, PairId(*step, "cls"));
      SWAGE_ASSIGN_OR_RETURN(const int32_t last, PairId(*step, "sep"));
      prefix.push_back(first);
      suffix.push_back(last);
    } else if (type != "ByteLevel") {  // which only moves offsets
      return Unsupported(Cat("the post-processor ", type));
    }
    for (const std::vector<int32_t>* ids : {&prefix, &suffix}) {
      for (const int32_t id : *ids) {
        if (!parts->text_of_id.contains(id))
          return BadField(Cat("the post-processor adds ", id, ", which is no token's id"));
      }
    }
    parts->prefix.insert(parts->prefix.begin(), prefix.begin(), prefix.end());
    parts->suffix.insert(parts->suffix.end(), suffix.begin(), suffix.end());
  }
  return absl::OkStatus();
}

}  // namespace tokenizer_json

StatusOr<TokenizerParts> ParseTokenizerJson(std::string_view text) {
  using namespace tokenizer_json;  // the readers of the parts
  SWAGE_ASSIGN_OR_RETURN(const json root, ParseObject(text, "tokenizer.json"));
  TokenizerParts parts;
  const json& model = Get(root, "model");
  SWAGE_ASSIGN_OR_RETURN(parts.normalizer, ReadNormalizer(Get(root, "normalizer")));
  bool bytes = !WantsCharacters(model);
  SWAGE_ASSIGN_OR_RETURN(parts.steps,
                         ReadPreTokenizer(Get(root, "pre_tokenizer"), parts.normalizer, &bytes));
  SWAGE_RETURN_IF_ERROR(ReadModel(model, bytes, &parts));
  SWAGE_RETURN_IF_ERROR(ReadAdded(Get(root, "added_tokens"), &parts));
  SWAGE_RETURN_IF_ERROR(ReadPostProcessor(Get(root, "post_processor"), &parts));
  SWAGE_ASSIGN_OR_RETURN(parts.decoder, ReadDecoder(Get(root, "decoder")));
  parts.joins_bytes = parts.decoder.size() == 1 &&
                      std::holds_alternative<DecoderStep::ByteLevel>(parts.decoder[0].what);
  if (parts.joins_bytes) {
    for (auto& [id, token] : parts.text_of_id) token = BytesOfToken(token).value_or(token);
  }
  return parts;
}

StatusOr<TokenizerConfig> ParseTokenizerConfig(std::string_view text) {
  using namespace tokenizer_json;  // Get and its like
  TokenizerConfig config;
  if (text.empty()) return config;
  SWAGE_ASSIGN_OR_RETURN(const json root, ParseObject(text, "tokenizer_config.json"));
  config.bos = SpecialToken(root, "bos_token");
  config.eos = SpecialToken(root, "eos_token");
  if (root.contains("add_bos_token") || root.contains("add_eos_token")) {
    config.adds = TokenizerConfig::Adds{GetBool(root, "add_bos_token", false),
                                        GetBool(root, "add_eos_token", false)};
  }
  return config;
}

}  // namespace swage
