#include "workers/runtime/tokenizer_split.h"

#include <algorithm>

#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

struct Part {
  size_t begin, end;
  bool match;
};

// Walks the matches in order. An empty match directly after another match is not one: the search
// moves on by a character.
template <typename OnMatch>
void ForEachMatch(const SplitStep& step, std::string_view text, Regex::Scratch* scratch,
                  OnMatch on_match) {
  size_t from = 0, last_end = std::string_view::npos;
  while (from <= text.size()) {
    size_t begin = 0, end = 0;
    if (step.regex) {
      if (!step.regex->Find(text, from, scratch, &begin, &end)) return;
    } else {
      if (step.literal.empty()) return;
      begin = text.find(step.literal, from);
      if (begin == std::string_view::npos) return;
      end = begin + step.literal.size();
    }
    if (begin == end && end == last_end) {
      if (from >= text.size()) return;
      from += std::max<size_t>(1, Utf8SequenceAt(text, from));
      continue;
    }
    on_match(begin, end);
    from = last_end = end;
  }
}

// Matches and what lies between them, covering the text.
std::vector<Part> Parts(const SplitStep& step, std::string_view text, Regex::Scratch* scratch) {
  std::vector<Part> parts;
  size_t done = 0;
  ForEachMatch(step, text, scratch, [&](size_t begin, size_t end) {
    if (begin > done) parts.push_back({done, begin, step.invert});
    parts.push_back({begin, end, !step.invert});
    done = end;
  });
  if (done < text.size()) parts.push_back({done, text.size(), step.invert});
  return parts;
}

std::vector<Part> MergeWithPrevious(const std::vector<Part>& parts) {
  std::vector<Part> out;
  bool previous_match = false;
  for (const Part& part : parts) {
    if (part.match && !previous_match && !out.empty()) {
      out.back().end = part.end;
    } else {
      out.push_back(part);
    }
    previous_match = part.match;
  }
  return out;
}

std::vector<Part> MergeWithNext(const std::vector<Part>& parts) {
  std::vector<Part> out;
  bool previous_match = false;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->match && !previous_match && !out.empty()) {
      out.back().begin = part->begin;
    } else {
      out.push_back(*part);
    }
    previous_match = part->match;
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::vector<Part> Behave(SplitBehavior behavior, const std::vector<Part>& parts) {
  std::vector<Part> out;
  switch (behavior) {
    case SplitBehavior::kIsolated:
      return parts;
    case SplitBehavior::kRemoved:
      std::copy_if(parts.begin(), parts.end(), std::back_inserter(out),
                   [](const Part& part) { return !part.match; });
      return out;
    case SplitBehavior::kMergedWithPrevious:
      return MergeWithPrevious(parts);
    case SplitBehavior::kMergedWithNext:
      return MergeWithNext(parts);
    case SplitBehavior::kContiguous:
      for (const Part& part : parts) {
        if (!out.empty() && out.back().match == part.match) {
          out.back().end = part.end;
        } else {
          out.push_back(part);
        }
      }
      return out;
  }
  return out;
}

}  // namespace

void PreTokenizer::RunPattern(size_t index, std::string_view piece, bool first,
                              Regex::Scratch* scratch, const Sink& sink) const {
  const SplitStep& step = steps_[index];
  std::string prefixed;
  if (step.add_prefix_space && piece.front() != ' ') {
    prefixed = Cat(" ", piece);
    piece = prefixed;
  }
  const auto next = [&](size_t begin, size_t end) {
    RunFrom(index + 1, piece.substr(begin, end - begin), first && begin == 0, scratch, sink);
  };
  if (step.behavior == SplitBehavior::kIsolated) {  // the usual case needs no list
    size_t done = 0;
    ForEachMatch(step, piece, scratch, [&](size_t begin, size_t end) {
      if (begin > done) next(done, begin);
      next(begin, end);
      done = end;
    });
    next(done, piece.size());
    return;
  }
  for (const Part& part : Behave(step.behavior, Parts(step, piece, scratch)))
    next(part.begin, part.end);
}

void PreTokenizer::RunMetaspace(size_t index, std::string_view piece, bool first,
                                Regex::Scratch* scratch, const Sink& sink) const {
  const SplitStep& step = steps_[index];
  const std::string& mark = step.literal;
  std::string text;
  text.reserve(piece.size() + piece.size() / 2);
  const bool wanted = step.prepend == SplitStep::Prepend::kAlways ||
                      (step.prepend == SplitStep::Prepend::kFirst && first);
  if (wanted && piece.front() != ' ' && piece.substr(0, mark.size()) != mark) text = mark;
  for (size_t at = 0; at < piece.size();) {
    const size_t space = std::min(piece.find(' ', at), piece.size());
    text.append(piece.substr(at, space - at));
    if (space < piece.size()) text.append(mark);
    at = space + 1;
  }
  const std::string_view all = text;
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(step.cut ? all.find(mark, begin + 1) : all.size(), all.size());
    RunFrom(index + 1, all.substr(begin, end - begin), first && begin == 0, scratch, sink);
    begin = end;
  }
}

void PreTokenizer::RunFrom(size_t index, std::string_view piece, bool first,
                           Regex::Scratch* scratch, const Sink& sink) const {
  if (piece.empty()) return;
  if (index == steps_.size()) {
    sink(piece);
    return;
  }
  const SplitStep& step = steps_[index];
  const auto next = [&](size_t begin, size_t end) {
    RunFrom(index + 1, piece.substr(begin, end - begin), first && begin == 0, scratch, sink);
  };
  switch (step.kind) {
    case SplitStep::Kind::kPattern:
      return RunPattern(index, piece, first, scratch, sink);
    case SplitStep::Kind::kMetaspace:
      return RunMetaspace(index, piece, first, scratch, sink);
    case SplitStep::Kind::kByteAlphabet:
      return RunFrom(index + 1, ToByteAlphabet(piece), first, scratch, sink);
    case SplitStep::Kind::kFixedLength:
      for (size_t begin = 0; begin < piece.size();) {
        size_t end = begin;
        for (size_t i = 0; i < step.length && end < piece.size(); ++i)
          end += std::max<size_t>(1, Utf8SequenceAt(piece, end));
        next(begin, end);
        begin = end;
      }
      return;
    case SplitStep::Kind::kRunStarts: {
      const std::string& mark = step.literal;
      size_t begin = 0, run_end = 0;
      for (size_t at = piece.find(mark); at != std::string_view::npos;
           at = piece.find(mark, run_end)) {
        if (at > run_end) {  // the one before does not touch it
          next(begin, at);
          begin = at;
        }
        run_end = at + mark.size();
      }
      next(begin, piece.size());
      return;
    }
  }
}

}  // namespace swage
