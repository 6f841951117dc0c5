// What goes wrong in one history: the whole list is drawn up front from the seed, so that a history
// can be repeated with a part of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/world.h"

namespace swage::sim {

enum class FaultKind {
  kWorkerCrash,       // and it starts again after `time`
  kWorkerStop,        // SIGSTOP, SIGCONT after `time`
  kWorkerDiskLoss,    // its folder is gone: it comes back under another name
  kWorkerFails,       // the next attempt that would end well there fails with a reason
  kWorkerRefuses,     // it has less room than it says: it refuses what it is given for `time`
  kDeviceFails,       // the next attempt there fails of a device, which is cordoned
  kDeviceSick,        // a device does not pass its self-test for `time`
  kDrain,             // an operator empties a worker for `time`, now and then at once
  kOutcomeHeldUp,     // the next report with an outcome is held up, its worker stopped, for `time`
  kClockDrift,        // a worker's monotonic clock runs up to 10 % fast or slow for `time`
  kWallStep,          // a machine's wall clock is set, up to three hours wrong
  kSeparate,          // some nodes are cut off from all others for `time`
  kOneWay,            // one direction of one link carries nothing for `time`
  kClog,              // swizzle: links are stopped one by one and restored in another order
  kNoise,             // messages are lost, doubled and held up for `time`
  kSchedulerKill,     // kill -9 of one
  kSchedulersKill,    // of all
  kSchedulerStop,     // SIGSTOP of the leader; another may lead before it is continued
  kSchedulerDies,     // the leader, right before its next write, or right after
  kStateDown,         // the state store does not answer for `time`
  kStateLosesWrite,   // the next write is lost, and `unknown`
  kStateUnconfirmed,  // the next write happens, and is `unknown`
  kStateFailover,     // it forgets its last writes, and may be away before
  kTakeoverForgotten, // it forgets the count that it has just given to a new leader
  kArtifactsDown,     // the artifact store does not answer for `time`
  kResultLost,        // what was prepared is gone when it is published
};
inline constexpr FaultKind kLastFault = FaultKind::kResultLost;

struct Fault {
  int64_t at = 0;  // since the start
  FaultKind kind = FaultKind::kNoise;
  int64_t time = 0;
  uint64_t a = 0, b = 0;  // which worker, link, reason, ...: taken modulo their number
  double strength = 0;    // [0, 1)
};

enum class FaultProfile { kNone, kLight, kHeavy };  // 0, about 150 and about 600 an hour

// Besides, the network loses, doubles and holds up one message in a hundred each, all the time.
std::vector<Fault> DrawFaults(const World& world, double hours, FaultProfile profile,
                              int64_t lease_nanos);
std::string_view NameOf(FaultKind kind);
std::string ToText(const Fault& fault);

}  // namespace swage::sim
