// The threads of attempts, and the one for what must hold nobody up.
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "workers/daemon/background.h"
#include "workers/daemon/run_set.h"
#include "workers/daemon/slot.h"

namespace swage {
namespace {

struct Work {
  AttemptToken token;
};

// Found by the kill test: a fenced worker is given the same token again while the thread of the first time has ended and
// was not joined. The second must not take the first one's place.
TEST(RunSet, TheSameTokenAgainDoesNotReplaceAThreadThatWasNotJoined) {
  RunSet<Work> runs;
  const AttemptToken token{1, 2, 3};
  std::promise<void> first, second, go;
  runs.Start(std::make_unique<Work>(Work{token}), [&](Work*) { first.set_value(); });
  first.get_future().wait();
  runs.Start(std::make_unique<Work>(Work{token}), [&](Work*) {
    go.get_future().wait();
    second.set_value();
  });
  EXPECT_EQ(runs.size(), 2u);
  int visited = 0;
  runs.ForEach([&](Work* work) { visited += work->token == token; });
  EXPECT_EQ(visited, 2);
  runs.JoinEnded();
  EXPECT_GE(runs.size(), 1u) << "what runs is not joined";
  go.set_value();
  second.get_future().wait();
  runs.JoinAll();
  EXPECT_EQ(runs.size(), 0u);
}

TEST(RunSet, ABodyMayStartTheNext) {
  RunSet<Work> runs;
  std::promise<void> ended;
  runs.Start(std::make_unique<Work>(), [&](Work*) {
    runs.Start(std::make_unique<Work>(), [&](Work*) { ended.set_value(); });
  });
  ended.get_future().wait();
  runs.JoinAll();
  EXPECT_EQ(runs.size(), 0u);
}

TEST(Background, RunsTasksInOrderAndWhatWasPostedBeforeItsEnd) {
  std::vector<int> done;
  {
    Background background(3600'000, [] {});
    for (int i = 0; i < 10; ++i) background.Post([&done, i] { done.push_back(i); });
  }
  EXPECT_EQ(done, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(Background, ThePeriodicTaskComesSoonerWhenAsked) {
  std::promise<void> ran;
  Background background(3600'000, [&] { ran.set_value(); });
  background.RunPeriodicSoon();
  ran.get_future().wait();
}

TEST(Background, ThePeriodicTaskComesAgain) {
  std::promise<void> often;
  int times = 0;
  Background background(1, [&] {
    if (++times == 3) often.set_value();
  });
  often.get_future().wait();
}

}  // namespace
}  // namespace swage
