// What is accepted is canonical, safe to lay out below a folder, and covered by its parts.
#include <cstdint>
#include <string_view>

#include "base/modelfile/manifest.h"
#include "base/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto manifest = swage::ParseManifest(text);
  if (!manifest.ok()) {
    SWAGE_CHECK(!swage::ReasonOf(manifest.status()).empty(), "an error without a reason");
    return 0;
  }
  SWAGE_CHECK(manifest->ToJson() == text);
  for (const swage::ManifestFile& file : manifest->files) {
    SWAGE_CHECK(swage::SafeJoin("/root", file.path).ok(), file.path);
    SWAGE_CHECK(manifest->Find(file.path) == &file, file.path);
    uint64_t covered = 0;
    for (const swage::FilePart& part : file.parts) {
      SWAGE_CHECK(part.offset == covered && part.size > 0, file.path);
      covered += part.size;
    }
    SWAGE_CHECK(covered == file.size, file.path);
  }
  return 0;
}
