// What the members of a gang do together: sums, broadcasts, gathers, barriers. One interface; behind it nobody (one
// member), Gloo's TCP transport (memory of the host) or NCCL (memory of a device).
//
//   auto reducer = ConnectReducer({.rank = 1, .world = 2, .address = "10.0.0.7", .session = "job 3"}, meet);
//   SWAGE_RETURN_IF_ERROR((*reducer)->AllReduceSum(gradients.data(), gradients.size()));
//
// All members make the same calls in the same order, with the same sizes. Each call ends within the deadline, by itself
// or with an error; after the first error every later call fails with the same one: what failed is the gang, and the job
// goes on from its checkpoint with a new one (kv-training.md B.6, "elastic practice"). Errors:
//   PEER_LOST            (UNAVAILABLE) a member's connection ended
//   COLLECTIVE_TIMEOUT   (DEADLINE_EXCEEDED) not all members were there in time
//   COLLECTIVE_ABORTED   (ABORTED) Abort was called
// Not thread-safe but for Abort.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/status.h"

namespace swage {

class Reducer {
 public:
  virtual ~Reducer() = default;
  virtual int rank() const = 0;
  virtual int world() const = 0;
  virtual std::string_view kind() const = 0;  // "self", "gloo", "nccl"
  // Data is in the memory of a device; sizes and everything else in the host's.
  virtual bool on_device() const { return false; }

  // The sum over the members, the same bytes for all of them. The order of summation is that of the ranks with Gloo and
  // NCCL's own with NCCL: it depends on `world`; ExactReducer's does not.
  virtual Status AllReduceSum(float* values, int64_t n) = 0;
  virtual Status AllReduceSum(double* values, int64_t n) = 0;
  virtual Status Broadcast(void* data, int64_t bytes, int root) = 0;
  // bytes[r]: what rank r brings. `all` receives them one after the other, in the order of ranks; not overlapping `mine`.
  virtual Status AllGatherV(const void* mine, const std::vector<int64_t>& bytes, void* all) = 0;
  virtual Status Barrier() = 0;
  // From any thread, at any time: calls under way and all later ones fail soon, here and with the others.
  virtual void Abort() = 0;
};

// Each member's text, by rank, of any lengths. A text beyond 1 GiB is refused as BAD_GATHER.
StatusOr<std::vector<std::string>> GatherTexts(Reducer* reducer, const std::string& mine);

class SelfReducer : public Reducer {  // a gang of one
 public:
  int rank() const override { return 0; }
  int world() const override { return 1; }
  std::string_view kind() const override { return "self"; }
  Status AllReduceSum(float* values, int64_t n) override { return absl::OkStatus(); }
  Status AllReduceSum(double* values, int64_t n) override { return absl::OkStatus(); }
  Status Broadcast(void* data, int64_t bytes, int root) override { return absl::OkStatus(); }
  Status AllGatherV(const void* mine, const std::vector<int64_t>& bytes, void* all) override;
  Status Barrier() override { return absl::OkStatus(); }
  void Abort() override {}
};

struct ReducerOptions {
  int rank = 0, world = 1;
  std::string address;    // of this host, as the others reach it; "" = they are on this machine
  std::string session;    // of this one attempt, the same for all its members
  int64_t deadline_ms = limits::kCollectiveMs;  // of connecting, and of each call
};

// Hands over how this member is reached, waits for all, and gives what each said, by rank. Called once a reducer.
using Meet = std::function<StatusOr<std::vector<std::string>>(const std::string& mine)>;

// Over Gloo; SelfReducer for a world of 1. Errors: those of `meet`; RENDEZVOUS_MISMATCH when a member speaks of another
// session or is none of ours; GANG_ADDRESS when nothing can listen on the address; COLLECTIVES_MISSING when this program
// was built without Gloo; as above.
// SIGPIPE must be ignored: a lost peer is an error, not the end of the process.
StatusOr<std::unique_ptr<Reducer>> ConnectReducer(const ReducerOptions& options, const Meet& meet);
// What this program was built with, as workers report it beside "avx512" and "sm_90": "gloo" or nothing.
std::vector<std::string> CollectiveFeatures();

// Both ends of what a member says: its session, a secret that tells it from a stranger who finds the port, and what its
// transport needs.
struct Introduction {
  std::string kind, session, secret, address;
};
std::string Encode(const Introduction& introduction);
// Of all members; RENDEZVOUS_MISMATCH unless all are of `kind` and `session`, and there are `world` of them.
StatusOr<std::vector<Introduction>> DecodeAll(const std::vector<std::string>& said, int world, std::string_view kind,
                                              const std::string& session);

}  // namespace swage
