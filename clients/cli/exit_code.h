// What `swage` returns to the shell; docs/cli.md tells users, scripts depend on it: never renumber.
#pragma once

#include <string_view>

#include "base/status.h"

namespace swage {

enum ExitCode {
  kExitOk = 0,
  kExitJobFailed = 1,    // the job ended FAILED
  kExitBadInput = 2,     // usage, or an input that cannot work
  kExitNotFound = 3,
  kExitUnavailable = 4,  // no server, or none that answers in time
  kExitCancelled = 5,
  kExitDataLoss = 6,     // bytes that are not what their digest says
  kExitInternal = 7,
  kExitRefused = 8,      // a good request that cannot be done now: state, permission, space
};

int ExitCodeOf(const Status& status);

// Of a job in a final state: "SUCCEEDED", "FAILED", "CANCELLED".
int ExitCodeOfJob(std::string_view state);

}  // namespace swage
