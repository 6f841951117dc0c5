#include "scheduler/state/group_queue.h"

#include <atomic>
#include <thread>

#include "gtest/gtest.h"

namespace swage {
namespace {

struct Item {
  int in = 0, out = 0;
};

TEST(GroupQueue, EachItemIsInExactlyOneGroupAndGroupsDoNotOverlap) {
  constexpr int kThreads = 8, kEach = 2000;
  constexpr size_t kLargest = 5;
  GroupQueue<Item> queue(kLargest);
  std::atomic<int> inside = 0, worked = 0, groups = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        Item mine{t * kEach + i};
        queue.Run(&mine, [&](const std::vector<Item*>& group) {
          EXPECT_EQ(inside.fetch_add(1), 0);
          EXPECT_GE(group.size(), 1u);
          EXPECT_LE(group.size(), kLargest);
          for (Item* item : group) {
            EXPECT_EQ(item->out, 0);
            item->out = item->in + 1;
            ++worked;
          }
          ++groups;
          --inside;
        });
        ASSERT_EQ(mine.out, mine.in + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(worked, kThreads * kEach);
  EXPECT_LE(groups, worked);
}

TEST(GroupQueue, WhatComesDuringAGroupGoesTogether) {
  GroupQueue<Item> queue(100);
  std::atomic<int> arrived = 0;
  std::vector<size_t> sizes;
  std::vector<std::thread> threads;
  Item first;
  queue.Run(&first, [&](const std::vector<Item*>& group) {
    sizes.push_back(group.size());
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        Item mine;
        ++arrived;
        queue.Run(&mine, [&](const std::vector<Item*>& later) { sizes.push_back(later.size()); });
      });
    }
    while (arrived < 4) std::this_thread::yield();
  });
  for (std::thread& thread : threads) thread.join();
  size_t sum = 0;
  for (const size_t size : sizes) sum += size;
  EXPECT_EQ(sum, 5u);
  EXPECT_EQ(sizes[0], 1u);
}

}  // namespace
}  // namespace swage
