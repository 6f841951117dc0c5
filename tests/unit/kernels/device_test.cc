#include "kernels/api/device.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace swage {
namespace {

// A device of its own, so that the process's memory is left alone.
class SmallMemory : public DeviceMemory {
 public:
  SmallMemory() : DeviceMemory("small") {}

 protected:
  void* Take(int64_t bytes) override { return bytes > 4096 ? nullptr : new char[bytes]; }
  void Give(void* pointer) override { delete[] static_cast<char*>(pointer); }
};

TEST(DeviceMemoryTest, RefusesWhatWouldPassTheLimit) {
  SmallMemory memory;
  memory.set_limit_bytes(1000);
  StatusOr<DeviceBuffer> first = DeviceBuffer::Make(&memory, 600);
  ASSERT_TRUE(first.ok());
  const StatusOr<DeviceBuffer> second = DeviceBuffer::Make(&memory, 401);
  EXPECT_EQ(second.status().code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(second.status()), "MEMORY_LIMIT");
  for (const char* figure : {"401 B", "600 B", "1.0 kB"}) {  // needed, held, the limit
    EXPECT_NE(MessageOf(second.status()).find(figure), std::string::npos) << second.status();
  }
  EXPECT_FALSE(NextStepOf(second.status()).empty());
  EXPECT_EQ(memory.used_bytes(), 600);
  const StatusOr<DeviceBuffer> third = DeviceBuffer::Make(&memory, 400);
  EXPECT_TRUE(third.ok());
  *first = DeviceBuffer();
  EXPECT_TRUE(DeviceBuffer::Make(&memory, 600).ok());
  EXPECT_EQ(memory.peak_bytes(), 1000);
}

TEST(DeviceMemoryTest, ADeviceWithoutRoomIsNotCounted) {
  SmallMemory memory;
  EXPECT_EQ(ReasonOf(memory.Allocate(5000).status()), "OUT_OF_MEMORY");
  EXPECT_EQ(memory.used_bytes(), 0);
  EXPECT_EQ(memory.peak_bytes(), 0);
  EXPECT_EQ(*memory.Allocate(0), nullptr);
  EXPECT_FALSE(memory.Allocate(-1).ok());
}

TEST(DeviceMemoryTest, ChargesAreCountedBeyondTheLimit) {
  SmallMemory memory;
  memory.set_limit_bytes(100);
  memory.Charge(150);
  EXPECT_EQ(memory.Check().code(), StatusCode::kResourceExhausted);
  memory.Charge(-100);
  EXPECT_TRUE(memory.Check().ok());
  EXPECT_EQ(memory.peak_bytes(), 150);
  memory.ResetPeak();
  EXPECT_EQ(memory.peak_bytes(), 50);
}

TEST(DeviceMemoryTest, ThreadsCannotPassTheLimitTogether) {
  SmallMemory memory;
  memory.set_limit_bytes(64);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 2000; ++round) (void)DeviceBuffer::Make(&memory, 24);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(memory.peak_bytes(), 64);
  EXPECT_EQ(memory.used_bytes(), 0);
}

TEST(DeviceMemoryTest, WhatIsReservedNobodyElseIsPromised) {
  SmallMemory memory;
  memory.set_limit_bytes(1000);
  StatusOr<DeviceBuffer> before = DeviceBuffer::Make(&memory, 100);
  StatusOr<MemoryReservation> room = memory.Reserve(700, "block[3]");
  ASSERT_TRUE(before.ok() && room.ok());
  EXPECT_EQ(room->bytes(), 700);
  EXPECT_EQ(memory.used_bytes(), 100) << "a promise is not a use";
  const StatusOr<MemoryReservation> second = memory.Reserve(201, "the next block");
  EXPECT_EQ(ReasonOf(second.status()), "MEMORY_LIMIT");
  EXPECT_NE(MessageOf(second.status()).find("the next block needs 201 B"), std::string::npos);
  // The work draws on its own room: that does not count twice.
  StatusOr<DeviceBuffer> drawn = DeviceBuffer::Make(&memory, 700);
  ASSERT_TRUE(drawn.ok());
  {
    const StatusOr<MemoryReservation> rest = memory.Reserve(200, "the next block");
    EXPECT_TRUE(rest.ok());
    EXPECT_FALSE(memory.Reserve(1, "more").ok());
  }
  *room = MemoryReservation();
  EXPECT_FALSE(memory.Reserve(201, "more").ok()) << "what is in use is not free";
  *drawn = DeviceBuffer();
  *before = DeviceBuffer();
  EXPECT_TRUE(memory.Reserve(1000, "all").ok());
  EXPECT_FALSE(memory.Reserve(-1, "").ok());
}

TEST(HostDeviceTest, GivesAlignedMemoryAndTimes) {
  const int64_t before = HostMemory().used_bytes();
  StatusOr<DeviceBuffer> buffer = DeviceBuffer::Make(&HostMemory(), 100);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 64, 0u);
  EXPECT_EQ(HostMemory().used_bytes(), before + 100);
  const std::unique_ptr<Stream> stream = NewHostStream();
  const auto begin = stream->Record(), end = stream->Record();
  ASSERT_TRUE(begin.ok() && end.ok());
  EXPECT_GE((*end)->SecondsSince(**begin).value(), 0);
  EXPECT_TRUE(stream->Synchronize().ok());
}

}  // namespace
}  // namespace swage
