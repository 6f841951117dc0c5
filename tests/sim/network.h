// The network between the nodes of a simulation: each direction of each link delays, reorders,
// and, as faults say, loses, doubles, holds up or carries nothing. Streams of randomness are per
// direction, so that a message more on one link changes nothing on another.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace swage::sim {

using NodeId = int;

struct Noise {
  double loss = 0, doubled = 0, slow = 0;
};

class Network {
 public:
  explicit Network(World* world) : world_(world) {}

  NodeId Add(const std::string& name);  // all nodes before the first message
  const std::string& name(NodeId node) const { return names_[static_cast<size_t>(node)]; }
  int size() const { return static_cast<int>(names_.size()); }

  void Send(NodeId from, NodeId to, const std::function<void()>& deliver);
  // For calls that take no simulated time.
  bool Reaches(NodeId from, NodeId to) const { return At(from, to).cuts == 0; }

  void Cut(NodeId from, NodeId to) { ++At(from, to).cuts; }
  void Mend(NodeId from, NodeId to);
  // Everything to and from these nodes, not among them.
  void Separate(const std::vector<NodeId>& nodes, bool cut);
  void AddNoise(const Noise& noise, int times = 1);  // -1: no longer
  void Calm();  // the end of all faults
  uint64_t disturbed() const { return disturbed_; }  // messages lost, doubled or held up

 private:
  struct Link {
    Rng rng;
    int cuts = 0;  // faults that overlap add up
  };
  Link& At(NodeId from, NodeId to) {
    return links_[static_cast<size_t>(from)][static_cast<size_t>(to)];
  }
  const Link& At(NodeId from, NodeId to) const {
    return links_[static_cast<size_t>(from)][static_cast<size_t>(to)];
  }

  World* const world_;
  std::vector<std::string> names_;
  std::vector<std::vector<Link>> links_;
  Noise noise_;
  uint64_t disturbed_ = 0;
};

}  // namespace swage::sim
