#include "workers/runtime/tokenizer_json.h"

#include <algorithm>
#include <limits>

#include "nlohmann/json.hpp"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

using nlohmann::json;

constexpr size_t kMaxAddedTokenBytes = 4096;
constexpr size_t kMaxAddedTokens = 1u << 20;
constexpr size_t kMaxSteps = 64;

Status Unsupported(std::string_view what) {
  return Error(StatusCode::kUnimplemented, "UNSUPPORTED_TOKENIZER",
               Cat("tokenizer.json: ", what, " is not supported"),
               "supported are byte-level BPE tokenizers: model BPE, pre-tokenizer and decoder "
               "ByteLevel, no normalizer");
}

Status BadField(std::string_view what) {
  return InvalidInput("TOKENIZER_FIELD", Cat("tokenizer.json: ", what),
                      "check that the file is complete and unchanged");
}

// The value of `key`, or null when there is none.
const json& Get(const json& object, const char* key) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

bool GetBool(const json& object, const char* key, bool fallback) {
  const json& value = Get(object, key);
  return value.is_boolean() ? value.get<bool>() : fallback;
}

std::string GetString(const json& object, const char* key) {
  const json& value = Get(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::optional<int32_t> AsId(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() <= std::numeric_limits<int32_t>::max()
                        : value.get<int64_t>() >= 0;
  if (!fits) return std::nullopt;
  return value.get<int32_t>();
}

bool IsEmptyOrNull(const json& value) {
  return value.is_null() || (value.is_string() && value.get_ref<const std::string&>().empty());
}

Status CheckModel(const json& model) {
  if (!model.is_object()) return BadField("there is no model");
  const std::string type = GetString(model, "type");
  if (!type.empty() && type != "BPE") return Unsupported(Cat("a model of type ", type));
  if (!Get(model, "vocab").is_object()) {
    return type.empty() ? Unsupported("a model without type whose vocab is no map")
                        : BadField("model.vocab is no map");
  }
  if (!Get(model, "merges").is_array())
    return type.empty() ? Unsupported("a model without merges")
                        : BadField("model.merges is no list");
  if (GetBool(model, "byte_fallback", false))
    return Unsupported("BPE with byte_fallback (a SentencePiece tokenizer)");
  const json& dropout = Get(model, "dropout");
  if (!dropout.is_null() && !(dropout.is_number() && dropout.get<double>() == 0))
    return Unsupported("BPE dropout");
  if (!IsEmptyOrNull(Get(model, "continuing_subword_prefix")))
    return Unsupported("continuing_subword_prefix");
  if (!IsEmptyOrNull(Get(model, "end_of_word_suffix"))) return Unsupported("end_of_word_suffix");
  return absl::OkStatus();
}

Status ReadVocab(const json& model, TokenizerParts* parts) {
  for (const auto& [token, value] : Get(model, "vocab").items()) {
    const std::optional<int32_t> id = AsId(value);
    if (!id)
      return BadField(
          Cat("the id of the token ", token.substr(0, 100), " is no number from 0 to 2^31-1"));
    parts->id_of_token[token] = *id;
    std::optional<std::string> bytes = BytesOfToken(token);
    if (bytes && GetBool(model, "ignore_merges", false)) parts->bpe.whole_words[*bytes] = *id;
    parts->bytes_of_id[*id] = bytes ? std::move(*bytes) : token;
  }
  for (int byte = 0; byte < 256; ++byte) {
    const auto found = parts->id_of_token.find(ByteAlphabet()[byte]);
    parts->bpe.byte_id[byte] = found == parts->id_of_token.end() ? -1 : found->second;
  }
  const json& unknown = Get(model, "unk_token");
  if (unknown.is_string()) {
    const auto found = parts->id_of_token.find(unknown.get_ref<const std::string&>());
    if (found != parts->id_of_token.end()) parts->bpe.unknown = found->second;
  }
  parts->bpe.fuse_unknown = GetBool(model, "fuse_unk", false);
  return absl::OkStatus();
}

// A merge is "left right" or ["left", "right"].
bool ReadPair(const json& merge, std::string* left, std::string* right) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    *left = merge[0].get<std::string>();
    *right = merge[1].get<std::string>();
    return true;
  }
  if (!merge.is_string()) return false;
  const std::string& text = merge.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) return false;
  *left = text.substr(0, space);
  *right = text.substr(space + 1);
  return true;
}

Status ReadMerges(const json& model, TokenizerParts* parts) {
  const json& merges = Get(model, "merges");
  parts->bpe.merges.reserve(merges.size());
  int32_t rank = 0;
  for (const json& merge : merges) {
    // Files converted from merges.txt may still carry its first line.
    if (merge.is_string() && StartsWith(merge.get_ref<const std::string&>(), "#version")) continue;
    std::string left, right;
    if (!ReadPair(merge, &left, &right))
      return BadField(Cat("merge ", rank, " is no pair of tokens"));
    int32_t ids[3];
    const std::string* tokens[3] = {&left, &right, nullptr};
    const std::string joined = left + right;
    tokens[2] = &joined;
    for (int i = 0; i < 3; ++i) {
      const auto found = parts->id_of_token.find(*tokens[i]);
      if (found == parts->id_of_token.end()) {
        return BadField(Cat("merge ", rank, " needs the token ", tokens[i]->substr(0, 100),
                            ", which is not in the vocabulary"));
      }
      ids[i] = found->second;
    }
    parts->bpe.merges.insert_or_assign(MergeKey(ids[0], ids[1]), MergeRow{rank++, ids[2]});
  }
  return absl::OkStatus();
}

StatusOr<SplitStep> RegexStep(std::string_view pattern) {
  SplitStep step;
  SWAGE_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
  step.regex.emplace(std::move(regex));
  return step;
}

StatusOr<SplitStep> ReadSplit(const json& node) {
  const json& pattern = Get(node, "pattern");
  SplitStep step;
  if (Get(pattern, "Regex").is_string()) {
    SWAGE_ASSIGN_OR_RETURN(step, RegexStep(GetString(pattern, "Regex")));
  } else if (Get(pattern, "String").is_string()) {
    step.literal = GetString(pattern, "String");
  } else {
    return BadField("a Split has neither a Regex nor a String as pattern");
  }
  static const std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
      {"Isolated", SplitBehavior::kIsolated},
      {"Removed", SplitBehavior::kRemoved},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const std::string behavior = GetString(node, "behavior");
  for (const auto& [name, value] : kBehaviors) {
    if (name == behavior) {
      step.behavior = value;
      step.invert = GetBool(node, "invert", false);
      return step;
    }
  }
  return BadField(Cat("a Split has the unknown behavior ", behavior.substr(0, 40)));
}

// Appends the steps of one pre-tokenizer that is no Sequence; `last`: nothing follows it.
Status ReadStep(const json& node, bool last, std::vector<SplitStep>* steps) {
  const std::string type = GetString(node, "type");
  if (type == "Split") {
    SWAGE_ASSIGN_OR_RETURN(SplitStep step, ReadSplit(node));
    steps->push_back(std::move(step));
    return absl::OkStatus();
  }
  if (type == "Digits") {
    // The library asks Rust's standard library here, which knows the numbers of Unicode 17.
    SWAGE_ASSIGN_OR_RETURN(SplitStep step,
                           RegexStep(R"([\p{N}\x{11de0}-\x{11de9}\x{16ff4}-\x{16ff6}])"));
    if (!GetBool(node, "individual_digits", false)) step.behavior = SplitBehavior::kContiguous;
    steps->push_back(std::move(step));
    return absl::OkStatus();
  }
  if (type != "ByteLevel")
    return Unsupported(Cat("the pre-tokenizer ", type.empty() ? "without type" : type));
  if (!last) return Unsupported("a pre-tokenizer after ByteLevel");
  SplitStep step;
  if (GetBool(node, "use_regex", true)) {
    SWAGE_ASSIGN_OR_RETURN(step, RegexStep(kGpt2Pattern));
  }
  step.add_prefix_space = GetBool(node, "add_prefix_space", true);
  steps->push_back(std::move(step));
  return absl::OkStatus();
}

Status ReadPreTokenizer(const json& node, std::vector<SplitStep>* steps) {
  std::vector<const json*> nodes = {&node};
  if (GetString(node, "type") == "Sequence") {
    const json& list = Get(node, "pretokenizers");
    if (!list.is_array() || list.empty() || list.size() > kMaxSteps) {
      return BadField(Cat("the Sequence of pre-tokenizers has no list of 1 to ", kMaxSteps));
    }
    nodes.clear();
    for (const json& item : list) nodes.push_back(&item);
  }
  for (size_t i = 0; i < nodes.size(); ++i)
    SWAGE_RETURN_IF_ERROR(ReadStep(*nodes[i], i + 1 == nodes.size(), steps));
  if (GetString(*nodes.back(), "type") != "ByteLevel")
    return Unsupported("a pre-tokenizer that does not end in ByteLevel");
  return absl::OkStatus();
}

Status CheckDecoder(const json& node) {
  if (GetString(node, "type") == "ByteLevel") return absl::OkStatus();
  const json& list = Get(node, "decoders");
  if (GetString(node, "type") == "Sequence" && list.is_array() && list.size() == 1)
    return CheckDecoder(list[0]);
  return Unsupported(Cat("the decoder ", node.is_null() ? "null" : GetString(node, "type")));
}

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
    const std::optional<std::string> bytes = BytesOfToken(token.content);
    parts->bytes_of_id[token.id] = bytes ? *bytes : token.content;
    parts->added.push_back(std::move(token));
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<TokenizerParts> ParseTokenizerJson(std::string_view text) {
  const json root = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return InvalidInput("TOKENIZER_NOT_JSON", "tokenizer.json is not a JSON object",
                        "check that the file is complete");
  }
  TokenizerParts parts;
  const json& normalizer = Get(root, "normalizer");
  const json& normalizers = Get(normalizer, "normalizers");
  if (!normalizer.is_null() && !(normalizers.is_array() && normalizers.empty())) {
    return Unsupported(Cat("the normalizer ", GetString(normalizer, "type")));
  }
  const json& model = Get(root, "model");
  SWAGE_RETURN_IF_ERROR(CheckModel(model));
  SWAGE_RETURN_IF_ERROR(ReadPreTokenizer(Get(root, "pre_tokenizer"), &parts.steps));
  SWAGE_RETURN_IF_ERROR(CheckDecoder(Get(root, "decoder")));
  SWAGE_RETURN_IF_ERROR(ReadVocab(model, &parts));
  SWAGE_RETURN_IF_ERROR(ReadMerges(model, &parts));
  SWAGE_RETURN_IF_ERROR(ReadAdded(Get(root, "added_tokens"), &parts));
  return parts;
}

StatusOr<std::optional<std::string>> ParseBosToken(std::string_view text) {
  if (text.empty()) return std::optional<std::string>();
  const json root = json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) {
    return InvalidInput("TOKENIZER_NOT_JSON", "tokenizer_config.json is not a JSON object",
                        "check that the file is complete");
  }
  const json& token = Get(root, "bos_token");
  if (token.is_string()) return std::optional(token.get<std::string>());
  if (Get(token, "content").is_string()) return std::optional(GetString(token, "content"));
  return std::optional<std::string>();
}

}  // namespace swage
