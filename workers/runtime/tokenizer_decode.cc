#include "workers/runtime/tokenizer_decode.h"

#include <algorithm>

#include "base/text.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

using Tokens = std::vector<std::string>;

std::string Joined(const Tokens& tokens, std::string_view between) {
  std::string out;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i > 0) out.append(between);
    out.append(tokens[i]);
  }
  return out;
}

struct DecodeVisitor {
  Tokens tokens;

  Tokens operator()(const DecoderStep::ByteLevel&) {
    std::string bytes;
    for (const std::string& token : tokens) bytes += BytesOfToken(token).value_or(token);
    return {ReplaceInvalidUtf8(bytes)};
  }

  Tokens operator()(const DecoderStep::ByteFallback&) {
    Tokens out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (IsValidUtf8(bytes)) {
        out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const std::optional<uint8_t> byte = ByteOfToken(token)) {
        bytes.push_back(static_cast<char>(*byte));
        continue;
      }
      flush();
      out.push_back(std::move(token));
    }
    flush();
    return out;
  }

  Tokens operator()(const DecoderStep::Fuse&) { return {Joined(tokens, "")}; }

  Tokens operator()(const DecoderStep::Metaspace& metaspace) {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const bool drop = i == 0 && metaspace.drop_first;
      tokens[i] = ReplaceAll(std::nullopt, metaspace.mark, drop ? "" : " ", tokens[i]);
    }
    return std::move(tokens);
  }

  Tokens operator()(const DecoderStep::Replace& replace) {
    for (std::string& token : tokens)
      token = ReplaceAll(replace.regex, replace.literal, replace.with, token);
    return std::move(tokens);
  }

  Tokens operator()(const DecoderStep::Strip& strip) {
    const std::string_view c = strip.character;
    for (std::string& token : tokens) {
      std::string_view text = token;
      for (size_t i = 0; i < strip.start && text.substr(0, c.size()) == c; ++i)
        text.remove_prefix(c.size());
      for (size_t i = 0; i < strip.stop && EndsWith(text, c); ++i) text.remove_suffix(c.size());
      token = std::string(text);
    }
    return std::move(tokens);
  }

  Tokens operator()(const DecoderStep::EndOfWord& end) {
    for (size_t i = 0; i < tokens.size(); ++i)
      tokens[i] =
          ReplaceAll(std::nullopt, end.suffix, i + 1 == tokens.size() ? "" : " ", tokens[i]);
    return std::move(tokens);
  }
};

}  // namespace

std::string ReplaceAll(const std::optional<Regex>& regex, std::string_view literal,
                       std::string_view with, std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  std::optional<Regex::Scratch> scratch;
  if (regex) scratch.emplace();
  size_t done = 0, from = 0, last_end = std::string_view::npos;
  while (from <= text.size()) {
    size_t begin = 0, end = 0;
    if (regex) {
      if (!regex->Find(text, from, &*scratch, &begin, &end)) break;
    } else {
      begin = literal.size() == 1 ? text.find(literal[0], from) : text.find(literal, from);
      if (begin == std::string_view::npos) break;
      end = begin + literal.size();
    }
    if (begin == end && end == last_end) {  // empty, directly after another match: none
      if (from >= text.size()) break;
      from += std::max<size_t>(1, Utf8SequenceAt(text, from));
      continue;
    }
    out.append(text.substr(done, begin - done)).append(with);
    done = from = last_end = end;
  }
  return out.append(text.substr(done));
}

std::string TokenDecoder::Run(std::vector<std::string> tokens) const {
  if (steps_.empty()) return Joined(tokens, " ");
  for (const DecoderStep& step : steps_)
    tokens = std::visit(DecodeVisitor{std::move(tokens)}, step.what);
  return Joined(tokens, "");
}

}  // namespace swage
