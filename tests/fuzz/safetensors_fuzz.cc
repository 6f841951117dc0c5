// A header that is accepted keeps the promises of safetensors.h, and its file can be split.
#include <cstdint>
#include <set>
#include <string_view>

#include "base/modelfile/safetensors.h"
#include "base/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const auto header = swage::ParseSafetensorsHeader(file, size);
  if (!header.ok()) {
    SWAGE_CHECK(!swage::ReasonOf(header.status()).empty(), "an error without a reason");
    return 0;
  }
  uint64_t covered = 0;
  std::set<std::string_view> names;
  for (const swage::TensorInfo& tensor : header->tensors) {
    SWAGE_CHECK(tensor.begin == covered, tensor.name);
    SWAGE_CHECK(tensor.bytes() == static_cast<uint64_t>(tensor.elements()) * swage::DTypeBytes(tensor.dtype), tensor.name);
    SWAGE_CHECK(names.insert(tensor.name).second, tensor.name);
    SWAGE_CHECK(header->Find(tensor.name) == &tensor, tensor.name);
    covered = tensor.end;
  }
  SWAGE_CHECK(header->data_offset + covered == size);
  return 0;
}
