// Reads tokenizer.json and tokenizer_config.json into plain parts; refuses what the parts cannot
// express.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "workers/runtime/tokenizer_added.h"
#include "workers/runtime/tokenizer_decode.h"
#include "workers/runtime/tokenizer_model.h"
#include "workers/runtime/tokenizer_normalize.h"
#include "workers/runtime/tokenizer_split.h"

namespace swage {

struct TokenizerParts {
  std::unique_ptr<const WordModel> model;
  Normalizer normalizer{{}};
  std::vector<SplitStep> steps;
  std::vector<AddedToken> added;
  std::vector<DecoderStep> decoder;
  // The decoder is ByteLevel alone: `text_of_id` are bytes, to be joined and read as UTF-8. Else
  // they are what the decoder is given.
  bool joins_bytes = false;
  absl::flat_hash_map<int32_t, std::string> text_of_id;
  absl::flat_hash_map<std::string, int32_t> id_of_token;  // as written, added tokens included
  std::vector<int32_t> prefix, suffix;  // what the post-processor puts around a text
};

// Errors: TOKENIZER_NOT_JSON, TOKENIZER_FIELD, TOKENIZER_REGEX, UNSUPPORTED_TOKENIZER.
StatusOr<TokenizerParts> ParseTokenizerJson(std::string_view json);

struct TokenizerConfig {
  struct Adds {
    bool bos = false, eos = false;
  };
  std::optional<std::string> bos, eos;
  std::optional<Adds> adds;  // when the file says so
};
// `json` may be empty.
StatusOr<TokenizerConfig> ParseTokenizerConfig(std::string_view json);

}  // namespace swage
