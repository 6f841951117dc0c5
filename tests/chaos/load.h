// What clients do while faults rage: they submit jobs under request ids and repeat what was not answered, cancel,
// pause and resume, and look. Everything that was acknowledged is written down, for the check at the end.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/rng.h"
#include "clients/cli/job_client.h"
#include "services/kit/artifact_client.h"

namespace swage::chaos {

using Milliseconds = int64_t;  // since the run began

// One request and what is known of it.
struct Entry {
  std::string request_id;
  Submission submission;
  int variant = 0;
  std::string name;                     // "" until acknowledged
  Milliseconds submitted = 0, acked = 0;
  bool cancel_tried = false, cancel_acked = false;
  Milliseconds cancelled = 0;
  int64_t cancelled_unix_nanos = 0;
  std::string made_by;                  // of a pair's second: the first one's request id
  bool lost = false;                    // was acknowledged, vanished with Redis's last second, and was made again
  int retries = 0;                      // by the check, of jobs whose budget the faults had used up
  JobView seen;                         // when last looked at
};

// What a job does; jobs of one variant have the same result.
struct Variant {
  std::string recipe;
  bool second = false;     // its model is another job's result
  std::string reference;   // digest of the weights that an undisturbed run makes
};

class Load {
 public:
  struct Options {
    std::string address;      // of control
    std::string model;        // alias
    std::string text_digest;  // of "text.txt", which the recipes name
    uint64_t seed = 1;
    int most_open = 8;        // jobs that have not ended
  };
  explicit Load(const Options& options);
  ~Load();

  void Begin();  // the clients' threads
  void End();    // no new jobs; what was begun is repeated until it is answered

  static std::unique_ptr<JobClient> NewClient(const std::string& address);
  // Submits one job of each variant and waits for its end; fills in the references.
  Status MakeReferences(const std::string& scratch, ArtifactClient* store);
  static StatusOr<std::string> WeightsOf(ArtifactClient* store, const std::string& artifact, const std::string& scratch);

  std::vector<Variant> variants() const { return variants_; }
  std::vector<Entry> entries();                       // a copy
  void Update(const Entry& entry);                    // by request id
  std::vector<Entry> Running();                       // those seen on a worker
  Milliseconds Now() const;
  std::vector<std::string> violations();              // two names for one request id, and the like
  uint64_t doubled() const { return doubled_; }       // requests sent twice on purpose

 private:
  Submission NewSubmission(int variant, const std::string& model) const;
  Entry NewEntry(Rng* rng);
  void Submit(JobClient* client, Rng* rng);
  void Act(JobClient* client, Rng* rng);
  void Look(JobClient* client);
  void Violation(const std::string& text);
  bool Pause(int ms);  // false: it is time to end

  const Options options_;
  const int64_t began_nanos_;
  std::vector<Variant> variants_;
  std::mutex mu_;
  std::map<std::string, Entry> entries_;  // by request id
  std::vector<std::string> order_, violations_;
  int open_ = 0;
  uint64_t next_ = 0;
  std::atomic<uint64_t> doubled_{0};
  std::atomic<bool> ending_{false}, stop_looking_{false};
  std::vector<std::thread> threads_;
  std::thread looker_;
};

}  // namespace swage::chaos
