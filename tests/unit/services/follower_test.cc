#include "services/control/follower.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace swage {
namespace {

void Append(StateStore* state, const std::string& stream) {
  Transaction transaction;
  transaction.events.push_back({stream, "x"});
  ASSERT_EQ(state->Apply(transaction), ApplyResult::kOk);
}

// Counts the events of its stream as a watch would: by reading them when woken.
struct Reader {
  Reader(StateStore* state, std::string stream, size_t until) : state(state), stream(std::move(stream)), until(until) {}
  void Wake() {
    std::lock_guard<std::mutex> lock(mutex);
    const auto events = state->ReadStream(stream, seen, 100);
    for (const StoredEvent& event : *events) seen = event.stream_sequence;
    if (seen >= until && !told) {
      told = true;
      done.set_value();
    }
  }
  StateStore* state;
  std::string stream;
  size_t until;
  std::mutex mutex;
  uint64_t seen = 0;
  bool told = false;
  std::promise<void> done;
};

TEST(EventFollower, EveryEventIsSeenWhetherItCameBeforeDuringOrAfterSubscribing) {
  std::shared_ptr<StateStore> state = NewMemoryStateStore();
  EventFollower follower(state);
  Append(state.get(), "a");
  Append(state.get(), "b");
  Reader a(state.get(), "a", 41), b(state.get(), "b", 2);
  const uint64_t id = follower.Subscribe("a", [&] { a.Wake(); });
  follower.Subscribe("b", [&] { b.Wake(); });
  for (int i = 0; i < 40; ++i) Append(state.get(), "a");
  Append(state.get(), "b");
  EXPECT_EQ(a.done.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(b.done.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  follower.Unsubscribe(id);
  follower.Stop();
}

TEST(EventFollower, APokeCallsAgain) {
  EventFollower follower(NewMemoryStateStore());
  std::promise<void> second;
  std::atomic<int> calls = 0;
  std::atomic<uint64_t> id = 0;
  id = follower.Subscribe("a", [&] {
    const int n = ++calls;
    if (n == 2) second.set_value();
  });
  while (calls == 0) std::this_thread::yield();
  follower.Poke(id);
  EXPECT_EQ(second.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  follower.Stop();
}

}  // namespace
}  // namespace swage
