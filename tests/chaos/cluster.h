// A Swage of real daemons that faults are done to: a store, two schedulers, control, workers, and the state in SQLite
// or in a redis-server of its own. Parts go by name: "store", "redis", "scheduler-a", "scheduler-b", "control",
// "worker-a", "worker-b", ... One thread: the processes die with the thread that started them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "tests/chaos/process.h"

namespace swage::chaos {

struct ClusterOptions {
  std::string bin_dir, data_dir;
  bool redis = false;
  int lease_ms = 2000, workers = 3, slots = 2;
  std::string hold;  // SWAGE_HOLD of the workers
};

class Cluster {
 public:
  static StatusOr<std::unique_ptr<Cluster>> Start(const ClusterOptions& options);
  ~Cluster();

  std::vector<std::string> parts() const;    // all names
  std::vector<std::string> workers() const;
  std::string control_address() const;
  std::string address(const std::string& part) const;

  // Sends the signal to the part's own process, with `children` to the jobs' processes below it too.
  void Signal(const std::string& part, int signal, bool children = false);
  std::vector<pid_t> Children(const std::string& worker) const;
  void Kill(const std::string& part);   // kill -9, and waits for its end; it stays down
  void Raise(const std::string& part);  // started again; does not wait until it is ready
  // Starts again what has ended of itself, as a service manager would: a scheduler, say, that found no state store.
  // What was ended by a signal that is none of ours is remembered in crashes().
  void Supervise();
  Status AwaitReady();  // all parts that are not down
  const std::vector<std::string>& crashes() const { return crashes_; }
  int refused_starts() const { return refused_starts_; }  // ended before they were ready

  // The RPC faults of what the part calls (services/kit/faults.h), from now on; "" = none.
  void SetFaults(const std::string& part, const std::string& faults);
  std::string FaultFile(const std::string& part) const;

  Status StopAll();  // SIGTERM; an exit code other than 0 is an error
  std::string worker_id(const std::string& worker) const;  // as the scheduler knows it; "" = not yet
  std::string log(const std::string& part) const;          // path of its standard error

 private:
  explicit Cluster(const ClusterOptions& options) : options_(options) {}
  Status Spawn(const std::string& part);
  std::vector<std::string> Command(const std::string& part) const;
  std::string StateUri() const;

  const ClusterOptions options_;
  int control_port_ = 0;
  struct Part;
  std::map<std::string, std::shared_ptr<Part>> up_;
  std::vector<std::string> crashes_;
  int refused_starts_ = 0;
};

}  // namespace swage::chaos
