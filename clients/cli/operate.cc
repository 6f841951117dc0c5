#include "clients/cli/operate.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/clock.h"
#include "base/env.h"
#include "clients/cli/admin_client.h"
#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/jobs.h"

namespace swage {
namespace {

constexpr char kHome[] = "\x1b[H", kClear[] = "\x1b[2J", kClearLine[] = "\x1b[K\n", kClearBelow[] = "\x1b[J";

std::unique_ptr<AdminClient> NewAdminClient(const Session& session) {
  AdminClientOptions options;
  options.addresses = [session]() -> StatusOr<std::string> {
    SWAGE_ASSIGN_OR_RETURN(const ServerInfoView info, NewJobClient(session)->ServerInfo());
    return info.scheduler_address;
  };
  return std::make_unique<AdminClient>(std::move(options));
}

bool StdoutIsTerminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && term != nullptr && std::string_view(term) != "dumb";
}

// A frame over the last one: no flicker, and nothing of the old one left.
void Redraw(const std::string& text) {
  std::string frame = kHome;
  for (const std::string& line : Split(text, '\n')) {
    if (!line.empty() || frame != kHome) frame += line + kClearLine;
  }
  frame.resize(frame.size() - 1);  // no new line at the end: the screen must not scroll
  PrintOut(frame + kClearBelow);
}

StatusOr<int> TopLive(AdminClient* client, double interval_seconds) {
  PrintOut(kClear);
  while (true) {
    const auto top = client->Top();
    // Wrong usage will not get better; a scheduler that is away may.
    if (!top.ok() && top.status().code() != StatusCode::kUnavailable) return top.status();
    winsize size{};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) size = {24, 80, 0, 0};
    Redraw(top.ok() ? TopText(*top, Clock::Real()->UnixNanos(), size.ws_row - 1, size.ws_col)
                    : Cat(LocalTime(Clock::Real()->UnixNanos()), "  ", Printable(MessageOf(top.status()))));
    std::this_thread::sleep_for(std::chrono::duration<double>(interval_seconds));
  }
}

}  // namespace

StatusOr<int> RunTop(const Session& session, double interval_seconds, bool once) {
  const auto client = NewAdminClient(session);
  if (!once && !session.json && StdoutIsTerminal()) return TopLive(client.get(), interval_seconds);
  SWAGE_ASSIGN_OR_RETURN(const TopView top, client->Top());
  PrintOut(session.json ? ToJson(top) + "\n" : TopText(top, Clock::Real()->UnixNanos(), 0, 0));
  return kExitOk;
}

StatusOr<int> RunWhy(const Session& session, const std::string& job) {
  SWAGE_ASSIGN_OR_RETURN(const std::string name, JobName(job));
  SWAGE_ASSIGN_OR_RETURN(const ExplanationView view, NewAdminClient(session)->Explain(session.tenant, name));
  PrintOut(session.json ? ToJson(view) + "\n" : ExplanationText(view));
  return kExitOk;
}

StatusOr<int> RunQueue(const Session& session, const std::string& tenant, int limit) {
  SWAGE_ASSIGN_OR_RETURN(const QueueView view, NewAdminClient(session)->Queue(tenant, limit));
  PrintOut(session.json ? ToJson(view) + "\n" : QueueText(view));
  return kExitOk;
}

StatusOr<int> RunWorkers(const Session& session) {
  SWAGE_ASSIGN_OR_RETURN(const auto workers, NewAdminClient(session)->Workers());
  PrintOut(session.json ? ToJson(workers) + "\n" : WorkersText(workers));
  return kExitOk;
}

StatusOr<int> RunDrain(const Session& session, const std::string& worker, bool undo, bool evict) {
  SWAGE_RETURN_IF_ERROR(NewAdminClient(session)->Drain(worker, !undo, evict));
  if (session.json) {
    PrintOut(nlohmann::ordered_json{{"worker_id", worker}, {"draining", !undo}, {"evict", evict}}.dump() + "\n");
    return kExitOk;
  }
  PrintOut(Cat(Printable(worker), undo    ? " takes jobs again\n"
                                  : evict ? " drains: what runs there stops with a checkpoint and goes elsewhere\n"
                                          : " drains: it finishes what runs, then takes nothing\n"));
  return kExitOk;
}

StatusOr<int> RunCordon(const Session& session, const std::string& worker, const std::string& device,
                        const std::string& reason, bool undo) {
  if (undo != reason.empty()) {
    return InvalidInput("USAGE", undo ? "--undo and --reason exclude each other" : "a cordon needs --reason",
                        "swage cordon WORKER DEVICE --reason TEXT, or --undo");
  }
  SWAGE_RETURN_IF_ERROR(NewAdminClient(session)->Cordon(worker, device, reason));
  if (session.json) {
    PrintOut(nlohmann::ordered_json{{"worker_id", worker}, {"device", device}, {"cordoned", !undo}, {"reason", reason}}
                 .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return kExitOk;
  }
  PrintOut(Cat(Printable(device), " of ", Printable(worker),
               undo ? " takes jobs again\n" : " is cordoned: nothing new runs on it\n"));
  return kExitOk;
}

StatusOr<int> RunQuota(const Session& session) {
  SWAGE_ASSIGN_OR_RETURN(const auto tenants, NewAdminClient(session)->Tenants());
  PrintOut(session.json ? ToJson(tenants) + "\n" : TenantsText(tenants));
  return kExitOk;
}

StatusOr<int> RunQuotaSet(const Session& session, const std::string& tenant, const QuotaChange& change) {
  if (change.empty()) {
    return InvalidInput("USAGE", "nothing to set", "give --weight, --max-running, --max-memory, --max-device-memory or "
                                                   "--max-queued; 0 takes a limit away");
  }
  const auto client = NewAdminClient(session);
  SWAGE_ASSIGN_OR_RETURN(const auto tenants, client->Tenants());
  TenantEntry wanted;
  wanted.tenant = tenant;
  for (const TenantEntry& known : tenants) {
    if (known.tenant == tenant) wanted = known;
  }
  change.ApplyTo(&wanted);
  SWAGE_ASSIGN_OR_RETURN(const TenantEntry set, client->SetTenant(wanted));
  PrintOut(session.json ? ToJson(set) + "\n" : TenantsText({set}));
  return kExitOk;
}

StatusOr<int> RunSnapshot(const Session& session, const std::string& file) {
  Env* const env = Env::Posix();
  const std::string part = file + ".part";
  SWAGE_ASSIGN_OR_RETURN(const auto out, env->NewWritableFile(part));
  uint64_t bytes = 0;
  Status status = NewAdminClient(session)->Snapshot([&](std::string_view piece) {
    bytes += piece.size();
    return out->Append(piece);
  });
  if (status.ok()) status = out->Sync();
  if (status.ok()) status = out->Close();
  if (status.ok()) status = env->Rename(part, file);
  if (!status.ok()) {
    (void)env->Remove(part);
    return status;
  }
  PrintOut(session.json ? nlohmann::ordered_json{{"file", file}, {"bytes", bytes}}.dump() + "\n"
                        : Cat("wrote ", file, " (", HumanBytes(static_cast<double>(bytes)),
                              "); 'swage-sim --replay ", file, "' runs it\n"));
  return kExitOk;
}

}  // namespace swage
