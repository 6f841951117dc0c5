#include "clients/cli/progress.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

namespace swage {
namespace {

struct Recorder {
  std::string text;
  ProgressDisplay::Writer Writer() {
    return [this](std::string_view part) { text += part; };
  }
  int Lines() const { return static_cast<int>(std::count(text.begin(), text.end(), '\n')); }
};

TEST(ProgressTest, OnATerminalOneLineIsRedrawn) {
  Recorder recorder;
  ManualClock clock;
  {
    ProgressDisplay display({.terminal = true, .color = false, .columns = 80}, &clock, recorder.Writer());
    display.Update("load", 0.25, 12.3, "");
    EXPECT_EQ(recorder.text, "\r\x1b[K[######------------------]  25 %  load  12.3 s left");
    clock.AdvanceMillis(200);
    display.Update("load", 0.5, 8, "");
    EXPECT_EQ(recorder.Lines(), 0);
  }
  EXPECT_EQ(recorder.Lines(), 1);  // the last bar is left standing
}

TEST(ProgressTest, NeverWiderThanTheTerminal) {
  Recorder recorder;
  ManualClock clock;
  ProgressDisplay display({.terminal = true, .color = false, .columns = 40}, &clock, recorder.Writer());
  display.Update("a stage with a very long name", 0.5, 100, "and a detail that is longer still");
  EXPECT_LE(recorder.text.size(), std::string("\r\x1b[K").size() + 39);
}

TEST(ProgressTest, FastUpdatesOfOneStageAreThinned) {
  Recorder recorder;
  ManualClock clock;
  ProgressDisplay display({.terminal = false}, &clock, recorder.Writer());
  for (int i = 0; i < 1000; ++i) {
    display.Update("evaluate", i / 1000.0, -1, "");
    clock.AdvanceMillis(10);  // ten seconds in all
  }
  EXPECT_GE(recorder.Lines(), 2);
  EXPECT_LE(recorder.Lines(), 4);
}

TEST(ProgressTest, PlainLinesShowEveryStage) {
  Recorder recorder;
  ManualClock clock;
  ProgressDisplay display({.terminal = false}, &clock, recorder.Writer());
  display.Update("load", 0.1, -1, "");
  display.Update("block[0]", 0.2, 4, "");
  display.Update("block[1]", 0.3, -1, "note");
  EXPECT_EQ(recorder.text, "10 %  load\n20 %  block[0]  4.0 s left\n30 %  block[1]  note\n");
}

TEST(ProgressTest, NumbersThatAreNoneAreHarmless) {
  Recorder recorder;
  ManualClock clock;
  ProgressDisplay display({.terminal = true, .columns = 80}, &clock, recorder.Writer());
  display.Update("a", std::nan(""), -1, "");
  display.Update("b", 7.0, -1, "");
  display.Update("c", -3.0, -1, "");
  EXPECT_NE(recorder.text.find("100 %  b"), std::string::npos);
  EXPECT_NE(recorder.text.find("  0 %  c"), std::string::npos);
}

TEST(ProgressTest, ANoteStandsAboveTheBar) {
  Recorder recorder;
  ManualClock clock;
  ProgressDisplay display({.terminal = true, .columns = 80}, &clock, recorder.Writer());
  display.Update("load", 0.5, -1, "");
  recorder.text.clear();
  display.Note("the server is away");
  EXPECT_EQ(recorder.text, "\r\x1b[Kthe server is away\n[############------------]  50 %  load");
}

TEST(EtaMeterTest, FollowsWhatWasDone) {
  ManualClock clock;
  const EtaMeter meter(&clock);
  EXPECT_LT(meter.EtaSeconds(0.5), 0);  // too early to tell
  clock.AdvanceMillis(10000);
  EXPECT_LT(meter.EtaSeconds(0), 0);
  EXPECT_NEAR(meter.EtaSeconds(0.25), 30, 1e-9);
  EXPECT_NEAR(meter.EtaSeconds(1), 0, 1e-9);
}

}  // namespace
}  // namespace swage
