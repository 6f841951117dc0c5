// What the suite of op tests runs on: an implementation of Ops and its memory. One binary per kind
// of machine says which devices it has; the same tests compare each of them with the reference.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/api/ops.h"

namespace swage {

class TestDevice {
 public:
  virtual ~TestDevice() = default;
  virtual std::string Name() const = 0;  // letters, digits and '_'
  virtual Ops* ops() = 0;                // ready for use by the calling test
  virtual void* Allocate(size_t bytes) = 0;
  virtual void Free(void* pointer) = 0;
  virtual void Write(void* device, const void* host, size_t bytes) = 0;
  virtual void Read(void* host, const void* device, size_t bytes) = 0;
};

// The devices of this binary; made once. Empty when the machine has none.
const std::vector<std::unique_ptr<TestDevice>>& TestDevices();

// An array in the device's memory; `shifted` puts it one element beyond the start of an allocation,
// so that vector code meets addresses that are aligned for one element only.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(TestDevice* device, size_t size, bool shifted = false)
      : device_(device),
        size_(size),
        base_(device->Allocate((size + 1) * sizeof(T))),
        data_(static_cast<T*>(base_) + (shifted ? 1 : 0)) {}
  DeviceArray(TestDevice* device, const std::vector<T>& values, bool shifted = false)
      : DeviceArray(device, values.size(), shifted) {
    device_->Write(data_, values.data(), values.size() * sizeof(T));
  }
  ~DeviceArray() { device_->Free(base_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() { return data_; }
  std::vector<T> Get() const {
    std::vector<T> values(size_);
    device_->Read(values.data(), data_, size_ * sizeof(T));
    return values;
  }

 private:
  TestDevice* device_;
  size_t size_;
  void* base_;
  T* data_;
};

}  // namespace swage
