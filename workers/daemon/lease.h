// When a worker must stop by itself, and when it may cut its own call short to tell news. Pure; times are nanoseconds of
// the monotonic clock. A lease counts from when the call that brought it was sent, so that a slow answer cannot stretch
// it; the fence stands at 80 % of it.
#pragma once

#include <cstdint>

namespace swage {

class LeaseClock {
 public:
  void Sent(int64_t now) { sent_ = now; }
  // The answer to the call sent last has come. False: so late that the fence it would set has passed already.
  bool Answered(int64_t lease_ms, int64_t now);
  bool held(int64_t now) const { return fence_at_ > now; }
  int64_t fence_at() const { return fence_at_; }  // 0: there has never been a lease
  // The earliest time at which the call in flight may be ended to send a new one. Each ended call is a lease not renewed,
  // so that this is only done while the last renewal is young; INT64_MAX: wait for the answer.
  int64_t MayInterruptAt() const;

 private:
  int64_t sent_ = 0;        // of the call in flight, or the last one
  int64_t renewed_ = 0;     // sent time of the last call that was answered
  int64_t lease_nanos_ = 0;
  int64_t fence_at_ = 0;
};

}  // namespace swage
