// What every StateStore must do, whatever it is made of. A new implementation instantiates the
// suite:
//
//   INSTANTIATE_TEST_SUITE_P(Redis, StateStoreSuite, testing::Values(&MakeRedisFixture));
//
// SWAGE_CONFORMANCE_OPS sets the number of random operations (default 100000).
#pragma once

#include <functional>
#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "scheduler/state/state_store.h"

namespace swage {

class StateStoreFixture {
 public:
  virtual ~StateStoreFixture() = default;
  // Another handle on the same state; earlier ones may still be open.
  virtual std::shared_ptr<StateStore> Open() = 0;
};

using StateStoreFixtureMaker = std::unique_ptr<StateStoreFixture> (*)();

class StateStoreSuite : public testing::TestWithParam<StateStoreFixtureMaker> {
 protected:
  void SetUp() override {
    fixture_ = GetParam()();
    store_ = fixture_->Open();
  }
  std::unique_ptr<StateStoreFixture> fixture_;
  std::shared_ptr<StateStore> store_;
};

}  // namespace swage
