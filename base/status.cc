#include "base/status.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "absl/strings/cord.h"

namespace swage {
namespace {

constexpr char kReasonUrl[] = "type.swage.dev/reason";
constexpr char kNextStepUrl[] = "type.swage.dev/next_step";

std::string PayloadOf(const Status& status, const char* url) {
  auto payload = status.GetPayload(url);
  return payload.has_value() ? std::string(*payload) : std::string();
}

struct ErrnoMeaning {
  StatusCode code;
  const char* reason;
  const char* next_step;
};

ErrnoMeaning MeaningOf(int errno_value) {
  switch (errno_value) {
    case ENOSPC:
    case EDQUOT:
      return {StatusCode::kResourceExhausted, "DISK_FULL", "free some space on this disk, then try again"};
    case ENOENT:
      return {StatusCode::kNotFound, "FILE_NOT_FOUND", "check the path"};
    case EACCES:
    case EPERM:
    case EROFS:
      return {StatusCode::kPermissionDenied, "PERMISSION_DENIED", "check the owner and the mode of the path"};
    case EEXIST:
    case ENOTEMPTY:
      return {StatusCode::kAlreadyExists, "FILE_EXISTS", "choose another path or remove the old one"};
    case ENOTDIR:
      return {StatusCode::kInvalidArgument, "NOT_A_FOLDER", "check the path"};
    case EISDIR:
      return {StatusCode::kInvalidArgument, "NOT_A_FILE", "check the path"};
    case ELOOP:
    case ENAMETOOLONG:
      return {StatusCode::kInvalidArgument, "BAD_PATH", "check the path"};
    case EMFILE:
    case ENFILE:
      return {StatusCode::kResourceExhausted, "TOO_MANY_OPEN_FILES", "raise the limit with ulimit -n"};
    case ENOMEM:
      return {StatusCode::kResourceExhausted, "OUT_OF_MEMORY", "free some memory, then try again"};
    default:
      return {StatusCode::kInternal, "IO_ERROR", "look at the system's log for the state of this disk"};
  }
}

}  // namespace

Status Error(StatusCode code, std::string_view reason, std::string_view message, std::string_view next_step) {
  SWAGE_CHECK(code != StatusCode::kOk, "an error needs a code: ", message);
  Status status(code, ToAbsl(message));
  if (!reason.empty()) status.SetPayload(kReasonUrl, absl::Cord(ToAbsl(reason)));
  if (!next_step.empty()) status.SetPayload(kNextStepUrl, absl::Cord(ToAbsl(next_step)));
  return status;
}

std::string ReasonOf(const Status& status) { return PayloadOf(status, kReasonUrl); }
std::string NextStepOf(const Status& status) { return PayloadOf(status, kNextStepUrl); }
std::string MessageOf(const Status& status) { return std::string(ToStd(status.message())); }

Status Annotate(const Status& status, std::string_view context) {
  if (status.ok()) return status;
  Status annotated(status.code(), ToAbsl(Cat(context, ": ", ToStd(status.message()))));
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    annotated.SetPayload(url, payload);
  });
  return annotated;
}

Status InvalidInput(std::string_view reason, std::string_view message, std::string_view next_step) {
  return Error(StatusCode::kInvalidArgument, reason, message, next_step);
}
Status NotFound(std::string_view reason, std::string_view message, std::string_view next_step) {
  return Error(StatusCode::kNotFound, reason, message, next_step);
}
Status Precondition(std::string_view reason, std::string_view message, std::string_view next_step) {
  return Error(StatusCode::kFailedPrecondition, reason, message, next_step);
}
Status DataLoss(std::string_view reason, std::string_view message, std::string_view next_step) {
  return Error(StatusCode::kDataLoss, reason, message, next_step);
}
Status Unavailable(std::string_view reason, std::string_view message, std::string_view next_step) {
  return Error(StatusCode::kUnavailable, reason, message, next_step);
}
Status Internal(std::string_view message) {
  return Error(StatusCode::kInternal, "INTERNAL", message, "please report this with the log of the process");
}

Status PosixError(int errno_value, std::string_view what) {
  const ErrnoMeaning meaning = MeaningOf(errno_value);
  char buffer[128];
  const char* text = strerror_r(errno_value, buffer, sizeof buffer);  // GNU's form
  return Error(meaning.code, meaning.reason, Cat(what, ": ", text), meaning.next_step);
}

void CheckFailed(const char* file, int line, const char* condition, const std::string& message) {
  std::fprintf(stderr, "%s:%d: check failed: %s %s\n", file, line, condition, message.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace swage
