// NCCL behind Reducer, for memory of one CUDA device a member. Non-blocking communicators: every call returns at once and
// is polled, so that the deadline and Abort are kept by the calling thread itself; ncclCommAbort then ends what is under
// way (ncclCommDestroy could wait for ever for a peer that is gone). Behind it a watchdog, for the case that a call into
// NCCL or the driver does not return at all: nothing but the end of the process helps there, and the job goes on from its
// checkpoint. Recipe: kv-training.md B.6. Compiled where the toolkit has NCCL; not run for want of two devices.
#include <cuda_runtime.h>
#include <nccl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/rng.h"
#include "workers/runtime/reducer_nccl.h"

namespace swage {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;
constexpr std::chrono::microseconds kPollEvery{100};
constexpr int64_t kGraceMs = 30'000;  // after the deadline, for the calling thread to see it
constexpr int kExitHung = 4;
constexpr std::string_view kAgain = "nothing needs to be done: the job goes on from its checkpoint with a new gang";

// Ends the process when a call has not come back long after its deadline.
class Watchdog {
 public:
  Watchdog() : thread_([this] { Run(); }) {}
  ~Watchdog() {
    Set(SteadyTime::max(), true);
    thread_.join();
  }
  void Arm(SteadyTime until) { Set(until, false); }
  void Disarm() { Set(SteadyTime::max(), false); }

 private:
  void Set(SteadyTime until, bool ended) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      until_ = until;
      ended_ = ended;
    }
    changed_.notify_all();
  }
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!ended_) {
      if (until_ == SteadyTime::max()) {
        changed_.wait(lock);
      } else if (changed_.wait_until(lock, until_) == std::cv_status::timeout &&
                 until_ <= std::chrono::steady_clock::now()) {
        LogError("a call into NCCL has hung beyond its deadline; this process ends");
        _exit(kExitHung);
      }
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  SteadyTime until_ = SteadyTime::max();
  bool ended_ = false;
  std::thread thread_;
};

class NcclReducer : public Reducer {
 public:
  NcclReducer(const ReducerOptions& options, int device) : options_(options), device_(device) {}
  ~NcclReducer() override {
    if (comm_ != nullptr) ncclCommAbort(comm_);
    if (done_ != nullptr) cudaEventDestroy(done_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
    if (scratch_ != nullptr) cudaFree(scratch_);
  }

  int rank() const override { return options_.rank; }
  int world() const override { return options_.world; }
  std::string_view kind() const override { return "nccl"; }
  bool on_device() const override { return true; }

  Status Connect(const Meet& meet) {
    SWAGE_RETURN_IF_ERROR(OfCuda(cudaSetDevice(device_), "choosing the device"));
    SWAGE_RETURN_IF_ERROR(OfCuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"));
    SWAGE_RETURN_IF_ERROR(OfCuda(cudaEventCreateWithFlags(&done_, cudaEventDisableTiming), "making an event"));
    SWAGE_RETURN_IF_ERROR(OfCuda(cudaMalloc(&scratch_, sizeof(float)), "device memory"));
    ncclUniqueId id;
    Introduction mine{"nccl", options_.session, RandomHex(16), ""};
    if (rank() == 0) {  // its process listens for the others: no one else may make the id
      SWAGE_RETURN_IF_ERROR(OfNccl(ncclGetUniqueId(&id), "making the communicator's id"));
      mine.address.assign(id.internal, sizeof(id.internal));
    }
    SWAGE_ASSIGN_OR_RETURN(const std::vector<std::string> said, meet(Encode(mine)));
    SWAGE_ASSIGN_OR_RETURN(const std::vector<Introduction> all,
                           DecodeAll(said, world(), "nccl", options_.session));
    if (all[static_cast<size_t>(rank())].secret != mine.secret) {
      return Error(StatusCode::kAborted, "RENDEZVOUS_MISMATCH", "this member began anew after the gang had met", kAgain);
    }
    if (all[0].address.size() != sizeof(id.internal)) {
      return Error(StatusCode::kAborted, "RENDEZVOUS_MISMATCH", "member 0 said no communicator's id", kAgain);
    }
    std::memcpy(id.internal, all[0].address.data(), sizeof(id.internal));
    return Call("connect", [&] {
      ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
      config.blocking = 0;
      return ncclCommInitRankConfig(&comm_, world(), id, rank(), &config);
    });
  }

  Status AllReduceSum(float* values, int64_t n) override { return Sum(values, n, ncclFloat32); }
  Status AllReduceSum(double* values, int64_t n) override { return Sum(values, n, ncclFloat64); }

  Status Broadcast(void* data, int64_t bytes, int root) override {
    return Call("broadcast", [&] {
      return ncclBroadcast(data, data, static_cast<size_t>(bytes), ncclInt8, root, comm_, stream_);
    });
  }

  Status AllGatherV(const void* mine, const std::vector<int64_t>& bytes, void* all) override {
    SWAGE_CHECK(static_cast<int>(bytes.size()) == world(), "a gather of ", bytes.size(), " among ", world());
    return Call("gather", [&] {
      ncclResult_t result = ncclGroupStart();
      char* at = static_cast<char*>(all);
      for (int r = 0; r < world() && result == ncclSuccess; at += bytes[r++]) {
        result = ncclBroadcast(r == rank() ? mine : at, at, static_cast<size_t>(bytes[r]), ncclInt8, r, comm_, stream_);
      }
      const ncclResult_t ended = ncclGroupEnd();
      return result == ncclSuccess || result == ncclInProgress ? ended : result;
    });
  }

  Status Barrier() override { return Sum(static_cast<float*>(scratch_), 1, ncclFloat32); }
  void Abort() override { aborted_.store(true); }  // seen by the calling thread, which polls

 private:
  Status Sum(void* values, int64_t n, ncclDataType_t type) {
    return Call("sum", [&] {
      return ncclAllReduce(values, values, static_cast<size_t>(n), type, ncclSum, comm_, stream_);
    });
  }

  static Status OfCuda(cudaError_t error, std::string_view what) {
    if (error == cudaSuccess) return absl::OkStatus();
    return Unavailable("DEVICE_FAILED", Cat(what, ": ", cudaGetErrorString(error)), kAgain);
  }
  Status OfNccl(ncclResult_t result, std::string_view what) const {
    if (result == ncclSuccess || result == ncclInProgress) return absl::OkStatus();
    const char* detail = comm_ == nullptr ? nullptr : ncclGetLastError(comm_);
    return Unavailable("PEER_LOST", Cat(what, " among ", world(), " members: ", ncclGetErrorString(result),
                                        detail == nullptr ? "" : Cat(": ", detail)), kAgain);
  }

  // Starts a call and polls until it has ended on the device. A failure ends the communicator.
  template <typename Start>
  Status Call(std::string_view what, const Start& start) {
    if (!broken_.ok()) return broken_;
    const SteadyTime until = std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.deadline_ms);
    watchdog_.Arm(until + std::chrono::milliseconds(kGraceMs));
    broken_ = OfNccl(start(), what);
    if (broken_.ok()) broken_ = PollNccl(what, until);
    if (broken_.ok()) broken_ = OfCuda(cudaEventRecord(done_, stream_), what);
    if (broken_.ok()) broken_ = PollDevice(what, until);
    if (!broken_.ok() && comm_ != nullptr) {
      ncclCommAbort(comm_);
      comm_ = nullptr;
    }
    watchdog_.Disarm();
    return broken_;
  }

  // Until NCCL has taken the call up: connecting, and the first use of an algorithm, take a while.
  Status PollNccl(std::string_view what, SteadyTime until) {
    for (;;) {
      ncclResult_t state = ncclSuccess;
      SWAGE_RETURN_IF_ERROR(OfNccl(ncclCommGetAsyncError(comm_, &state), what));
      SWAGE_RETURN_IF_ERROR(OfNccl(state, what));
      if (state == ncclSuccess) return absl::OkStatus();
      SWAGE_RETURN_IF_ERROR(WaitABit(what, until));
    }
  }

  Status PollDevice(std::string_view what, SteadyTime until) {
    for (;;) {
      const cudaError_t state = cudaEventQuery(done_);
      if (state == cudaSuccess) return absl::OkStatus();
      if (state != cudaErrorNotReady) return OfCuda(state, what);
      ncclResult_t error = ncclSuccess;
      SWAGE_RETURN_IF_ERROR(OfNccl(ncclCommGetAsyncError(comm_, &error), what));
      SWAGE_RETURN_IF_ERROR(OfNccl(error, what));
      SWAGE_RETURN_IF_ERROR(WaitABit(what, until));
    }
  }

  Status WaitABit(std::string_view what, SteadyTime until) const {
    if (aborted_.load()) return Error(StatusCode::kAborted, "COLLECTIVE_ABORTED", Cat("a ", what, " was given up"), kAgain);
    if (std::chrono::steady_clock::now() >= until) {
      return Error(StatusCode::kDeadlineExceeded, "COLLECTIVE_TIMEOUT",
                   Cat("a ", what, " among ", world(), " members did not end in ", options_.deadline_ms, " ms"), kAgain);
    }
    std::this_thread::sleep_for(kPollEvery);
    return absl::OkStatus();
  }

  const ReducerOptions options_;
  const int device_;
  Status broken_;
  std::atomic<bool> aborted_{false};
  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t done_ = nullptr;
  void* scratch_ = nullptr;
  Watchdog watchdog_;
};

}  // namespace

StatusOr<std::unique_ptr<Reducer>> ConnectNccl(const ReducerOptions& options, int device, const Meet& meet) {
  auto reducer = std::make_unique<NcclReducer>(options, device);
  SWAGE_RETURN_IF_ERROR(reducer->Connect(meet));
  return reducer;
}

}  // namespace swage
