// What gives the ids of one word.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace swage {

// Immutable; thread-safe.
class WordModel {
 public:
  virtual ~WordModel() = default;
  // Appends the ids of `word`.
  virtual void Encode(std::string_view word, std::vector<int32_t>* ids) const = 0;
};

}  // namespace swage
