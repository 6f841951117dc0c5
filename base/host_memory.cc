#include "base/host_memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "base/text.h"

namespace swage {
namespace {

// The number behind `key` in a file of lines "key: 123 kB" or "key 123"; 0 when it is not there.
uint64_t NumberOf(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!StartsWith(line, key) || line.size() <= key.size() || (line[key.size()] != ':' && line[key.size()] != ' ')) continue;
    return std::strtoull(line.c_str() + key.size() + 1, nullptr, 10);
  }
  return 0;
}

// "max", or a number so large that it stands for none, is none: 0.
uint64_t LimitIn(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  if (!(file >> word)) return 0;
  const uint64_t bytes = std::strtoull(word.c_str(), nullptr, 10);
  return bytes < (1ull << 60) ? bytes : 0;
}

struct GroupFiles {
  std::string_view limit, used, droppable;  // the last a key of memory.stat
};

void TakeGroup(const std::string& folder, const GroupFiles& files, MachineMemory* memory) {
  const uint64_t limit = LimitIn(Cat(folder, "/", files.limit));
  if (limit == 0) return;
  const uint64_t used = LimitIn(Cat(folder, "/", files.used));
  const uint64_t droppable = NumberOf(Cat(folder, "/memory.stat"), files.droppable);
  const uint64_t held = used > droppable ? used - droppable : 0;
  memory->total = std::min(memory->total, limit);
  memory->available = std::min(memory->available, limit > held ? limit - held : 0);
}

}  // namespace

MachineMemory ReadHostMemory(const std::string& root) {
  MachineMemory memory;
  memory.total = NumberOf(root + "/proc/meminfo", "MemTotal") * 1024;
  memory.available = NumberOf(root + "/proc/meminfo", "MemAvailable") * 1024;
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "0::/a/b", or "5:memory:/a/b"
    const std::vector<std::string> parts = Split(line, ':');
    if (parts.size() < 3) continue;
    const bool v2 = parts[0] == "0" && parts[1].empty();
    const std::vector<std::string> controllers = Split(parts[1], ',');
    if (!v2 && std::find(controllers.begin(), controllers.end(), "memory") == controllers.end()) continue;
    const std::string base = root + (v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory");
    const GroupFiles files = v2 ? GroupFiles{"memory.max", "memory.current", "inactive_file"}
                                : GroupFiles{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};
    // A group is bound by its ancestors too. In a container the path may be one of the host's, which is not there: then
    // the root that is seen is its own.
    std::string path = parts[2] == "/" ? "" : parts[2];
    while (true) {
      TakeGroup(base + path, files, &memory);
      if (path.empty()) break;
      const size_t parent = path.rfind('/');
      path.erase(parent == std::string::npos ? 0 : parent);
    }
  }
  return memory;
}

uint64_t AnonymousBytesOf(pid_t pid) { return pid <= 0 ? 0 : NumberOf(Cat("/proc/", pid, "/status"), "RssAnon") * 1024; }

}  // namespace swage
