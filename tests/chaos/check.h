// After the faults: does everything that was acknowledged hold?
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/chaos/load.h"

namespace swage::chaos {

struct Findings {
  int jobs = 0, succeeded = 0, cancelled = 0, failed_with_another = 0;  // the last: the job they waited for did not succeed
  int again = 0;          // losses had used up the budget; retried once the faults were over, and ended well
  int lost_suffix = 0;    // gone with Redis's last second; made again under the same request id
  int undone_cancels = 0; // the cancel went with it
  int late_cancels = 0;   // the result was decided already
  int attempts = 0, most_attempts = 0, downloads = 0, events = 0;
  std::map<std::string, int> attempts_by_reason;  // how they ended
  std::map<std::string, JobView> ended;              // by name
  std::vector<std::string> violations;
  std::vector<std::string> bad_jobs;  // request ids that a violation names
};

struct CheckOptions {
  std::string address, store_address, scratch;
  int patience_ms = 240000;
  // When Redis was killed: what was acknowledged so shortly before may be gone. Empty otherwise.
  std::vector<Milliseconds> redis_kills;
};

// Waits until every job has ended (resuming what is paused, retrying once what failed by its budget), then looks at
// jobs, events, attempts and artifacts.
Findings Check(const CheckOptions& options, Load* load);

// The job as the server tells it, with all its events: for a person.
std::string StoryOf(const std::string& address, const std::string& name);

}  // namespace swage::chaos
