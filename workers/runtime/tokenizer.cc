#include "workers/runtime/tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
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
  // Keys refer to the text unless `copy`.
  WordCache(const Bpe& bpe, bool copy, std::vector<int32_t>* ids)
      : bpe_(bpe), copy_(copy), ids_(ids) {}

  void Encode(std::string_view word) {
    if (copy_ || word.size() > kLongestCachedWord) {
      bpe_.Encode(word, ids_);
      return;
    }
    const auto found = spans_.find(ToAbsl(word));
    if (found != spans_.end()) {
      const auto [begin, size] = found->second;
      for (size_t i = 0; i < size; ++i) ids_->push_back((*ids_)[begin + i]);
      return;
    }
    const size_t begin = ids_->size();
    bpe_.Encode(word, ids_);
    if (spans_.size() < kCachedWords)
      spans_.emplace(ToAbsl(word), std::pair(begin, ids_->size() - begin));
  }

 private:
  const Bpe& bpe_;
  const bool copy_;
  std::vector<int32_t>* ids_;
  absl::flat_hash_map<absl::string_view, std::pair<size_t, size_t>> spans_;
};

}  // namespace

struct Tokenizer::Parts {
  explicit Parts(TokenizerParts&& parsed)
      : bpe(std::move(parsed.bpe)),
        words(std::move(parsed.steps)),
        raw_added(OfPhase(parsed.added, false)),
        normalized_added(OfPhase(parsed.added, true)),
        bytes_of_id(std::move(parsed.bytes_of_id)),
        tokens(static_cast<int64_t>(parsed.id_of_token.size())) {
    for (const auto& [id, bytes] : bytes_of_id) max_id = std::max(max_id, id);
  }

  Bpe bpe;
  PreTokenizer words;
  AddedTokenMatcher raw_added, normalized_added;
  absl::flat_hash_map<int32_t, std::string> bytes_of_id;
  int64_t tokens = 0;
  int32_t max_id = 0;
  std::optional<int32_t> bos;
};

StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(Env* env, const std::string& model_dir) {
  const std::string path = JoinPath(model_dir, "tokenizer.json"),
                    config_path = JoinPath(model_dir, "tokenizer_config.json");
  if (!env->Exists(path)) {
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
  SWAGE_ASSIGN_OR_RETURN(const std::optional<std::string> bos,
                         ParseBosToken(tokenizer_config_json));
  std::optional<int32_t> bos_id;
  if (bos) {
    const auto found = parsed.id_of_token.find(*bos);
    if (found != parsed.id_of_token.end()) bos_id = found->second;
  }
  auto parts = std::make_unique<Parts>(std::move(parsed));
  parts->bos = bos_id;
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
  WordCache cache(parts_->bpe, parts_->words.transient(), &ids);
  Regex::Scratch scratch;
  const PreTokenizer::Sink word = [&](std::string_view w) { cache.Encode(w); };
  const AddedTokenMatcher::Sink inner = [&](std::string_view piece, std::optional<int32_t> id) {
    if (id) {
      ids.push_back(*id);
    } else {
      parts_->words.Run(piece, &scratch, word);
    }
  };
  parts_->raw_added.Split(text, [&](std::string_view piece, std::optional<int32_t> id) {
    if (id) {
      ids.push_back(*id);
    } else {
      parts_->normalized_added.Split(piece, inner);
    }
  });
  return ids;
}

std::string Tokenizer::Decode(const std::vector<int32_t>& ids) const {
  std::string bytes;
  for (const int32_t id : ids) {
    const auto found = parts_->bytes_of_id.find(id);
    if (found != parts_->bytes_of_id.end()) bytes += found->second;
  }
  return ReplaceInvalidUtf8(bytes);
}

std::optional<int32_t> Tokenizer::bos_id() const { return parts_->bos; }
int64_t Tokenizer::vocab_size() const { return parts_->tokens; }
int32_t Tokenizer::max_id() const { return parts_->max_id; }

}  // namespace swage
