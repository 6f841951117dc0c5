// A device as its users see it: memory with a limit, and the order and time of its work. The ops
// (kernels/api/ops.h) take raw pointers into such memory.
//   DeviceMemory& memory = HostMemory();
//   memory.set_limit_bytes(assignment_bytes);                       // the slot's share
//   SWAGE_ASSIGN_OR_RETURN(DeviceBuffer x, DeviceBuffer::Make(&memory, n * sizeof(float)));
//   auto begin = stream->Record(); ...; auto end = stream->Record();
//   SWAGE_ASSIGN_OR_RETURN(double seconds, end->SecondsSince(*begin));
// Errors: RESOURCE_EXHAUSTED, MEMORY_LIMIT when the limit has no room, OUT_OF_MEMORY when the device
// itself has none.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace swage {

class DeviceMemory;

// Room that a piece of work has been promised, so that work that cannot fit is refused before it
// begins; given back when destroyed. What the work then allocates is drawn from it.
class MemoryReservation {
 public:
  MemoryReservation() = default;
  MemoryReservation(MemoryReservation&& other) noexcept { *this = std::move(other); }
  MemoryReservation& operator=(MemoryReservation&& other) noexcept;
  ~MemoryReservation();
  int64_t bytes() const { return bytes_; }

 private:
  friend class DeviceMemory;
  MemoryReservation(DeviceMemory* memory, int64_t bytes) : memory_(memory), bytes_(bytes) {}
  DeviceMemory* memory_ = nullptr;
  int64_t bytes_ = 0;
};

// Thread-safe. Sizes are counted as asked for, without the rounding of the device's allocator.
class DeviceMemory {
 public:
  explicit DeviceMemory(std::string name) : name_(std::move(name)) {}
  virtual ~DeviceMemory() = default;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // At least 64-byte aligned, not initialised; null for 0 bytes. To be freed with the same size.
  StatusOr<void*> Allocate(int64_t bytes);
  void Free(void* pointer, int64_t bytes);

  // `what` names the work in the error. Beside it stand what is in use and what others have reserved.
  StatusOr<MemoryReservation> Reserve(int64_t bytes, std::string_view what);

  // For owners that allocate themselves: counts `bytes` (negative: given back), also beyond the
  // limit, and never fails. Check tells.
  void Charge(int64_t bytes);
  Status Check() const;  // is no more in use than the limit?

  void set_limit_bytes(int64_t bytes) { limit_bytes_ = bytes; }  // 0: none
  int64_t limit_bytes() const { return limit_bytes_; }
  int64_t used_bytes() const { return used_bytes_; }
  int64_t peak_bytes() const { return peak_bytes_; }
  void ResetPeak() { peak_bytes_ = used_bytes_.load(); }

 protected:
  virtual void* Take(int64_t bytes) = 0;  // null when there is no room
  virtual void Give(void* pointer) = 0;

 private:
  friend class MemoryReservation;
  Status BeyondLimit(std::string_view what, int64_t bytes, int64_t held) const;
  void GiveBack(int64_t bytes);  // of a reservation
  void RaisePeak(int64_t used);

  const std::string name_;
  std::atomic<int64_t> limit_bytes_ = 0, used_bytes_ = 0, peak_bytes_ = 0;
  std::mutex mutex_;
  int64_t promised_bytes_ = 0;  // in use at most, once all reservations are drawn
  int reservations_ = 0;
};

// Memory of this process's host; one for all, never destroyed.
DeviceMemory& HostMemory();

// Owns a piece of a device's memory, which must outlive it.
class DeviceBuffer {
 public:
  static StatusOr<DeviceBuffer> Make(DeviceMemory* memory, int64_t bytes);
  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
  ~DeviceBuffer();
  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

 private:
  DeviceMemory* memory_ = nullptr;
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

// A point in a stream's work.
class StreamEvent {
 public:
  virtual ~StreamEvent() = default;
  // Waits until this point is reached. `earlier` is of the same stream.
  virtual StatusOr<double> SecondsSince(const StreamEvent& earlier) const = 0;
};

// Work in order. On the host it is done when the call returns.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual StatusOr<std::unique_ptr<StreamEvent>> Record() = 0;
  virtual Status Synchronize() = 0;  // waits for all work; reports its errors
};

std::unique_ptr<Stream> NewHostStream();

}  // namespace swage
