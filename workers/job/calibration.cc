#include "workers/job/calibration.h"

#include <algorithm>

#include "base/log.h"
#include "workers/job/job.h"
#include "workers/runtime/score.h"

namespace swage {
namespace {

constexpr int64_t kHeadRows = 512;  // rows of the head's input that are observed at a time

// The last linear of a dense block: what it reads is wanted, what it gives is not.
const Linear* LastLinear(const ModelConfig& config, const Architecture& row, const Block& block) {
  if (config.HasExperts(block.layer)) return nullptr;
  const auto found = block.linears.find(row.down);
  return found == block.linears.end() ? nullptr : &found->second;
}

bool IsSequential(const Job& job) {
  const auto found = job.step().options.find("sequential");
  return found == job.step().options.end() || found->second == "true";
}

// Of the statistics of the original model on these very windows.
Digest SharedKey(const Job& job, const StatisticsOptions& needs) {
  const WindowSet& windows = *job.calibration_windows;
  const Digest ids = Sha256Of({reinterpret_cast<const char*>(windows.ids.data()),
                               windows.ids.size() * sizeof(windows.ids[0])});
  const std::string arithmetic =
      Cat(job.ops->NumericsClass(), "/", BatchingClass(job.original->config(), windows.tokens),
          needs.compute == Compute::kBF16 ? "/bf16" : "/f32");
  return StatisticsKey(job.model_digest, ids, windows, arithmetic, "", needs.hessians);
}

}  // namespace

Calibration::Calibration(Job* job)
    : job_(job),
      sequential_(IsSequential(*job)),
      needs_(job->method->Needs(job->step().options)),
      forward_(job->ops.get(), job->original->config()) {
  if (sequential_ || job->request.cache_dir.empty()) return;
  needs_.columns = true;  // for the other methods that may read them
  key_ = SharedKey(*job, needs_);
  cache_ = JoinPath(JoinPath(job->request.cache_dir, "statistics"), key_.Hex());
}

Status Calibration::Embed() {
  const WindowSet& windows = *job_->calibration_windows;
  const ModelConfig& config = job_->original->config();
  const int64_t values = windows.tokens * config.hidden;
  uint64_t most_bytes = job_->request.hidden_state_bytes;
  if (job_->request.memory_limit_bytes > 0)
    most_bytes = std::min(most_bytes, job_->request.memory_limit_bytes / 4);
  SWAGE_ASSIGN_OR_RETURN(
      states_, HiddenStates::Make(job_->env, JoinPath(job_->request.scratch_dir, "hidden"),
                                  windows.count, values, static_cast<int64_t>(most_bytes)));
  const int64_t batch = WindowsPerMicroBatch(config, windows.tokens);
  batch_.Resize(std::min(batch, windows.count) * values);
  for (int64_t w = 0; w < windows.count; w += batch) {
    const int64_t now = std::min(batch, windows.count - w);
    SWAGE_RETURN_IF_ERROR(job_->original->Embed(job_->ops.get(), now, windows.tokens,
                                                windows.ids.data() + w * windows.tokens,
                                                batch_.data()));
    SWAGE_RETURN_IF_ERROR(states_->Append(now, batch_.data()));
    job_->supervisor.Advance(static_cast<double>(w + now) / static_cast<double>(windows.count));
    SWAGE_RETURN_IF_ERROR(job_->supervisor.Check());
  }
  position_ = 0;
  return absl::OkStatus();
}

Status Calibration::RunAll(const Block& block, StatisticsCollector* collector, bool keep) {
  const WindowSet& windows = *job_->calibration_windows;
  const int64_t batch = WindowsPerMicroBatch(job_->original->config(), windows.tokens);
  forward_.Observe(collector);
  Status status;
  for (int64_t w = 0; w < windows.count && status.ok(); w += batch) {
    const int64_t now = std::min(batch, windows.count - w);
    if (collector != nullptr) collector->NextBatch();
    status = states_->Read(w, now, batch_.data());
    if (status.ok()) status = forward_.RunBlock(block, now, windows.tokens, batch_.data());
    if (status.ok() && keep) status = states_->Append(now, batch_.data());
    if (status.ok()) status = job_->supervisor.Check();
  }
  forward_.Observe(nullptr);
  return status;
}

void Calibration::Compressed(int64_t layer, std::shared_ptr<TensorSource> tensors) {
  if (!sequential_) return;
  latest_ = layer;
  latest_tensors_ = std::move(tensors);
}

StatusOr<Block> Calibration::PassedBlock(int64_t layer) {
  Ops* ops = job_->ops.get();
  if (!sequential_) return job_->original->LoadBlock(ops, layer, needs_.compute);
  std::vector<std::shared_ptr<TensorSource>> sources;
  if (layer == latest_) {
    sources.push_back(latest_tensors_);
  } else {
    SWAGE_ASSIGN_OR_RETURN(sources, job_->checkpoint->OpenTensors());
  }
  sources.push_back(job_->original->shared_tensors());
  SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<Model> artifact,
                         Model::FromParts(job_->artifact_config, Overlay(std::move(sources))));
  return artifact->LoadBlock(ops, layer, needs_.compute);
}

Status Calibration::AdvanceTo(int64_t layer) {
  SWAGE_CHECK(position_ <= layer, "the calibration has passed block ", layer);
  for (; position_ < layer; ++position_) {
    SWAGE_ASSIGN_OR_RETURN(const Block block, PassedBlock(position_));
    SWAGE_RETURN_IF_ERROR(RunAll(block, nullptr, /*keep=*/true));
    job_->original->ReleaseBlock(position_);
    if (latest_ == position_) latest_tensors_.reset();
  }
  return absl::OkStatus();
}

std::string Calibration::CachedFile(int64_t layer) const {
  return JoinPath(cache_, Cat("block-", layer, ".safetensors"));
}

std::optional<BlockStatistics> Calibration::ReadCached(int64_t layer) const {
  if (cache_.empty() || !job_->env->Exists(CachedFile(layer))) return std::nullopt;
  auto blocks = ReadStatistics(CachedFile(layer), key_);
  if (blocks.ok() && blocks->size() == 1 && blocks->front().layer == layer)
    return std::move(blocks->front());
  LogWarning("statistics in ", CachedFile(layer), " are not used and made again: ",
             blocks.ok() ? "they are of another block" : MessageOf(blocks.status()));
  return std::nullopt;
}

StatusOr<BlockStatistics> Calibration::Observe(int64_t layer) {
  std::optional<BlockStatistics> cached = ReadCached(layer);
  job_->supervisor.SetAttribute("swage.statistics", cached ? "shared" : "made");
  if (cached) {
    LogInfo("block[", layer, "]: statistics of an earlier job are used");
    return std::move(*cached);
  }
  SWAGE_RETURN_IF_ERROR(AdvanceTo(layer));
  const ModelConfig& config = job_->original->config();
  SWAGE_ASSIGN_OR_RETURN(const Block block,
                         job_->original->LoadBlock(job_->ops.get(), layer, needs_.compute));
  StatisticsCollector collector(job_->ops.get(), needs_,
                                NamesOf(block, BlockPrefix(config, layer)));
  if (sequential_) collector.Skip(LastLinear(config, job_->original->architecture(), block));
  SWAGE_RETURN_IF_ERROR(RunAll(block, &collector, /*keep=*/!sequential_));
  if (!sequential_) ++position_;
  std::vector<BlockStatistics> blocks;
  blocks.push_back(collector.Take(layer));
  if (!cache_.empty()) {
    SWAGE_RETURN_IF_ERROR(job_->env->CreateDirs(cache_));
    SWAGE_RETURN_IF_ERROR(WriteStatistics(job_->env, CachedFile(layer), key_, blocks));
  }
  return std::move(blocks.front());
}

StatusOr<BlockStatistics> Calibration::ObserveHead() {
  const ModelConfig& config = job_->original->config();
  const WindowSet& windows = *job_->calibration_windows;
  SWAGE_RETURN_IF_ERROR(AdvanceTo(config.layers));
  SWAGE_ASSIGN_OR_RETURN(const Head head,
                         job_->original->LoadHead(job_->ops.get(), needs_.compute));
  LinearNames names{{&head.linear, std::string(job_->original->architecture().lm_head)}};
  if (head.project.out > 0) names[&head.project] = job_->original->architecture().project_out;
  StatisticsCollector collector(job_->ops.get(), needs_, std::move(names));
  collector.Skip(&head.linear);
  forward_.Observe(&collector);
  Status status;
  for (int64_t w = 0; w < windows.count && status.ok(); ++w) {
    status = states_->Read(w, 1, batch_.data());
    for (int64_t r = 0; r < windows.tokens && status.ok(); r += kHeadRows) {
      collector.NextBatch();
      status = forward_.RunHead(head, std::min(kHeadRows, windows.tokens - r),
                                batch_.data() + r * config.hidden, nullptr);
    }
    if (status.ok()) status = job_->supervisor.Check();
  }
  forward_.Observe(nullptr);
  SWAGE_RETURN_IF_ERROR(status);
  return collector.Take(config.layers);
}

}  // namespace swage
