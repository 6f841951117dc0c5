#include "clients/cli/parse_operate.h"

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "clients/cli/operate.h"

namespace swage {
namespace {

// What was given of `swage quota set`; a text says whether it was.
StatusOr<QuotaChange> ChangeOf(const OperateFlags& flags) {
  QuotaChange change;
  const auto bytes = [](const std::string& text, bool* has, uint64_t* out) -> Status {
    *has = !text.empty();
    if (!*has) return absl::OkStatus();
    SWAGE_ASSIGN_OR_RETURN(*out, ParseBytes(text));
    return absl::OkStatus();
  };
  SWAGE_RETURN_IF_ERROR(bytes(flags.max_memory, &change.has_max_memory, &change.max_memory));
  SWAGE_RETURN_IF_ERROR(bytes(flags.max_device_memory, &change.has_max_device_memory, &change.max_device_memory));
  change.has_weight = !flags.weight.empty();
  change.has_max_running = !flags.max_running.empty();
  change.has_max_queued = !flags.max_queued.empty();
  change.weight = std::atof(flags.weight.c_str());
  change.max_running = std::atoi(flags.max_running.c_str());
  change.max_queued = std::atoi(flags.max_queued.c_str());
  return change;
}

void AddQuota(CLI::App* app, const Session* session, OperateFlags* flags, std::function<StatusOr<int>()>* command) {
  CLI::App* quota = app->add_subcommand("quota", "List tenants with their weights, limits and use");
  quota->callback([=] {
    if (quota->get_subcommands().empty()) *command = [=] { return RunQuota(*session); };
  });
  CLI::App* set = quota->add_subcommand("set", "Change a tenant's weight and limits; what is not given stays");
  set->add_option("tenant", flags->tenant, "Whose")->required();
  set->add_option("--weight", flags->weight, "Its part, relative to the others'")->check(CLI::Range(0.001, 1000.0));
  set->add_option("--max-running", flags->max_running, "Jobs at one time; 0: no limit")->check(CLI::Range(0, 1000000000));
  set->add_option("--max-memory", flags->max_memory, "Of the hosts, at one time; 0: no limit")->type_name("SIZE");
  set->add_option("--max-device-memory", flags->max_device_memory, "Of devices, at one time; 0: no limit")
      ->type_name("SIZE");
  set->add_option("--max-queued", flags->max_queued, "Jobs that have not ended; 0: 100,000")
      ->check(CLI::Range(0, 1000000000));
  set->callback([=] {
    *command = [=]() -> StatusOr<int> {
      SWAGE_ASSIGN_OR_RETURN(const QuotaChange change, ChangeOf(*flags));
      return RunQuotaSet(*session, flags->tenant, change);
    };
  });
}

}  // namespace

void AddOperate(CLI::App* app, const Session* session, OperateFlags* flags, std::function<StatusOr<int>()>* command) {
  CLI::App* top = app->add_subcommand("top", "Show what runs and what waits, live on a terminal");
  top->add_option("--interval", flags->interval_seconds, "Between two looks")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str();
  top->add_flag("--once", flags->once, "Say it once and end");
  top->callback([=] { *command = [=] { return RunTop(*session, flags->interval_seconds, flags->once); }; });

  CLI::App* why = app->add_subcommand("why", "Say why a job waits, or what it does");
  why->add_option("job", flags->job, "Its id")->required();
  why->callback([=] { *command = [=] { return RunWhy(*session, flags->job); }; });

  CLI::App* queue = app->add_subcommand("queue", "List what waits, of all tenants: by what it needs, and job by job");
  queue->add_option("--tenant", flags->tenant, "One tenant's only")->type_name("TENANT");
  queue->add_option("--limit", flags->limit, "At most so many jobs")->check(CLI::Range(0, 1000))->capture_default_str();
  queue->callback([=] {
    *command = [=] {
      // `swage --tenant x queue` means x's; without, an operator wants to see everybody's.
      const bool own = flags->tenant.empty() && session->tenant != Session().tenant;
      return RunQueue(*session, own ? session->tenant : flags->tenant, flags->limit);
    };
  });

  CLI::App* workers = app->add_subcommand("workers", "List workers with their devices, free memory, slots and features");
  workers->callback([=] { *command = [=] { return RunWorkers(*session); }; });

  CLI::App* drain = app->add_subcommand("drain", "Give a worker nothing new");
  drain->add_option("worker", flags->worker, "Its id")->required();
  CLI::Option* undo = drain->add_flag("--undo", flags->undo, "Give it jobs again");
  drain->add_flag("--evict", flags->evict, "Stop what runs there with a checkpoint, to go on elsewhere")->excludes(undo);
  drain->callback([=] { *command = [=] { return RunDrain(*session, flags->worker, flags->undo, flags->evict); }; });

  CLI::App* cordon = app->add_subcommand("cordon", "Give one device of a worker nothing new");
  cordon->add_option("worker", flags->worker, "Its id")->required();
  cordon->add_option("device", flags->device, "As 'swage workers' lists it")->required();
  cordon->add_option("--reason", flags->reason, "Shown to whoever asks")->type_name("TEXT");
  cordon->add_flag("--undo", flags->undo, "Use it again");
  cordon->callback([=] {
    *command = [=] { return RunCordon(*session, flags->worker, flags->device, flags->reason, flags->undo); };
  });

  AddQuota(app, session, flags, command);

  CLI::App* snapshot = app->add_subcommand("snapshot", "Write what the scheduler's decisions rest on; swage-sim replays it");
  snapshot->add_option("--out", flags->file, "Where to")->required()->type_name("FILE");
  snapshot->callback([=] { *command = [=] { return RunSnapshot(*session, flags->file); }; });
}

}  // namespace swage
