// The order in which a model's blocks pass through memory, in one place for every pass (scores,
// statistics, compression): while block i is computed with, the pages of the next one in the order
// are fetched by a thread of this stream, and those of the one before are dropped. At most one block
// is fetched ahead, and of it only what the memory of the machine or control group has room for (else
// what is fetched would be gone before it is read), within the limit of HostMemory.
//
//   BlockStream stream(model);  // all blocks in order; or those still to be done
//   for (int64_t layer : ...) {
//     SWAGE_ASSIGN_OR_RETURN(Block block, stream.Load(ops, layer, compute));  // whole, or
//     stream.Enter(layer);                                                    // read by the caller
//   }
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "workers/runtime/model.h"

namespace swage {

// For one thread. `model` must outlive it.
class BlockStream {
 public:
  // `order`: the layers to come; empty: all.
  explicit BlockStream(const Model& model, std::vector<int64_t> order = {});
  ~BlockStream();  // ends the fetching and drops the pages of the last block
  BlockStream(const BlockStream&) = delete;
  BlockStream& operator=(const BlockStream&) = delete;

  // `layer` is read from here on: those before it are dropped, the one behind it is fetched.
  void Enter(int64_t layer);
  // Its pages are not needed any more: all passes that Enter a block leave it, at the latest by
  // entering another.
  void Leave();
  // Enters, reads and leaves; the block that follows is fetched once this one is read, so that the
  // disk is never asked for both.
  StatusOr<Block> Load(Ops* ops, int64_t layer, Compute compute);

  // Waits until what was asked for is asked of the kernel; for tests.
  void WaitForFetch();
  // Bytes of the block that is fetched or was fetched last and is not yet left; for tests.
  int64_t fetched_bytes() const { return ahead_.bytes(); }

 private:
  void FetchAfter(int64_t layer);
  void Run();
  void Fetch(int64_t layer, uint64_t most);

  const Model& model_;
  const std::vector<int64_t> order_;
  int64_t entered_ = -1;
  MemoryReservation ahead_;  // of what is fetched, until it is entered

  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t wanted_ = -1;    // guarded; the layer to fetch, -1: none
  uint64_t most_ = 0;      // guarded; bytes of it
  bool fetching_ = false;  // guarded
  bool ending_ = false;    // guarded
  std::thread thread_;     // of the first fetch; none where nothing is fetched ahead
};

// What LoadBlock gives: bytes of the largest block as it is computed with.
int64_t LargestBlockBytes(const Model& model, Compute compute);

}  // namespace swage
