// Memory for tensors: 64-byte aligned, not initialised, movable, freed with its owner. Counted in
// HostMemory (kernels/api/device.h). What is large (weights, hidden states, logits) comes from
// Allocate, which respects the limit; Resize is for working memory, whose excess the next
// HostMemory().Check() tells.
//   SWAGE_ASSIGN_OR_RETURN(Buffer<float> weight, Buffer<float>::Allocate(out * in));
#pragma once

#include <cstdint>
#include <cstdlib>
#include <utility>

#include "base/status.h"
#include "kernels/api/device.h"

namespace swage {

template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t size) { Resize(size); }
  // Errors: MEMORY_LIMIT, OUT_OF_MEMORY.
  static StatusOr<Buffer> Allocate(int64_t size) {
    SWAGE_CHECK(size >= 0, "negative size of a buffer");
    Buffer buffer;
    SWAGE_ASSIGN_OR_RETURN(void* data,
                           HostMemory().Allocate(size * static_cast<int64_t>(sizeof(T))));
    buffer.data_ = static_cast<T*>(data);
    buffer.size_ = buffer.capacity_ = size;
    return buffer;
  }
  Buffer(Buffer&& other) noexcept { *this = std::move(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Buffer() { Release(); }

  // What it held is lost when it grows. Sizes come from checked configurations, so failure means
  // that the machine has no memory left.
  void Resize(int64_t size) {
    SWAGE_CHECK(size >= 0, "negative size of a buffer");
    if (size > capacity_) {
      Release();
      const size_t bytes = (static_cast<size_t>(size) * sizeof(T) + 63) / 64 * 64;
      data_ = static_cast<T*>(std::aligned_alloc(64, bytes));
      SWAGE_CHECK(data_ != nullptr, "out of memory for ", bytes, " bytes");
      capacity_ = size;
      HostMemory().Charge(size * static_cast<int64_t>(sizeof(T)));
    }
    size_ = size;
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }
  int64_t bytes() const { return size_ * static_cast<int64_t>(sizeof(T)); }

 private:
  void Release() {
    std::free(data_);
    HostMemory().Charge(-capacity_ * static_cast<int64_t>(sizeof(T)));
    data_ = nullptr;
    size_ = capacity_ = 0;
  }

  T* data_ = nullptr;
  int64_t size_ = 0, capacity_ = 0;
};

}  // namespace swage
