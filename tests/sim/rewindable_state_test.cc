#include "tests/sim/rewindable_state.h"

#include "base/rng.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage::sim {
namespace {

struct Operation {
  bool lead = false;
  Transaction transaction;
};

Operation Draw(Rng* rng) {
  Operation operation;
  operation.lead = rng->Uniform(20) == 0;
  operation.transaction.incarnation = rng->Uniform(4) == 0 ? rng->Uniform(6) : 0;
  for (uint64_t key = 0; key < 6; ++key) {
    if (rng->Uniform(3) != 0) continue;
    Write write{Cat("t/job/", key), rng->Uniform(3), std::nullopt};
    if (rng->Uniform(4) != 0) write.value = Cat("value ", rng->Uniform(1000));
    operation.transaction.writes.push_back(write);
  }
  if (rng->Uniform(4) == 0)
    operation.transaction.trims.push_back({Cat("stream", rng->Uniform(3)), rng->Uniform(50)});
  for (uint64_t i = rng->Uniform(3); i > 0; --i)
    operation.transaction.events.push_back({Cat("stream", rng->Uniform(3)), Cat(rng->Uniform(99))});
  return operation;
}

void Do(const Operation& operation, StateStore* a, StateStore* b) {
  if (operation.lead) {
    EXPECT_EQ(*a->TakeLeadership(0), *b->TakeLeadership(0));
  } else {
    EXPECT_EQ(a->Apply(operation.transaction), b->Apply(operation.transaction));
  }
}

std::string Everything(StateStore* store) {
  std::string text = Cat("incarnation ", *store->CurrentIncarnation(), "\n");
  const auto records = store->Scan("", "", 100);
  for (const Record& r : *records) text += Cat(r.key, " ", r.version, " ", r.value, "\n");
  const auto back = store->ScanBack("t/job/", "t/job/5", 3);
  for (const Record& r : *back) text += Cat("back ", r.key, "\n");
  const auto events = store->ReadEvents(0, 100000);
  for (const StoredEvent& e : *events)
    text += Cat(e.sequence, " ", e.stream_sequence, " ", e.stream, " ", e.value, "\n");
  for (const char* stream : {"stream0", "stream1", "stream2"})
    text += Cat(stream, " ", store->ReadStream(stream, 2, 100000)->size(), "\n");
  return text;
}

TEST(RewindableState, AgreesWithTheRealMemoryStore) {
  Rng rng(7);
  RewindableState state;
  const auto real = NewMemoryStateStore();
  for (int i = 0; i < 5000; ++i) Do(Draw(&rng), &state, real.get());
  EXPECT_EQ(Everything(&state), Everything(real.get()));
}

TEST(RewindableState, WhatIsTakenBackNeverWas) {
  Rng rng(8);
  for (int round = 0; round < 100; ++round) {
    RewindableState state;
    const auto real = NewMemoryStateStore();
    for (int i = 0; i < 30; ++i) Do(Draw(&rng), &state, real.get());
    const uint64_t mark = state.serial();
    for (int i = 0; i < 30; ++i) {
      const Operation operation = Draw(&rng);
      if (operation.lead) {
        ASSERT_TRUE(state.TakeLeadership(0).ok());
      } else {
        state.Apply(operation.transaction);
      }
    }
    state.RewindTo(mark);
    EXPECT_EQ(state.serial(), mark);
    EXPECT_EQ(Everything(&state), Everything(real.get()));
    for (int i = 0; i < 30; ++i) Do(Draw(&rng), &state, real.get());
    EXPECT_EQ(Everything(&state), Everything(real.get()));
  }
}

TEST(RewindableState, WhatIsForgottenStays) {
  RewindableState state;
  Transaction t;
  t.writes.push_back({"a", 0, "1"});
  ASSERT_EQ(state.Apply(t), ApplyResult::kOk);
  state.Forget(state.serial());
  state.RewindTo(0);
  EXPECT_TRUE(state.Get("a")->has_value());
}

}  // namespace
}  // namespace swage::sim
