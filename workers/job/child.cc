#include "workers/job/child.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/env.h"
#include "base/limits.h"
#include "base/log.h"
#include "workers/job/probe.h"

namespace swage {
namespace {

constexpr int kSocket = 3;
constexpr int kExitOk = 0, kExitFailed = 1, kExitOrphan = 3;
constexpr size_t kLineBytes = 4u << 20;  // the recipe and some paths
constexpr int kNiceness = 5;

// Lines from fd 3. What follows a newline stays for the next call.
class LineReader {
 public:
  // False at the end of the stream, on an error, or when a line is too long.
  bool Next(std::string* line) {
    for (;;) {
      if (const size_t newline = pending_.find('\n'); newline != std::string::npos) {
        *line = pending_.substr(0, newline);
        pending_.erase(0, newline + 1);
        return true;
      }
      if (pending_.size() > kLineBytes) return false;
      char buffer[65536];
      const ssize_t got = read(kSocket, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      pending_.append(buffer, static_cast<size_t>(got));
    }
  }

 private:
  std::string pending_;
};

// Whole lines to fd 3, in order. Without a reader there is no reason to go on.
void Send(const ChildMessage& message) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  const std::string line = EncodeMessage(message) + "\n";
  for (size_t at = 0; at < line.size();) {
    const ssize_t put = write(kSocket, line.data() + at, line.size() - at);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) _exit(kExitOrphan);
    at += static_cast<size_t>(put);
  }
}

int Fail(const Status& status) {
  ChildMessage message;
  message.kind = ChildMessage::Kind::kFailed;
  message.failure = status;
  Send(message);
  return kExitFailed;
}

struct Signals {
  std::atomic<bool> cancelled{false}, finished{false};
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<StatusOr<std::vector<std::string>>> gathered;  // what the gang's members said
};

// Also set by SIGTERM: a supervisor that stops the worker may send it to all processes of its group.
std::atomic<bool> stopping{false};
static_assert(std::atomic<bool>::is_always_lock_free);

// Watches fd 3 for the whole life of the process: the end of the stream means that the daemon is
// gone, and then the child must not live on to write into folders that another attempt may own by
// now. _exit: nothing is worth flushing.
void Watch(LineReader reader, std::shared_ptr<Signals> signals) {
  std::string line;
  while (reader.Next(&line)) {
    if (line.find("\"cancel\"") != std::string::npos) signals->cancelled.store(true);
    if (line.find("\"stop\"") != std::string::npos) stopping.store(true);
    if (line.find("\"gathered\"") == std::string::npos) continue;
    std::lock_guard<std::mutex> lock(signals->mutex);
    signals->gathered = DecodeGathered(line);
    signals->changed.notify_all();
  }
  if (!signals->finished.load()) _exit(kExitOrphan);
}

// Says how this member of a gang is reached, and waits until the scheduler has heard it of all. The wait is cut into
// pieces because SIGTERM wakes nobody.
StatusOr<std::vector<std::string>> Meet(const std::string& mine, Signals* signals) {
  ChildMessage message;
  message.kind = ChildMessage::Kind::kRendezvous;
  message.rendezvous = mine;
  Send(message);
  constexpr int kPieceMs = 200;
  std::unique_lock<std::mutex> lock(signals->mutex);
  for (int waited = 0; waited < limits::kCollectiveMs; waited += kPieceMs) {
    if (signals->changed.wait_for(lock, std::chrono::milliseconds(kPieceMs),
                                  [&] { return signals->gathered.has_value(); })) {
      return *signals->gathered;
    }
    if (signals->cancelled.load()) return Error(StatusCode::kCancelled, "CANCELLED", "the job was cancelled");
    if (stopping.load()) return Error(StatusCode::kCancelled, "STOPPED", "asked to stop before the gang had met");
  }
  return Error(StatusCode::kDeadlineExceeded, "COLLECTIVE_TIMEOUT",
               Cat("the gang's other members did not say in ", limits::kCollectiveMs / 1000, " s how they are reached"),
               "see the other members' workers: `swage workers`");
}

StatusOr<std::string> RunJob(const ChildRun& run, Signals* signals) {
  Env* env = Env::Posix();
  const std::string& scratch = run.request.scratch_dir;
  SWAGE_RETURN_IF_ERROR(env->CreateDirs(scratch));
  SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock,
                         env->Lock(JoinPath(scratch, "lock"), /*wait=*/true));
  // An earlier attempt of this very job may have finished its artifact and been killed before
  // anybody heard of it. It is made again: the checkpoints are gone, and a folder of unknown origin
  // is not to be trusted.
  SWAGE_RETURN_IF_ERROR(env->RemoveTree(run.request.out_dir));
  std::shared_ptr<SpanSink> sink;
  if (!run.trace_file.empty()) {
    SWAGE_ASSIGN_OR_RETURN(sink, NewJsonLinesSink(run.trace_file));
  }
  Tracer tracer("swage-child", Clock::Real(), sink);
  EngineHooks hooks;
  hooks.tracer = &tracer;
  hooks.cancelled = [signals] { return signals->cancelled.load(); };
  hooks.meet = [signals](const std::string& mine) { return Meet(mine, signals); };
  hooks.stopping = [] { return stopping.load(); };
  hooks.progress = [](const Progress& progress) {
    ChildMessage message;
    message.progress = progress;
    Send(message);
  };
  return RunRecipe(env, run.request, hooks);
}

}  // namespace

int JobChildMain() {
  std::signal(SIGPIPE, SIG_IGN);
  // All cores compute; the daemon that renews our lease must get its turn at once.
  setpriority(PRIO_PROCESS, 0, kNiceness);
  // Ctrl-C at a terminal goes to the whole group; the daemon decides what happens to its children.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGTERM, [](int) { stopping.store(true); });
  LineReader reader;
  std::string line;
  if (!reader.Next(&line)) return kExitOrphan;
  StatusOr<ChildRun> run = DecodeRun(line);
  if (!run.ok()) return Fail(run.status());
  SetLogName(Cat("child ", run->job));
  run->request.session = Cat(run->job, " ", run->attempt);
  // What it was not given it does not see. Before any thread: the environment is not theirs to share.
  setenv("CUDA_VISIBLE_DEVICES", Join(run->request.devices, ",").c_str(), 1);
  auto signals = std::make_shared<Signals>();  // shared: the watching thread outlives this function
  std::thread(Watch, std::move(reader), signals).detach();
  StatusOr<std::string> report = RunJob(*run, signals.get());
  signals->finished.store(true);
  if (!report.ok()) return Fail(report.status());
  ChildMessage done;
  done.kind = ChildMessage::Kind::kDone;
  done.report_bytes = report->size();
  Send(done);
  return kExitOk;
}

std::optional<int> RunAsChild(int argc, char** argv) {
  const std::string_view word = argc >= 2 ? argv[1] : "";
  if (word == "__job") return JobChildMain();
  if (word == "__probe") return ProbeChildMain(argc >= 3 ? std::atoi(argv[2]) : 0);
  return std::nullopt;
}

}  // namespace swage
