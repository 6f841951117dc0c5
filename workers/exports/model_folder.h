// Writing and reading back the folder of an artifact.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/env.h"
#include "workers/runtime/tensor_source.h"

namespace swage {

// Called after each tensor or file with the bytes done so far; an error stops the work and is
// returned. May be null.
using BytesDone = std::function<Status(uint64_t bytes)>;

// Writes the tensors `names` of `source` as one safetensors file, wider types first so that every
// tensor is aligned.
Status WriteModelFile(Env* env, const std::string& path, const TensorSource& source,
                      const std::vector<std::string>& names, const BytesDone& done);

// Opens the folder with the ordinary reader and compares every tensor, byte for byte, with what was
// to be written: nothing missing, nothing more. DATA_LOSS/READBACK_DIFFERS naming the tensor.
Status VerifyModelFile(Env* env, const std::string& dir, const TensorSource& source,
                       const std::vector<std::string>& names, const BytesDone& done);

// Copies what belongs to a model and is no weight: tokenizer, generation_config.json, chat
// template, licence, ... Weights of any format, config.json, report.json, hidden files and folders
// stay behind. Links are followed, so that the copy stands alone. Returns the bytes copied.
StatusOr<uint64_t> CopySideFiles(Env* env, const std::string& from, const std::string& to);

}  // namespace swage
