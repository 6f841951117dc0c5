// File names that the index gives are plain names.
#include <cstdint>
#include <string_view>

#include "base/modelfile/safetensors.h"
#include "base/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto index = swage::ParseShardIndex({reinterpret_cast<const char*>(data), size});
  if (!index.ok()) {
    SWAGE_CHECK(!swage::ReasonOf(index.status()).empty(), "an error without a reason");
    return 0;
  }
  SWAGE_CHECK(!index->empty());
  for (const auto& [tensor, file] : *index) {
    SWAGE_CHECK(!tensor.empty());
    SWAGE_CHECK(swage::CheckRelativePath(file).ok() && file.find('/') == std::string::npos, file);
  }
  return 0;
}
