#include "clients/cli/tokenize.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"

namespace swage {

StatusOr<int> RunTokenize(const Session& session, const TokenizeRequest& request) {
  SWAGE_ASSIGN_OR_RETURN(const TokenizeResult result, TokenizeFile(Env::Posix(), request));
  if (session.json) {
    PrintOut(nlohmann::ordered_json{{"model", request.model_dir},
                                    {"text", request.text_file},
                                    {"bytes", result.bytes},
                                    {"tokens", result.tokens},
                                    {"vocabulary", result.vocabulary},
                                    {"seconds", result.seconds},
                                    {"ids", request.out}}
                 .dump() +
             "\n");
    return kExitOk;
  }
  char rate[64];
  std::snprintf(rate, sizeof rate, "%.3f s, %.1f MB/s", result.seconds,
                static_cast<double>(result.bytes) / 1e6 / std::max(result.seconds, 1e-9));
  PrintOut(Cat("tokens  ", result.tokens, " of ", result.bytes, " bytes\ntime    ", rate, "\n"));
  if (!request.out.empty()) PrintOut(Cat("ids     ", request.out, "\n"));
  return kExitOk;
}

}  // namespace swage
