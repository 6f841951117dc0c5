#include "services/control/job_id.h"

#include <algorithm>

namespace swage {
namespace {

constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";  // without i, l, o, u
constexpr size_t kLength = 26;
constexpr std::string_view kPrefix = "jobs/";

}  // namespace

std::string JobIdGenerator::Next() {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t now_ms = static_cast<uint64_t>(clock_->UnixNanos()) / 1000000;
  if (now_ms > last_ms_) {
    last_ms_ = now_ms;
    const uint64_t high = random_source_(), low = random_source_();
    for (int i = 0; i < 4; ++i) random_[i] = static_cast<uint16_t>(high >> (16 * i));
    random_[4] = static_cast<uint16_t>(low);
    random_[0] &= 0x7fff;  // room to count up within a millisecond
  } else {
    // The same millisecond, or a clock that was set back: count up, so that the order holds.
    for (int i = 4; i >= 0 && ++random_[i] == 0; --i) {
    }
  }
  // 130 bits, five at a time from the top: two zero bits, 48 of time, 80 of randomness.
  std::string id;
  auto bit = [&](int index) -> unsigned {  // 0 is the most significant of the 130
    if (index < 2) return 0;
    if (index < 50) return (last_ms_ >> (49 - index)) & 1;
    return (random_[(index - 50) / 16] >> (15 - (index - 50) % 16)) & 1;
  };
  for (size_t i = 0; i < kLength; ++i) {
    unsigned value = 0;
    for (int b = 0; b < 5; ++b) value = value * 2 + bit(static_cast<int>(i) * 5 + b);
    id += kAlphabet[value];
  }
  return id;
}

bool IsJobId(std::string_view id) {
  return id.size() == kLength && std::all_of(id.begin(), id.end(), [](char c) {
           return kAlphabet.find(c) != std::string_view::npos;
         });
}

StatusOr<std::string> ParseJobName(std::string_view name) {
  std::string_view id = name;
  if (StartsWith(id, kPrefix)) id.remove_prefix(kPrefix.size());
  if (!IsJobId(id)) {
    return InvalidInput("BAD_JOB_NAME", Cat("'", name.substr(0, 80), "' is not the name of a job"),
                        "a name is jobs/ and 26 letters and digits; `swage jobs` lists them");
  }
  return std::string(id);
}

}  // namespace swage
