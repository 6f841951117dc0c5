// Values of a method's own options, checked against the catalog row.
#pragma once

#include <map>
#include <string>

#include "base/status.h"
#include "workers/catalog/catalog.h"
#include "workers/recipe/tree.h"

namespace swage {

// The value in its one normal spelling: integers without sign or zeros in front, numbers in the
// shortest form that reads back the same, true or false. Errors: OPTION_TYPE, OPTION_RANGE, naming
// the line.
StatusOr<std::string> NormalizeOption(const OptionRow& row, const TreeNode& value);

// All options of `method`: those of `node` (nullptr: none), defaults for the rest. Errors also:
// UNKNOWN_OPTION.
StatusOr<std::map<std::string, std::string>> ReadOptions(const MethodRow& method,
                                                         const TreeNode* node);

}  // namespace swage
