// Token windows of a text: what perplexity is measured on and methods are calibrated with. The
// protocol is docs/formats/ report.md's "perplexity": non-overlapping windows of the whole text's
// tokens, the tail dropped, BOS before each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/env.h"
#include "base/modelfile/model_config.h"
#include "workers/runtime/tokenizer.h"

namespace swage {

struct WindowSet {
  std::vector<int32_t> ids;  // [count, tokens], BOS included
  int64_t count = 0;
  int64_t tokens = 0;  // of one window, BOS included
  bool has_bos = false;
  int64_t bytes = 0;        // UTF-8 length of the scored tokens of all windows, decoded together
  int64_t text_tokens = 0;  // of the whole text
  int64_t scored() const {
    return count * (tokens - 1);
  }  // the first id of a window has no context
};

// Tokens of a text file, no special ones added. Errors: TEXT_EMPTY, those of reading the file.
StatusOr<std::vector<int32_t>> ReadTokens(Env* env, const Tokenizer& tokenizer,
                                          const std::string& text_file);
// config.json's bos_token_id, else the tokenizer's.
std::optional<int32_t> BosToken(const ModelConfig& config, const Tokenizer& tokenizer);
// `max_windows` 0: all. Errors: TEXT_EMPTY when no token would be scored, WINDOW_RANGE.
StatusOr<WindowSet> MakeWindows(const std::vector<int32_t>& tokens, const Tokenizer& tokenizer,
                                std::optional<int32_t> bos, int64_t window, int64_t max_windows);
// Windows for calibration: the first `samples` (all that there are, when fewer), or, with `shuffle`, as
// many drawn from all without putting back, in the order of the draw, by Rng(seed). `bytes` is not
// counted. Errors: as MakeWindows.
StatusOr<WindowSet> MakeCalibrationWindows(const std::vector<int32_t>& tokens,
                                           std::optional<int32_t> bos, int64_t window,
                                           int64_t samples, bool shuffle, uint64_t seed);

}  // namespace swage
