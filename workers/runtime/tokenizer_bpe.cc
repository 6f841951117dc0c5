#include "workers/runtime/tokenizer_bpe.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "base/text.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

constexpr size_t kShortWord = 24;  // below it a scan over all pairs beats the heap
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();
constexpr uint32_t kDirectPoints = 1u << 16;

}  // namespace

Bpe::Bpe(BpeTables tables) : tables_(std::move(tables)) {
  if (!tables_.characters) return;
  id_of_point_.assign(kDirectPoints, -1);
  for (const auto& [token, id] : tables_.characters->vocab) {
    if (token.empty() || Utf8SequenceAt(token, 0) != token.size()) continue;
    const uint32_t point = DecodeUtf8At(token, 0);
    if (point < kDirectPoints) id_of_point_[point] = id;
  }
}

const MergeRow* Bpe::FindMerge(int32_t left, int32_t right) const {
  const auto found = tables_.merges.find(MergeKey(left, right));
  return found == tables_.merges.end() ? nullptr : &found->second;
}

void Bpe::Encode(std::string_view word, std::vector<int32_t>* ids) const {
  if (!tables_.whole_words.empty()) {
    const auto whole = tables_.whole_words.find(ToAbsl(word));
    if (whole != tables_.whole_words.end()) {
      ids->push_back(whole->second);
      return;
    }
  }
  const size_t first = ids->size();
  if (tables_.characters) {
    AddCharacters(word, ids);
  } else {
    AddBytes(word, ids);
  }
  if (ids->size() - first <= kShortWord) {
    MergeShort(ids, first);
  } else {
    MergeLong(ids, first);
  }
}

void Bpe::AddBytes(std::string_view word, std::vector<int32_t>* ids) const {
  bool after_unknown = false;
  for (const char c : word) {
    const int32_t id = tables_.byte_id[static_cast<uint8_t>(c)];
    if (id >= 0) {
      ids->push_back(id);
    } else if (tables_.unknown && !(tables_.fuse_unknown && after_unknown)) {
      ids->push_back(*tables_.unknown);
    }
    after_unknown = id < 0;
  }
}

int32_t Bpe::IdOfCharacter(std::string_view character, bool first, bool last) const {
  const BpeCharacters& c = *tables_.characters;
  const bool prefix = !first && !c.prefix.empty(), suffix = last && !c.suffix.empty();
  if (!prefix && !suffix) {
    const uint32_t point = DecodeUtf8At(character, 0);
    if (point < kDirectPoints) return id_of_point_[point];
    const auto found = c.vocab.find(ToAbsl(character));
    return found == c.vocab.end() ? -1 : found->second;
  }
  const auto found = c.vocab.find(Cat(prefix ? c.prefix : "", character, suffix ? c.suffix : ""));
  return found == c.vocab.end() ? -1 : found->second;
}

void Bpe::AddCharacters(std::string_view word, std::vector<int32_t>* ids) const {
  const BpeCharacters& characters = *tables_.characters;
  // The library holds an unknown token back until a known character follows; bytes that stand for
  // a character come before it.
  bool pending = false;
  for (size_t at = 0; at < word.size();) {
    const size_t size = std::max<size_t>(1, Utf8SequenceAt(word, at));
    const std::string_view character = word.substr(at, size);
    const int32_t id = IdOfCharacter(character, at == 0, at + size == word.size());
    at += size;
    if (id >= 0) {
      if (pending) ids->push_back(*tables_.unknown);
      pending = false;
      ids->push_back(id);
      continue;
    }
    if (characters.fallback) {
      const std::array<int32_t, 256>& fallback = *characters.fallback;
      const auto missing = [&](char c) { return fallback[static_cast<uint8_t>(c)] < 0; };
      // With a prefix or suffix, the bytes of these count too.
      const std::string whole = Cat(at == size ? "" : characters.prefix, character,
                                    at == word.size() ? characters.suffix : "");
      if (std::none_of(whole.begin(), whole.end(), missing)) {
        for (const char c : whole) ids->push_back(fallback[static_cast<uint8_t>(c)]);
        continue;
      }
    }
    if (!tables_.unknown) continue;
    if (pending && !tables_.fuse_unknown) ids->push_back(*tables_.unknown);
    pending = true;
  }
  if (pending) ids->push_back(*tables_.unknown);
}

void Bpe::MergeShort(std::vector<int32_t>* ids, size_t first) const {
  int32_t* symbols = ids->data() + first;
  size_t n = ids->size() - first;
  if (n < 2) return;
  MergeRow rows[kShortWord];  // rows[i]: of the pair (i, i + 1)
  const auto look_up = [&](size_t i) {
    const MergeRow* row = FindMerge(symbols[i], symbols[i + 1]);
    rows[i] = row != nullptr ? *row : MergeRow{kNoRank, 0};
  };
  for (size_t i = 0; i + 1 < n; ++i) look_up(i);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (rows[i].rank < rows[best].rank) best = i;
    }
    if (rows[best].rank == kNoRank) break;
    symbols[best] = rows[best].result;
    --n;
    for (size_t i = best + 1; i < n; ++i) {
      symbols[i] = symbols[i + 1];
      rows[i] = rows[i + 1];  // the last one copied is never read
    }
    if (best > 0) look_up(best - 1);
    if (best + 1 < n) look_up(best);
  }
  ids->resize(first + n);
}

void Bpe::MergeLong(std::vector<int32_t>* ids, size_t first) const {
  struct Symbol {
    int32_t id;  // -1: merged into the one before
    uint32_t prev, next;
  };
  struct Candidate {
    int32_t rank;
    uint32_t left;
    int32_t left_id, right_id, result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  constexpr uint32_t kEnd = std::numeric_limits<uint32_t>::max();
  const uint32_t n = static_cast<uint32_t>(ids->size() - first);
  std::vector<Symbol> symbols(n);
  for (uint32_t i = 0; i < n; ++i)
    symbols[i] = {(*ids)[first + i], i == 0 ? kEnd : i - 1, i + 1 == n ? kEnd : i + 1};
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](uint32_t left) {
    const uint32_t right = symbols[left].next;
    if (right == kEnd) return;
    const MergeRow* row = FindMerge(symbols[left].id, symbols[right].id);
    if (row != nullptr)
      queue.push({row->rank, left, symbols[left].id, symbols[right].id, row->result});
  };
  for (uint32_t i = 0; i < n; ++i) offer(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[best.left];
    // A candidate is stale once either of its two symbols has been merged.
    if (left.id != best.left_id || left.next == kEnd || symbols[left.next].id != best.right_id)
      continue;
    Symbol& right = symbols[left.next];
    left.id = best.result;
    left.next = right.next;
    right.id = -1;
    if (left.next != kEnd) symbols[left.next].prev = best.left;
    if (left.prev != kEnd) offer(left.prev);
    offer(best.left);
  }
  ids->resize(first);
  for (uint32_t i = 0; i != kEnd; i = symbols[i].next) ids->push_back(symbols[i].id);
}

}  // namespace swage
