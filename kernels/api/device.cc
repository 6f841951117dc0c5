#include "kernels/api/device.h"

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

Status DeviceMemory::Exhausted(int64_t bytes, int64_t used) const {
  const int64_t limit = limit_bytes_;
  return Error(StatusCode::kResourceExhausted, "OUT_OF_MEMORY",
               limit > 0 ? Cat(name_, ": ", bytes, " bytes more than ", used,
                               " in use would pass the limit of ", limit)
                         : Cat(name_, ": no room for ", bytes, " bytes beside ", used, " in use"),
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
    if (limit > 0 && bytes > limit - used) return Exhausted(bytes, used);
  } while (!used_bytes_.compare_exchange_weak(used, used + bytes));
  void* pointer = Take(bytes);
  if (pointer == nullptr) {
    used_bytes_ -= bytes;
    return Exhausted(bytes, used);
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
  return limit == 0 || used <= limit ? Status() : Exhausted(0, used);
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
