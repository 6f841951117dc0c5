// Does to a cluster what a fault says.
#pragma once

#include "tests/sim/cluster.h"
#include "tests/sim/faults.h"

namespace swage::sim {

class Injector {
 public:
  explicit Injector(Cluster* cluster) : cluster_(cluster) {}
  void Inject(const Fault& fault);
  uint64_t count() const { return count_; }

 private:
  void OnWorker(const Fault& fault);
  void OnNetwork(const Fault& fault);
  void OnScheduler(const Fault& fault);
  void OnStores(const Fault& fault);
  void Clog(const Fault& fault);
  void SetWall(const Fault& fault);

  Cluster* const cluster_;
  uint64_t count_ = 0;
};

}  // namespace swage::sim
