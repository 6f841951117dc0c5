// Checks a model in the store by its small parts: config.json, the shard index and the headers of its safetensors
// files. Not one weight is read.
#pragma once

#include "base/modelfile/manifest.h"
#include "base/modelfile/model_config.h"
#include "base/status.h"
#include "services/kit/artifact_client.h"

namespace swage {

struct CheckedModel {
  ModelConfig config;
  bool has_tokenizer = false;
};

// `artifact` is the id, `name` what the user called it. Errors: NOT_A_MODEL, CONFIG_MISSING, NO_WEIGHTS, SHARD_MISSING, INDEX_MISMATCH, ALREADY_QUANTIZED, DUPLICATE_TENSOR
// and those of ParseModelConfig, ParseSafetensorsHeader, ParseShardIndex and ValidateModel.
StatusOr<CheckedModel> CheckModel(ArtifactClient* client, const Manifest& manifest, const std::string& artifact,
                                  const std::string& name);

}  // namespace swage
