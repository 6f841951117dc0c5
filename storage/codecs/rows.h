// One function for each codec's file, which gives its row of the table in registry.cc.
#pragma once

#include <cstddef>
#include <string_view>

#include "storage/codecs/codec.h"

namespace swage {

Codec RawCodec();
Codec ZstdCodec();

// What zstd level 1 would leave of these bytes, as a share in (0, 1], from four slices of 8 KiB.
double ZstdSampleShare(std::string_view raw);

}  // namespace swage
