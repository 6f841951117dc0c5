// `swage tokenize`: a text as the ids that a model would be given.
#pragma once

#include <string>

#include "clients/cli/session.h"

namespace swage {

struct TokenizeFlags {
  std::string model_dir, text_file;
  std::string out;             // .npy, i32; "": only count
  bool special_tokens = true;  // what the tokenizer puts around a text (BOS, EOS)
};

// Errors: those of Tokenizer::Load and of the files.
StatusOr<int> RunTokenize(const Session& session, const TokenizeFlags& flags);

}  // namespace swage
