#include "kernels/api/device.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/text.h"

namespace swage {
namespace {

class HostMemoryOwner : public DeviceMemory {
 public:
  HostMemoryOwner() : DeviceMemory("host memory") {}

 protected:
  void* Take(int64_t bytes) override {
    return std::aligned_alloc(64, (static_cast<size_t>(bytes) + 63) / 64 * 64);
  }
  void Give(void* pointer) override { std::free(pointer); }
};

using Instant = std::chrono::steady_clock::time_point;

class HostEvent : public StreamEvent {
 public:
  explicit HostEvent(Instant at) : at_(at) {}
  StatusOr<double> SecondsSince(const StreamEvent& earlier) const override {
    const auto* other = dynamic_cast<const HostEvent*>(&earlier);
    SWAGE_CHECK(other != nullptr, "events of different devices");
    return std::chrono::duration<double>(at_ - other->at_).count();
  }

 private:
  Instant at_;
};

class HostStream : public Stream {
 public:
  StatusOr<std::unique_ptr<StreamEvent>> Record() override {
    return std::unique_ptr<StreamEvent>(
        std::make_unique<HostEvent>(std::chrono::steady_clock::now()));
  }
  Status Synchronize() override { return Status(); }
};

}  // namespace

Status DeviceMemory::BeyondLimit(std::string_view what, int64_t bytes, int64_t held) const {
  const auto human = [](int64_t n) { return HumanBytes(static_cast<double>(n)); };
  return Error(StatusCode::kResourceExhausted, "MEMORY_LIMIT",
               Cat(what, " needs ", human(bytes), " of ", name_, " beside the ", human(held),
                   " that are held, the limit is ", human(limit_bytes_)),
               "give the job more memory, or smaller windows or blocks");
}

void DeviceMemory::RaisePeak(int64_t used) {
  int64_t peak = peak_bytes_;
  while (used > peak && !peak_bytes_.compare_exchange_weak(peak, used)) {
  }
}

StatusOr<void*> DeviceMemory::Allocate(int64_t bytes) {
  if (bytes < 0) return InvalidInput("KERNEL_ARGUMENT", "a negative number of bytes");
  if (bytes == 0) return static_cast<void*>(nullptr);
  const int64_t limit = limit_bytes_;
  int64_t used = used_bytes_;
  do {  // reserved before it is taken, so that two callers cannot pass the limit together
    if (limit > 0 && bytes > limit - used) return BeyondLimit("a buffer", bytes, used);
  } while (!used_bytes_.compare_exchange_weak(used, used + bytes));
  void* pointer = Take(bytes);
  if (pointer == nullptr) {
    used_bytes_ -= bytes;
    return Error(StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
                 Cat(name_, " has no room for ", bytes, " bytes beside ", used, " in use"),
                 "end what else uses this memory, or use smaller windows or blocks");
  }
  RaisePeak(used + bytes);
  return pointer;
}

void DeviceMemory::Free(void* pointer, int64_t bytes) {
  if (pointer == nullptr) return;
  Give(pointer);
  used_bytes_ -= bytes;
}

void DeviceMemory::Charge(int64_t bytes) { RaisePeak(used_bytes_ += bytes); }

Status DeviceMemory::Check() const {
  const int64_t limit = limit_bytes_, used = used_bytes_;
  return limit == 0 || used <= limit ? Status() : BeyondLimit("the work", used - limit, limit);
}

StatusOr<MemoryReservation> DeviceMemory::Reserve(int64_t bytes, std::string_view what) {
  if (bytes < 0) return InvalidInput("KERNEL_ARGUMENT", "a negative number of bytes");
  const std::lock_guard<std::mutex> lock(mutex_);
  const int64_t held = std::max(used_bytes_.load(), promised_bytes_), limit = limit_bytes_;
  if (limit > 0 && bytes > limit - held) return BeyondLimit(what, bytes, held);
  promised_bytes_ = held + bytes;
  ++reservations_;
  return MemoryReservation(this, bytes);
}

void DeviceMemory::GiveBack(int64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  promised_bytes_ -= bytes;
  // What was in use beside them when they were made may be gone by now.
  if (--reservations_ == 0) promised_bytes_ = 0;
}

MemoryReservation& MemoryReservation::operator=(MemoryReservation&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MemoryReservation::~MemoryReservation() {
  if (memory_ != nullptr) memory_->GiveBack(bytes_);
}

DeviceMemory& HostMemory() {
  static auto* const memory = new HostMemoryOwner;
  return *memory;
}

StatusOr<DeviceBuffer> DeviceBuffer::Make(DeviceMemory* memory, int64_t bytes) {
  DeviceBuffer buffer;
  SWAGE_ASSIGN_OR_RETURN(buffer.data_, memory->Allocate(bytes));
  buffer.memory_ = memory;
  buffer.bytes_ = bytes;
  return buffer;
}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceBuffer::~DeviceBuffer() {
  if (memory_ != nullptr) memory_->Free(data_, bytes_);
}

std::unique_ptr<Stream> NewHostStream() { return std::make_unique<HostStream>(); }

}  // namespace swage
