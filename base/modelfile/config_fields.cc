#include "base/modelfile/config_fields.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace swage {
namespace {

using nlohmann::json;

size_t CommonPrefix(std::string_view a, std::string_view b) {
  size_t n = 0;
  while (n < std::min(a.size(), b.size()) && a[n] == b[n]) ++n;
  return n;
}

// By edit distance where something is near, else by how the names begin.
std::string NearestName(std::string_view word, const std::vector<std::string>& known) {
  std::string best = Nearest(word, known);
  if (!best.empty()) return best;
  size_t longest = 2;
  for (const std::string& name : known) {
    const size_t prefix = CommonPrefix(word, name);
    if (prefix <= longest) continue;
    longest = prefix;
    best = name;
  }
  return best;
}

}  // namespace

const json* Field(const json& object, std::string_view key) {
  const auto at = object.find(std::string(key));
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

Status MissingField(std::string_view key) {
  return InvalidInput("CONFIG_FIELD_MISSING", Cat("config.json has no '", key, "'"), kCheckConfig);
}

Status BadField(std::string_view key, std::string_view expected) {
  return InvalidInput("CONFIG_FIELD_RANGE", Cat("config.json: '", key, "' must be ", expected),
                      kCheckConfig);
}

Status ReadInt(const json& config, std::string_view key, int64_t most, int64_t fallback,
               int64_t* out) {
  const json* value = key.empty() ? nullptr : Field(config, key);
  if (value == nullptr) {
    if (fallback == 0) return MissingField(key);
    *out = fallback;
    return absl::OkStatus();
  }
  const bool in_range = value->is_number_unsigned() && value->get<uint64_t>() >= 1 &&
                        value->get<uint64_t>() <= static_cast<uint64_t>(most);
  if (!in_range) return BadField(key, Cat("an integer from 1 to ", most));
  *out = value->get<int64_t>();
  return absl::OkStatus();
}

Status ReadBool(const json& config, std::string_view key, bool* out) {
  const json* value = Field(config, key);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_boolean()) return BadField(key, "true or false");
  *out = value->get<bool>();
  return absl::OkStatus();
}

Status ReadDouble(const json& config, std::string_view key, double least, double most,
                  double* out) {
  const json* value = key.empty() ? nullptr : Field(config, key);
  if (value == nullptr) return absl::OkStatus();
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= least && number <= most)) {
    return BadField(key, Cat("a number from ", least, " to ", most));
  }
  *out = number;
  return absl::OkStatus();
}

Status ReadText(const json& config, std::string_view key, std::string* out) {
  const json* value = Field(config, key);
  if (value == nullptr) return absl::OkStatus();
  if (!value->is_string()) return BadField(key, "a text");
  *out = value->get<std::string>();
  return absl::OkStatus();
}

Status Unknown(std::string_view reason, std::string_view what, std::string_view asked,
               const std::vector<std::string>& known) {
  const std::string name(asked.substr(0, 80));
  const std::string nearest = NearestName(name, known);
  return InvalidInput(reason,
                      Cat("config.json asks for the ", what, " '", name, "', which Swage does not have",
                          nearest.empty() ? "" : Cat("; the nearest it has is '", nearest, "'")),
                      Cat("known: ", Join(known, ", ")));
}

}  // namespace swage
