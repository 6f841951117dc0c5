#include "workers/recipe/options.h"

#include <charconv>
#include <cmath>
#include <optional>

#include "workers/catalog/method_page.h"
#include "workers/recipe/reader.h"

namespace swage {
namespace {

template <typename Number>
std::optional<Number> ParseNumber(const TreeNode& value) {
  if (value.quoted) return std::nullopt;
  Number number{};
  const char* end = value.scalar.data() + value.scalar.size();
  const auto [at, error] = std::from_chars(value.scalar.data(), end, number);
  if (error != std::errc() || at != end) return std::nullopt;
  return number;
}

std::string Spell(double value) {
  char text[64];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value == 0 ? 0.0 : value);
  return std::string(text, end);
}

Status WrongOption(const OptionRow& row, const TreeNode& value, std::string_view reason) {
  return InvalidInput(reason,
                      Cat(AtLine(value.line), "the option '", row.name, "' must be of type ",
                          OptionTypeName(row.type), ", allowed: ", AllowedValues(row), "; it is '",
                          value.scalar.substr(0, 80), "'"),
                      "`swage methods NAME` shows a method's options");
}

}  // namespace

StatusOr<std::string> NormalizeOption(const OptionRow& row, const TreeNode& value) {
  if (value.kind != TreeNode::Kind::kScalar) return WrongOption(row, value, "OPTION_TYPE");
  switch (row.type) {
    case OptionType::kInt: {
      const std::optional<int64_t> number = ParseNumber<int64_t>(value);
      if (!number) return WrongOption(row, value, "OPTION_TYPE");
      if (static_cast<double>(*number) < row.min || static_cast<double>(*number) > row.max)
        return WrongOption(row, value, "OPTION_RANGE");
      return Cat(*number);
    }
    case OptionType::kFloat: {
      const std::optional<double> number = ParseNumber<double>(value);
      if (!number || !std::isfinite(*number)) return WrongOption(row, value, "OPTION_TYPE");
      if (*number < row.min || *number > row.max) return WrongOption(row, value, "OPTION_RANGE");
      return Spell(*number);
    }
    case OptionType::kBool:
      if (value.quoted || (value.scalar != "true" && value.scalar != "false"))
        return WrongOption(row, value, "OPTION_TYPE");
      return value.scalar;
    case OptionType::kString:
      return value.scalar;
    case OptionType::kChoice:
      for (const std::string_view choice : row.choices) {
        if (choice == value.scalar) return value.scalar;
      }
      return WrongOption(row, value, "OPTION_RANGE");
  }
  return Internal(Cat("option ", row.name, " has no type"));
}

StatusOr<std::map<std::string, std::string>> ReadOptions(const MethodRow& method,
                                                         const TreeNode* node) {
  std::map<std::string, std::string> options;
  std::vector<std::string> names;
  for (const OptionRow& row : method.options) {
    options[std::string(row.name)] = std::string(row.default_value);
    names.emplace_back(row.name);
  }
  if (node == nullptr) return options;
  if (node->kind != TreeNode::Kind::kMap) {
    return InvalidInput("RECIPE_TYPE",
                        Cat(AtLine(node->line), "'options' in a step must be a map of keys"),
                        "write options: {name: value}");
  }
  for (const auto& [key, value] : node->members) {
    const OptionRow* found = nullptr;
    for (const OptionRow& row : method.options) {
      if (row.name == key) found = &row;
    }
    if (found == nullptr) {
      return InvalidInput(
          "UNKNOWN_OPTION",
          Cat(AtLine(value.line), "the method '", method.id, "' has no option '", key.substr(0, 80),
              "'", names.empty() ? "; it has no options" : Suggest(key, names)),
          Cat("`swage methods ", method.id, "` shows its options"));
    }
    SWAGE_ASSIGN_OR_RETURN(options[key], NormalizeOption(*found, value));
  }
  return options;
}

}  // namespace swage
