// Reads tokenizer.json and tokenizer_config.json into plain parts; refuses what the parts cannot
// express.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "workers/runtime/tokenizer_added.h"
#include "workers/runtime/tokenizer_bpe.h"
#include "workers/runtime/tokenizer_split.h"

namespace swage {

struct TokenizerParts {
  BpeTables bpe;
  std::vector<SplitStep> steps;
  std::vector<AddedToken> added;
  absl::flat_hash_map<int32_t, std::string> bytes_of_id;  // what a token adds to the decoded text
  absl::flat_hash_map<std::string, int32_t> id_of_token;  // as written, added tokens included
};

// Errors: TOKENIZER_NOT_JSON, TOKENIZER_FIELD, TOKENIZER_REGEX, UNSUPPORTED_TOKENIZER.
StatusOr<TokenizerParts> ParseTokenizerJson(std::string_view json);

// The content of bos_token in tokenizer_config.json; nullopt when there is none. `json` may be
// empty.
StatusOr<std::optional<std::string>> ParseBosToken(std::string_view json);

}  // namespace swage
