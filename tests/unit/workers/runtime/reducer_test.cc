#include "workers/runtime/reducer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include "base/rng.h"
#include "tests/unit/workers/runtime/gang.h"
#include "workers/runtime/exact_reducer.h"

namespace swage {
namespace {

using ::testing::ElementsAre;
using Clock = std::chrono::steady_clock;

#define NEEDS_GLOO() \
  if (CollectiveFeatures().empty()) GTEST_SKIP() << "built without Gloo"

constexpr int64_t kLong = 60'000;

TEST(Reducer, AloneNothingIsAskedOfAnybody) {
  const auto self = ConnectReducer({}, nullptr);
  ASSERT_TRUE(self.ok());
  double value = 3;
  EXPECT_TRUE((*self)->AllReduceSum(&value, 1).ok());
  EXPECT_TRUE((*self)->Barrier().ok());
  EXPECT_EQ(value, 3);
  EXPECT_THAT(*GatherTexts(self->get(), "a"), ElementsAre("a"));
}

TEST(Reducer, WithoutGlooAGangSaysWhatToInstall) {
  if (!CollectiveFeatures().empty()) GTEST_SKIP() << "built with Gloo";
  ReducerOptions two;
  two.world = 2;
  EXPECT_EQ(ReasonOf(ConnectReducer(two, nullptr).status()), "COLLECTIVES_MISSING");
}

TEST(Reducer, MembersSumGatherAndBroadcast) {
  NEEDS_GLOO();
  for (const int world : {2, 3, 5}) {
    RunGang(world, kLong, [&](StatusOr<std::unique_ptr<Reducer>> connected) {
      ASSERT_TRUE(connected.ok()) << connected.status();
      Reducer* reducer = connected->get();
      const int rank = reducer->rank();
      std::vector<float> few = {static_cast<float>(rank + 1)};
      ASSERT_TRUE(reducer->AllReduceSum(few.data(), 1).ok());
      EXPECT_EQ(few[0], static_cast<float>(world * (world + 1) / 2));
      std::vector<double> many(100'003);
      for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<double>(i) * (rank + 1);
      ASSERT_TRUE(reducer->AllReduceSum(many.data(), static_cast<int64_t>(many.size())).ok());
      for (size_t i = 0; i < many.size(); i += 997) ASSERT_EQ(many[i], static_cast<double>(i) * (world * (world + 1) / 2));
      std::string text = rank == world - 1 ? "from the last" : "             ";
      ASSERT_TRUE(reducer->Broadcast(text.data(), static_cast<int64_t>(text.size()), world - 1).ok());
      EXPECT_EQ(text, "from the last");
      const auto all = GatherTexts(reducer, std::string(static_cast<size_t>(rank * 70'000), static_cast<char>('a' + rank)));
      ASSERT_TRUE(all.ok()) << all.status();
      for (int r = 0; r < world; ++r) {
        EXPECT_EQ((*all)[static_cast<size_t>(r)], std::string(static_cast<size_t>(r * 70'000), static_cast<char>('a' + r)));
      }
      EXPECT_TRUE(reducer->Barrier().ok());
    });
  }
}

TEST(Reducer, AbortEndsACallThatWaits) {
  NEEDS_GLOO();
  std::atomic<bool> done{false};
  RunGang(2, kLong, [&](StatusOr<std::unique_ptr<Reducer>> connected) {
    ASSERT_TRUE(connected.ok()) << connected.status();
    Reducer* reducer = connected->get();
    if (reducer->rank() == 1) {  // does not come before the other has given up, and then sees it
      done.wait(false);
      EXPECT_EQ(ReasonOf(reducer->Barrier()), "PEER_LOST");
      return;
    }
    std::thread other([&] { reducer->Abort(); });
    const Status status = reducer->Barrier();
    other.join();
    done = true;
    done.notify_all();
    EXPECT_EQ(ReasonOf(status), "COLLECTIVE_ABORTED") << status;
    EXPECT_EQ(ReasonOf(reducer->Barrier()), "COLLECTIVE_ABORTED");
  });
}

TEST(Reducer, WhoeverDoesNotComeEndsTheCallAtItsDeadline) {
  NEEDS_GLOO();
  std::atomic<bool> done{false};
  RunGang(2, 1500, [&](StatusOr<std::unique_ptr<Reducer>> connected) {
    ASSERT_TRUE(connected.ok()) << connected.status();
    if ((*connected)->rank() == 1) return done.wait(false);
    const auto began = Clock::now();
    const Status status = (*connected)->Barrier();
    EXPECT_EQ(ReasonOf(status), "COLLECTIVE_TIMEOUT") << status;
    EXPECT_FALSE(NextStepOf(status).empty());
    EXPECT_LT(Clock::now() - began, std::chrono::seconds(10));
    done = true;
    done.notify_all();
  });
}

TEST(Reducer, AnotherAttemptsMembersAreRefused) {
  NEEDS_GLOO();
  const auto earlier = [](int rank, std::vector<std::string>* said) {
    Introduction other;
    other.kind = "gloo";
    other.session = "an earlier one";
    if (rank == 0) (*said)[1] = Encode(other);
  };
  std::atomic<int> refused{0};
  RunGang(2, 500, [&](StatusOr<std::unique_ptr<Reducer>> connected) {
    EXPECT_FALSE(connected.ok());
    refused += ReasonOf(connected.status()) == "RENDEZVOUS_MISMATCH";
  }, earlier);
  EXPECT_EQ(refused, 1);  // the other finds nobody
}

TEST(Reducer, WhoDoesNotKnowTheSecretIsFoundOut) {
  NEEDS_GLOO();
  // Member 1 is told another secret of member 0: to member 0 it is a stranger on its port.
  const auto strange = [](int rank, std::vector<std::string>* said) {
    auto all = DecodeAll(*said, 2, "gloo", "test");
    if (rank != 1 || !all.ok()) return;
    (*all)[0].secret.back() = (*all)[0].secret.back() == '0' ? '1' : '0';
    (*said)[0] = Encode((*all)[0]);
  };
  RunGang(2, kLong, [&](StatusOr<std::unique_ptr<Reducer>> connected) {
    if (connected.ok()) {
      EXPECT_EQ((*connected)->rank(), 1);
    } else {
      EXPECT_EQ(ReasonOf(connected.status()), "RENDEZVOUS_MISMATCH") << connected.status();
    }
  }, strange);
}

// The sum of arrays along the tree, from every cut of the chunks into runs.
TEST(ChunkTree, TheOrderOfAdditionsDoesNotDependOnTheNumberOfWorkers) {
  Rng rng(7);
  std::vector<double> values(kReductionChunks);
  for (double& value : values) value = std::ldexp(rng.UniformDouble() - 0.5, static_cast<int>(rng.Uniform(60)));
  const auto add = [](double* earlier, double later) { *earlier += later; };
  for (const uint64_t present : {0xffffu, 0xfff7u, 0x0108u, 0x8000u, 0x5555u}) {
    std::optional<double> first;
    for (int world = 1; world <= 20; ++world) {
      NodeValues<double> nodes;
      for (int rank = 0; rank < world; ++rank) {
        const ChunkRange own = ChunksOf(rank, world);
        ChunkStack<double> stack(own, add);
        for (int64_t c = own.begin; c < own.end; ++c) {
          if (present >> c & 1) stack.Add(c, values[static_cast<size_t>(c)]);
        }
        const auto some = stack.Take();
        EXPECT_LE(some.size(), 2u * kReductionLevels);
        nodes.insert(nodes.begin(), some.begin(), some.end());
      }
      std::vector<ChunkNode> places;
      for (const auto& [node, value] : nodes) places.push_back(node);
      EXPECT_TRUE(AreChunkNodes(places));
      const auto total = CombineChunks<double>(nodes, add);
      ASSERT_TRUE(total.has_value());
      if (!first.has_value()) first = total;
      EXPECT_EQ(*total, *first) << "world " << world << " of " << present;
    }
  }
  EXPECT_FALSE(AreChunkNodes({{0, 1}, {1, 0}}));
  EXPECT_FALSE(AreChunkNodes({{70, 0}}));
  EXPECT_FALSE(AreChunkNodes({{4, 1}}));
  EXPECT_FALSE(CombineChunks<double>({}, add).has_value());
}

TEST(ExactReducer, SumsAreTheSameBytesForEveryWorld) {
  NEEDS_GLOO();
  constexpr int64_t kSize = 300'001;  // several pieces
  const auto value = [](int64_t chunk, int64_t i) {
    return std::sin(static_cast<float>(chunk * 131 + i % 8191)) * std::exp2(static_cast<float>((chunk * 7 + i) % 30));
  };
  const auto total_of = [&](Reducer* reducer) {
    ExactReducer exact(reducer);
    ChunkStack<std::vector<float>> stack(exact.own(), [](std::vector<float>* earlier, std::vector<float> later) {
      for (size_t i = 0; i < later.size(); ++i) (*earlier)[i] += later[i];
    });
    for (int64_t c = exact.own().begin; c < exact.own().end; ++c) {
      std::vector<float> values(kSize);
      for (int64_t i = 0; i < kSize; ++i) values[static_cast<size_t>(i)] = value(c, i);
      stack.Add(c, std::move(values));
    }
    const auto nodes = stack.Take();
    NodeValues<const float*> mine;
    for (const auto& [node, values] : nodes) mine.emplace_back(node, values.data());
    std::vector<float> total(kSize);
    const Status status = exact.Sum(mine, kSize, total.data());
    EXPECT_TRUE(status.ok()) << status;
    return total;
  };
  const std::vector<float> alone = total_of(nullptr);
  std::vector<float> straight(kSize);
  for (int64_t c = 0; c < kReductionChunks; ++c) {
    for (int64_t i = 0; i < kSize; ++i) straight[static_cast<size_t>(i)] += value(c, i);
  }
  EXPECT_NE(straight, alone) << "the values do not show the order of additions";
  for (const int world : {2, 3, 4}) {
    RunGang(world, kLong, [&](StatusOr<std::unique_ptr<Reducer>> connected) {
      ASSERT_TRUE(connected.ok()) << connected.status();
      EXPECT_TRUE(total_of(connected->get()) == alone) << "world " << world;
    });
  }
}

}  // namespace
}  // namespace swage
