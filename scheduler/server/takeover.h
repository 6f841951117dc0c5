// How a scheduler becomes leader: take a higher incarnation than any seen, read everything, agree
// with the artifact store on what has been published.
#pragma once

#include <memory>

#include "base/clock.h"
#include "scheduler/core/core.h"
#include "scheduler/server/artifact_store.h"
#include "scheduler/state/state_store.h"

namespace swage {

inline constexpr std::string_view kBeatKey =
    "-/leader/beat";  // written now and then by the leader; proof of life

struct Leadership {
  uint64_t incarnation = 0;
  std::unique_ptr<Core> core;   // loaded, with the requests that were waiting already handled
  uint64_t event_position = 0;  // new jobs and requests behind it have not been seen
  uint64_t beat_version = 0;
};

// Both stores must answer. A record that cannot be read is logged and left alone. `seed` is of the
// core's randomness: tokens must not repeat, so a real leader draws it from the operating system.
StatusOr<Leadership> TakeOver(StateStore* state, ArtifactStore* artifacts, int64_t lease_ms,
                              uint64_t seed, Clock* clock);
// The same with other times than the product's, as the simulator wants them; the incarnation in
// `options` is not looked at.
StatusOr<Leadership> TakeOver(StateStore* state, ArtifactStore* artifacts, CoreOptions options,
                              uint64_t seed, Clock* clock);

// What the leader reads because of an event of the log: the key of a new job or of a request; "" = nothing.
std::string NewsKey(const StoredEvent& event);
// That record as an input of the core.
StatusOr<std::function<void(Core&, Now)>> NewsFrom(const Record& record);

Now NowOf(Clock* clock);

}  // namespace swage
