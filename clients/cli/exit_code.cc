#include "clients/cli/exit_code.h"

namespace swage {

int ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case StatusCode::kOk:
      return kExitOk;
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
      return kExitBadInput;
    case StatusCode::kNotFound:
      return kExitNotFound;
    case StatusCode::kUnavailable:
    case StatusCode::kDeadlineExceeded:
      return kExitUnavailable;
    case StatusCode::kCancelled:
      return kExitCancelled;
    case StatusCode::kDataLoss:
      return kExitDataLoss;
    case StatusCode::kFailedPrecondition:
    case StatusCode::kAlreadyExists:
    case StatusCode::kPermissionDenied:
    case StatusCode::kUnauthenticated:
    case StatusCode::kResourceExhausted:
    case StatusCode::kAborted:
      return kExitRefused;
    default:
      return kExitInternal;
  }
}

int ExitCodeOfJob(std::string_view state) {
  if (state == "SUCCEEDED") return kExitOk;
  if (state == "CANCELLED") return kExitCancelled;
  return kExitJobFailed;
}

}  // namespace swage
