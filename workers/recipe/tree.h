// A recipe as a bounded tree of maps, lists and scalars, each with its line: from YAML, or from the
// JSON that Recipe::ToJson writes. Anchors, aliases, tags and several documents are refused, so
// that a text never becomes larger than it looks.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace swage {

struct TreeNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string scalar;
  bool quoted = false;                                    // "128" is a text, 128 a number
  int line = 0;                                           // from 1; 0 when it came from JSON
  std::vector<TreeNode> items;                            // kList
  std::vector<std::pair<std::string, TreeNode>> members;  // kMap; keys are unique
};

// Errors: RECIPE_TOO_LARGE, RECIPE_NOT_YAML, RECIPE_DUPLICATE_KEY.
StatusOr<TreeNode> TreeFromYaml(std::string_view yaml);
// Errors: RECIPE_TOO_LARGE, RECIPE_NOT_JSON.
StatusOr<TreeNode> TreeFromJson(std::string_view json);

}  // namespace swage
