#include "workers/runtime/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "workers/runtime/tokenizer_gguf.h"
#include "workers/runtime/tokenizer_json.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage {
namespace {

constexpr size_t kCachedWords = 1u << 20;   // of one Encode
constexpr size_t kLongestCachedWord = 256;  // bytes

std::vector<AddedToken> OfPhase(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> out;
  std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(out),
               [&](const AddedToken& token) { return token.normalized == normalized; });
  return out;
}

// Words seen in this text and where their ids stand in the output: a text repeats its words.
class WordCache {
 public:
  WordCache(const WordModel& model, std::vector<int32_t>* ids) : model_(model), ids_(ids) {}

  void Encode(std::string_view word) {
    if (word.size() > kLongestCachedWord) {
      model_.Encode(word, ids_);
      return;
    }
    const auto found = spans_.find(ToAbsl(word));
    if (found != spans_.end()) {
      const auto [begin, size] = found->second;
      for (size_t i = 0; i < size; ++i) ids_->push_back((*ids_)[begin + i]);
      return;
    }
    const size_t begin = ids_->size();
    model_.Encode(word, ids_);
    if (spans_.size() < kCachedWords)
      spans_.emplace(std::string(word), std::pair(begin, ids_->size() - begin));
  }

 private:
  const WordModel& model_;
  std::vector<int32_t>* ids_;
  absl::flat_hash_map<std::string, std::pair<size_t, size_t>> spans_;
};

StatusOr<std::unique_ptr<Tokenizer>> LoadGguf(const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const auto gguf = ParseGguf(file.bytes());
  if (!gguf.ok()) return Annotate(gguf.status(), path);
  SWAGE_ASSIGN_OR_RETURN(const GgufTokenizer parts, TokenizerOfGguf(*gguf));
  return Tokenizer::FromJson(parts.tokenizer_json, parts.config_json);
}

}  // namespace

struct Tokenizer::Parts {
  explicit Parts(TokenizerParts&& parsed)
      : model(std::move(parsed.model)),
        normalizer(std::move(parsed.normalizer)),
        words(std::move(parsed.steps)),
        raw_added(OfPhase(parsed.added, false)),
        normalized_added(OfPhase(parsed.added, true)),
        decoder(std::move(parsed.decoder)),
        joins_bytes(parsed.joins_bytes),
        text_of_id(std::move(parsed.text_of_id)),
        prefix(std::move(parsed.prefix)),
        suffix(std::move(parsed.suffix)),
        tokens(static_cast<int64_t>(parsed.id_of_token.size())) {
    for (const auto& [id, text] : text_of_id) max_id = std::max(max_id, id);
  }

  std::unique_ptr<const WordModel> model;
  Normalizer normalizer;
  PreTokenizer words;
  AddedTokenMatcher raw_added, normalized_added;
  TokenDecoder decoder;
  bool joins_bytes;
  absl::flat_hash_map<int32_t, std::string> text_of_id;
  std::vector<int32_t> prefix, suffix;
  int64_t tokens = 0;
  int32_t max_id = 0;
  std::optional<int32_t> bos;
};

StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(Env* env, const std::string& model_dir) {
  const std::string path = JoinPath(model_dir, "tokenizer.json"),
                    config_path = JoinPath(model_dir, "tokenizer_config.json");
  if (!env->Exists(path)) {
    SWAGE_ASSIGN_OR_RETURN(const std::optional<std::string> gguf_path, FindGguf(env, model_dir));
    if (gguf_path) return LoadGguf(*gguf_path);
    return NotFound("TOKENIZER_MISSING", Cat("there is no ", path),
                    "put the model's tokenizer.json beside its config.json");
  }
  SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(env, path, limits::kTokenizerJsonBytes));
  std::string config;
  if (env->Exists(config_path)) {
    SWAGE_ASSIGN_OR_RETURN(config, ReadFile(env, config_path, limits::kConfigJsonBytes));
  }
  return FromJson(text, config);
}

StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::FromJson(std::string_view tokenizer_json,
                                                         std::string_view tokenizer_config_json) {
  if (tokenizer_json.size() > limits::kTokenizerJsonBytes ||
      tokenizer_config_json.size() > limits::kConfigJsonBytes) {
    return InvalidInput("TOKENIZER_FIELD", Cat("tokenizer.json is larger than ",
                                               limits::kTokenizerJsonBytes, " bytes"));
  }
  SWAGE_ASSIGN_OR_RETURN(TokenizerParts parsed, ParseTokenizerJson(tokenizer_json));
  SWAGE_ASSIGN_OR_RETURN(const TokenizerConfig config, ParseTokenizerConfig(tokenizer_config_json));
  const auto id_of = [&](const std::optional<std::string>& token) {
    const auto found = parsed.id_of_token.find(token.value_or(""));
    return token && found != parsed.id_of_token.end() ? std::optional(found->second) : std::nullopt;
  };
  const std::optional<int32_t> bos = id_of(config.bos), eos = id_of(config.eos);
  if (config.adds) {
    parsed.prefix.clear();
    parsed.suffix.clear();
    if (config.adds->bos && bos) parsed.prefix.push_back(*bos);
    if (config.adds->eos && eos) parsed.suffix.push_back(*eos);
  }
  auto parts = std::make_unique<Parts>(std::move(parsed));
  parts->bos = bos;
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::move(parts)));
}

Tokenizer::Tokenizer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::Encode(std::string_view text) const {
  std::string repaired;
  if (!IsValidUtf8(text)) {
    repaired = ReplaceInvalidUtf8(text);
    text = repaired;
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4);
  WordCache cache(*parts_->model, &ids);
  Regex::Scratch scratch;
  std::string normalized;
  bool first = true;  // the piece is the text's beginning
  const PreTokenizer::Sink word = [&](std::string_view w) { cache.Encode(w); };
  const AddedTokenMatcher::Sink inner = [&](std::string_view piece, std::optional<int32_t> id) {
    if (id) {
      ids.push_back(*id);
    } else {
      parts_->words.Run(piece, first, &scratch, word);
    }
    first = false;
  };
  parts_->raw_added.Split(text, [&](std::string_view piece, std::optional<int32_t> id) {
    if (id) {
      ids.push_back(*id);
    } else {
      parts_->normalized_added.Split(parts_->normalizer.Run(piece, &normalized), inner);
    }
    first = false;
  });
  return ids;
}

std::vector<int32_t> Tokenizer::EncodeWithSpecial(std::string_view text) const {
  std::vector<int32_t> ids = parts_->prefix;
  const std::vector<int32_t> inner = Encode(text);
  ids.insert(ids.end(), inner.begin(), inner.end());
  ids.insert(ids.end(), parts_->suffix.begin(), parts_->suffix.end());
  return ids;
}

std::string Tokenizer::Decode(const std::vector<int32_t>& ids) const {
  std::string bytes;
  std::vector<std::string> tokens;
  for (const int32_t id : ids) {
    const auto found = parts_->text_of_id.find(id);
    if (found == parts_->text_of_id.end()) continue;
    if (parts_->joins_bytes) {
      bytes += found->second;
    } else {
      tokens.push_back(found->second);
    }
  }
  return parts_->joins_bytes ? ReplaceInvalidUtf8(bytes) : parts_->decoder.Run(std::move(tokens));
}

std::optional<int32_t> Tokenizer::bos_id() const { return parts_->bos; }
int64_t Tokenizer::vocab_size() const { return parts_->tokens; }
int32_t Tokenizer::max_id() const { return parts_->max_id; }

}  // namespace swage
