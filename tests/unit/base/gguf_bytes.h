// A writer of GGUF files for tests.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace swage {

// Writes the bytes of a GGUF file.
class GgufBytes {
 public:
  explicit GgufBytes(uint32_t version, uint64_t tensors, uint64_t pairs) : version_(version) {
    text_ = "GGUF";
    Put(version);
    Length(tensors).Length(pairs);
  }
  template <typename T>
  GgufBytes& Put(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  GgufBytes& Length(uint64_t n) { return version_ == 1 ? Put(static_cast<uint32_t>(n)) : Put(n); }
  GgufBytes& Text(std::string_view text) {
    Length(text.size());
    text_.append(text);
    return *this;
  }
  GgufBytes& Tensor(std::string_view name, std::vector<uint64_t> ne, uint32_t type,
                    uint64_t offset) {
    Text(name).Put(static_cast<uint32_t>(ne.size()));
    for (const uint64_t n : ne) Length(n);
    return Put(type).Put(offset);
  }
  GgufBytes& Data(size_t bytes, size_t alignment = 32) {
    text_.resize((text_.size() + alignment - 1) / alignment * alignment + bytes, '\x11');
    return *this;
  }
  const std::string& get() const { return text_; }

 private:
  uint32_t version_;
  std::string text_;
};

}  // namespace swage
