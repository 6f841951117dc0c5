#include "workers/job/checkpoint.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "base/log.h"
#include "base/modelfile/json.h"
#include "workers/job/checkpoint_json.h"

namespace swage {
namespace {

constexpr uint64_t kStateBytes = 256u << 20;

bool IsOurs(const std::string& name) {
  return name == "state.json" || StartsWith(name, "state.json.tmp") || StartsWith(name, "block-");
}

// What was written is what was computed.
Status CompareWithFile(const std::string& path, const std::vector<EncodedTensor>& tensors) {
  SWAGE_ASSIGN_OR_RETURN(std::shared_ptr<TensorSource> file, OpenFileTensors(path));
  for (const EncodedTensor& tensor : tensors) {
    const std::optional<TensorView> written = file->Find(tensor.name);
    if (!written || written->bytes != tensor.bytes) {
      return DataLoss("READBACK_DIFFERS",
                      Cat(tensor.name, " differs in ", path, ", which was just written"),
                      "check the disk and the memory of this machine, then run the job again");
    }
  }
  return absl::OkStatus();
}

}  // namespace

Checkpoint::Checkpoint(Env* env, const std::string& dir)
    : state_(std::make_unique<State>()) {
  state_->env = env;
  state_->dir = dir;
}

StatusOr<Checkpoint> Checkpoint::Open(Env* env, const std::string& dir, const Digest& action,
                                      const std::string& numerics_class) {
  SWAGE_RETURN_IF_ERROR(env->CreateDirs(dir));
  Checkpoint checkpoint(env, dir);
  State& state = *checkpoint.state_;
  state.action = action.Hex();
  state.numerics_class = numerics_class;
  const std::string path = JoinPath(dir, "state.json");
  if (env->Exists(path)) {
    auto text = ReadFile(env, path, kStateBytes);
    Status loaded = text.ok() ? state.Load(*text) : text.status();
    if (!loaded.ok()) {
      LogWarning("checkpoint in ", dir, " not used: ", MessageOf(loaded));
      state.blocks.clear();
      state.quality.reset();
      SWAGE_RETURN_IF_ERROR(checkpoint.Discard());
    }
  }
  return checkpoint;
}

Status Checkpoint::State::Load(const std::string& text) {
  SWAGE_ASSIGN_OR_RETURN(nlohmann::json json,
                         ParseJsonTree(text, "CHECKPOINT_UNREADABLE", "state.json"));
  SWAGE_ASSIGN_OR_RETURN(CheckpointState parsed, ParseCheckpoint(json));
  if (parsed.action != action) return Precondition("CHECKPOINT_OTHER", "it is of another action");
  if (parsed.numerics_class != numerics_class) {
    return Precondition("CHECKPOINT_OTHER", Cat("it is of numerics class ", parsed.numerics_class));
  }
  for (auto& [stage, block] : parsed.blocks) {
    if (!block.file.empty()) {
      auto digest = FileDigest(env, JoinPath(dir, block.file));
      if (!digest.ok() || *digest != block.sha256) {
        LogWarning("checkpoint of ", stage, " is damaged: the block is computed again");
        continue;
      }
    }
    blocks[stage] = std::move(block);
  }
  // The evaluation belongs to the bytes of all blocks: with one of them gone it is measured again.
  if (blocks.size() == parsed.blocks.size()) {
    quality = parsed.quality;
    quality_stage = parsed.quality_stage;
  }
  return absl::OkStatus();
}

Status Checkpoint::State::Save() {
  std::string text;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    text = CheckpointJson({action, numerics_class, blocks, quality, quality_stage});
  }
  return WriteFileAtomic(env, JoinPath(dir, "state.json"), text);
}

const FinishedBlock* Checkpoint::Find(const std::string& stage) const {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  auto it = state_->blocks.find(stage);
  return it == state_->blocks.end() ? nullptr : &it->second;
}

Status Checkpoint::State::Write(FinishedBlock block, const std::vector<EncodedTensor>& tensors) {
  const std::string stage = block.stage.name;
  if (!tensors.empty()) {
    std::string number;
    for (char c : stage) {
      if (c >= '0' && c <= '9') number.push_back(c);
    }
    block.file = Cat("block-", number, ".safetensors");
    const std::string path = JoinPath(dir, block.file);
    SWAGE_RETURN_IF_ERROR(WriteEncoded(env, path, tensors));
    SWAGE_RETURN_IF_ERROR(CompareWithFile(path, tensors));
    SWAGE_ASSIGN_OR_RETURN(block.sha256, FileDigest(env, path));
  }
  {
    const std::lock_guard<std::mutex> lock(mutex);
    blocks[stage] = std::move(block);
  }
  return Save();
}

Status Checkpoint::Add(const StageReport& stage, std::vector<EncodedTensor> tensors,
                       std::vector<LayerReport> layers) {
  FinishedBlock block;
  block.stage = stage;
  block.layers = std::move(layers);
  return state_->writer.Run([state = state_.get(), block = std::move(block),
                       tensors = std::move(tensors)]() mutable {
    return state->Write(std::move(block), tensors);
  });
}

Status Checkpoint::Flush() const { return state_->writer.Wait(); }

Status Checkpoint::SetQuality(const QualityReport& quality, const StageReport& stage) {
  SWAGE_RETURN_IF_ERROR(Flush());
  state_->quality = quality;
  state_->quality_stage = stage;
  return state_->Save();
}

StatusOr<std::vector<std::shared_ptr<TensorSource>>> Checkpoint::OpenTensors() const {
  SWAGE_RETURN_IF_ERROR(Flush());
  std::vector<std::shared_ptr<TensorSource>> sources;
  for (const auto& [stage, block] : state_->blocks) {
    if (block.file.empty()) continue;
    SWAGE_ASSIGN_OR_RETURN(std::shared_ptr<TensorSource> source,
                           OpenFileTensors(JoinPath(state_->dir, block.file)));
    sources.push_back(std::move(source));
  }
  return sources;
}

Status Checkpoint::Discard() {
  SWAGE_RETURN_IF_ERROR(Flush());
  SWAGE_ASSIGN_OR_RETURN(std::vector<DirEntry> entries, state_->env->ListDir(state_->dir));
  for (const DirEntry& entry : entries) {
    if (!entry.is_dir && IsOurs(entry.name))
      SWAGE_RETURN_IF_ERROR(state_->env->Remove(JoinPath(state_->dir, entry.name)));
  }
  return absl::OkStatus();
}

StatusOr<Digest> FileDigest(Env* env, const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, env->NewReadableFile(path));
  Sha256 sha;
  std::string chunk;
  for (uint64_t at = 0; at < file->size(); at += chunk.size()) {
    chunk.resize(std::min(limits::kChunkBytes, file->size() - at));
    SWAGE_RETURN_IF_ERROR(file->ReadAt(at, chunk.size(), chunk.data()));
    sha.Update(chunk);
  }
  return sha.Finish();
}

Status WriteEncoded(Env* env, const std::string& path, const std::vector<EncodedTensor>& tensors) {
  std::vector<const EncodedTensor*> order;
  for (const EncodedTensor& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const EncodedTensor* a, const EncodedTensor* b) {
    const uint64_t wide_a = DTypeBytes(a->dtype), wide_b = DTypeBytes(b->dtype);
    return wide_a != wide_b ? wide_a > wide_b : a->name < b->name;
  });
  std::vector<SafetensorsWriter::Declared> declared;
  for (const EncodedTensor* tensor : order)
    declared.push_back({tensor->name, tensor->dtype, tensor->shape});
  SWAGE_ASSIGN_OR_RETURN(SafetensorsWriter writer,
                         SafetensorsWriter::Create(env, path, declared, {}));
  for (const EncodedTensor* tensor : order) SWAGE_RETURN_IF_ERROR(writer.Append(tensor->bytes));
  return writer.Finish();
}

}  // namespace swage
