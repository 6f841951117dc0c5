#include "services/control/model_check.h"

#include <algorithm>
#include <map>

#include "base/limits.h"
#include "base/modelfile/safetensors.h"

namespace swage {
namespace {

constexpr uint64_t kFirstRead = 64u << 10;  // most headers of small models fit

// Reads files of one artifact.
class FileReader {
 public:
  FileReader(ArtifactClient* client, std::string artifact) : client_(client), artifact_(std::move(artifact)) {}
  StatusOr<std::string> Whole(const ManifestFile& file, uint64_t max_bytes) const {
    if (file.size > max_bytes) {
      return InvalidInput("FILE_TOO_LARGE", Cat(file.path, " has ", file.size, " bytes, at most ", max_bytes, " are allowed"));
    }
    return client_->ReadRange(artifact_, file.path, 0, file.size);
  }
  StatusOr<std::string> Header(const ManifestFile& file) const {
    SWAGE_ASSIGN_OR_RETURN(std::string prefix,
                           client_->ReadRange(artifact_, file.path, 0, std::min(file.size, kFirstRead)));
    SWAGE_ASSIGN_OR_RETURN(const uint64_t needed, SafetensorsDataOffset(prefix, file.size));
    if (needed > prefix.size()) {
      SWAGE_ASSIGN_OR_RETURN(const std::string more,
                             client_->ReadRange(artifact_, file.path, prefix.size(), needed - prefix.size()));
      prefix += more;
    }
    return prefix;
  }

 private:
  ArtifactClient* client_;
  const std::string artifact_;
};

using TensorMap = std::map<std::string, TensorInfo, std::less<>>;

Status AddTensors(const FileReader& reader, const ManifestFile& file, TensorMap* tensors) {
  const auto prefix = reader.Header(file);
  if (!prefix.ok()) return Annotate(prefix.status(), file.path);
  const auto header = ParseSafetensorsHeader(*prefix, file.size);
  if (!header.ok()) return Annotate(header.status(), file.path);
  for (const TensorInfo& tensor : header->tensors) {
    if (!tensors->emplace(tensor.name, tensor).second) {
      return InvalidInput("DUPLICATE_TENSOR", Cat("tensor ", tensor.name, " is in ", file.path, " and in another shard"),
                          "upload the shards of one model only");
    }
  }
  return absl::OkStatus();
}

Status CheckIndex(const FileReader& reader, const Manifest& manifest, const TensorMap& tensors) {
  const ManifestFile* index = manifest.Find("model.safetensors.index.json");
  if (index == nullptr) return absl::OkStatus();
  SWAGE_ASSIGN_OR_RETURN(const std::string json, reader.Whole(*index, limits::kConfigJsonBytes));
  SWAGE_ASSIGN_OR_RETURN(const auto shard_of, ParseShardIndex(json));
  for (const auto& [tensor, shard] : shard_of) {
    if (manifest.Find(shard) == nullptr) {
      return InvalidInput("SHARD_MISSING", Cat(shard, " is named in model.safetensors.index.json but was not uploaded"),
                          "upload the complete folder");
    }
    if (tensors.find(tensor) == tensors.end()) {
      return InvalidInput("INDEX_MISMATCH", Cat("the index says that ", tensor, " is in ", shard, ", which lacks it"),
                          "download the model again from where it came");
    }
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<CheckedModel> CheckModel(ArtifactClient* client, const Manifest& manifest, const std::string& artifact,
                                  const std::string& name) {
  const FileReader reader(client, artifact);
  if (manifest.kind != "model") {
    return InvalidInput("NOT_A_MODEL", Cat(name, " is an artifact of kind ", manifest.kind), "name a model");
  }
  const ManifestFile* config_file = manifest.Find("config.json");
  if (config_file == nullptr) {
    return InvalidInput("CONFIG_MISSING", Cat(name, " has no config.json"), "upload the complete Hugging Face folder");
  }
  CheckedModel model;
  SWAGE_ASSIGN_OR_RETURN(const std::string json, reader.Whole(*config_file, limits::kConfigJsonBytes));
  SWAGE_ASSIGN_OR_RETURN(model.config, ParseModelConfig(json));
  if (!model.config.quantization_json.empty()) {
    return InvalidInput("ALREADY_QUANTIZED", Cat(name, " is quantized already (its config.json has quantization_config)"),
                        "name the dense model that it was made from");
  }
  TensorMap tensors;
  bool any = false, pytorch = false;
  for (const ManifestFile& file : manifest.files) {
    for (const char* kind : {".bin", ".pt", ".pth", ".ckpt"}) pytorch = pytorch || EndsWith(file.path, kind);
    if (!EndsWith(file.path, ".safetensors") || file.path.find('/') != std::string::npos) continue;
    any = true;
    SWAGE_RETURN_IF_ERROR(AddTensors(reader, file, &tensors));
  }
  SWAGE_RETURN_IF_ERROR(CheckIndex(reader, manifest, tensors));
  if (!any) {
    return InvalidInput(pytorch ? "PYTORCH_BIN" : "NO_WEIGHTS", Cat(name, " has no *.safetensors file"),
                        pytorch ? "convert it: AutoModelForCausalLM.from_pretrained(dir).save_pretrained(out) of transformers "
                                  "writes safetensors"
                                : "upload the complete folder");
  }
  const TensorLookup lookup = [&](std::string_view tensor) -> const TensorInfo* {
    const auto it = tensors.find(tensor);
    return it == tensors.end() ? nullptr : &it->second;
  };
  AdaptNames(lookup, &model.config);
  SWAGE_RETURN_IF_ERROR(ValidateModel(model.config, lookup));
  model.has_tokenizer = manifest.Find("tokenizer.json") != nullptr;
  return model;
}

}  // namespace swage
