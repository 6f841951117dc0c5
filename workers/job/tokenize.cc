#include "workers/job/tokenize.h"

#include "base/clock.h"
#include "base/limits.h"
#include "workers/runtime/npy.h"
#include "workers/runtime/tokenizer.h"

namespace swage {

StatusOr<TokenizeResult> TokenizeFile(Env* env, const TokenizeRequest& request) {
  SWAGE_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(env, request.model_dir));
  SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(env, request.text_file, limits::kTextFileBytes));
  const int64_t start = Clock::Real()->MonotonicNanos();
  const std::vector<int32_t> ids =
      request.special_tokens ? tokenizer->EncodeWithSpecial(text) : tokenizer->Encode(text);
  TokenizeResult result;
  result.seconds = static_cast<double>(Clock::Real()->MonotonicNanos() - start) * 1e-9;
  result.bytes = static_cast<int64_t>(text.size());
  result.tokens = static_cast<int64_t>(ids.size());
  result.vocabulary = static_cast<int64_t>(tokenizer->vocab_size());
  if (!request.out.empty()) SWAGE_RETURN_IF_ERROR(WriteNpyIds(env, request.out, ids));
  return result;
}

}  // namespace swage
