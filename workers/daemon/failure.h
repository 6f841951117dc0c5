// From what went wrong on a worker to the reason that the scheduler decides by (the names of scheduler/core/reason.h).
// The engine's finer reason stays in the message.
#pragma once

#include "base/status.h"
#include "workers/daemon/slot.h"

namespace swage {

enum class FailedIn { kStaging, kEngine, kUpload };
SlotOutcome OutcomeOf(const Status& status, FailedIn where);
// Of a child that ended without a word; `wait_status` as of waitpid.
SlotOutcome OutcomeOfChildEnd(int wait_status);

}  // namespace swage
