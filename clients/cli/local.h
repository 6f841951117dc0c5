// Commands that need no server: methods, compress, eval. The same engine as a worker's.
#pragma once

#include <string>

#include "clients/cli/recipe_source.h"
#include "clients/cli/session.h"
#include "workers/job/engine.h"

namespace swage {

StatusOr<int> RunMethods(const Session& session, const std::string& name);  // "" = all
StatusOr<int> RunCompress(const Session& session, const std::string& model_dir, const std::string& recipe_path,
                          const std::string& out_dir, int threads, const std::string& cache_dir);
StatusOr<int> RunEval(const Session& session, const EvalRequest& request);

}  // namespace swage
