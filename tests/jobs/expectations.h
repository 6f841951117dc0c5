// Compares a finished artifact with what a job test expects of it; differences are GoogleTest
// failures.
#pragma once

#include <string>

#include "tests/jobs/jobtest_file.h"
#include "workers/recipe/recipe.h"

namespace swage {

// `report` is the text that RunRecipe returned.
void CheckReport(const JobExpectation& expect, const Plan& plan, const std::string& report);
void CheckArtifact(const JobExpectation& expect, const Plan& plan, const std::string& out_dir);

}  // namespace swage
