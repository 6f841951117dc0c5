// A tokenizer.json that is accepted encodes and decodes any text without touching what is not its
// own.
#include <cstdint>
#include <string_view>

#include "workers/runtime/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = swage::Tokenizer::FromJson(text, text);
  if (!tokenizer.ok()) {
    SWAGE_CHECK(!swage::ReasonOf(tokenizer.status()).empty(), tokenizer.status().ToString());
    return 0;
  }
  const std::string_view sample = "Hello, w\xC3\xB6rld! <s> 123\n\n\xFF\xF0\x9F\x91\x8D  it's";
  for (const std::string_view input : {sample, text.substr(0, 200)}) {
    const auto ids = (*tokenizer)->Encode(input);
    for (const int32_t id : ids) SWAGE_CHECK(id >= 0 && id <= (*tokenizer)->max_id(), id);
    (*tokenizer)->Decode(ids);
  }
  return 0;
}
