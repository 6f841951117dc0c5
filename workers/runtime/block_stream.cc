#include "workers/runtime/block_stream.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/host_memory.h"

namespace swage {
namespace {

constexpr uint64_t kPieceBytes = 8 << 20;  // asked for at a time, so that an end is seen soon
constexpr uint64_t kSpareBytes = 32 << 20;  // of the available memory, left to whatever else comes

std::vector<int64_t> AllLayers(const Model& model) {
  std::vector<int64_t> layers(model.config().layers);
  std::iota(layers.begin(), layers.end(), 0);
  return layers;
}

}  // namespace

BlockStream::BlockStream(const Model& model, std::vector<int64_t> order)
    : model_(model), order_(order.empty() ? AllLayers(model) : std::move(order)) {}

BlockStream::~BlockStream() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  Leave();
}

void BlockStream::Enter(int64_t layer) {
  if (entered_ == layer) return;
  Leave();
  entered_ = layer;
  FetchAfter(layer);
}

void BlockStream::Leave() {
  if (entered_ >= 0) model_.ReleaseBlock(entered_);
  entered_ = -1;
}

StatusOr<Block> BlockStream::Load(Ops* ops, int64_t layer, Compute compute) {
  Leave();
  StatusOr<Block> block = model_.LoadBlock(ops, layer, compute);
  model_.ReleaseBlock(layer);
  if (block.ok()) FetchAfter(layer);
  return block;
}

void BlockStream::FetchAfter(int64_t layer) {
  ahead_ = MemoryReservation();
  const auto at = std::find(order_.begin(), order_.end(), layer);
  if (at == order_.end() || at + 1 == order_.end() || !PrefetchWanted()) return;
  int64_t bytes = 0;
  for (const std::string& name : model_.BlockTensors(*(at + 1))) {
    if (const TensorInfo* info = model_.tensors().Info(name)) bytes += static_cast<int64_t>(info->bytes());
  }
  const uint64_t available = ReadHostMemory().available;
  if (available <= kSpareBytes) return;
  bytes = std::min(bytes, static_cast<int64_t>(available - kSpareBytes));
  StatusOr<MemoryReservation> room = HostMemory().Reserve(bytes, "the next block");
  if (!room.ok()) return;  // then it is read when it is needed
  ahead_ = std::move(room).value();
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    wanted_ = *(at + 1);
    most_ = static_cast<uint64_t>(bytes);
  }
  changed_.notify_all();
  if (!thread_.joinable()) thread_ = std::thread(&BlockStream::Run, this);
}

void BlockStream::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || wanted_ >= 0; });
    if (ending_) return;
    const int64_t layer = std::exchange(wanted_, -1);
    const uint64_t most = most_;
    fetching_ = true;
    lock.unlock();
    Fetch(layer, most);
    lock.lock();
    fetching_ = false;
    changed_.notify_all();
  }
}

void BlockStream::Fetch(int64_t layer, uint64_t most) {
  for (const std::string& name : model_.BlockTensors(layer)) {
    const TensorInfo* info = model_.tensors().Info(name);
    if (info == nullptr) continue;
    for (uint64_t at = 0; at < info->bytes() && most > 0; at += kPieceBytes) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (ending_ || wanted_ >= 0) return;  // the reader is already further
      }
      const uint64_t size = std::min({kPieceBytes, info->bytes() - at, most});
      model_.tensors().WillNeed(name, at, size);
      most -= size;
    }
  }
}

void BlockStream::WaitForFetch() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return wanted_ < 0 && !fetching_; });
}

int64_t LargestBlockBytes(const Model& model, Compute compute) {
  const int64_t width = compute == Compute::kF32 ? 4 : 2;
  int64_t largest = 0;
  for (int64_t layer = 0; layer < model.config().layers; ++layer) {
    int64_t bytes = 0;
    for (const LinearSpec& spec : model.linears(layer)) bytes += spec.out * spec.in * width;
    largest = std::max(largest, bytes);
  }
  return largest;
}

}  // namespace swage
