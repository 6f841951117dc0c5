#include "workers/catalog/method_page.h"

#include <cstdio>
#include <vector>

#include "base/text.h"

namespace swage {
namespace {

std::string Listed(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) text += Cat(text.empty() ? "" : ", ", "`", word, "`");
  return text;
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", value);
  return text;
}

std::string OptionTable(const MethodRow& row) {
  if (row.options.empty()) return "This method has no options of its own.\n";
  std::string table = "| option | type | default | allowed | meaning |\n|---|---|---|---|---|\n";
  for (const OptionRow& option : row.options) {
    table +=
        Cat("| `", option.name, "` | ", OptionTypeName(option.type), " | `", option.default_value,
            "` | ", AllowedValues(option), " | ", option.meaning, " |\n");
  }
  return table;
}

}  // namespace

std::string_view OptionTypeName(OptionType type) {
  switch (type) {
    case OptionType::kInt:
      return "integer";
    case OptionType::kFloat:
      return "number";
    case OptionType::kBool:
      return "boolean";
    case OptionType::kString:
      return "text";
    case OptionType::kChoice:
      return "choice";
  }
  return "";
}

std::string AllowedValues(const OptionRow& option) {
  switch (option.type) {
    case OptionType::kInt:
    case OptionType::kFloat:
      return Cat(Number(option.min), " to ", Number(option.max));
    case OptionType::kBool:
      return "true or false";
    case OptionType::kString:
      return "any text";
    case OptionType::kChoice: {
      std::vector<std::string> choices(option.choices.begin(), option.choices.end());
      return Join(choices, ", ");
    }
  }
  return "";
}

std::string MethodPage(const MethodRow& row) {
  return Cat("# ", row.title, " (`", row.id, "`)\n\n",
             "Written from the row in `workers/catalog/catalog.cc`; `catalog_test --update` writes "
             "it again.\n\n",
             "- kind: `", row.kind, "`\n- version: ", row.version,
             " (part of the cache key; grows when results change)\n- follows: ", row.paper,
             "\n- formats: ", Listed(row.formats), "\n- granularities: ", Listed(row.granularities),
             "\n- exports: ", Listed(row.exports),
             "\n- calibration text: ", row.needs_calibration ? "needed" : "not needed",
             "\n\n## Options\n\n", OptionTable(row),
             "\nThe keys that every quantization step has (format, granularity, targets, ...) are "
             "in [recipes](../recipes.md).\n");
}

}  // namespace swage
