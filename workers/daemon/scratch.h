// Scratch folders of jobs: kept while a later attempt may resume from them, removed when the result is published, and
// swept when they are old.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "base/env.h"

namespace swage {

void RemoveScratch(Env* env, const std::string& folder);
// Removes what has not been touched for a day, but for the folders (names, not paths) in `in_use`.
void SweepScratch(Env* env, const std::string& scratch_dir, int64_t now_unix_nanos, const std::set<std::string>& in_use);

}  // namespace swage
