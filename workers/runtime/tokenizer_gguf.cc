#include "workers/runtime/tokenizer_gguf.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "base/text.h"
#include "nlohmann/json.hpp"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

using Json = nlohmann::json;

enum TokenType : int64_t { kUnknown = 2, kControl = 3, kUserDefined = 4 };

constexpr char kMark[] = "\xE2\x96\x81";  // U+2581
constexpr size_t kLongestPiece = 1024;    // of SentencePiece; its splits are tried in turn
constexpr size_t kMostMerges = 1u << 23;

// What llama.cpp calls the pre-tokenizers, and what their models' tokenizer.json have.
struct PreTokenizerRow {
  std::string_view name, pattern;
  bool nfc, ignore_merges, adds_bos;
};
#define SWAGE_TAIL R"(|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define SWAGE_WORDS R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+)"
constexpr char kLlama3[] = SWAGE_WORDS R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)" SWAGE_TAIL;
constexpr char kQwen2[] = SWAGE_WORDS R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)" SWAGE_TAIL;
constexpr char kTekken[] =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*)" SWAGE_TAIL;
#undef SWAGE_TAIL
#undef SWAGE_WORDS
constexpr PreTokenizerRow kPreTokenizers[] = {
    {"gpt-2", "", false, false, false},     {"llama-bpe", kLlama3, false, true, true},
    {"llama3", kLlama3, false, true, true}, {"llama-v3", kLlama3, false, true, true},
    {"qwen2", kQwen2, true, false, false},  {"tekken", kTekken, false, true, true},
};

Status BadTokenizer(std::string_view what) {
  return InvalidInput("TOKENIZER_FIELD", Cat("the GGUF file's tokenizer: ", what),
                      "put the model's tokenizer.json beside the file");
}

Status UnsupportedGguf(std::string_view what) {
  return Error(StatusCode::kUnimplemented, "UNSUPPORTED_TOKENIZER",
               Cat("the GGUF file's tokenizer: ", what, " is not supported"),
               "put the model's tokenizer.json beside the file");
}

struct Vocabulary {
  const std::vector<std::string>& tokens;
  const std::vector<int64_t>& types;  // empty, or one per token
  std::map<std::string_view, int64_t> ids;
};

StatusOr<Vocabulary> ReadVocabulary(const GgufFile& gguf) {
  static const std::vector<int64_t> kNone;
  const GgufArray* tokens = gguf.Array("tokenizer.ggml.tokens");
  if (tokens == nullptr || tokens->strings.empty()) {
    return NotFound("TOKENIZER_MISSING", "the GGUF file has no tokenizer.ggml.tokens",
                    "put the model's tokenizer.json beside the file");
  }
  const GgufArray* types = gguf.Array("tokenizer.ggml.token_type");
  if (types != nullptr && types->integers.size() != tokens->strings.size())
    return BadTokenizer("token_type has not one value per token");
  Vocabulary vocabulary{tokens->strings, types == nullptr ? kNone : types->integers, {}};
  for (size_t i = 0; i < tokens->strings.size(); ++i) {
    if (!IsValidUtf8(tokens->strings[i])) return BadTokenizer(Cat("token ", i, " is not UTF-8"));
    vocabulary.ids.emplace(tokens->strings[i], static_cast<int64_t>(i));
  }
  return vocabulary;
}

Json AddedTokens(const Vocabulary& vocabulary) {
  Json added = Json::array();
  for (size_t i = 0; i < vocabulary.types.size(); ++i) {
    const int64_t type = vocabulary.types[i];
    if (type != kUnknown && type != kControl && type != kUserDefined) continue;
    added.push_back({{"id", i},
                     {"content", vocabulary.tokens[i]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", type != kUserDefined}});
  }
  return added;
}

// Each way to cut a piece into two known ones, those of the best pieces first.
StatusOr<Json> MergesOfScores(const Vocabulary& vocabulary, const std::vector<double>& scores) {
  struct Merge {
    std::string_view left, right;
    double score;
    size_t left_size, right_size;  // characters
    int64_t left_id, right_id;
  };
  std::vector<Merge> merges;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string_view piece = vocabulary.tokens[id];
    if (std::isnan(scores[id])) return BadTokenizer(Cat("the score of token ", id, " is NaN"));
    if (merges.size() > kMostMerges) return BadTokenizer("its tokens have too many parts");
    if (piece.size() > kLongestPiece) continue;
    std::vector<size_t> cuts;
    for (size_t at = 0; at < piece.size(); at += Utf8SequenceAt(piece, at)) cuts.push_back(at);
    const size_t first = merges.size();
    for (size_t c = 1; c < cuts.size(); ++c) {
      const auto left = vocabulary.ids.find(piece.substr(0, cuts[c])),
                 right = vocabulary.ids.find(piece.substr(cuts[c]));
      if (left == vocabulary.ids.end() || right == vocabulary.ids.end()) continue;
      merges.push_back(
          {left->first, right->first, scores[id], c, cuts.size() - c, left->second, right->second});
    }
    std::sort(merges.begin() + static_cast<std::ptrdiff_t>(first), merges.end(),
              [](const Merge& a, const Merge& b) {
                return std::pair(a.left_id, a.right_id) < std::pair(b.left_id, b.right_id);
              });
  }
  std::stable_sort(merges.begin(), merges.end(), [](const Merge& a, const Merge& b) {
    return std::tuple(a.score, a.left_size, a.right_size) >
           std::tuple(b.score, b.left_size, b.right_size);
  });
  Json list = Json::array();
  for (const Merge& merge : merges)
    list.push_back({std::string(merge.left), std::string(merge.right)});
  return list;
}

Json VocabMap(const Vocabulary& vocabulary) {
  Json map = Json::object();
  for (const auto& [token, id] : vocabulary.ids) map[std::string(token)] = id;
  return map;
}

Json Replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

StatusOr<Json> SentencePiece(const GgufFile& gguf, const Vocabulary& vocabulary) {
  const GgufArray* scores = gguf.Array("tokenizer.ggml.scores");
  if (scores == nullptr || scores->floats.size() != vocabulary.tokens.size())
    return BadTokenizer("there are no scores, one per token");
  const bool prefix = gguf.Bool("tokenizer.ggml.add_space_prefix").value_or(true);
  const int64_t unknown = gguf.Integer("tokenizer.ggml.unknown_token_id").value_or(0);
  if (unknown < 0 || static_cast<size_t>(unknown) >= vocabulary.tokens.size())
    return BadTokenizer("unknown_token_id is no token's");
  SWAGE_ASSIGN_OR_RETURN(const Json merges, MergesOfScores(vocabulary, scores->floats));
  Json normalizers = Json::array(), decoders = Json::array();
  if (prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kMark}});
  normalizers.push_back(Replace(" ", kMark));
  decoders = {Replace(kMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return Json{{"normalizer", {{"type", "Sequence"}, {"normalizers", normalizers}}},
              {"pre_tokenizer", nullptr},
              {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
              {"model",
               {{"type", "BPE"},
                {"unk_token", vocabulary.tokens[static_cast<size_t>(unknown)]},
                {"fuse_unk", true},
                {"byte_fallback", true},
                {"vocab", VocabMap(vocabulary)},
                {"merges", merges}}}};
}

StatusOr<Json> ByteLevelBpe(const GgufFile& gguf, const Vocabulary& vocabulary,
                            const PreTokenizerRow& row) {
  const GgufArray* merges = gguf.Array("tokenizer.ggml.merges");
  if (merges == nullptr) return BadTokenizer("there are no merges");
  for (const std::string& merge : merges->strings) {
    if (!IsValidUtf8(merge)) return BadTokenizer("a merge is not UTF-8");
  }
  const bool own_pattern = !row.pattern.empty();
  const Json bytes = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", !own_pattern}};
  Json steps = Json::array();
  if (own_pattern) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", row.pattern}}},
                     {"behavior", "Isolated"},
                     {"invert", false}});
  }
  steps.push_back(bytes);
  return Json{{"normalizer", row.nfc ? Json{{"type", "NFC"}} : Json(nullptr)},
              {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}},
              {"decoder", {{"type", "ByteLevel"}}},
              {"model",
               {{"type", "BPE"},
                {"ignore_merges", row.ignore_merges},
                {"vocab", VocabMap(vocabulary)},
                {"merges", merges->strings}}}};
}

}  // namespace

StatusOr<GgufTokenizer> TokenizerOfGguf(const GgufFile& gguf) {
  SWAGE_ASSIGN_OR_RETURN(const Vocabulary vocabulary, ReadVocabulary(gguf));
  const std::string* model = gguf.String("tokenizer.ggml.model");
  const std::string* pre = gguf.String("tokenizer.ggml.pre");
  Json json;
  bool adds_bos = true;
  if (model != nullptr && *model == "llama") {
    SWAGE_ASSIGN_OR_RETURN(json, SentencePiece(gguf, vocabulary));
  } else if (model != nullptr && *model == "gpt2") {
    const auto row = std::find_if(std::begin(kPreTokenizers), std::end(kPreTokenizers),
                                  [&](const auto& r) { return pre != nullptr && r.name == *pre; });
    if (row == std::end(kPreTokenizers)) {
      return UnsupportedGguf(
          Cat("the pre-tokenizer ", pre == nullptr ? "(not named)" : pre->substr(0, 60)));
    }
    SWAGE_ASSIGN_OR_RETURN(json, ByteLevelBpe(gguf, vocabulary, *row));
    adds_bos = row->adds_bos;
  } else {
    return UnsupportedGguf(
        Cat("the kind ", model == nullptr ? "(not named)" : model->substr(0, 60)));
  }
  json["added_tokens"] = AddedTokens(vocabulary);
  Json config = {{"add_bos_token", gguf.Bool("tokenizer.ggml.add_bos_token").value_or(adds_bos)},
                 {"add_eos_token", gguf.Bool("tokenizer.ggml.add_eos_token").value_or(false)}};
  for (const char* which : {"bos", "eos"}) {
    const int64_t id = gguf.Integer(Cat("tokenizer.ggml.", which, "_token_id")).value_or(-1);
    if (id >= 0 && static_cast<size_t>(id) < vocabulary.tokens.size())
      config[Cat(which, "_token")] = vocabulary.tokens[static_cast<size_t>(id)];
  }
  return GgufTokenizer{json.dump(), config.dump()};
}

}  // namespace swage
