// Follows one job of a Platform through `swage watch`, across restarts of the server, and answers where it is.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tests/chaos/platform.h"

namespace swage::chaos {

struct JobPosition {
  std::string state;   // "RUNNING"
  std::string stage;   // "block[3]"; "queued" before the first
  uint64_t epoch = 0;  // of the newest attempt seen
  bool final() const { return state == "SUCCEEDED" || state == "FAILED" || state == "CANCELLED"; }
};

class JobWatch {
 public:
  JobWatch(Platform* platform, std::string job);
  ~JobWatch();
  JobPosition Now();
  // False when the time is up first.
  bool Await(int timeout_ms, const std::function<bool(const JobPosition&)>& reached);

 private:
  void Follow();
  void OnLine(const std::string& line);

  Platform* platform_;
  std::string job_;
  std::mutex mutex_;
  std::condition_variable changed_;
  JobPosition position_;
  bool stopping_ = false;
  std::unique_ptr<Process> process_;
  std::thread thread_;
};

}  // namespace swage::chaos
