// Commands about the scheduler's state itself, without a server: state copy.
#pragma once

#include <string>

#include "clients/cli/session.h"

namespace swage {

// URIs as of `swage-scheduler --state`. `force` deposes a leader that is alive.
StatusOr<int> RunStateCopy(const Session& session, const std::string& from, const std::string& to,
                           bool force);

}  // namespace swage
