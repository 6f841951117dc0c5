// Element types as safetensors names them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace swage {

enum class DType { kBool, kU8, kI8, kF8E4M3, kF8E5M2, kU16, kI16, kF16, kBF16, kU32, kI32, kF32, kU64, kI64, kF64 };

std::string_view DTypeName(DType dtype);                    // "BF16", "F8_E4M3", ...
std::optional<DType> DTypeFromName(std::string_view name);
uint64_t DTypeBytes(DType dtype);

}  // namespace swage
