#include "workers/recipe/reader.h"

#include <algorithm>
#include <charconv>

namespace swage {
namespace {

constexpr size_t kMaxTextBytes = 4096;

std::string Shown(const TreeNode& node) {
  switch (node.kind) {
    case TreeNode::Kind::kNull:
      return "nothing";
    case TreeNode::Kind::kList:
      return "a list";
    case TreeNode::Kind::kMap:
      return "a map";
    case TreeNode::Kind::kScalar:
      break;
  }
  const std::string text = node.scalar.substr(0, 80);
  return node.quoted ? Cat("the text \"", text, "\"") : Cat("'", text, "'");
}

template <typename Int>
bool ParseWhole(const TreeNode& node, Int* out) {
  if (node.kind != TreeNode::Kind::kScalar || node.quoted) return false;
  const char* end = node.scalar.data() + node.scalar.size();
  const auto [at, error] = std::from_chars(node.scalar.data(), end, *out);
  return error == std::errc() && at == end;
}

}  // namespace

std::string AtLine(int line) {
  return line > 0 ? Cat("recipe, line ", line, ": ") : std::string("recipe: ");
}

std::string Suggest(std::string_view word, const std::vector<std::string>& allowed) {
  const std::string nearest = Nearest(word, allowed);
  return Cat(nearest.empty() ? "" : Cat("; did you mean '", nearest, "'?"),
             nearest.empty() ? "; allowed: " : " allowed: ", Join(allowed, ", "));
}

StatusOr<MapReader> MapReader::Open(const TreeNode& node, std::string what,
                                    const std::vector<std::string>& allowed_keys) {
  if (node.kind != TreeNode::Kind::kMap) {
    return InvalidInput(
        "RECIPE_TYPE", Cat(AtLine(node.line), what, " must be a map of keys, but is ", Shown(node)),
        Cat("its keys are: ", Join(allowed_keys, ", ")));
  }
  for (const auto& [key, value] : node.members) {
    if (std::find(allowed_keys.begin(), allowed_keys.end(), key) == allowed_keys.end()) {
      return InvalidInput("RECIPE_UNKNOWN_KEY",
                          Cat(AtLine(value.line), "unknown key '", key.substr(0, 80), "' in ", what,
                              Suggest(key, allowed_keys)),
                          "correct or remove the key; docs/recipes.md lists them all");
    }
  }
  return MapReader(node, std::move(what));
}

const TreeNode* MapReader::Find(std::string_view key) const {
  for (const auto& [name, value] : node_->members) {
    if (name == key) return &value;
  }
  return nullptr;
}

Status MapReader::WrongType(std::string_view key, const TreeNode& value,
                            std::string_view wanted) const {
  return InvalidInput("RECIPE_TYPE",
                      Cat(AtLine(value.line), "'", key, "' in ", what_, " must be ", wanted,
                          ", but is ", Shown(value)),
                      Cat("write ", key, ": followed by ", wanted));
}

Status MapReader::Require(std::string_view key) const {
  if (Find(key) != nullptr) return absl::OkStatus();
  return InvalidInput("RECIPE_MISSING_KEY",
                      Cat(AtLine(node_->line), what_, " needs the key '", key, "'"),
                      Cat("add ", key));
}

namespace {

bool IsGoodText(const TreeNode& node) {
  return node.kind == TreeNode::Kind::kScalar && !node.scalar.empty() &&
         node.scalar.size() <= kMaxTextBytes &&
         std::none_of(node.scalar.begin(), node.scalar.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

}  // namespace

Status MapReader::Text(std::string_view key, std::string* out) const {
  const TreeNode* value = Find(key);
  if (value == nullptr) return absl::OkStatus();
  if (!IsGoodText(*value))
    return WrongType(key, *value,
                     Cat("a text of 1 to ", kMaxTextBytes, " bytes without control characters"));
  *out = value->scalar;
  return absl::OkStatus();
}

Status MapReader::Int(std::string_view key, int64_t min, int64_t max, int64_t* out) const {
  const TreeNode* value = Find(key);
  if (value == nullptr) return absl::OkStatus();
  const std::string wanted = Cat("a whole number from ", min, " to ", max);
  int64_t number = 0;
  if (!ParseWhole(*value, &number)) return WrongType(key, *value, wanted);
  if (number < min || number > max) {
    return InvalidInput(
        "RECIPE_RANGE",
        Cat(AtLine(value->line), "'", key, "' in ", what_, " is ", number, ", allowed is ", wanted),
        "choose a value in the range");
  }
  *out = number;
  return absl::OkStatus();
}

Status MapReader::Unsigned(std::string_view key, uint64_t* out) const {
  const TreeNode* value = Find(key);
  if (value == nullptr) return absl::OkStatus();
  uint64_t number = 0;
  if (!ParseWhole(*value, &number))
    return WrongType(key, *value, "a whole number from 0 to 2^64-1");
  *out = number;
  return absl::OkStatus();
}

Status MapReader::Bool(std::string_view key, bool* out) const {
  const TreeNode* value = Find(key);
  if (value == nullptr) return absl::OkStatus();
  const bool plain = value->kind == TreeNode::Kind::kScalar && !value->quoted;
  if (!plain || (value->scalar != "true" && value->scalar != "false"))
    return WrongType(key, *value, "true or false");
  *out = value->scalar == "true";
  return absl::OkStatus();
}

Status MapReader::Choice(std::string_view key, const std::vector<std::string>& allowed,
                         std::string* out) const {
  const TreeNode* value = Find(key);
  if (value == nullptr) return absl::OkStatus();
  if (value->kind != TreeNode::Kind::kScalar)
    return WrongType(key, *value, Cat("one of ", Join(allowed, ", ")));
  if (std::find(allowed.begin(), allowed.end(), value->scalar) == allowed.end()) {
    return InvalidInput("RECIPE_UNKNOWN_VALUE",
                        Cat(AtLine(value->line), "'", key, "' in ", what_, " is ", Shown(*value),
                            Suggest(value->scalar, allowed)),
                        "choose one of the allowed words");
  }
  *out = value->scalar;
  return absl::OkStatus();
}

Status MapReader::Texts(std::string_view key, std::vector<std::string>* out) const {
  const TreeNode* value = Find(key);
  if (value == nullptr) return absl::OkStatus();
  if (value->kind != TreeNode::Kind::kList) return WrongType(key, *value, "a list: [a, b]");
  out->clear();
  for (const TreeNode& item : value->items) {
    if (!IsGoodText(item)) return WrongType(key, item, "a list of texts");
    out->push_back(item.scalar);
  }
  return absl::OkStatus();
}

}  // namespace swage
