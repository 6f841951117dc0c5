// Moves the whole state from one store to another: records with their versions, events with their
// numbers, the incarnation. What was there before and after must be equal; it is read again and
// compared.
//
//   SWAGE_ASSIGN_OR_RETURN(const StateCopyResult done, CopyState(from.get(), to.get(), {}));
//
// First takes the leadership of the source, so that a scheduler that still leads there writes
// nothing more. Control must be stopped by hand: what it writes meanwhile is found, and refused
// (STATE_CHANGED), but not prevented. Nobody may use the target.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "scheduler/state/state_store.h"

namespace swage {

struct StateCopyOptions {
  // Watches the leader's beat for so long; LEADER_ALIVE when it moves. 0: does not look.
  int watch_leader_ms = 10000;
  std::function<void(int ms)> wait;  // how to let time pass; null: sleeps
};

struct StateCopyResult {
  uint64_t records = 0, events = 0, stream_ends = 0;
  uint64_t incarnation = 0, last_sequence = 0;
  std::string digest;  // of all of it, 64 hex digits; the same at both ends
};

StatusOr<StateCopyResult> CopyState(MovableStateStore* from, MovableStateStore* to,
                                    const StateCopyOptions& options);

// Counts and digest of what a store holds.
StatusOr<StateCopyResult> DigestState(MovableStateStore* store);

}  // namespace swage
