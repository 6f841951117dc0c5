// What must hold after every step, whatever fails. It sees each durable write of the state store,
// each preparation and publication in the artifact store, and each start of an attempt.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>

#include "scheduler/core/records.h"
#include "scheduler/state/state_store.h"
#include "tests/sim/world.h"

namespace swage::sim {

class Checker {
 public:
  explicit Checker(World* world) : world_(world) {}

  void Accepted(const std::string& job_key) { accepted_.insert(job_key); }
  void Applied(const Transaction& transaction);  // after it has happened
  void Prepared(const std::string& job_key, const std::string& artifact, const JobToken& token);
  void Published(const std::string& job_key, const std::string& artifact);  // took effect
  void Started(const std::string& worker, const std::string& job_key, const JobToken& token);

  // After the last fault: is every accepted job over?
  bool AllOver() const;
  void CheckEnd();
  size_t accepted() const { return accepted_.size(); }
  const std::map<std::string, JobRecord>& records() const { return records_; }

 private:
  void CheckEvent(const std::string& stream, const std::string& value);
  void CheckRecord(const std::string& key, const std::string& value);

  World* const world_;
  std::set<std::string> accepted_, deleted_;
  std::map<std::string, JobRecord> records_;
  std::map<std::string, JobState> last_state_;  // by the events
  std::map<std::string, uint64_t> last_epoch_;
  std::map<std::string, std::string> published_;
  std::map<std::pair<std::string, std::string>, std::set<std::pair<uint64_t, uint64_t>>>
      prepared_;  // (epoch, random)
  std::map<std::pair<std::string, uint64_t>, std::pair<uint64_t, std::string>>
      dispatched_;  // (job, epoch): random, worker
};

}  // namespace swage::sim
