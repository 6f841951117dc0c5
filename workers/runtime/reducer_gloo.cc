// Gloo's TCP transport behind Reducer; the only file that sees its headers, and where its exceptions end. Of Gloo only the
// transport is used (pairs of connections, unbound buffers): its collectives cannot be ended from outside, as Abort must,
// nor in one deadline for the whole call. Every member is connected to every other, so that each exchange is direct.
#include <gloo/transport/address.h>
#include <gloo/transport/context.h>
#include <gloo/transport/pair.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "base/rng.h"
#include "workers/runtime/reducer_gloo.h"

namespace swage {
namespace {

namespace gt = ::gloo::transport;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::chrono::milliseconds kWatchEvery{20};
constexpr int64_t kConnectMs = 20'000;  // once all have met; a member that listens does not see that the other is gone

constexpr uint64_t kCanarySlot = uint64_t{1} << 62;  // on which nothing is ever sent

// "10.0.0.7:7000", "[::1]:7000", "host" -> the host.
std::string HostOf(const std::string& address) {
  if (address.empty()) return "127.0.0.1";
  if (address[0] == '[') return address.substr(1, address.find(']') - 1);
  const size_t colon = address.find(':');
  return colon == address.rfind(':') ? address.substr(0, colon) : address;
}

Status BadAddress(const std::string& address, std::string_view why) {
  return Unavailable("GANG_ADDRESS", Cat("a gang's member cannot listen on ", address, ": ", why),
                     "start the worker with --address and an address of this host that the other workers reach");
}

// A numeric address: Gloo does not survive a name that is not known.
StatusOr<std::string> Resolve(const std::string& host) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0)
    return BadAddress(host, gai_strerror(error));
  char numeric[NI_MAXHOST] = "";
  const int error =
      getnameinfo(found->ai_addr, found->ai_addrlen, numeric, sizeof(numeric), nullptr, 0, NI_NUMERICHOST);
  freeaddrinfo(found);
  if (error != 0) return BadAddress(host, gai_strerror(error));
  return std::string(numeric);
}

// Gloo's messages begin with its own file and line.
std::string TextOf(const std::exception& error) {
  const std::string text = error.what();
  const size_t end = text.find("] ");
  return text.rfind("[", 0) == 0 && end != std::string::npos ? text.substr(end + 2) : text;
}

class GlooReducer : public Reducer {
 public:
  explicit GlooReducer(const ReducerOptions& options) : options_(options), watch_([this] { Watch(); }) {}
  ~GlooReducer() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    watch_.join();
  }

  int rank() const override { return options_.rank; }
  int world() const override { return options_.world; }
  std::string_view kind() const override { return "gloo"; }

  Status Connect(const Meet& meet) {
    Introduction mine{"gloo", options_.session, RandomHex(kSecretBytes / 2), ""};
    SWAGE_ASSIGN_OR_RETURN(const std::string host, Resolve(HostOf(options_.address)));
    if (const Status listening = Guard("listen", [&] { mine.address = Listen(host); }); !listening.ok())
      return BadAddress(host, MessageOf(listening));
    SWAGE_ASSIGN_OR_RETURN(const std::vector<std::string> said, meet(Encode(mine)));
    SWAGE_ASSIGN_OR_RETURN(const std::vector<Introduction> all,
                           DecodeAll(said, options_.world, "gloo", options_.session));
    if (all[static_cast<size_t>(rank())].secret != mine.secret)
      return Stranger("this member began anew after the gang had met");
    for (const Introduction& one : all) {
      if (one.secret.size() != kSecretBytes || one.address.size() != mine.address.size())
        return Stranger("a member's address has another form");
    }
    SWAGE_RETURN_IF_ERROR(Guard("connect", [&] { ConnectAll(all); }));
    return KnowEachOther(all);
  }

  Status AllReduceSum(float* values, int64_t n) override { return Sum(values, n); }
  Status AllReduceSum(double* values, int64_t n) override { return Sum(values, n); }

  Status Broadcast(void* data, int64_t bytes, int root) override {
    return Guard("broadcast", [&] {
      if (root == rank()) return Move(data, ToOthers(0, bytes), data, {});
      Move(data, {}, data, {{root, 0, bytes}});
    });
  }

  Status AllGatherV(const void* mine, const std::vector<int64_t>& bytes, void* all) override {
    SWAGE_CHECK(static_cast<int>(bytes.size()) == world(), "a gather of ", bytes.size(), " among ", world());
    std::vector<Part> receives;
    int64_t at = 0;
    for (int r = 0; r < world(); at += bytes[r++]) {
      if (r != rank()) {
        receives.push_back({r, at, bytes[r]});
      } else if (bytes[r] > 0) {
        std::memcpy(static_cast<char*>(all) + at, mine, static_cast<size_t>(bytes[r]));
      }
    }
    return Guard("gather", [&] { Move(mine, ToOthers(0, bytes[rank()]), all, receives); });
  }

  Status Barrier() override {
    std::vector<char> all(static_cast<size_t>(world()));
    return AllGatherV("b", std::vector<int64_t>(all.size(), 1), all.data());
  }

  void Abort() override {
    aborted_.store(true);
    std::lock_guard<std::mutex> lock(mutex_);
    EndWait();
    FailConnections();
  }

 private:
  static constexpr size_t kSecretBytes = 32;
  struct Part {  // of a buffer, from or to one member
    int peer;
    int64_t at, bytes;
  };

  static Status Stranger(std::string_view what) {
    return Error(StatusCode::kAborted, "RENDEZVOUS_MISMATCH", what,
                 "nothing needs to be done: the job is tried again with a new gang");
  }

  // One connection waits for each other member; their addresses in the order of ranks.
  std::string Listen(const std::string& host) {
    gt::tcp::attr attributes;
    attributes.hostname = host;
    const auto device = gt::tcp::CreateDevice(attributes);
    auto context = device->createContext(rank(), world());
    context->setTimeout(std::chrono::milliseconds(std::min(options_.deadline_ms, kConnectMs)));
    std::string addresses;
    for (int r = 0; r < world(); ++r) {
      if (r == rank()) continue;
      const std::vector<char> one = context->createPair(r)->address().bytes();
      addresses.append(one.begin(), one.end());
    }
    std::lock_guard<std::mutex> lock(mutex_);
    device_ = device;
    context_ = std::move(context);
    return addresses;
  }

  void ConnectAll(const std::vector<Introduction>& all) {
    for (int r = 0; r < world(); ++r) {
      if (r == rank()) continue;
      const std::string& addresses = all[static_cast<size_t>(r)].address;
      const size_t one = addresses.size() / static_cast<size_t>(world() - 1);
      const size_t at = one * static_cast<size_t>(rank() > r ? rank() - 1 : rank());
      context_->getPair(r)->connect(std::vector<char>(addresses.begin() + static_cast<int64_t>(at),
                                                      addresses.begin() + static_cast<int64_t>(at + one)));
    }
    std::lock_guard<std::mutex> lock(mutex_);
    for (int r = 0; r < world(); ++r) {
      canaries_.push_back(context_->createUnboundBuffer(&canary_, sizeof(canary_)));
      if (r != rank()) canaries_.back()->recv(r, kCanarySlot, 0, sizeof(canary_));
    }
  }

  // Gloo tells the end of a connection to the transfers that have not begun, such as these. Asked without waiting: a
  // wait that was given up beforehand returns at once, or throws what the connection ended with.
  bool Lost(int peer) {
    gt::UnboundBuffer* canary = canaries_[static_cast<size_t>(peer)].get();
    canary->abortWaitRecv();
    try {
      canary->waitRecv(nullptr, kWatchEvery);
      return false;
    } catch (const std::exception&) {
      return true;
    }
  }

  // Each member shows each other one the secret that it can only have from the scheduler: whoever else found the port,
  // or answers in a member's place, is found out before any data goes to it.
  Status KnowEachOther(const std::vector<Introduction>& all) {
    std::string secrets, shown(kSecretBytes * all.size(), '\0');
    for (const Introduction& one : all) secrets += one.secret;
    std::vector<Part> parts;
    for (int r = 0; r < world(); ++r) {
      if (r != rank()) parts.push_back({r, static_cast<int64_t>(kSecretBytes) * r, kSecretBytes});
    }
    SWAGE_RETURN_IF_ERROR(Guard("greeting", [&] { Move(secrets.data(), parts, shown.data(), parts); }));
    for (const Part& part : parts) {
      if (shown.compare(static_cast<size_t>(part.at), kSecretBytes, all[static_cast<size_t>(rank())].secret) != 0)
        return Stranger(Cat("who connected as member ", part.peer, " is not"));
    }
    return absl::OkStatus();
  }

  std::vector<Part> ToOthers(int64_t at, int64_t bytes) const {
    std::vector<Part> parts;
    for (int r = 0; r < world(); ++r) {
      if (r != rank()) parts.push_back({r, at, bytes});
    }
    return parts;
  }

  // Member r sums the r-th part of all, in the order of ranks, and gives it to the others.
  template <typename T>
  Status Sum(T* values, int64_t n) {
    constexpr int64_t kSize = sizeof(T);
    const auto begin = [&](int r) { return n * r / world(); };
    const int64_t own = begin(rank()), count = begin(rank() + 1) - own;
    std::vector<T> theirs(static_cast<size_t>(count * world()));
    std::vector<Part> sends, receives, results;
    for (int r = 0; r < world(); ++r) {
      if (r == rank()) continue;
      sends.push_back({r, begin(r) * kSize, (begin(r + 1) - begin(r)) * kSize});
      receives.push_back({r, r * count * kSize, count * kSize});
      results.push_back(sends.back());
    }
    return Guard("sum", [&] {
      Move(values, sends, theirs.data(), receives);
      std::copy(values + own, values + own + count, theirs.data() + rank() * count);
      for (int64_t i = 0; i < count; ++i) {
        T sum = theirs[static_cast<size_t>(i)];
        for (int r = 1; r < world(); ++r) sum += theirs[static_cast<size_t>(r * count + i)];
        values[own + i] = sum;
      }
      Move(values, ToOthers(own * kSize, count * kSize), values, results);
    });
  }

  struct Pending {  // one transfer under way; its buffer is its own, so that its end is known from the others'
    int peer = -1;
    bool receives = false;
    std::unique_ptr<gt::UnboundBuffer> buffer;
  };

  // Sends and receives what is listed, within what is left of the call's time. Throws.
  void Move(const void* from, const std::vector<Part>& sends, void* to, const std::vector<Part>& receives) {
    const uint64_t slot = ++calls_;
    std::vector<Pending> pending;
    const auto begin = [&](const Part& part, char* data, bool receive) {
      if (part.bytes == 0) return;
      const auto bytes = static_cast<size_t>(part.bytes);
      pending.push_back({part.peer, receive, context_->createUnboundBuffer(data + part.at, bytes)});
      if (receive) {
        pending.back().buffer->recv(part.peer, slot, 0, bytes);
      } else {
        pending.back().buffer->send(part.peer, slot, 0, bytes);
      }
    };
    for (const Part& part : receives) begin(part, static_cast<char*>(to), true);
    for (const Part& part : sends) begin(part, static_cast<char*>(const_cast<void*>(from)), false);
    for (const Pending& one : pending) Await(one);
  }

  void Await(const Pending& pending) {
    const auto wait = [&](std::chrono::milliseconds time) {
      return pending.receives ? pending.buffer->waitRecv(nullptr, time) : pending.buffer->waitSend(nullptr, time);
    };
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (aborted_.load()) throw std::runtime_error("given up");
      waiting_ = &pending;
    }
    changed_.notify_all();
    bool done = false;
    std::exception_ptr thrown;
    try {
      done = wait(Left());
    } catch (...) {
      thrown = std::current_exception();
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      waiting_ = nullptr;
    }
    if (thrown) std::rethrow_exception(thrown);
    if (done) return;
    // The watch has seen the connection's end; the last byte may have come just before it.
    if (!aborted_.load() && wait(std::chrono::milliseconds(1))) return;
    throw std::runtime_error("given up");
  }

  // A connection that ends in the middle of a transfer does not wake who waits for it: Gloo has forgotten it by then.
  // This thread looks at the connection that is being waited for.
  void Watch() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!ended_) {
      if (waiting_ == nullptr) {
        changed_.wait(lock);
        continue;
      }
      changed_.wait_for(lock, kWatchEvery);
      if (waiting_ == nullptr) continue;
      if (Lost(waiting_->peer)) EndWait();
    }
  }

  void EndWait() {
    if (waiting_ == nullptr) return;
    waiting_->receives ? waiting_->buffer->abortWaitRecv() : waiting_->buffer->abortWaitSend();
  }

  std::chrono::milliseconds Left() const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until_ - std::chrono::steady_clock::now());
    return std::max(left, std::chrono::milliseconds(1));  // -1 would stand for Gloo's own default
  }

  // Runs a part of a call; what it throws, and an abort, becomes the status of this call and all later ones.
  template <typename Body>
  Status Guard(std::string_view what, const Body& body) {
    if (!broken_.ok()) return broken_;
    until_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.deadline_ms);
    std::string said;
    try {
      if (!aborted_.load()) body();
    } catch (const std::exception& error) {
      said = TextOf(error);
      if (said.empty()) said = "unknown";
    }
    constexpr std::string_view kNext = "nothing needs to be done: the job goes on from its checkpoint with a new gang";
    if (aborted_.load()) {
      broken_ = Error(StatusCode::kAborted, "COLLECTIVE_ABORTED", Cat("a ", what, " was given up"), kNext);
    } else if (!said.empty() && std::chrono::steady_clock::now() >= until_) {
      broken_ = Error(StatusCode::kDeadlineExceeded, "COLLECTIVE_TIMEOUT",
                      Cat("a ", what, " among ", world(), " members did not end in ", options_.deadline_ms, " ms"), kNext);
    } else if (!said.empty()) {
      broken_ = Unavailable("PEER_LOST", Cat("a ", what, " among ", world(), " members: ", said), kNext);
    }
    if (!broken_.ok()) {  // the others shall not wait for what does not come
      std::lock_guard<std::mutex> lock(mutex_);
      FailConnections();
    }
    return broken_;
  }

  // The others see the end of their connections to us.
  void FailConnections() {
    for (int r = 0; r < world() && context_ != nullptr; ++r) {
      if (const auto& pair = context_->getPair(r); pair != nullptr) pair->close();
    }
  }

  const ReducerOptions options_;
  Status broken_;
  SteadyTime until_;
  uint64_t calls_ = 0;
  std::atomic<bool> aborted_{false};
  std::mutex mutex_;
  std::shared_ptr<gt::Device> device_;
  std::shared_ptr<gt::Context> context_;  // before the device
  char canary_ = 0;
  std::vector<std::unique_ptr<gt::UnboundBuffer>> canaries_;  // by rank
  const Pending* waiting_ = nullptr;
  bool ended_ = false;
  std::condition_variable changed_;
  std::thread watch_;  // last: it uses all of the above
};

}  // namespace

StatusOr<std::unique_ptr<Reducer>> ConnectGloo(const ReducerOptions& options, const Meet& meet) {
  auto reducer = std::make_unique<GlooReducer>(options);
  SWAGE_RETURN_IF_ERROR(reducer->Connect(meet));
  return reducer;
}

}  // namespace swage
