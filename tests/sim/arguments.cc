#include "tests/sim/arguments.h"

#include <charconv>
#include <string_view>

namespace swage::sim {
namespace {

constexpr const char* kNext = "see swage-sim --help";

template <typename T>
bool Number(std::string_view text, T* out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

bool Seeds(std::string_view value, Arguments* args) {
  const size_t colon = value.find(':');
  if (colon == value.npos) {
    if (!Number(value, &args->from)) return false;
    args->to = args->from;
    return true;
  }
  return Number(value.substr(0, colon), &args->from) && Number(value.substr(colon + 1), &args->to) &&
         args->from <= args->to;
}

bool Profile(std::string_view value, SimOptions* options) {
  if (value == "none") options->profile = FaultProfile::kNone;
  if (value == "light") options->profile = FaultProfile::kLight;
  if (value == "heavy") options->profile = FaultProfile::kHeavy;
  return value == "none" || value == "light" || value == "heavy";
}

}  // namespace

StatusOr<Arguments> ParseArguments(int argc, const char* const* argv) {
  Arguments args;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help") args.help = true;
    if (name == "--json") args.json = true;
    if (name == "--minimize") args.minimize = true;
    if (name == "--no-minimize") args.minimize = false;
    if (name == "--help" || name == "--json" || EndsWith(name, "minimize")) continue;
    if (++i == argc) {
      return InvalidInput("BAD_ARGUMENT", Cat("'", name, "' is unknown or needs a value"), kNext);
    }
    const std::string_view value = argv[i];
    SimOptions& o = args.options;
    const bool good =
        name == "--seeds"    ? Seeds(value, &args)
        : name == "--hours"  ? Number(value, &o.hours) && o.hours > 0 && o.hours <= 1000
        : name == "--replay" ? !(args.replay = value).empty()
        : name == "--faults" ? Profile(value, &o)
        : name == "--jobs"   ? Number(value, &o.jobs_per_hour) && o.jobs_per_hour > 0 &&
                                 o.jobs_per_hour <= 1e6
                             : false;
    if (!good)
      return InvalidInput("BAD_ARGUMENT", Cat("'", name, " ", value, "' is not understood"), kNext);
  }
  return args;
}

const char* HelpText() {
  return R"(swage-sim: the scheduler's real code against simulated time, network and stores.

usage: swage-sim --seeds FROM:TO [options]     seeds FROM to TO, both included; --seeds N: one
       swage-sim --replay FILE                 a scheduler's snapshot, from where it was taken

  --hours H         simulated hours with faults, for each seed (0.1). Then faults stop, and
                    everything must end.
  --faults PROFILE  none | light (about 150 an hour: machines fail as machines do) |
                    heavy (about 600 an hour: everything does) (heavy)
  --jobs N          jobs that clients submit in a simulated hour (1200)
  --no-minimize     report a failing seed as it is. Otherwise faults and client calls are left out
                    as long as the same rule is broken, for at most a minute.
  --json            the result as one JSON object
  --help            this text

Faults: workers crash, are stopped and continued, lose their disk, run with wrong clocks, and their
jobs fail; nodes are cut off, links carry one way only or are clogged one by one, messages are lost,
doubled and held up; schedulers are killed, stopped, and die around their writes; the state store is
away, does not confirm writes, loses them, or fails over and forgets its last second; the artifact
store is away or loses a prepared result; wall clocks are set.

A replay has no faults and no clients: it shows where the jobs of the snapshot would have run, and
which would have waited for ever, and why.

A seed gives the same history each time. Exit status: 0 all invariants held; 1 one was violated: the
seed, the rule (G1 to G14: docs/guarantees.md), what is left of its faults and calls, and the last
200 lines of its history are printed; 2 the command line was not understood.
)";
}

}  // namespace swage::sim
