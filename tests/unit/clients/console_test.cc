#include "clients/cli/console.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "clients/cli/exit_code.h"

namespace swage {
namespace {

TEST(TextTableTest, ColumnsAreAsWideAsTheirWidestCell) {
  TextTable table({{"NAME"}, {"SIZE", Align::kRight}});
  table.AddRow({"a", "1"});
  table.AddRow({"longer name", "12345"});
  EXPECT_EQ(table.ToString(),
            "NAME          SIZE\n"
            "a                1\n"
            "longer name  12345\n");
}

TEST(TextTableTest, WidthCountsCodePointsNotBytes) {
  TextTable table({{"N"}, {"X"}});
  table.AddRow({"é", "1"});
  table.AddRow({"ab", "2"});
  EXPECT_EQ(table.ToString(), "N   X\né   1\nab  2\n");
}

TEST(ErrorTextTest, SaysWhatWhyAndWhatToDo) {
  const Status status = InvalidInput("TEXT_EMPTY", "a.txt is empty", "name another");
  EXPECT_EQ(ErrorText(status), "error: a.txt is empty (TEXT_EMPTY)\n  do this: name another\n");
  EXPECT_EQ(ErrorText(absl::UnknownError("x")), "error: x\n");
}

TEST(ErrorTextTest, ControlCharactersOfAServerDoNotReachTheTerminal) {
  EXPECT_EQ(ErrorText(NotFound("X", "evil \x1b[2J name")), "error: evil ?[2J name (X)\n");
}

TEST(ErrorJsonTest, IsOneDocumentEvenWithBytesThatAreNoUtf8) {
  const auto json = nlohmann::json::parse(ErrorJson(DataLoss("BAD", "byte \xff here", "try again")));
  EXPECT_EQ(json["error"]["code"], "DATA_LOSS");
  EXPECT_EQ(json["error"]["reason"], "BAD");
  EXPECT_EQ(json["error"]["next_step"], "try again");
  EXPECT_EQ(json["error"]["exit_code"], 6);
}

TEST(ExitCodeTest, EveryCodeOfAStatusHasItsExitCode) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(InvalidInput("X", "x")), 2);
  EXPECT_EQ(ExitCodeOf(NotFound("X", "x")), 3);
  EXPECT_EQ(ExitCodeOf(Unavailable("X", "x")), 4);
  EXPECT_EQ(ExitCodeOf(absl::DeadlineExceededError("x")), 4);
  EXPECT_EQ(ExitCodeOf(absl::CancelledError("x")), 5);
  EXPECT_EQ(ExitCodeOf(DataLoss("X", "x")), 6);
  EXPECT_EQ(ExitCodeOf(Internal("x")), 7);
  EXPECT_EQ(ExitCodeOf(Precondition("X", "x")), 8);
  EXPECT_EQ(ExitCodeOf(absl::ResourceExhaustedError("x")), 8);
}

TEST(ExitCodeTest, AJobsFinalStateDecides) {
  EXPECT_EQ(ExitCodeOfJob("SUCCEEDED"), 0);
  EXPECT_EQ(ExitCodeOfJob("FAILED"), 1);
  EXPECT_EQ(ExitCodeOfJob("CANCELLED"), 5);
}

}  // namespace
}  // namespace swage
