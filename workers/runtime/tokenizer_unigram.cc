#include "workers/runtime/tokenizer_unigram.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <limits>

#include "base/text.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

constexpr double kUnknownPenalty = 10.0;

}  // namespace

Unigram::Unigram(UnigramTables tables) : tables_(std::move(tables)) {
  double least = std::numeric_limits<double>::infinity();
  for (size_t id = 0; id < tables_.pieces.size(); ++id) {
    const auto& [text, score] = tables_.pieces[id];
    id_of_piece_[text] = static_cast<int32_t>(id);
    if (score < least) least = score;
  }
  unknown_score_ = least - kUnknownPenalty;
  if (tables_.byte_fallback) {
    fallback_.emplace();
    for (int byte = 0; byte < 256; ++byte) {
      const auto found = id_of_piece_.find(ByteToken(static_cast<uint8_t>(byte)));
      (*fallback_)[byte] = found == id_of_piece_.end() ? -1 : found->second;
    }
  }
  // Level by level: a node is a range of the sorted pieces that share a prefix.
  std::vector<std::pair<std::string_view, int32_t>> sorted;
  for (const auto& [text, id] : id_of_piece_) {
    if (!text.empty()) sorted.emplace_back(text, id);
  }
  std::sort(sorted.begin(), sorted.end());
  struct Range {
    size_t begin, end, depth;
  };
  std::deque<Range> open = {{0, sorted.size(), 0}};
  nodes_.emplace_back();
  labels_.push_back('\0');
  for (size_t at = 0; !open.empty(); ++at) {
    Range range = open.front();
    open.pop_front();
    if (range.begin < range.end && sorted[range.begin].first.size() == range.depth)
      nodes_[at].id = sorted[range.begin++].second;
    nodes_[at].children = static_cast<uint32_t>(nodes_.size());
    while (range.begin < range.end) {
      const char label = sorted[range.begin].first[range.depth];
      size_t end = range.begin;
      while (end < range.end && sorted[end].first[range.depth] == label) ++end;
      nodes_.emplace_back();
      labels_.push_back(label);
      open.push_back({range.begin, end, range.depth + 1});
      range.begin = end;
    }
    nodes_[at].count = static_cast<uint32_t>(nodes_.size()) - nodes_[at].children;
  }
}

const Unigram::Node* Unigram::Child(const Node& node, char label) const {
  const char* labels = labels_.data() + node.children;
  const void* found = std::memchr(labels, label, node.count);
  if (found == nullptr) return nullptr;
  return &nodes_[node.children + static_cast<size_t>(static_cast<const char*>(found) - labels)];
}

void Unigram::Walk(std::string_view word, std::vector<Step>* steps) const {
  const auto offer = [&](size_t begin, size_t end, int32_t id, double score) {
    Step& step = (*steps)[end];
    if (step.begin != UINT32_MAX && !(score > step.score)) return;
    step = {score, id, static_cast<uint32_t>(begin)};
  };
  for (size_t begin = 0; begin < word.size();) {
    const size_t size = std::max<size_t>(1, Utf8SequenceAt(word, begin));
    const double so_far = (*steps)[begin].score;
    bool single = false;
    const Node* node = nodes_.data();
    for (size_t end = begin; end < word.size();) {
      node = Child(*node, word[end++]);
      if (node == nullptr) break;
      if (node->id < 0) continue;
      offer(begin, end, node->id, tables_.pieces[static_cast<size_t>(node->id)].second + so_far);
      single |= end == begin + size;
    }
    if (!single) offer(begin, begin + size, tables_.unknown, unknown_score_ + so_far);
    begin += size;
  }
}

void Unigram::Put(std::string_view stretch, std::vector<int32_t>* ids) const {
  const auto found = id_of_piece_.find(ToAbsl(stretch));
  if (found != id_of_piece_.end()) {
    ids->push_back(found->second);
    return;
  }
  const auto id_of = [&](char c) { return (*fallback_)[static_cast<uint8_t>(c)]; };
  if (fallback_ &&
      std::all_of(stretch.begin(), stretch.end(), [&](char c) { return id_of(c) >= 0; })) {
    for (const char c : stretch) ids->push_back(id_of(c));
    return;
  }
  ids->push_back(tables_.unknown);
}

void Unigram::Encode(std::string_view word, std::vector<int32_t>* ids) const {
  if (word.empty()) return;
  std::vector<Step> steps(word.size() + 1);
  Walk(word, &steps);
  std::vector<std::pair<size_t, size_t>> stretches;  // backwards; unknown neighbours are one
  bool after_unknown = false;
  for (size_t end = word.size(); end > 0;) {
    const size_t begin = steps[end].begin;
    const bool unknown = steps[end].id == tables_.unknown;
    if (unknown && after_unknown) {
      stretches.back().first = begin;
    } else {
      stretches.emplace_back(begin, end);
    }
    after_unknown = unknown;
    end = begin;
  }
  for (auto stretch = stretches.rbegin(); stretch != stretches.rend(); ++stretch)
    Put(word.substr(stretch->first, stretch->second - stretch->first), ids);
}

}  // namespace swage
