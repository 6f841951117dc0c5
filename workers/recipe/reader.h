// Typed, strict access to the maps of a recipe: every key is known, every value has its type and
// range, and an error names the line, what is allowed and the nearest word.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "workers/recipe/tree.h"

namespace swage {

// "recipe, line 4: " or, without a line, "recipe: ".
std::string AtLine(int line);
// Did-you-mean and the list: "; did you mean 'format'? allowed: format, method".
std::string Suggest(std::string_view word, const std::vector<std::string>& allowed);

class MapReader {
 public:
  // `node` must outlive the reader; `what` names the map in messages: "a step", "evaluate".
  // Errors: RECIPE_TYPE when `node` is no map, RECIPE_UNKNOWN_KEY.
  static StatusOr<MapReader> Open(const TreeNode& node, std::string what,
                                  const std::vector<std::string>& allowed_keys);

  const TreeNode* Find(std::string_view key) const;  // nullptr when absent
  int line() const { return node_->line; }

  // Each leaves *out as it is when the key is absent. Errors: RECIPE_TYPE, RECIPE_RANGE,
  // RECIPE_UNKNOWN_VALUE.
  Status Text(std::string_view key,
              std::string* out) const;  // 1 to 4096 bytes, no control characters
  Status Int(std::string_view key, int64_t min, int64_t max, int64_t* out) const;
  Status Unsigned(std::string_view key, uint64_t* out) const;
  Status Bool(std::string_view key, bool* out) const;
  Status Choice(std::string_view key, const std::vector<std::string>& allowed,
                std::string* out) const;
  Status Texts(std::string_view key, std::vector<std::string>* out) const;  // a list of texts

  // RECIPE_MISSING_KEY when it is absent.
  Status Require(std::string_view key) const;

 private:
  MapReader(const TreeNode& node, std::string what) : node_(&node), what_(std::move(what)) {}
  Status WrongType(std::string_view key, const TreeNode& value, std::string_view wanted) const;

  const TreeNode* node_;
  std::string what_;
};

}  // namespace swage
