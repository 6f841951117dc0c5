// Records to and from JSON: what records_json.cc and settings_json.cc share. Not for others.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "base/status.h"
#include "base/text.h"
#include "nlohmann/json.hpp"
#include "scheduler/core/records.h"

namespace swage::record_json {

using Json = nlohmann::json;

// Writes one object, field by field, straight into a string: a tree of nodes in between would cost
// several times as much, and a leader writes thousands a second.
class Object {
 public:
  explicit Object(std::string* out) : out_(out) { *out_ += '{'; }
  void End() { *out_ += '}'; }

  void Put(const char* name, std::string_view value) {
    if (value.empty()) return;
    Name(name);
    Quote(value);
  }
  void Put(const char* name, const std::string& value) { Put(name, std::string_view(value)); }
  void Put(const char* name, bool value, bool otherwise = false) {
    if (value == otherwise) return;
    Name(name);
    *out_ += value ? "true" : "false";
  }
  template <typename T>
    requires std::is_arithmetic_v<T>
  void Put(const char* name, T value, T otherwise = 0) {
    if constexpr (std::is_floating_point_v<T>) {
      if (!std::isfinite(value)) return;
    }
    if (value == otherwise) return;
    Name(name);
    char digits[32];
    *out_ += std::string_view(digits, static_cast<size_t>(std::to_chars(digits, digits + 32, value).ptr - digits));
  }
  void Put(const char* name, const std::vector<std::string>& values) {
    if (values.empty()) return;
    Name(name);
    char separator = '[';
    for (const std::string& value : values) {
      *out_ += std::exchange(separator, ',');
      Quote(value);
    }
    *out_ += ']';
  }
  void Put(const char* name, const std::map<std::string, std::string>& values) {
    if (values.empty()) return;
    Name(name);
    Object inner(out_);
    for (const auto& [key, value] : values) {
      inner.Key(key);
      inner.Quote(value);
    }
    inner.End();
  }
  void Put(const char* name, const std::map<std::string, uint64_t>& values) {
    if (values.empty()) return;
    Name(name);
    Object inner(out_);
    for (const auto& [key, value] : values) {
      inner.Key(key);
      *out_ += Cat(value);
    }
    inner.End();
  }
  // For what is nested: the caller goes on with the same string.
  std::string* Name(const char* name) {
    Key(name);
    return out_;
  }

 private:
  void Key(std::string_view key) {
    if (!std::exchange(first_, false)) *out_ += ',';
    Quote(key);
    *out_ += ':';
  }
  void Quote(std::string_view text) { AppendJsonString(text, out_); }

  std::string* const out_;
  bool first_ = true;
};

// Reads fields by name. An absent field keeps its default (a record written by an older version),
// an unknown one is skipped (written by a newer one), a field of another type makes the whole
// record an error.
class Fields {
 public:
  Fields(const Json& json, std::string_view what) : json_(json), what_(what) {
    if (!json.is_object()) Fail("", "is not an object");
  }

  void Get(const char* name, std::string* out) {
    if (const Json* v = Find(name); v != nullptr) {
      if (!v->is_string()) return Fail(name, "is not a string");
      *out = v->get_ref<const std::string&>();
    }
  }
  void Get(const char* name, uint64_t* out) {
    if (const Json* v = Find(name); v != nullptr) {
      if (!v->is_number_unsigned()) return Fail(name, "is not an unsigned integer");
      *out = v->get<uint64_t>();
    }
  }
  void Get(const char* name, int64_t* out) {
    if (const Json* v = Find(name); v != nullptr) {
      const bool fits =
          v->is_number_integer() && (!v->is_number_unsigned() || v->get<uint64_t>() <= INT64_MAX);
      if (!fits) return Fail(name, "is not a 64-bit integer");
      *out = v->get<int64_t>();
    }
  }
  void Get(const char* name, int* out) {
    int64_t wide = *out;
    Get(name, &wide);
    if (wide < INT32_MIN || wide > INT32_MAX) return Fail(name, "is out of range");
    *out = static_cast<int>(wide);
  }
  void Get(const char* name, double* out) {
    if (const Json* v = Find(name); v != nullptr) {
      if (!v->is_number()) return Fail(name, "is not a number");
      *out = v->get<double>();
    }
  }
  void Get(const char* name, bool* out) {
    if (const Json* v = Find(name); v != nullptr) {
      if (!v->is_boolean()) return Fail(name, "is not a boolean");
      *out = v->get<bool>();
    }
  }
  void Get(const char* name, std::vector<std::string>* out) {
    const Json* v = Find(name);
    if (v == nullptr) return;
    if (!v->is_array()) return Fail(name, "is not an array");
    for (const Json& value : *v) {
      if (!value.is_string()) return Fail(name, "has an element that is not a string");
      out->push_back(value.get_ref<const std::string&>());
    }
  }
  void Get(const char* name, std::map<std::string, uint64_t>* out) {
    const Json* v = Find(name);
    if (v == nullptr) return;
    if (!v->is_object()) return Fail(name, "is not an object");
    for (const auto& [key, value] : v->items()) {
      if (!value.is_number_unsigned()) return Fail(name, "has a value that is not a number");
      (*out)[key] = value.get<uint64_t>();
    }
  }
  void Get(const char* name, std::map<std::string, std::string>* out) {
    const Json* v = Find(name);
    if (v == nullptr) return;
    if (!v->is_object()) return Fail(name, "is not an object");
    for (const auto& [key, value] : v->items()) {
      if (!value.is_string()) return Fail(name, "has a value that is not a string");
      (*out)[key] = value.get_ref<const std::string&>();
    }
  }
  void Get(const char* name, JobState* out) {
    std::string text(JobStateName(*out));
    Get(name, &text);
    constexpr auto kFirst = static_cast<int>(JobState::kQueued);
    constexpr auto kLast = static_cast<int>(JobState::kCancelled);
    for (int s = kFirst; s <= kLast; ++s) {
      const auto state = static_cast<JobState>(s);
      if (JobStateName(state) == text) {
        *out = state;
        return;
      }
    }
    Fail(name, "is not a state");
  }
  const Json* Find(const char* name) {
    if (!json_.is_object()) return nullptr;
    auto it = json_.find(name);
    return it == json_.end() ? nullptr : &*it;
  }
  void Require(const char* name, const std::string& value) {
    if (value.empty()) Fail(name, "is missing");
  }
  void Fail(const char* name, std::string_view problem) {
    if (!status_.ok()) return;
    status_ =
        DataLoss("RECORD_MALFORMED", Cat("a ", what_, " record's field '", name, "' ", problem),
                 "restore the state file from a backup; it was not written by this program");
  }
  void Adopt(const Status& status) {
    if (status_.ok()) status_ = status;
  }
  const Status& status() const { return status_; }

 private:
  const Json& json_;
  std::string_view what_;
  Status status_;
};

inline StatusOr<Json> Parse(std::string_view text, std::string_view what) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    return DataLoss("RECORD_MALFORMED", Cat("a ", what, " record is not a JSON object"),
                    "restore the state file from a backup; it was not written by this program");
  }
  return json;
}

}  // namespace swage::record_json
