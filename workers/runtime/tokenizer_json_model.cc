#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "workers/runtime/tokenizer_bpe.h"
#include "workers/runtime/tokenizer_json_parts.h"
#include "workers/runtime/tokenizer_unicode.h"
#include "workers/runtime/tokenizer_unigram.h"

namespace swage::tokenizer_json {
namespace {

constexpr std::string_view kMetaspace = "\xE2\x96\x81";  // U+2581, SentencePiece's space

Status CheckBpe(const json& model) {
  const std::string type = GetString(model, "type");
  if (!type.empty() && type != "BPE") return Unsupported(Cat("a model of type ", TypeOf(model)));
  if (!Get(model, "vocab").is_object()) {
    return type.empty() ? Unsupported("a model without type whose vocab is no map")
                        : BadField("model.vocab is no map");
  }
  if (!Get(model, "merges").is_array())
    return type.empty() ? Unsupported("a model without merges")
                        : BadField("model.merges is no list");
  const json& dropout = Get(model, "dropout");
  if (!dropout.is_null() && !(dropout.is_number() && dropout.get<double>() == 0))
    return Unsupported("BPE dropout");
  return absl::OkStatus();
}

Status AddToken(const std::string& token, std::optional<int32_t> id, TokenizerParts* parts) {
  if (!id) {
    return BadField(
        Cat("the id of the token ", token.substr(0, 100), " is no number from 0 to 2^31-1"));
  }
  parts->id_of_token[token] = *id;
  parts->text_of_id[*id] = token;
  return absl::OkStatus();
}

int32_t IdOf(const TokenizerParts& parts, std::string_view token) {  // -1: none
  const auto found = parts.id_of_token.find(ToAbsl(token));
  return found == parts.id_of_token.end() ? -1 : found->second;
}

bool AllKnown(const std::array<int32_t, 256>& ids) {
  return std::none_of(ids.begin(), ids.end(), [](int32_t id) { return id < 0; });
}

Status ReadVocab(const json& model, bool bytes, TokenizerParts* parts, BpeTables* bpe) {
  const bool ignore_merges = GetBool(model, "ignore_merges", false);
  for (const auto& [token, value] : Get(model, "vocab").items()) {
    SWAGE_RETURN_IF_ERROR(AddToken(token, AsId(value), parts));
    if (!ignore_merges) continue;
    const std::optional<std::string> word = bytes ? BytesOfToken(token) : token;
    if (word) bpe->whole_words[*word] = IdOf(*parts, token);
  }
  bool complete = false;  // no symbol can be missing
  if (bytes) {
    for (int byte = 0; byte < 256; ++byte) bpe->byte_id[byte] = IdOf(*parts, ByteAlphabet()[byte]);
    complete = AllKnown(bpe->byte_id);
  } else {
    BpeCharacters& characters = bpe->characters.emplace();
    characters.vocab = parts->id_of_token;
    characters.prefix = GetString(model, "continuing_subword_prefix");
    characters.suffix = GetString(model, "end_of_word_suffix");
    if (GetBool(model, "byte_fallback", false)) {
      characters.fallback.emplace();
      for (int byte = 0; byte < 256; ++byte)
        (*characters.fallback)[byte] = IdOf(*parts, ByteToken(static_cast<uint8_t>(byte)));
      complete = AllKnown(*characters.fallback);
    }
  }
  bpe->fuse_unknown = GetBool(model, "fuse_unk", false);
  const json& unknown = Get(model, "unk_token");
  if (!unknown.is_string()) return absl::OkStatus();
  const std::string& name = unknown.get_ref<const std::string&>();
  const int32_t id = IdOf(*parts, name);
  if (id >= 0) {
    bpe->unknown = id;
  } else if (!complete) {
    return BadField(Cat("model.unk_token ", name.substr(0, 100), " is not in the vocabulary"));
  }
  return absl::OkStatus();
}

// A merge is "left right" or ["left", "right"].
bool ReadPair(const json& merge, std::string* left, std::string* right) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    *left = merge[0].get<std::string>();
    *right = merge[1].get<std::string>();
    return true;
  }
  if (!merge.is_string()) return false;
  const std::string& text = merge.get_ref<const std::string&>();
  const size_t space = text.find(' ');
  if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) return false;
  *left = text.substr(0, space);
  *right = text.substr(space + 1);
  return true;
}

// There is something else before one of its marks.
bool HasInnerMark(std::string_view token) {
  for (size_t at = token.find(kMetaspace, 1); at != std::string_view::npos;
       at = token.find(kMetaspace, at + 1)) {
    if (at < kMetaspace.size() ||
        token.substr(at - kMetaspace.size(), kMetaspace.size()) != kMetaspace)
      return true;
  }
  return false;
}

// `inner_mark`: some merge gives a token with a mark inside.
Status ReadMerges(const json& model, const TokenizerParts& parts, BpeTables* bpe,
                  bool* inner_mark) {
  const json& merges = Get(model, "merges");
  const size_t prefix = bpe->characters ? bpe->characters->prefix.size() : 0;
  bpe->merges.reserve(merges.size());
  int32_t rank = 0;
  for (const json& merge : merges) {
    // Files converted from merges.txt may still carry its first line.
    if (merge.is_string() && StartsWith(merge.get_ref<const std::string&>(), "#version")) continue;
    std::string left, right;
    if (!ReadPair(merge, &left, &right) || right.size() < prefix)
      return BadField(Cat("merge ", rank, " is no pair of tokens"));
    const std::string joined = left + right.substr(prefix);
    int32_t ids[3];
    const std::string* tokens[3] = {&left, &right, &joined};
    for (int i = 0; i < 3; ++i) {
      ids[i] = IdOf(parts, *tokens[i]);
      if (ids[i] < 0) {
        return BadField(Cat("merge ", rank, " needs the token ", tokens[i]->substr(0, 100),
                            ", which is not in the vocabulary"));
      }
    }
    *inner_mark |= HasInnerMark(joined);
    bpe->merges.insert_or_assign(MergeKey(ids[0], ids[1]), MergeRow{rank++, ids[2]});
  }
  return absl::OkStatus();
}

// A score as the library reads it from its shortest decimal form: digits and power of ten rounded
// apart (serde_json without float_roundtrip), up to a bit beside the nearest double. Paths of equal
// pieces in another order differ by as little, so it decides between them.
double AsTheLibraryReads(double score) {
  if (!std::isfinite(score) || score == 0) return score;
  char text[64] = {};
  const auto [end, error] =
      std::to_chars(text, text + sizeof text, std::abs(score), std::chars_format::scientific);
  uint64_t digits = 0;
  int exponent = 0;
  const char* at = text;
  for (bool fraction = false; at < end && *at != 'e'; ++at) {
    if (*at == '.') {
      fraction = true;
      continue;
    }
    digits = digits * 10 + static_cast<uint64_t>(*at - '0');
    exponent -= fraction ? 1 : 0;
  }
  exponent += static_cast<int>(std::strtol(at + 1, nullptr, 10));
  if (std::abs(exponent) > 22) return score;  // powers that are no doubles
  const double power = std::pow(10.0, std::abs(exponent)), value = static_cast<double>(digits);
  return std::copysign(exponent < 0 ? value / power : value * power, score);
}

Status ReadUnigram(const json& model, TokenizerParts* parts) {
  UnigramTables tables;
  const json& vocab = Get(model, "vocab");
  if (!vocab.is_array() || vocab.empty() || vocab.size() > std::numeric_limits<int32_t>::max())
    return BadField("model.vocab is no list of pieces");
  tables.pieces.reserve(vocab.size());
  for (const json& row : vocab) {
    if (!row.is_array() || row.size() != 2 || !row[0].is_string() || !row[1].is_number())
      return BadField(Cat("piece ", tables.pieces.size(), " is no pair of a text and a number"));
    const int32_t id = static_cast<int32_t>(tables.pieces.size());
    tables.pieces.emplace_back(row[0].get<std::string>(), AsTheLibraryReads(row[1].get<double>()));
    SWAGE_RETURN_IF_ERROR(AddToken(tables.pieces.back().first, id, parts));
  }
  const std::optional<int32_t> unknown = AsId(Get(model, "unk_id"));
  if (!unknown || static_cast<size_t>(*unknown) >= vocab.size())
    return BadField("a Unigram model needs an unk_id that is one of its pieces");
  tables.unknown = *unknown;
  tables.byte_fallback = GetBool(model, "byte_fallback", false);
  parts->model = std::make_unique<Unigram>(std::move(tables));
  return absl::OkStatus();
}

bool IsUnigram(const json& model) { return GetString(model, "type") == "Unigram"; }

}  // namespace

bool WantsCharacters(const json& model) {
  return IsUnigram(model) || GetBool(model, "byte_fallback", false) ||
         !GetString(model, "continuing_subword_prefix").empty() ||
         !GetString(model, "end_of_word_suffix").empty();
}

Status ReadModel(const json& model, bool bytes, TokenizerParts* parts) {
  if (!model.is_object()) return BadField("there is no model");
  if (IsUnigram(model)) return ReadUnigram(model, parts);
  SWAGE_RETURN_IF_ERROR(CheckBpe(model));
  BpeTables bpe;
  SWAGE_RETURN_IF_ERROR(ReadVocab(model, bytes, parts, &bpe));
  bool inner_mark = false;
  SWAGE_RETURN_IF_ERROR(ReadMerges(model, *parts, &bpe, &inner_mark));
  // SentencePiece's vocabularies join nothing across the beginning of a word: then a text that is
  // one long "word" may be cut there, and its real words be remembered, without any difference.
  const bool may_cut = bpe.characters && bpe.characters->prefix.empty() &&
                       bpe.characters->suffix.empty() && bpe.whole_words.empty() && !inner_mark &&
                       IdOf(*parts, kMetaspace) >= 0;
  if (may_cut) {
    SplitStep step;
    step.kind = SplitStep::Kind::kRunStarts;
    step.literal = kMetaspace;
    parts->steps.push_back(std::move(step));
  }
  parts->model = std::make_unique<Bpe>(std::move(bpe));
  return absl::OkStatus();
}

}  // namespace swage::tokenizer_json
