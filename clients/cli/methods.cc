#include <nlohmann/json.hpp>

#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/local.h"
#include "workers/catalog/catalog.h"

namespace swage {
namespace {

using Json = nlohmann::ordered_json;

std::string_view TypeName(OptionType type) {
  switch (type) {
    case OptionType::kInt:
      return "int";
    case OptionType::kFloat:
      return "float";
    case OptionType::kBool:
      return "bool";
    case OptionType::kString:
      return "string";
    case OptionType::kChoice:
      return "choice";
  }
  return "";
}

std::vector<std::string> Strings(const std::vector<std::string_view>& views) { return {views.begin(), views.end()}; }

std::string RangeText(const OptionRow& option) {
  if (option.type == OptionType::kChoice) return Join(Strings(option.choices), " | ");
  if (option.type == OptionType::kInt || option.type == OptionType::kFloat) return Cat(option.min, " to ", option.max);
  return option.type == OptionType::kBool ? "true | false" : "";
}

Json Of(const MethodRow& method) {
  Json options = Json::array();
  for (const OptionRow& option : method.options) {
    options.push_back({{"name", option.name},
                       {"type", TypeName(option.type)},
                       {"default", option.default_value},
                       {"range", RangeText(option)},
                       {"meaning", option.meaning}});
  }
  return {{"id", method.id},
          {"kind", method.kind},
          {"version", method.version},
          {"title", method.title},
          {"paper", method.paper},
          {"options", options},
          {"formats", method.formats},
          {"granularities", method.granularities},
          {"exports", method.exports},
          {"needs_calibration", method.needs_calibration}};
}

std::string MethodText(const MethodRow& method) {
  std::string out = Cat(method.id, "  ", method.title, "\n  kind           ", method.kind, "\n  version        ",
                        method.version, "\n  follows        ", method.paper, "\n  formats        ",
                        Join(Strings(method.formats), ", "), "\n  granularities  ",
                        Join(Strings(method.granularities), ", "), "\n  exports        ",
                        Join(Strings(method.exports), ", "), "\n  calibration    ",
                        method.needs_calibration ? "needed" : "not needed", "\n");
  if (method.options.empty()) return out + "  options        none\n";
  TextTable table({{"  option"}, {"type"}, {"default"}, {"allowed"}, {"meaning"}});
  for (const OptionRow& option : method.options) {
    table.AddRow({Cat("  ", option.name), std::string(TypeName(option.type)), std::string(option.default_value),
                  RangeText(option), std::string(option.meaning)});
  }
  return out + table.ToString();
}

}  // namespace

StatusOr<int> RunMethods(const Session& session, const std::string& name) {
  if (!name.empty()) {
    const MethodRow* method = FindMethod(name);
    if (method == nullptr) {
      std::vector<std::string> ids;
      for (const MethodRow& row : Methods()) ids.emplace_back(row.id);
      const std::string near = Nearest(name, ids);
      return NotFound("UNKNOWN_METHOD", Cat("there is no method '", name, "'"),
                      near.empty() ? "'swage methods' lists them" : Cat("did you mean '", near, "'?"));
    }
    PrintOut(session.json ? Of(*method).dump() + "\n" : MethodText(*method));
    return kExitOk;
  }
  if (session.json) {
    Json list = Json::array();
    for (const MethodRow& method : Methods()) list.push_back(Of(method));
    PrintOut(Json{{"methods", list}}.dump() + "\n");
    return kExitOk;
  }
  TextTable table({{"METHOD"}, {"KIND"}, {"FORMATS"}, {"TITLE"}});
  for (const MethodRow& method : Methods()) {
    table.AddRow({std::string(method.id), std::string(method.kind), Join(Strings(method.formats), ", "),
                  std::string(method.title)});
  }
  PrintOut(table.ToString());
  return kExitOk;
}

}  // namespace swage
