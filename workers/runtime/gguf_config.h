// GGUF metadata as a config.json, and tensor names. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/modelfile/gguf.h"

namespace swage {

// `file` holds the bytes of `gguf`. See OpenGguf for the errors.
StatusOr<std::string> ConfigOfGguf(const GgufFile& gguf, std::string_view file);

// "blk.3.attn_q.weight" -> "model.layers.3.self_attn.q_proj.weight"; nullopt: no such name.
std::optional<std::string> NameOfGguf(std::string_view name);

// llama.cpp stores the rows of each head of q and k so that the two halves that are rotated
// together alternate: stored row `2 i + half` of a head is row `half * d/2 + i`. Heads of the
// tensor, 0 when its rows are in order.
int64_t PermutedHeads(const GgufFile& gguf, std::string_view name);

}  // namespace swage
