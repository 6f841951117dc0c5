#include "tests/sim/network.h"

#include <algorithm>

namespace swage::sim {
namespace {

constexpr int64_t kFast = kMillisecond / 2, kUsual = 20 * kMillisecond;

}  // namespace

NodeId Network::Add(const std::string& name) {
  for (size_t i = 0; i < names_.size(); ++i) {
    links_[i].push_back({world_->Stream(Cat(names_[i], ">", name)), 0});
  }
  names_.push_back(name);
  std::vector<Link>& row = links_.emplace_back();
  for (const std::string& other : names_)
    row.push_back({world_->Stream(Cat(name, ">", other)), 0});
  return size() - 1;
}

void Network::Send(NodeId from, NodeId to, const std::function<void()>& deliver) {
  Link& link = At(from, to);
  // Drawn in any case, so that the messages behind this one fare alike with and without it.
  const double loss = link.rng.UniformDouble(), doubled = link.rng.UniformDouble(),
               slow = link.rng.UniformDouble();
  int64_t delay = Between(&link.rng, kFast, kUsual);
  // So late that leases have ended meanwhile.
  const int64_t late = Between(&link.rng, kSecond, kMinute);
  if (link.cuts > 0) return;
  if (loss < noise_.loss || doubled < noise_.doubled || slow < noise_.slow) ++disturbed_;
  if (loss < noise_.loss) return;
  if (slow < noise_.slow) delay = late;
  world_->After(delay, deliver);
  if (doubled < noise_.doubled) world_->After(delay + late / 10, deliver);
}

void Network::Mend(NodeId from, NodeId to) {
  Link& link = At(from, to);
  link.cuts = std::max(0, link.cuts - 1);
}

void Network::Separate(const std::vector<NodeId>& nodes, bool cut) {
  const auto inside = [&](NodeId node) {
    return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
  };
  for (NodeId a = 0; a < size(); ++a) {
    for (NodeId b = 0; b < size(); ++b) {
      if (inside(a) == inside(b)) continue;
      cut ? Cut(a, b) : Mend(a, b);
    }
  }
}

void Network::AddNoise(const Noise& noise, int times) {
  noise_.loss = std::max(0.0, noise_.loss + times * noise.loss);
  noise_.doubled = std::max(0.0, noise_.doubled + times * noise.doubled);
  noise_.slow = std::max(0.0, noise_.slow + times * noise.slow);
}

void Network::Calm() {
  noise_ = {};
  for (auto& row : links_) {
    for (Link& link : row) link.cuts = 0;
  }
}

}  // namespace swage::sim
