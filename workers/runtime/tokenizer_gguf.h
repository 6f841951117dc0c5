// The tokenizer of a GGUF file, as the tokenizer.json that it was made from would have it.
#pragma once

#include <string>

#include "base/modelfile/gguf.h"

namespace swage {

struct GgufTokenizer {
  std::string tokenizer_json, config_json;  // for Tokenizer::FromJson
};

// Kinds "llama" (SentencePiece BPE; merges are found again from the scores, as transformers does
// when it converts such a model) and "gpt2" (byte-level BPE) with the pre-tokenizers that are known
// by name. Errors: TOKENIZER_MISSING, TOKENIZER_FIELD, UNSUPPORTED_TOKENIZER.
StatusOr<GgufTokenizer> TokenizerOfGguf(const GgufFile& gguf);

}  // namespace swage
