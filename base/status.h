// Errors. Every function that can fail returns absl::Status or absl::StatusOr; nothing of ours throws across
// a function boundary. An error made here carries, beside the message:
//   reason     a stable UPPER_SNAKE_CASE word that programs match on (google.rpc.ErrorInfo.reason at the edge)
//   next step  one sentence that tells the user what to do now
//
//   return Error(absl::StatusCode::kInvalidArgument, "SHARD_MISSING",
//                Cat("model-00002-of-00003.safetensors is named in the index but is not in ", dir),
//                "upload the complete folder");
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/text.h"

namespace swage {

using absl::Status;
using absl::StatusCode;
using absl::StatusOr;

Status Error(StatusCode code, std::string_view reason, std::string_view message,
             std::string_view next_step = {});

// "" when the status carries none.
std::string ReasonOf(const Status& status);
std::string NextStepOf(const Status& status);

// The same code, reason and next step, with "context: " before the message. OK stays OK.
Status Annotate(const Status& status, std::string_view context);

std::string MessageOf(const Status& status);

// Shorthands for the codes used most.
Status InvalidInput(std::string_view reason, std::string_view message, std::string_view next_step = {});
Status NotFound(std::string_view reason, std::string_view message, std::string_view next_step = {});
Status Precondition(std::string_view reason, std::string_view message, std::string_view next_step = {});
Status DataLoss(std::string_view reason, std::string_view message, std::string_view next_step = {});
Status Unavailable(std::string_view reason, std::string_view message, std::string_view next_step = {});
Status Internal(std::string_view message);
// From errno: ENOSPC -> RESOURCE_EXHAUSTED/DISK_FULL, ENOENT -> NOT_FOUND/FILE_NOT_FOUND, EACCES -> PERMISSION_DENIED.
Status PosixError(int errno_value, std::string_view what);

namespace internal {
inline const Status& AsStatus(const Status& s) { return s; }
template <typename T>
const Status& AsStatus(const StatusOr<T>& s) { return s.status(); }
}  // namespace internal

#define SWAGE_CONCAT_INNER(a, b) a##b
#define SWAGE_CONCAT(a, b) SWAGE_CONCAT_INNER(a, b)
#define SWAGE_RETURN_IF_ERROR(expr)                                   \
  do {                                                                \
    auto swage_status_ = (expr);                                      \
    if (!swage_status_.ok()) return ::swage::internal::AsStatus(swage_status_); \
  } while (0)
#define SWAGE_ASSIGN_OR_RETURN(lhs, expr) \
  SWAGE_ASSIGN_OR_RETURN_INNER(SWAGE_CONCAT(swage_or_, __LINE__), lhs, expr)
#define SWAGE_ASSIGN_OR_RETURN_INNER(tmp, lhs, expr) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) return tmp.status();                \
  lhs = std::move(tmp).value()

// For what cannot happen: prints the condition, the place and the message, then aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition, const std::string& message);
#define SWAGE_CHECK(cond, ...)                                                              \
  do {                                                                                      \
    if (!(cond)) ::swage::CheckFailed(__FILE__, __LINE__, #cond, ::swage::Cat(__VA_ARGS__)); \
  } while (0)

}  // namespace swage
