#include "workers/runtime/windows.h"

#include <algorithm>

#include "base/limits.h"
#include "base/rng.h"

namespace swage {

StatusOr<std::vector<int32_t>> ReadTokens(Env* env, const Tokenizer& tokenizer,
                                          const std::string& text_file) {
  SWAGE_ASSIGN_OR_RETURN(std::string text, ReadFile(env, text_file, limits::kTextFileBytes));
  std::vector<int32_t> tokens = tokenizer.Encode(text);
  if (tokens.empty()) {
    return InvalidInput("TEXT_EMPTY",
                        Cat(text_file, " holds no text (", text.size(), " bytes, no tokens)"),
                        "give a text of at least one window of tokens");
  }
  return tokens;
}

std::optional<int32_t> BosToken(const ModelConfig& config, const Tokenizer& tokenizer) {
  if (config.bos_token_id) return static_cast<int32_t>(*config.bos_token_id);
  return tokenizer.bos_id();
}

StatusOr<WindowSet> MakeWindows(const std::vector<int32_t>& tokens, const Tokenizer& tokenizer,
                                std::optional<int32_t> bos, int64_t window, int64_t max_windows) {
  if (window < 1)
    return InvalidInput("WINDOW_RANGE", Cat("a window of ", window, " tokens"), "use at least 1");
  const int64_t total = static_cast<int64_t>(tokens.size());
  WindowSet set;
  set.text_tokens = total;
  set.has_bos = bos.has_value();
  const int64_t width = std::min(window, total);  // a text shorter than one window is one window
  set.count = width > 0 ? total / width : 0;
  if (max_windows > 0) set.count = std::min(set.count, max_windows);
  set.tokens = width + (bos ? 1 : 0);
  if (set.count == 0 || set.tokens < 2) {
    return InvalidInput("TEXT_EMPTY", Cat("the text has ", total, " tokens: nothing can be scored"),
                        "give a text of at least one window of tokens");
  }
  std::vector<int32_t> scored;
  for (int64_t w = 0; w < set.count; ++w) {
    const auto begin = tokens.begin() + w * width;
    if (bos) set.ids.push_back(*bos);
    set.ids.insert(set.ids.end(), begin, begin + width);
    scored.insert(scored.end(), begin + (bos ? 0 : 1), begin + width);
  }
  set.bytes = static_cast<int64_t>(tokenizer.Decode(scored).size());
  return set;
}

StatusOr<WindowSet> MakeCalibrationWindows(const std::vector<int32_t>& tokens,
                                           std::optional<int32_t> bos, int64_t window,
                                           int64_t samples, bool shuffle, uint64_t seed) {
  const int64_t total = static_cast<int64_t>(tokens.size());
  const int64_t width = std::min(window, total);
  if (width < 1 || width + (bos ? 1 : 0) < 2) {
    return InvalidInput("TEXT_EMPTY", Cat("the text has ", total, " tokens: nothing to calibrate with"),
                        "give a text of at least one window of tokens");
  }
  std::vector<int64_t> places(total / width);
  for (size_t i = 0; i < places.size(); ++i) places[i] = static_cast<int64_t>(i);
  WindowSet set;
  set.count = std::min(samples, static_cast<int64_t>(places.size()));
  if (shuffle) {  // the first draws of Fisher and Yates
    Rng rng(seed);
    for (int64_t i = 0; i < set.count; ++i) {
      const auto left = static_cast<uint64_t>(static_cast<int64_t>(places.size()) - i);
      std::swap(places[i], places[i + static_cast<int64_t>(rng.Uniform(left))]);
    }
  }
  set.text_tokens = total;
  set.has_bos = bos.has_value();
  set.tokens = width + (bos ? 1 : 0);
  for (int64_t w = 0; w < set.count; ++w) {
    if (bos) set.ids.push_back(*bos);
    const auto begin = tokens.begin() + places[w] * width;
    set.ids.insert(set.ids.end(), begin, begin + width);
  }
  return set;
}

}  // namespace swage
