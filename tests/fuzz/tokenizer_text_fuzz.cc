// The sample model's tokenizer loses nothing: any bytes, encoded and decoded, are the same text
// with U+FFFD for what was no UTF-8.
#include <cstdint>
#include <string_view>

#include "workers/runtime/tokenizer.h"
#include "workers/runtime/tokenizer_unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizer = [] {
    auto loaded = swage::Tokenizer::Load(swage::Env::Posix(), "tests/data/models/classics-6m");
    SWAGE_CHECK(loaded.ok(), loaded.status().ToString());
    return std::move(loaded).value();
  }();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string decoded = tokenizer->Decode(tokenizer->Encode(text));
  SWAGE_CHECK(decoded == swage::ReplaceInvalidUtf8(text), "lost something");
  return 0;
}
