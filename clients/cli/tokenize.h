// `swage tokenize`: a text as the ids that a model would be given.
#pragma once

#include "clients/cli/session.h"
#include "workers/job/tokenize.h"

namespace swage {

StatusOr<int> RunTokenize(const Session& session, const TokenizeRequest& request);

}  // namespace swage
