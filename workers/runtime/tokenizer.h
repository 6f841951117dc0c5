// Byte-level BPE tokenizers, as Hugging Face's tokenizer.json describes them (the format of the
// `tokenizers` library). Gives the ids that transformers gives, token for token;
// tests/golden/tokenizer holds the evidence.
//
//   SWAGE_ASSIGN_OR_RETURN(auto tokenizer, Tokenizer::Load(env, model_dir));
//   std::vector<int32_t> ids = tokenizer->Encode(text);
//
// Understood: model BPE (merges as "a b" or as pairs, ignore_merges, unk_token); no normalizer;
// pre-tokenizers ByteLevel, Split, Digits and Sequences of them that end in bytes; decoder
// ByteLevel; added tokens with all their flags. Anything else (Unigram, WordPiece, SentencePiece
// BPE with byte_fallback, normalizers, dropout, ...) is UNSUPPORTED_TOKENIZER at load, naming the
// part: never a silently different tokenization. Paper: Sennrich et al., "Neural Machine
// Translation of Rare Words with Subword Units" (ACL 2016); bytes instead of characters: Radford et
// al., GPT-2 (2019).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.h"
#include "base/status.h"

namespace swage {

class Tokenizer {
 public:
  // Reads tokenizer.json and, if it is there, tokenizer_config.json (for the BOS token) of a model
  // folder. Errors: TOKENIZER_MISSING, TOKENIZER_NOT_JSON, TOKENIZER_FIELD, TOKENIZER_REGEX,
  // UNSUPPORTED_TOKENIZER.
  static StatusOr<std::unique_ptr<Tokenizer>> Load(Env* env, const std::string& model_dir);
  // `tokenizer_config_json` may be empty.
  static StatusOr<std::unique_ptr<Tokenizer>> FromJson(std::string_view tokenizer_json,
                                                       std::string_view tokenizer_config_json);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Ids of `text`. Adds no special tokens; added tokens that occur in the text are recognised.
  // Invalid UTF-8 is first replaced by U+FFFD, one for each maximal ill-formed part (what Python's
  // errors="replace" does). A pattern of the tokenizer that exceeds PCRE2's match limit leaves the
  // rest of its piece unsplit. Thread-safe.
  std::vector<int32_t> Encode(std::string_view text) const;

  // The text of `ids`, special tokens kept; ids outside the vocabulary are skipped. Bytes that are
  // not UTF-8 together become U+FFFD. Thread-safe.
  std::string Decode(const std::vector<int32_t>& ids) const;

  std::optional<int32_t> bos_id() const;
  int64_t vocab_size() const;  // distinct tokens, the added ones included
  int32_t max_id() const;      // largest id that Encode can give

 private:
  struct Parts;
  explicit Tokenizer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace swage
