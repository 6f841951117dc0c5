// Any bytes are a GGUF file or an error; what it says it has lies inside it and decodes, and its
// metadata are a configuration and a tokenizer, or errors.
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/modelfile/gguf.h"
#include "base/modelfile/model_config.h"
#include "kernels/numeric/gguf_blocks.h"
#include "workers/runtime/gguf_config.h"
#include "workers/runtime/tokenizer.h"
#include "workers/runtime/tokenizer_gguf.h"

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
  const auto config = swage::ConfigOfGguf(*gguf, file);
  if (config.ok()) swage::ParseModelConfig(*config).status().IgnoreError();
  if (const auto parts = swage::TokenizerOfGguf(*gguf); parts.ok()) {
    const auto tokenizer = swage::Tokenizer::FromJson(parts->tokenizer_json, parts->config_json);
    if (tokenizer.ok()) (*tokenizer)->EncodeWithSpecial("Hello, w\xC3\xB6rld!\n");
  }
  return 0;
}
