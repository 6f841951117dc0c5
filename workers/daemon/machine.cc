#include "workers/daemon/machine.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/log.h"
#include "base/rng.h"
#include "workers/daemon/child_process.h"
#include "base/host_memory.h"

namespace swage {
namespace {

constexpr uint64_t kSmallestCache = 1000000000;
constexpr int kProbeMs = 30000;

StatusOr<std::vector<ProbedDevice>> Probe(const std::string& executable, const std::vector<std::string>& arguments) {
  SWAGE_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Spawn(executable, arguments));
  std::string line;
  switch (child.Wait(-1, kProbeMs, &line)) {
    case ChildProcess::Event::kLine:
      return DecodeProbe(line);
    case ChildProcess::Event::kTimeout:
      return Error(StatusCode::kDeadlineExceeded, "PROBE_HANGS", Cat("the devices did not answer within ", kProbeMs / 1000, " s"));
    default:
      break;
  }
  const int status = child.Reap();
  return Internal(WIFSIGNALED(status) ? Cat("the probe of the devices died of signal ", WTERMSIG(status))
                                      : Cat("the probe of the devices exited with ", WEXITSTATUS(status), " and no answer"));
}

}  // namespace

uint64_t DefaultMemoryBytes() { return ReadHostMemory().total / 10 * 8; }

StatusOr<std::vector<ProbedDevice>> ProbeDevices(const std::string& executable, int threads) {
  SWAGE_ASSIGN_OR_RETURN(std::vector<ProbedDevice> devices, Probe(executable, {"__probe", std::to_string(threads)}));
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error).string();
  const std::string accelerators = JoinPath(DirName(self), "swage-cuda-probe");
  if (error || !Env::Posix()->Exists(accelerators)) return devices;
  const auto more = Probe(accelerators, {});
  if (more.ok()) devices.insert(devices.end(), more->begin(), more->end());
  if (!more.ok()) LogWarning("no CUDA device is used: ", MessageOf(more.status()));
  return devices;
}

std::string HostName() {
  char host[65] = {};
  return ::gethostname(host, sizeof(host) - 1) == 0 ? host : "";
}

StatusOr<std::string> WorkerId(Env* env, const std::string& data_dir) {
  const std::string path = JoinPath(data_dir, "worker_id");
  if (env->Exists(path)) {
    SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(env, path, 256));
    return std::string(Trim(text));
  }
  const std::string host = HostName();
  const std::string id = Cat(host.empty() ? "worker" : host, "-", RandomHex(4));
  SWAGE_RETURN_IF_ERROR(WriteFileAtomic(env, path, id + "\n"));
  return id;
}

uint64_t CacheBytes(Env* env, const std::string& dir) {
  const auto free_bytes = env->FreeBytes(dir);
  return free_bytes.ok() ? std::max(*free_bytes / 2, kSmallestCache) : kSmallestCache;
}

}  // namespace swage
