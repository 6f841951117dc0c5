// A text file as the ids that a model would be given: `swage tokenize`.
#pragma once

#include <cstdint>
#include <string>

#include "base/env.h"
#include "base/status.h"

namespace swage {

struct TokenizeRequest {
  std::string model_dir, text_file;
  std::string out;             // .npy, i32; "": only count
  bool special_tokens = true;  // what the tokenizer puts around a text (BOS, EOS)
};

struct TokenizeResult {
  int64_t bytes = 0, tokens = 0, vocabulary = 0;
  double seconds = 0;  // of tokenizing alone
};

// Errors: those of Tokenizer::Load and of the files.
StatusOr<TokenizeResult> TokenizeFile(Env* env, const TokenizeRequest& request);

}  // namespace swage
