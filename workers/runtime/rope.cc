#include "workers/runtime/rope.h"

#include <algorithm>
#include <cmath>

namespace swage {
namespace {

constexpr double kPi = 3.14159265358979323846;

// theta^(2i/d)
std::vector<float> Powers(double theta, int64_t dim) {
  std::vector<float> powers;
  for (int64_t i = 0; i < dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(dim);
    powers.push_back(std::pow(static_cast<float>(theta), exponent));
  }
  return powers;
}

double DynamicTheta(const RopeConfig& rope, int64_t tokens) {
  if (tokens <= rope.max_positions) return rope.theta;
  const double dim = static_cast<double>(rope.rotary_dim);
  const double longer = static_cast<double>(tokens) / static_cast<double>(rope.max_positions);
  return rope.theta * std::pow(rope.factor * longer - (rope.factor - 1), dim / (dim - 2));
}

void StretchLlama3(const RopeConfig& rope, std::vector<float>* inv_freq) {
  const float length = static_cast<float>(rope.original_positions);
  const float low = static_cast<float>(rope.low_freq_factor);
  const float high = static_cast<float>(rope.high_freq_factor);
  const float factor = static_cast<float>(rope.factor);
  for (float& frequency : *inv_freq) {
    const float wavelength = static_cast<float>(2 * kPi) / frequency;
    if (wavelength < length / high) continue;
    if (wavelength > length / low) {
      frequency /= factor;
      continue;
    }
    const float smooth = (length / wavelength - low) / (high - low);
    frequency = (1 - smooth) * frequency / factor + smooth * frequency;
  }
}

// The channel pair that turns `rotations` times over the first training's length.
double YarnPair(const RopeConfig& rope, double rotations) {
  const double turns = static_cast<double>(rope.original_positions) / (rotations * 2 * kPi);
  return static_cast<double>(rope.rotary_dim) * std::log(turns) / (2 * std::log(rope.theta));
}

// Pairs that turn often stay, those that turn little are stretched, a ramp lies between.
void StretchYarn(const RopeConfig& rope, std::vector<float>* inv_freq) {
  double begin = YarnPair(rope, rope.beta_fast), end = YarnPair(rope, rope.beta_slow);
  if (rope.truncate) {
    begin = std::floor(begin);
    end = std::ceil(end);
  }
  begin = std::max(begin, 0.0);
  end = std::min(end, static_cast<double>(rope.rotary_dim - 1));
  if (begin == end) end += 0.001;
  for (size_t i = 0; i < inv_freq->size(); ++i) {
    const float ramp = (static_cast<float>(i) - static_cast<float>(begin)) /
                       static_cast<float>(end - begin);
    const float kept = 1 - std::clamp(ramp, 0.0f, 1.0f);
    const float frequency = (*inv_freq)[i];
    const float stretched = frequency / static_cast<float>(rope.factor);
    (*inv_freq)[i] = stretched * (1 - kept) + frequency * kept;
  }
}

double YarnScale(const RopeConfig& rope) {
  if (rope.attention_factor) return *rope.attention_factor;
  const auto scale = [&](double mscale) {
    return rope.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(rope.factor) + 1.0;
  };
  const bool both = rope.mscale > 0 && rope.mscale_all_dim > 0;
  return both ? scale(rope.mscale) / scale(rope.mscale_all_dim) : scale(1);
}

double LongRopeScale(const RopeConfig& rope) {
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.factor <= 1) return 1;
  const double length = static_cast<double>(rope.original_positions);
  return std::sqrt(1 + std::log(rope.factor) / std::log(length));
}

}  // namespace

bool RopeDependsOnWindow(const RopeConfig& rope) {
  return rope.type == "dynamic" || rope.type == "longrope";
}

RopeTable MakeRopeTable(const RopeConfig& rope, int64_t window_tokens) {
  const bool dynamic = rope.type == "dynamic", longrope = rope.type == "longrope";
  const double theta = dynamic ? DynamicTheta(rope, window_tokens) : rope.theta;
  RopeTable table;
  table.inv_freq = Powers(theta, rope.rotary_dim);
  if (longrope) {
    const bool beyond = window_tokens > rope.original_positions;
    const std::vector<float>& factors = beyond ? rope.long_factor : rope.short_factor;
    for (size_t i = 0; i < factors.size(); ++i) table.inv_freq[i] *= factors[i];
  }
  for (float& frequency : table.inv_freq) frequency = 1.0f / frequency;
  if (rope.type == "linear") {
    for (float& frequency : table.inv_freq) frequency /= static_cast<float>(rope.factor);
  }
  if (rope.type == "llama3") StretchLlama3(rope, &table.inv_freq);
  if (rope.type == "yarn") {
    StretchYarn(rope, &table.inv_freq);
    table.scale = static_cast<float>(YarnScale(rope));
  }
  if (longrope) table.scale = static_cast<float>(LongRopeScale(rope));
  return table;
}

}  // namespace swage
