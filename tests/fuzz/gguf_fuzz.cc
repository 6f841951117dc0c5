// Any bytes are a GGUF file or an error; what it says it has lies inside it and decodes.
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/modelfile/gguf.h"
#include "kernels/numeric/gguf_blocks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const auto gguf = swage::ParseGguf(file);
  if (!gguf.ok()) {
    SWAGE_CHECK(!swage::ReasonOf(gguf.status()).empty(), gguf.status().ToString());
    return 0;
  }
  for (const auto& [name, tensor] : gguf->tensors) {
    const std::string_view bytes = gguf->Bytes(tensor, file);
    SWAGE_CHECK(bytes.size() == tensor.end - tensor.begin, name);
    if (!swage::DecodesGguf(tensor.type->type)) continue;
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    swage::DecodeGguf(tensor.type->type, bytes.data(), tensor.elements(), values.data());
  }
  return 0;
}
