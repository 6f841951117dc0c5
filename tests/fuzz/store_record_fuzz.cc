// Record files. What is accepted is written again as something that reads the same.
#include <cstdint>
#include <string_view>

#include "storage/core/records.h"

namespace {

template <typename Entry>
void RoundTrip(const swage::StatusOr<Entry>& entry, swage::StatusOr<Entry> (*parse)(std::string_view)) {
  if (!entry.ok()) {
    SWAGE_CHECK(swage::ReasonOf(entry.status()) == "RECORD_CORRUPT");
    return;
  }
  const std::string json = swage::ToJson(*entry);
  const auto again = parse(json);
  SWAGE_CHECK(again.ok() && swage::ToJson(*again) == json, json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  RoundTrip(swage::ParseArtifactEntry(json), swage::ParseArtifactEntry);
  RoundTrip(swage::ParsePreparedEntry(json), swage::ParsePreparedEntry);
  RoundTrip(swage::ParsePublishedEntry(json), swage::ParsePublishedEntry);
  RoundTrip(swage::ParseAliasEntry(json), swage::ParseAliasEntry);
  swage::ParseIncarnation(json).status().IgnoreError();
  return 0;
}
