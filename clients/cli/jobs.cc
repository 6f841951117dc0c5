#include "clients/cli/jobs.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/progress.h"

namespace swage {
namespace {

constexpr int kExitInterrupted = 130;  // what shells say of SIGINT

char g_interrupt_text[256];  // written before the handler is set; the handler may only call write and _exit

void OnInterrupt(int) {
  if (write(STDERR_FILENO, g_interrupt_text, std::strlen(g_interrupt_text)) < 0) _exit(kExitInterrupted);
  _exit(kExitInterrupted);
}

// For as long as it lives, an interrupt tells that the job goes on.
class InterruptNote {
 public:
  explicit InterruptNote(const std::string& name) {
    const std::string text = Cat("\n", name, " goes on; 'swage watch ", name, "' shows it again, 'swage cancel ", name,
                                 "' ends it\n");
    std::strncpy(g_interrupt_text, text.c_str(), sizeof g_interrupt_text - 1);
    struct sigaction action {};
    action.sa_handler = OnInterrupt;
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptNote() { sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

std::string StateLine(const EventView& event) {
  std::string line = event.state;
  if (event.state == "STARTING" && event.epoch > 1) line += Cat(" again (attempt ", event.epoch, ")");
  if (!event.reason.empty()) line += Cat("  ", event.reason);
  if (!event.message.empty()) line += Cat("  ", Printable(event.message));
  return line;
}

}  // namespace

std::unique_ptr<JobClient> NewJobClient(const Session& session, const SpanContext& trace) {
  JobClientOptions options;
  options.address = [session] { return session.Address(); };
  options.tenant = session.tenant;
  options.trace = trace;
  return std::make_unique<JobClient>(std::move(options));
}

StatusOr<int> RunPing(const Session& session, double wait_seconds) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::duration<double>(wait_seconds);
  while (true) {
    const auto client = NewJobClient(session);
    const auto info = client->ServerInfo();
    if (info.ok()) {
      if (session.json) {
        PrintOut(nlohmann::ordered_json{{"version", info->version},
                                        {"address", info->address},
                                        {"store_address", info->store_address},
                                        {"scheduler_address", info->scheduler_address}}
                     .dump() + "\n");
      } else {
        PrintOut(Cat("swage ", info->version, " answers at ", info->address, "\n"));
      }
      return kExitOk;
    }
    if (info.status().code() != StatusCode::kUnavailable || std::chrono::steady_clock::now() >= give_up) {
      return info.status();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

StatusOr<int> RunJobs(const Session& session, int limit, bool oldest_first) {
  SWAGE_ASSIGN_OR_RETURN(const std::vector<JobView> jobs, NewJobClient(session)->List(limit, !oldest_first));
  PrintOut(session.json ? ToJson(jobs) + "\n" : JobsTable(jobs));
  return kExitOk;
}

StatusOr<int> RunJob(const Session& session, const std::string& job) {
  SWAGE_ASSIGN_OR_RETURN(const std::string name, JobName(job));
  SWAGE_ASSIGN_OR_RETURN(const JobView view, NewJobClient(session)->Get(name));
  PrintOut(session.json ? ToJson(view) + "\n" : JobText(view));
  return kExitOk;
}

StatusOr<int> WatchToEnd(const Session& session, JobClient* client, const std::string& name) {
  ProgressDisplay display(StderrStyle(session.color), Clock::Real(), PrintErr);
  const InterruptNote note(name);
  WatchCallbacks callbacks;
  std::string last_state;
  callbacks.event = [&](const EventView& event) {
    if (session.json) {
      PrintOut(ToJson(event) + "\n");
    } else if (event.kind == "progress") {
      display.Update(event.progress.stage, event.progress.fraction, event.progress.eta_seconds,
                     Printable(event.progress.message));
    } else if (event.state != last_state || !event.message.empty()) {
      display.Note(StateLine(event));
      last_state = event.state;
    }
  };
  if (!session.json) {
    callbacks.away = [&](const Status&) { display.Note("the server is away; waiting for it, the job is safe"); };
    callbacks.back = [&] { display.Note("the server is back"); };
  }
  SWAGE_ASSIGN_OR_RETURN(const JobView job, client->Watch(name, 0, callbacks));
  display.Finish();
  if (session.json) {
    PrintOut(ToJson(job) + "\n");
    return ExitCodeOfJob(job.state);
  }
  if (job.state != "SUCCEEDED") {
    PrintErr(ErrorText(JobFailure(job)));
  } else {
    PrintOut(Cat(job.name, "  ", job.state, "  ", job.artifact_alias, "  ", job.artifact, "\n"));
  }
  return ExitCodeOfJob(job.state);
}

StatusOr<int> RunWatch(const Session& session, const std::string& job) {
  SWAGE_ASSIGN_OR_RETURN(const std::string name, JobName(job));
  const auto client = NewJobClient(session);
  return WatchToEnd(session, client.get(), name);
}

StatusOr<int> RunJobAction(const Session& session, JobClient::Action action, const std::string& job) {
  SWAGE_ASSIGN_OR_RETURN(const std::string name, JobName(job));
  SWAGE_ASSIGN_OR_RETURN(const JobView view, NewJobClient(session)->Act(action, name));
  PrintOut(session.json ? ToJson(view) + "\n" : Cat(view.name, "  ", view.state, "\n"));
  return kExitOk;
}

StatusOr<int> RunDelete(const Session& session, const std::string& job) {
  SWAGE_ASSIGN_OR_RETURN(const std::string name, JobName(job));
  SWAGE_RETURN_IF_ERROR(NewJobClient(session)->Delete(name));
  PrintOut(session.json ? nlohmann::ordered_json{{"deleted", name}}.dump() + "\n" : Cat(name, "  deleted\n"));
  return kExitOk;
}

}  // namespace swage
