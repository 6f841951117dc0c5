// The readers that ParseTokenizerJson is made of, one for each part of the file, and what they
// share. Private to the tokenizer.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "workers/runtime/tokenizer_json.h"

namespace swage::tokenizer_json {

using nlohmann::json;

inline constexpr size_t kMaxSteps = 64;  // of a Sequence

inline Status Unsupported(std::string_view what) {
  return Error(StatusCode::kUnimplemented, "UNSUPPORTED_TOKENIZER",
               Cat("tokenizer.json: ", what, " is not supported"),
               "docs/formats/tokenizer.md lists what is; use a model with such a tokenizer, or "
               "report this one");
}

inline Status BadField(std::string_view what) {
  return InvalidInput("TOKENIZER_FIELD", Cat("tokenizer.json: ", what),
                      "check that the file is complete and unchanged");
}

// The value of `key`, or null when there is none.
inline const json& Get(const json& object, const char* key) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

inline bool GetBool(const json& object, const char* key, bool fallback) {
  const json& value = Get(object, key);
  return value.is_boolean() ? value.get<bool>() : fallback;
}

inline std::string GetString(const json& object, const char* key) {
  const json& value = Get(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

inline std::string TypeOf(const json& node) {
  if (node.is_null()) return "null";
  const std::string type = GetString(node, "type");
  return type.empty() ? "without type" : type.substr(0, 60);
}

inline std::optional<int32_t> AsId(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() <= std::numeric_limits<int32_t>::max()
                        : value.get<int64_t>() >= 0;
  if (!fits) return std::nullopt;
  return value.get<int32_t>();
}

// The members of a Sequence, those of Sequences in it included; or the node alone. `list` is the
// name of a Sequence's list.
StatusOr<std::vector<const json*>> Flatten(const json& node, const char* list);
// {"Regex": ..} or {"String": ..}.
Status ReadPattern(const json& pattern, std::string_view of, std::optional<Regex>* regex,
                   std::string* literal);

StatusOr<Normalizer> ReadNormalizer(const json& node);
// `bytes`: the last step may leave the words as bytes, for a model that reads bytes; cleared when
// the words are characters (of the byte alphabet, perhaps).
StatusOr<std::vector<SplitStep>> ReadPreTokenizer(const json& node, const Normalizer& normalizer,
                                                  bool* bytes);
StatusOr<std::vector<DecoderStep>> ReadDecoder(const json& node);
// Fills `model`, `id_of_token` and, for words of characters, adds a step that makes them shorter.
Status ReadModel(const json& model, bool bytes, TokenizerParts* parts);
bool WantsCharacters(const json& model);  // whatever the pre-tokenizer is
Status ReadPostProcessor(const json& node, TokenizerParts* parts);

}  // namespace swage::tokenizer_json
