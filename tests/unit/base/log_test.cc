#include "base/log.h"

#include <gtest/gtest.h>

#include <string>

namespace swage {
namespace {

TEST(Log, AnEventIsOneLineWhateverItsText) {
  SetLogName("log_test");
  testing::internal::CaptureStderr();
  LogWarning("name=", "a\nb\x1b[31m", " n=", 3);
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
  EXPECT_NE(out.find("name=a\\nb\\x1b[31m n=3"), std::string::npos) << out;
  EXPECT_NE(out.find("log_test"), std::string::npos) << out;
}

TEST(Log, ShowsWhatTheLevelAsksFor) {
  testing::internal::CaptureStderr();
  SetLogLevel(LogLevel::kError);
  LogInfo("quiet");
  LogError("loud");
  SetLogLevel(LogLevel::kInfo);
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_EQ(out.find("quiet"), std::string::npos);
  EXPECT_NE(out.find("loud"), std::string::npos);
}

}  // namespace
}  // namespace swage
