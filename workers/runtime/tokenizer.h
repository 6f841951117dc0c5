// Tokenizers as Hugging Face's tokenizer.json describes them (the format of the `tokenizers`
// library). Gives the ids that the library and transformers give, token for token;
// tests/golden/tokenizer holds the evidence.
//
//   SWAGE_ASSIGN_OR_RETURN(auto tokenizer, Tokenizer::Load(env, model_dir));
//   std::vector<int32_t> ids = tokenizer->Encode(text);
//
// Understood: models BPE (over bytes or characters, byte_fallback, ignore_merges) and Unigram; all
// normalizers but BertNormalizer; all pre-tokenizers but UnicodeScripts; post-processors
// TemplateProcessing, RobertaProcessing, BertProcessing, ByteLevel; all decoders but WordPiece and
// CTC; added tokens with all their flags. docs/formats/tokenizer.md has the list. Anything else is
// UNSUPPORTED_TOKENIZER at load, naming the part: never a silently different tokenization. The
// library's "truncation" and "padding" are left out, as transformers leaves them out by default.
// Papers: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (ACL
// 2016); bytes instead of characters: Radford et al., GPT-2 (2019); Kudo, "Subword Regularization"
// (ACL 2018).
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
  // Reads tokenizer.json and, if it is there, tokenizer_config.json (for BOS and EOS) of a model
  // folder; without them, the tokenizer of a GGUF file (`model_dir` itself, or the only one in it).
  // Errors: TOKENIZER_MISSING, TOKENIZER_NOT_JSON, TOKENIZER_FIELD, TOKENIZER_REGEX,
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

  // Encode, and the special tokens that go around a text: what tokenizer.json's post-processor
  // adds; add_bos_token and add_eos_token of tokenizer_config.json, where either is there, replace
  // it (as in transformers 5).
  std::vector<int32_t> EncodeWithSpecial(std::string_view text) const;

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
