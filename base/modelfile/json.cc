#include "base/modelfile/json.h"

#include <set>

#include "base/text.h"

namespace swage {
namespace {

// Depth and unique names only; the tree is then built by nlohmann itself.
class TreeCheck : public JsonEvents {
 public:
  explicit TreeCheck(std::string_view reason) : JsonEvents(64), reason_(reason) {}

 protected:
  Status OnKey(size_t depth, std::string key) override {
    const auto [at, is_new] = names_.back().insert(std::move(key));
    if (is_new) return absl::OkStatus();
    return InvalidInput(reason_, Cat("the name '", at->substr(0, 80), "' appears twice in one object"),
                        "keep only one of the two");
  }
  Status OnString(size_t, std::string) override { return absl::OkStatus(); }
  Status OnUnsigned(size_t, uint64_t) override { return absl::OkStatus(); }
  Status OnOther(size_t, std::string_view) override { return absl::OkStatus(); }
  Status OnOpen(size_t, bool) override {
    names_.emplace_back();
    return absl::OkStatus();
  }
  Status OnClose(size_t, bool) override {
    names_.pop_back();
    return absl::OkStatus();
  }
  Status Unexpected(std::string_view kind) override { return InvalidInput(reason_, Cat("unexpected ", kind)); }

 private:
  const std::string reason_;
  std::vector<std::set<std::string>> names_;
};

}  // namespace

Status JsonEvents::Run(std::string_view text, std::string_view reason, std::string_view what) {
  reason_ = reason;
  what_ = what;
  depth_ = 0;
  status_ = absl::OkStatus();
  nlohmann::json_sax<nlohmann::json>* handler = this;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), handler) && status_.ok()) {
    return InvalidInput(reason_, Cat(what_, " is not valid JSON"));
  }
  return status_;
}

bool JsonEvents::parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) {
  // nlohmann's own message quotes the last token, which can be the whole hostile text.
  return Take(InvalidInput(reason_, Cat(what_, " is not valid JSON (UTF-8): error at byte ", position),
                           "fetch the file again; it may be cut or damaged"));
}

bool JsonEvents::Open(bool is_array) {
  if (depth_ >= max_depth_) {
    return Take(InvalidInput(reason_, Cat(what_, " is nested deeper than ", max_depth_, " levels")));
  }
  if (!Take(OnOpen(depth_, is_array))) return false;
  ++depth_;
  return true;
}

bool JsonEvents::Close(bool is_array) {
  --depth_;
  return Take(OnClose(depth_, is_array));
}

bool JsonEvents::Take(Status status) {
  if (status.ok()) return true;
  status_ = std::move(status);
  return false;
}

StatusOr<nlohmann::json> ParseJsonTree(std::string_view text, std::string_view reason, std::string_view what) {
  TreeCheck check(reason);
  SWAGE_RETURN_IF_ERROR(Annotate(check.Run(text, reason, what), what));
  return nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

}  // namespace swage
