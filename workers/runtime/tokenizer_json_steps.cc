#include <algorithm>

#include "workers/runtime/tokenizer_json_parts.h"
#include "workers/runtime/tokenizer_unicode.h"

namespace swage::tokenizer_json {
namespace {

constexpr size_t kMostStripped = 1u << 20;
// Bounds of the memory that a file from outside can make a text take.
constexpr double kMostGrowth = 65536;
constexpr size_t kMostPrepended = 4096;
constexpr int kMostGrowingSteps = 4;

// A text of one character.
StatusOr<std::string> ReadCharacter(const json& node, const char* key, std::string_view of) {
  const std::string text = GetString(node, key);
  if (text.empty() || Utf8SequenceAt(text, 0) != text.size())
    return BadField(Cat(of, " needs one character as ", key));
  return text;
}

SplitStep LiteralStep() {  // matches nothing
  return SplitStep();
}

StatusOr<SplitStep> RegexStep(std::string_view pattern, SplitBehavior behavior) {
  SplitStep step;
  SWAGE_ASSIGN_OR_RETURN(Regex regex, Regex::Compile(pattern));
  step.regex.emplace(std::move(regex));
  step.behavior = behavior;
  return step;
}

Status ReadBehavior(const json& node, std::string_view of, SplitBehavior* behavior) {
  static const std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
      {"Isolated", SplitBehavior::kIsolated},
      {"Removed", SplitBehavior::kRemoved},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous}};
  const std::string name = GetString(node, "behavior");
  for (const auto& [known, value] : kBehaviors) {
    if (known != name) continue;
    *behavior = value;
    return absl::OkStatus();
  }
  return BadField(Cat("a ", of, " has the unknown behavior ", name.substr(0, 40)));
}

StatusOr<SplitStep> ReadSplit(const json& node) {
  SplitStep step;
  SWAGE_RETURN_IF_ERROR(ReadPattern(Get(node, "pattern"), "a Split", &step.regex, &step.literal));
  SWAGE_RETURN_IF_ERROR(ReadBehavior(node, "Split", &step.behavior));
  step.invert = GetBool(node, "invert", false);
  return step;
}

StatusOr<SplitStep> ReadMetaspace(const json& node, bool first_step, const Normalizer& normalizer) {
  SplitStep step;
  step.kind = SplitStep::Kind::kMetaspace;
  SWAGE_ASSIGN_OR_RETURN(step.literal, ReadCharacter(node, "replacement", "Metaspace"));
  step.cut = GetBool(node, "split", true);
  const json& scheme = Get(node, "prepend_scheme");
  const std::string name = scheme.is_null() ? "always" : GetString(node, "prepend_scheme");
  if (name == "never") {
    step.prepend = SplitStep::Prepend::kNever;
  } else if (name == "first") {
    step.prepend = SplitStep::Prepend::kFirst;
  } else if (name != "always") {
    return BadField(Cat("Metaspace has the unknown prepend_scheme ", name.substr(0, 40)));
  }
  if (!GetBool(node, "add_prefix_space", true)) {
    if (!scheme.is_null() && name != "never")
      return BadField("Metaspace has an add_prefix_space that contradicts its prepend_scheme");
    if (scheme.is_null()) return BadField("Metaspace without prefix space needs a prepend_scheme");
  }
  // "First" asks for the place in the original text, which these can move.
  if (step.prepend == SplitStep::Prepend::kFirst &&
      (normalizer.may_drop() || (!first_step && !normalizer.empty())))
    return Unsupported("Metaspace with prepend_scheme first after this normalizer");
  return step;
}

// Appends the steps of one pre-tokenizer that is no Sequence and no ByteLevel.
Status ReadStep(const json& node, const Normalizer& normalizer, std::vector<SplitStep>* steps) {
  const std::string type = TypeOf(node);
  StatusOr<SplitStep> step = LiteralStep();
  if (type == "Split") {
    step = ReadSplit(node);
  } else if (type == "Metaspace") {
    step = ReadMetaspace(node, steps->empty(), normalizer);
  } else if (type == "Digits") {
    // The library asks Rust's standard library here, which knows the numbers of Unicode 17.
    step = RegexStep(R"([\p{N}\x{11de0}-\x{11de9}\x{16ff4}-\x{16ff6}])",
                     GetBool(node, "individual_digits", false) ? SplitBehavior::kIsolated
                                                               : SplitBehavior::kContiguous);
  } else if (type == "Punctuation") {
    step = RegexStep(Cat("[", PunctuationClass(), "]"), SplitBehavior::kIsolated);
    if (step.ok() && !Get(node, "behavior").is_null())
      SWAGE_RETURN_IF_ERROR(ReadBehavior(node, type, &step->behavior));
  } else if (type == "Whitespace") {  // Rust's \w has the two joiners
    step = RegexStep(R"([\w\x{200c}\x{200d}]+|[^\w\s\x{200c}\x{200d}]+)", SplitBehavior::kRemoved);
    if (step.ok()) step->invert = true;
  } else if (type == "WhitespaceSplit") {
    step = RegexStep(R"(\s)", SplitBehavior::kRemoved);
  } else if (type == "BertPreTokenizer") {
    step = RegexStep(R"(\s)", SplitBehavior::kRemoved);
    SWAGE_RETURN_IF_ERROR(step.status());
    steps->push_back(*std::move(step));
    step = RegexStep(Cat("[", PunctuationClass(), "]"), SplitBehavior::kIsolated);
  } else if (type == "CharDelimiterSplit") {
    step->behavior = SplitBehavior::kRemoved;
    SWAGE_ASSIGN_OR_RETURN(step->literal, ReadCharacter(node, "delimiter", type));
  } else if (type == "FixedLength") {
    step->kind = SplitStep::Kind::kFixedLength;
    const json& length = Get(node, "length");
    const std::optional<int32_t> value = length.is_null() ? std::optional(5) : AsId(length);
    if (!value || *value == 0) return BadField("a FixedLength has no length");
    step->length = static_cast<size_t>(*value);
  } else {
    return Unsupported(Cat("the pre-tokenizer ", type));
  }
  SWAGE_RETURN_IF_ERROR(step.status());
  steps->push_back(*std::move(step));
  return absl::OkStatus();
}

StatusOr<NormalizerStep> ReadNormalizerStep(const json& node) {
  const std::string type = TypeOf(node);
  if (type == "NFC") return NormalizerStep{UnicodeForm::kNfc};
  if (type == "NFD") return NormalizerStep{UnicodeForm::kNfd};
  if (type == "NFKC") return NormalizerStep{UnicodeForm::kNfkc};
  if (type == "NFKD") return NormalizerStep{UnicodeForm::kNfkd};
  if (type == "Lowercase") return NormalizerStep{NormalizerStep::Lowercase{}};
  if (type == "StripAccents") return NormalizerStep{NormalizerStep::StripAccents{}};
  if (type == "Nmt") return NormalizerStep{NormalizerStep::Nmt{}};
  if (type == "ByteLevel") return NormalizerStep{NormalizerStep::ByteLevel{}};
  if (type == "Prepend") {
    const std::string text = GetString(node, "prepend");
    if (!Get(node, "prepend").is_string() || text.size() > kMostPrepended)
      return BadField("a Prepend has no short text \"prepend\"");
    return NormalizerStep{NormalizerStep::Prepend{text}};
  }
  if (type == "Strip") {
    return NormalizerStep{NormalizerStep::Strip{GetBool(node, "strip_left", true),
                                                GetBool(node, "strip_right", true)}};
  }
  if (type == "Replace") {
    NormalizerStep::Replace replace;
    SWAGE_RETURN_IF_ERROR(
        ReadPattern(Get(node, "pattern"), "a Replace", &replace.regex, &replace.literal));
    replace.with = GetString(node, "content");
    return NormalizerStep{std::move(replace)};
  }
  if (type == "Precompiled") {
    SWAGE_ASSIGN_OR_RETURN(Charsmap map, Charsmap::Parse(GetString(node, "precompiled_charsmap")));
    return NormalizerStep{std::move(map)};
  }
  return Unsupported(Cat("the normalizer ", type));
}

StatusOr<DecoderStep> ReadDecoderStep(const json& node) {
  const std::string type = TypeOf(node);
  if (type == "ByteLevel") return DecoderStep{DecoderStep::ByteLevel{}};
  if (type == "ByteFallback") return DecoderStep{DecoderStep::ByteFallback{}};
  if (type == "Fuse") return DecoderStep{DecoderStep::Fuse{}};
  if (type == "BPEDecoder") return DecoderStep{DecoderStep::EndOfWord{GetString(node, "suffix")}};
  if (type == "Metaspace") {
    DecoderStep::Metaspace metaspace;
    SWAGE_ASSIGN_OR_RETURN(metaspace.mark, ReadCharacter(node, "replacement", "Metaspace"));
    metaspace.drop_first =
        GetString(node, "prepend_scheme") != "never" && GetBool(node, "add_prefix_space", true);
    return DecoderStep{std::move(metaspace)};
  }
  if (type == "Replace") {
    DecoderStep::Replace replace;
    SWAGE_RETURN_IF_ERROR(
        ReadPattern(Get(node, "pattern"), "a Replace", &replace.regex, &replace.literal));
    replace.with = GetString(node, "content");
    return DecoderStep{std::move(replace)};
  }
  if (type == "Strip") {
    DecoderStep::Strip strip;
    SWAGE_ASSIGN_OR_RETURN(strip.character, ReadCharacter(node, "content", "a Strip"));
    const std::optional<int32_t> start = AsId(Get(node, "start")), stop = AsId(Get(node, "stop"));
    if (!start || !stop || *start > static_cast<int32_t>(kMostStripped) ||
        *stop > static_cast<int32_t>(kMostStripped))
      return BadField("a Strip has no numbers start and stop");
    strip.start = static_cast<size_t>(*start);
    strip.stop = static_cast<size_t>(*stop);
    return DecoderStep{std::move(strip)};
  }
  return Unsupported(Cat("the decoder ", type));
}

Status FlattenInto(const json& node, const char* list, int depth, std::vector<const json*>* out) {
  if (GetString(node, "type") != "Sequence") {
    out->push_back(&node);
    return out->size() <= kMaxSteps ? absl::OkStatus() : BadField("a Sequence is too long");
  }
  const json& items = Get(node, list);
  if (!items.is_array() || items.size() > kMaxSteps || depth > 8)
    return BadField(Cat("a Sequence has no list ", list, " of at most ", kMaxSteps));
  for (const json& item : items) SWAGE_RETURN_IF_ERROR(FlattenInto(item, list, depth + 1, out));
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::vector<const json*>> Flatten(const json& node, const char* list) {
  std::vector<const json*> nodes;
  SWAGE_RETURN_IF_ERROR(FlattenInto(node, list, 0, &nodes));
  return nodes;
}

Status ReadPattern(const json& pattern, std::string_view of, std::optional<Regex>* regex,
                   std::string* literal) {
  if (Get(pattern, "Regex").is_string()) {
    SWAGE_ASSIGN_OR_RETURN(Regex compiled, Regex::Compile(GetString(pattern, "Regex")));
    regex->emplace(std::move(compiled));
    return absl::OkStatus();
  }
  if (!Get(pattern, "String").is_string())
    return BadField(Cat(of, " has neither a Regex nor a String as pattern"));
  *literal = GetString(pattern, "String");
  return absl::OkStatus();
}

StatusOr<Normalizer> ReadNormalizer(const json& node) {
  std::vector<NormalizerStep> steps;
  if (node.is_null()) return Normalizer(std::move(steps));
  SWAGE_ASSIGN_OR_RETURN(const auto nodes, Flatten(node, "normalizers"));
  for (const json* item : nodes) {
    SWAGE_ASSIGN_OR_RETURN(NormalizerStep step, ReadNormalizerStep(*item));
    steps.push_back(std::move(step));
  }
  Normalizer normalizer(std::move(steps));
  if (normalizer.growth() > kMostGrowth)
    return Unsupported(Cat("a normalizer that may make a text ", kMostGrowth, " times longer"));
  return normalizer;
}

StatusOr<std::vector<SplitStep>> ReadPreTokenizer(const json& node, const Normalizer& normalizer,
                                                  bool* bytes) {
  std::vector<SplitStep> steps;
  std::vector<const json*> nodes;
  if (!node.is_null()) {
    SWAGE_ASSIGN_OR_RETURN(nodes, Flatten(node, "pretokenizers"));
  }
  bool ends_in_bytes = false;
  for (const json* item : nodes) {
    if (TypeOf(*item) != "ByteLevel") {
      SWAGE_RETURN_IF_ERROR(ReadStep(*item, normalizer, &steps));
      continue;
    }
    SplitStep step;
    if (GetBool(*item, "use_regex", true)) {
      SWAGE_ASSIGN_OR_RETURN(step, RegexStep(kGpt2Pattern, SplitBehavior::kIsolated));
    }
    step.add_prefix_space = GetBool(*item, "add_prefix_space", true);
    steps.push_back(std::move(step));
    if (*bytes && item == nodes.back()) {
      ends_in_bytes = true;
    } else {
      SplitStep alphabet;
      alphabet.kind = SplitStep::Kind::kByteAlphabet;
      steps.push_back(std::move(alphabet));
    }
  }
  *bytes = ends_in_bytes;
  const auto growing = std::count_if(steps.begin(), steps.end(), [](const SplitStep& step) {
    return step.add_prefix_space || step.kind == SplitStep::Kind::kMetaspace ||
           step.kind == SplitStep::Kind::kByteAlphabet;
  });
  if (growing > kMostGrowingSteps)
    return Unsupported(Cat("more than ", kMostGrowingSteps, " pre-tokenizers that add to a text"));
  return steps;
}

StatusOr<std::vector<DecoderStep>> ReadDecoder(const json& node) {
  std::vector<DecoderStep> steps;
  if (node.is_null()) return steps;
  SWAGE_ASSIGN_OR_RETURN(const auto nodes, Flatten(node, "decoders"));
  for (const json* item : nodes) {
    SWAGE_ASSIGN_OR_RETURN(DecoderStep step, ReadDecoderStep(*item));
    steps.push_back(std::move(step));
  }
  if (steps.empty()) steps.push_back(DecoderStep{DecoderStep::Fuse{}});  // a Sequence of none
  return steps;
}

}  // namespace swage::tokenizer_json
