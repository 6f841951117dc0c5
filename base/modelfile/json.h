// What the parsers of this folder share about JSON from outside. nlohmann's parser and this handler keep their stacks
// on the heap, so that deep nesting cannot overflow the thread's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/status.h"

namespace swage {

// Events of a JSON text, one virtual function a kind of value, with the depth at which it stands: the top value has
// depth 0, members of the top object 1. An override that returns an error ends the parse with it. Nesting deeper than
// `max_depth` is an error.
//
//   class Sizes : public JsonEvents { Status OnUnsigned(size_t depth, uint64_t value) override {...} };
//   Sizes sizes;
//   SWAGE_RETURN_IF_ERROR(sizes.Run(text, "HEADER_NOT_JSON", "the header"));
class JsonEvents : private nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonEvents(size_t max_depth) : max_depth_(max_depth) {}
  // Errors of the syntax itself carry `reason`; `what` names the text in messages.
  Status Run(std::string_view text, std::string_view reason, std::string_view what);

 protected:
  virtual Status OnKey(size_t depth, std::string key) = 0;
  virtual Status OnString(size_t depth, std::string value) { return Unexpected("a string"); }
  virtual Status OnUnsigned(size_t depth, uint64_t value) { return Unexpected("a number"); }
  // null, true, false, negative or fractional numbers, integers beyond 64 bits.
  virtual Status OnOther(size_t depth, std::string_view kind) { return Unexpected(kind); }
  virtual Status OnOpen(size_t depth, bool is_array) = 0;
  virtual Status OnClose(size_t depth, bool is_array) = 0;
  // The error of a value that has no business here; overridden to give the reason of the format.
  virtual Status Unexpected(std::string_view kind) = 0;

 private:
  bool null() override { return Take(OnOther(depth_, "null")); }
  bool boolean(bool value) override { return Take(OnOther(depth_, value ? "true" : "false")); }
  bool number_integer(number_integer_t) override { return Take(OnOther(depth_, "a negative number")); }
  bool number_unsigned(number_unsigned_t value) override { return Take(OnUnsigned(depth_, value)); }
  bool number_float(number_float_t, const string_t& text) override {
    return Take(OnOther(depth_, "a number that is no integer of 64 bits"));
  }
  bool string(string_t& value) override { return Take(OnString(depth_, std::move(value))); }
  bool binary(binary_t&) override { return Take(OnOther(depth_, "binary")); }
  bool start_object(size_t) override { return Open(false); }
  bool key(string_t& value) override { return Take(OnKey(depth_, std::move(value))); }
  bool end_object() override { return Close(false); }
  bool start_array(size_t) override { return Open(true); }
  bool end_array() override { return Close(true); }
  bool parse_error(size_t position, const std::string& last_token, const nlohmann::detail::exception& ex) override;

  bool Open(bool is_array);
  bool Close(bool is_array);
  bool Take(Status status);

  const size_t max_depth_;
  size_t depth_ = 0;
  std::string reason_, what_;
  Status status_;
};

// A JSON text as a tree, for small files. Refuses nesting beyond 64 levels and names that appear twice in one object:
// readers disagree about which of the two counts. Errors carry `reason`.
StatusOr<nlohmann::json> ParseJsonTree(std::string_view text, std::string_view reason, std::string_view what);

}  // namespace swage
