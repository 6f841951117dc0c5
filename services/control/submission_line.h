// Submissions in line: those that come while others are being written are then written together, so that what a
// commit costs is shared and few threads are woken. What needs the artifact store's answer goes to a line of its own,
// where a slow store holds up nobody else. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/telemetry/trace.h"
#include "services/control/admission.h"
#include "services/control/directory.h"
#include "swage/v1/job.pb.h"

namespace swage {

struct Submission {
  const v1::CreateJobRequest* request = nullptr;
  v1::Job* job = nullptr;  // where the answer goes
  SpanContext trace;       // of the client's call
  // Called once, when `job` is filled or with the error; `request` and `job` must live until then.
  std::function<void(const Status&)> done;
};

class SubmissionLine {
 public:
  SubmissionLine(JobDirectory* directory, Admitter* admitter, Clock* clock, Tracer* tracer);
  ~SubmissionLine() { Stop(); }
  // UNAVAILABLE/SHUTTING_DOWN after Stop; RESOURCE_EXHAUSTED/OVERLOADED when limits::kSubmissionsInLine wait.
  void Add(Submission submission);
  void Stop();                      // those in line are answered first

 private:
  struct Line {
    std::deque<Submission> waiting;
    std::condition_variable changed;
    size_t at_once = 1;
    bool may_ask_store = false;
    bool stopping = false;  // ends when it is empty
  };
  struct Admitted;  // to be written
  void Serve(Line* line);
  void Handle(std::vector<Submission> submissions, bool may_ask_store);
  StatusOr<std::optional<Admitted>> Admit(const Submission& submission, bool may_ask_store);

  JobDirectory* const directory_;
  Admitter* const admitter_;
  Clock* const clock_;
  Tracer* const tracer_;
  std::mutex mu_;
  Line quick_, slow_;
  std::vector<std::thread> quick_threads_, slow_threads_;
};

}  // namespace swage
