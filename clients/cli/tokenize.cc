#include "clients/cli/tokenize.h"

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/env.h"
#include "base/limits.h"
#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "workers/runtime/npy.h"
#include "workers/runtime/tokenizer.h"

namespace swage {

StatusOr<int> RunTokenize(const Session& session, const TokenizeFlags& flags) {
  Env* const env = Env::Posix();
  SWAGE_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(env, flags.model_dir));
  SWAGE_ASSIGN_OR_RETURN(const std::string text,
                         ReadFile(env, flags.text_file, limits::kTextFileBytes));
  const int64_t start = Clock::Real()->MonotonicNanos();
  const std::vector<int32_t> ids =
      flags.special_tokens ? tokenizer->EncodeWithSpecial(text) : tokenizer->Encode(text);
  const double seconds = static_cast<double>(Clock::Real()->MonotonicNanos() - start) * 1e-9;
  if (!flags.out.empty()) SWAGE_RETURN_IF_ERROR(WriteNpyIds(env, flags.out, ids));
  if (session.json) {
    PrintOut(nlohmann::ordered_json{{"model", flags.model_dir},
                                    {"text", flags.text_file},
                                    {"bytes", text.size()},
                                    {"tokens", ids.size()},
                                    {"vocabulary", tokenizer->vocab_size()},
                                    {"seconds", seconds},
                                    {"ids", flags.out}}
                 .dump() +
             "\n");
    return kExitOk;
  }
  char rate[64];
  std::snprintf(rate, sizeof rate, "%.3f s, %.1f MB/s", seconds,
                static_cast<double>(text.size()) / 1e6 / std::max(seconds, 1e-9));
  PrintOut(Cat("tokens  ", ids.size(), " of ", text.size(), " bytes\ntime    ", rate, "\n"));
  if (!flags.out.empty()) PrintOut(Cat("ids     ", flags.out, "\n"));
  return kExitOk;
}

}  // namespace swage
