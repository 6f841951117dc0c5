// The table of codecs and the choice between them.
//
//   std::string stored;
//   CodecId id = EncodeFrame(raw, &stored);       // never longer than raw
//   SWAGE_RETURN_IF_ERROR(DecodeFrame(id, stored, {}, out, raw.size()));
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "storage/codecs/codec.h"

namespace swage {

std::span<const Codec> Codecs();
const Codec* FindCodec(uint8_t id);  // null: unknown

// Codes one frame by exact cost. With kRaw, *scratch is untouched and the stored bytes are `raw` itself, so that
// nothing is copied; otherwise they are *scratch.
CodecId EncodeFrame(std::string_view raw, std::string* scratch);

// DATA_LOSS/UNKNOWN_CODEC or FRAME_CORRUPT; never writes outside out[0, raw_size).
Status DecodeFrame(uint8_t id, std::string_view stored, std::string_view base, char* out, size_t raw_size);

}  // namespace swage
