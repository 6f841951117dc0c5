#include "base/status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace swage {
namespace {

TEST(Status, CarriesReasonAndNextStepBesideTheMessage) {
  const Status status = Error(StatusCode::kInvalidArgument, "SHARD_MISSING", "no shard 2", "upload it");
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(MessageOf(status), "no shard 2");
  EXPECT_EQ(ReasonOf(status), "SHARD_MISSING");
  EXPECT_EQ(NextStepOf(status), "upload it");
}

TEST(Status, WithoutReasonBothAreEmpty) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), "");
  EXPECT_EQ(NextStepOf(absl::UnavailableError("x")), "");
  EXPECT_EQ(NextStepOf(NotFound("NOT_THERE", "x")), "");
}

TEST(Status, AnnotateKeepsEverythingButTheMessage) {
  const Status status = Annotate(DataLoss("TORN", "bytes differ", "restore it"), "object 5");
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_EQ(MessageOf(status), "object 5: bytes differ");
  EXPECT_EQ(ReasonOf(status), "TORN");
  EXPECT_EQ(NextStepOf(status), "restore it");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "x").ok());
}

TEST(Status, ErrnoBecomesCodeAndReason) {
  const struct {
    int error;
    StatusCode code;
    const char* reason;
  } kCases[] = {
      {ENOSPC, StatusCode::kResourceExhausted, "DISK_FULL"},
      {EDQUOT, StatusCode::kResourceExhausted, "DISK_FULL"},
      {ENOENT, StatusCode::kNotFound, "FILE_NOT_FOUND"},
      {EACCES, StatusCode::kPermissionDenied, "PERMISSION_DENIED"},
      {EEXIST, StatusCode::kAlreadyExists, "FILE_EXISTS"},
      {EIO, StatusCode::kInternal, "IO_ERROR"},
  };
  for (const auto& c : kCases) {
    const Status status = PosixError(c.error, "cannot write /x");
    EXPECT_EQ(status.code(), c.code) << c.error;
    EXPECT_EQ(ReasonOf(status), c.reason);
    EXPECT_NE(NextStepOf(status), "");
    EXPECT_EQ(MessageOf(status).rfind("cannot write /x: ", 0), 0u);
  }
}

StatusOr<std::unique_ptr<int>> Make(bool good) {
  if (!good) return NotFound("NO_INT", "none");
  return std::make_unique<int>(4);
}
StatusOr<int> Use(bool good) {
  SWAGE_ASSIGN_OR_RETURN(const std::unique_ptr<int> value, Make(good));
  SWAGE_RETURN_IF_ERROR(Make(good));
  return *value;
}

TEST(Status, MacrosMoveValuesAndPassErrorsOn) {
  ASSERT_TRUE(Use(true).ok());
  EXPECT_EQ(*Use(true), 4);
  EXPECT_EQ(ReasonOf(Use(false).status()), "NO_INT");
}

TEST(StatusDeathTest, CheckNamesConditionAndMessage) {
  EXPECT_DEATH(SWAGE_CHECK(1 == 2, "value=", 7), "status_test.cc:[0-9]+: check failed: 1 == 2 value=7");
}

}  // namespace
}  // namespace swage
