// Runs every case of tests/jobs/*.jobtest through the engine. tests/jobs/README.md describes the
// files.
#include <cctype>

#include "base/env.h"
#include "gtest/gtest.h"
#include "tests/jobs/expectations.h"
#include "tests/jobs/jobtest_file.h"
#include "workers/job/engine.h"

namespace swage {
namespace {

constexpr char kDir[] = "tests/jobs";

const std::vector<JobCase>& Cases() {
  static const std::vector<JobCase> cases = ReadJobTests(kDir);
  return cases;
}

// The plan of the case, as admission would make it.
StatusOr<Plan> PlanOf(const JobCase& job) {
  SWAGE_ASSIGN_OR_RETURN(const Recipe recipe, ParseRecipe(job.recipe_yaml));
  SWAGE_ASSIGN_OR_RETURN(const std::string text,
                         ReadFile(Env::Posix(), JoinPath(job.model_dir, "config.json"), 1 << 24));
  SWAGE_ASSIGN_OR_RETURN(const ModelConfig config, ParseModelConfig(text));
  return MakePlan(recipe, config);
}

class JobTest : public testing::TestWithParam<size_t> {};

TEST_P(JobTest, GivesWhatItsFileExpects) {
  const JobCase& job = Cases()[GetParam()];
  const StatusOr<Plan> plan = PlanOf(job);
  if (!job.expect.failure.empty()) {
    ASSERT_FALSE(plan.ok());
    EXPECT_EQ(ReasonOf(plan.status()), job.expect.failure) << plan.status();
    return;
  }
  ASSERT_TRUE(plan.ok()) << plan.status();
  const TempDir dir;
  EngineRequest request;
  request.model_dir = job.model_dir;
  request.recipe_json = plan->recipe.ToJson();
  request.out_dir = JoinPath(dir.path(), "out");
  request.scratch_dir = JoinPath(dir.path(), "scratch");
  request.threads = 1;  // tests run beside each other
  for (const auto* windows : {&plan->recipe.calibrate, &plan->recipe.evaluate}) {
    if (*windows) request.texts[(*windows)->text] = JoinPath(kDir, (*windows)->text);
  }
  double fraction = 0;
  EngineHooks hooks;
  hooks.progress = [&](const Progress& progress) {
    EXPECT_GE(progress.fraction, fraction) << progress.stage;
    fraction = progress.fraction;
  };
  const StatusOr<std::string> report = RunRecipe(Env::Posix(), request, hooks);
  ASSERT_TRUE(report.ok()) << report.status();
  CheckReport(job.expect, *plan, *report);
  CheckArtifact(job.expect, *plan, request.out_dir);
}

std::string NameOf(const testing::TestParamInfo<size_t>& info) {
  std::string name = Cases()[info.param].file + "_" + Cases()[info.param].name;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Jobs, JobTest, testing::Range<size_t>(0, Cases().size()), NameOf);

}  // namespace
}  // namespace swage
