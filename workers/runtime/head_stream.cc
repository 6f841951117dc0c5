#include "workers/runtime/head_stream.h"

#include <algorithm>
#include <cstring>

#include "workers/runtime/block_stream.h"

namespace swage {
namespace {

constexpr int64_t kResidentBytes = 64 << 20;  // in f32; smaller heads are never sliced
constexpr int64_t kHeadSliceBytes = 32 << 20;

int64_t SliceRows(const Model& model) {
  const int64_t step = model.HeadRowStep();
  const int64_t rows = kHeadSliceBytes / (4 * model.config().embedding_width);
  return std::min(std::max(step, rows / step * step), model.config().vocab);
}

int64_t HeadBytes(const Model& model) {
  return 4 * model.config().vocab * model.config().embedding_width;
}

}  // namespace

bool HeadStream::Sliced(const Model& model) {
  // Half a block: the heads of two models are compared.
  return HeadBytes(model) > std::max(kResidentBytes, LargestBlockBytes(model, Compute::kF32) / 2);
}

int64_t HeadStream::Bytes(const Model& model, Compute compute, int64_t rows) {
  if (!Sliced(model)) return compute == Compute::kF32 ? HeadBytes(model) : HeadBytes(model) / 2;
  return SliceRows(model) * 4 * (model.config().embedding_width + rows);
}

Status HeadStream::Load() {
  if (Sliced(model_)) {
    SWAGE_ASSIGN_OR_RETURN(head_, model_.LoadHeadEntry(ops_, compute_));
  } else {
    constexpr int64_t kPackedFor = 1024;  // rows of a chunk of logits, about
    SWAGE_ASSIGN_OR_RETURN(head_, model_.LoadHead(ops_, compute_));
    SWAGE_RETURN_IF_ERROR(PackLinear(ops_, kPackedFor, &head_.linear));
  }
  return absl::OkStatus();
}

Status HeadStream::Run(Forward* forward, int64_t rows, const float* hidden, float* logits) {
  if (Sliced(model_)) return RunSlices(forward, rows, hidden, logits);
  return forward->RunHead(head_, rows, hidden, logits);
}

Status HeadStream::RunSlices(Forward* forward, int64_t rows, const float* hidden, float* logits) {
  const int64_t vocab = model_.config().vocab, slice = SliceRows(model_);
  const std::string name = HeadSpec(model_.config()).module + ".weight";
  const TensorInfo* info = model_.tensors().Info(name);  // null: stored in another way
  const uint64_t row_bytes = info == nullptr ? 0 : info->bytes() / static_cast<uint64_t>(vocab);
  part_.Resize(rows * slice);
  for (int64_t begin = 0; begin < vocab; begin += slice) {
    const int64_t count = std::min(slice, vocab - begin);
    head_.linear = Linear();  // before the next one is allocated
    SWAGE_ASSIGN_OR_RETURN(head_.linear, model_.LoadHeadRows(ops_, begin, count, compute_));
    const auto next = static_cast<uint64_t>((begin + count) % vocab);
    if (row_bytes > 0 && PrefetchWanted()) {
      model_.tensors().WillNeed(name, next * row_bytes, static_cast<uint64_t>(slice) * row_bytes);
    }
    SWAGE_RETURN_IF_ERROR(forward->RunHead(head_, rows, hidden, part_.data()));
    for (int64_t r = 0; r < rows; ++r) {
      std::memcpy(logits + r * vocab + begin, part_.data() + r * count, count * sizeof(float));
    }
  }
  head_.linear = Linear();
  return absl::OkStatus();
}

}  // namespace swage
