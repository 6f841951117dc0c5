#include "clients/cli/state.h"

#include <nlohmann/json.hpp>

#include "base/env.h"
#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "scheduler/state/state_copy.h"
#include "scheduler/state/state_uri.h"

namespace swage {

StatusOr<int> RunStateCopy(const Session& session, const std::string& from, const std::string& to,
                           bool force) {
  SWAGE_ASSIGN_OR_RETURN(const StateUri source_uri, ParseStateUri(from));
  SWAGE_ASSIGN_OR_RETURN(const StateUri target_uri, ParseStateUri(to));
  // Opening would make an empty one.
  if (source_uri.kind == StateUri::Kind::kSqlite && !Env::Posix()->Exists(source_uri.path)) {
    return NotFound("FILE_NOT_FOUND", Cat("there is no state file ", source_uri.path),
                    "--from names the state that is there; `swage up` keeps its own in "
                    "DATA/state.sqlite");
  }
  SWAGE_ASSIGN_OR_RETURN(const auto source, OpenStateStore(from));
  SWAGE_ASSIGN_OR_RETURN(const auto target, OpenStateStore(to));
  StateCopyOptions options;
  if (force) options.watch_leader_ms = 0;
  if (!force) {
    PrintErr(Cat("looking for ", HumanSeconds(options.watch_leader_ms / 1000.0),
                 " whether a scheduler leads there\n"));
  }
  SWAGE_ASSIGN_OR_RETURN(const StateCopyResult done,
                         CopyState(source.get(), target.get(), options));
  if (session.json) {
    const nlohmann::ordered_json json = {{"from", source_uri.shown},
                                         {"to", target_uri.shown},
                                         {"records", done.records},
                                         {"events", done.events},
                                         {"ended_streams", done.stream_ends},
                                         {"incarnation", done.incarnation},
                                         {"last_sequence", done.last_sequence},
                                         {"digest", done.digest}};
    PrintOut(json.dump() + "\n");
    return kExitOk;
  }
  PrintOut(Cat("copied ", done.records, " records and ", done.events, " events, and read them back\n",
               "  from    ", Printable(source_uri.shown), "\n  to      ",
               Printable(target_uri.shown), "\n  digest  ", done.digest,
               "\nstart swage-control and swage-scheduler with --state TO; the source stays as it is\n"));
  return kExitOk;
}

}  // namespace swage
