// ModelFiles and the shard index.
#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "base/modelfile/json.h"
#include "base/modelfile/safetensors.h"
#include "base/text.h"

namespace swage {
namespace {

constexpr char kSingleFile[] = "model.safetensors";
constexpr char kIndexFile[] = "model.safetensors.index.json";

class IndexEvents : public JsonEvents {
 public:
  IndexEvents() : JsonEvents(64) {}
  std::map<std::string, std::string> shard_of;
  bool saw_map = false;

 private:
  Status OnKey(size_t depth, std::string key) override {
    if (depth == 1) {
      in_map_ = key == "weight_map";
      if (in_map_ && std::exchange(saw_map, true)) return Mismatch("weight_map is there twice");
    } else if (in_map_) {
      tensor_ = std::move(key);
      if (tensor_.empty() || tensor_.size() > limits::kTensorNameBytes) {
        return Mismatch(Cat("a tensor's name is empty or has more than ", limits::kTensorNameBytes, " bytes"));
      }
      if (shard_of.contains(tensor_)) {
        return InvalidInput("DUPLICATE_TENSOR", Cat("the shard index has '", tensor_.substr(0, 200), "' twice"));
      }
    }
    return absl::OkStatus();
  }

  Status OnString(size_t depth, std::string file) override {
    if (!in_map_) return absl::OkStatus();
    if (depth != 2) return Unexpected("a string");
    SWAGE_RETURN_IF_ERROR(Annotate(CheckRelativePath(file), "the shard index"));
    if (file.find('/') != std::string::npos) {
      return InvalidInput("PATH_ESCAPES", Cat("the shard index names '", file.substr(0, 200), "', not a plain file name"),
                          "put all shards into the folder of the index");
    }
    shard_of.emplace(std::move(tensor_), std::move(file));
    return absl::OkStatus();
  }

  Status OnUnsigned(size_t, uint64_t) override { return in_map_ ? Unexpected("a number") : absl::OkStatus(); }
  Status OnOther(size_t, std::string_view kind) override { return in_map_ ? Unexpected(kind) : absl::OkStatus(); }
  Status OnOpen(size_t depth, bool is_array) override {
    if (depth == 0 && is_array) return Unexpected("a list");
    return in_map_ && (depth > 1 || is_array) ? Unexpected("a nested value") : absl::OkStatus();
  }
  Status OnClose(size_t depth, bool) override {
    if (depth == 1) in_map_ = false;
    return absl::OkStatus();
  }
  Status Unexpected(std::string_view kind) override { return Mismatch(Cat("weight_map has ", kind)); }
  static Status Mismatch(std::string_view message) {
    return InvalidInput("INDEX_MISMATCH", Cat("the shard index: ", message),
                        "fetch model.safetensors.index.json again; it maps tensor names to file names");
  }

  std::string tensor_;
  bool in_map_ = false;
};

Status NoWeights(Env* env, const std::string& dir) {
  SWAGE_ASSIGN_OR_RETURN(const auto entries, env->ListDir(dir));
  for (const DirEntry& entry : entries) {
    if (EndsWith(entry.name, ".bin") || EndsWith(entry.name, ".pt") || EndsWith(entry.name, ".pth") ||
        EndsWith(entry.name, ".ckpt")) {
      return InvalidInput("PYTORCH_BIN", Cat(dir, " has ", entry.name, " but no safetensors file"),
                          "convert it: AutoModelForCausalLM.from_pretrained(dir).save_pretrained(out) of transformers "
                          "writes safetensors");
    }
  }
  return InvalidInput("NO_WEIGHTS", Cat(dir, " has neither ", kSingleFile, " nor ", kIndexFile),
                      "give the folder of a model in Hugging Face layout");
}

}  // namespace

StatusOr<std::map<std::string, std::string>> ParseShardIndex(std::string_view json) {
  if (json.size() > limits::kShardIndexBytes) {
    return InvalidInput("INDEX_MISMATCH", Cat("the shard index has ", json.size(), " bytes; at most ",
                                              limits::kShardIndexBytes, " are read"));
  }
  IndexEvents events;
  SWAGE_RETURN_IF_ERROR(events.Run(json, "INDEX_MISMATCH", "the shard index"));
  if (!events.saw_map || events.shard_of.empty()) {
    return InvalidInput("INDEX_MISMATCH", "the shard index has no weight_map with tensors in it",
                        "fetch model.safetensors.index.json again");
  }
  return std::move(events.shard_of);
}

StatusOr<ModelFiles> ModelFiles::Open(Env* env, const std::string& dir) {
  ModelFiles model;
  std::map<std::string, std::string> shard_of;  // stays empty for a single file
  if (env->Exists(JoinPath(dir, kSingleFile))) {
    model.file_names_ = {kSingleFile};
  } else if (env->Exists(JoinPath(dir, kIndexFile))) {
    SWAGE_ASSIGN_OR_RETURN(const std::string text,
                           ReadFile(env, JoinPath(dir, kIndexFile), limits::kShardIndexBytes));
    SWAGE_ASSIGN_OR_RETURN(shard_of, ParseShardIndex(text));
    for (const auto& [tensor, file] : shard_of) model.file_names_.push_back(file);
    std::sort(model.file_names_.begin(), model.file_names_.end());
    model.file_names_.erase(std::unique(model.file_names_.begin(), model.file_names_.end()), model.file_names_.end());
  } else {
    return NoWeights(env, dir);
  }
  for (const std::string& name : model.file_names_) {
    const std::string path = JoinPath(dir, name);
    if (!env->Exists(path)) {
      return InvalidInput("SHARD_MISSING", Cat(name, " is named in ", kIndexFile, " but is not in ", dir),
                          "fetch the missing shard; the folder must be complete");
    }
    SWAGE_RETURN_IF_ERROR(model.AddShard(path, name, shard_of));
  }
  for (const auto& [tensor, file] : shard_of) {
    if (model.where_.contains(tensor)) continue;
    return InvalidInput("INDEX_MISMATCH", Cat(kIndexFile, " says that '", tensor, "' is in ", file, "; it is not"),
                        "fetch index and shards again, all of one revision");
  }
  return model;
}

Status ModelFiles::AddShard(const std::string& path, const std::string& name,
                            const std::map<std::string, std::string>& shard_of) {
  SWAGE_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  auto header = ParseSafetensorsHeader(file.bytes(), file.bytes().size());
  if (!header.ok()) return Annotate(header.status(), name);
  for (size_t i = 0; i < header->tensors.size(); ++i) {
    const std::string& tensor = header->tensors[i].name;
    const auto listed = shard_of.find(tensor);
    if (!shard_of.empty() && (listed == shard_of.end() || listed->second != name)) {
      return InvalidInput("INDEX_MISMATCH", Cat(name, " holds '", tensor, "', which ", kIndexFile,
                                                listed == shard_of.end() ? " does not list" : " places elsewhere"),
                          "fetch index and shards again, all of one revision");
    }
    where_.emplace(tensor, std::pair(shards_.size(), i));
  }
  shards_.push_back({std::move(file), std::move(*header)});
  return absl::OkStatus();
}

std::optional<TensorView> ModelFiles::Find(std::string_view name) const {
  const auto at = where_.find(name);
  if (at == where_.end()) return std::nullopt;
  const Shard& shard = shards_[at->second.first];
  const TensorInfo& info = shard.header.tensors[at->second.second];
  return TensorView{&info, shard.file.bytes().substr(shard.header.data_offset + info.begin, info.bytes())};
}

std::vector<std::string> ModelFiles::Names() const {
  std::vector<std::string> names;
  names.reserve(where_.size());
  for (const auto& [name, at] : where_) names.push_back(name);
  return names;
}

uint64_t ModelFiles::total_bytes() const {
  uint64_t total = 0;
  for (const Shard& shard : shards_) total += shard.file.bytes().size() - shard.header.data_offset;
  return total;
}

void ModelFiles::WillNeed(std::string_view name, uint64_t begin, uint64_t size) const {
  const auto at = where_.find(name);
  if (at == where_.end()) return;
  const Shard& shard = shards_[at->second.first];
  const TensorInfo& info = shard.header.tensors[at->second.second];
  begin = std::min(begin, info.bytes());
  shard.file.WillNeed(shard.header.data_offset + info.begin + begin, std::min(size, info.bytes() - begin));
}

void ModelFiles::DontNeed(std::string_view name, uint64_t begin, uint64_t size) const {
  const auto at = where_.find(name);
  if (at == where_.end()) return;
  const Shard& shard = shards_[at->second.first];
  const TensorInfo& info = shard.header.tensors[at->second.second];
  begin = std::min(begin, info.bytes());
  shard.file.DontNeed(shard.header.data_offset + info.begin + begin, std::min(size, info.bytes() - begin));
}

}  // namespace swage
