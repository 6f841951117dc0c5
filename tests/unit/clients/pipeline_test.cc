#include "clients/cli/pipeline.h"

#include <gtest/gtest.h>

namespace swage {
namespace {

class PipelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Write("r.yaml", "steps:\n- {kind: quantize, method: rtn, format: int4, granularity: group, group_size: 128}\n");
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(dir_.path(), name), text).ok());
  }
  StatusOr<Pipeline> Read(const std::string& text) {
    Write("p.yaml", text);
    return ReadPipeline(Env::Posix(), JoinPath(dir_.path(), "p.yaml"));
  }

  TempDir dir_;
};

TEST_F(PipelineTest, StepsComeAfterWhatTheyWaitForHoweverTheyAreWritten) {
  const auto pipeline = Read(
      "steps:\n"
      "- {name: small, recipe: r.yaml, model: half, as: models/small, priority: -5}\n"
      "- {name: last, recipe: r.yaml, model: models/b, after: [small, check, jobs/01abc]}\n"
      "- {name: half, recipe: r.yaml, model: ./tiny}\n"
      "- {name: check, recipe: r.yaml, model: models/a, after: half}\n");
  ASSERT_TRUE(pipeline.ok()) << pipeline.status();
  std::vector<std::string> names;
  for (const PipelineStep& step : pipeline->steps) names.push_back(step.name);
  EXPECT_EQ(names, (std::vector<std::string>{"half", "small", "check", "last"}));
  EXPECT_EQ(pipeline->steps[0].model, JoinPath(dir_.path(), "./tiny"));
  EXPECT_EQ(pipeline->steps[1].model_step, 0);
  EXPECT_EQ(pipeline->steps[1].alias, "models/small");
  EXPECT_EQ(pipeline->steps[1].priority, -5);
  EXPECT_EQ(pipeline->steps[2].after_steps, std::vector<int>{0});
  EXPECT_EQ(pipeline->steps[3].after_steps, (std::vector<int>{1, 2}));
  EXPECT_EQ(pipeline->steps[3].after, std::vector<std::string>{"jobs/01abc"});
  EXPECT_EQ(pipeline->steps[3].recipe.recipe.steps.size(), 1u);
}

TEST_F(PipelineTest, WhatCannotWorkIsSaidBeforeAnythingIsSent) {
  const auto refused = [&](const std::string& text) { return Read(text).status(); };
  for (const char* bad : {"", "steps: []\n", "- a\n", "steps:\n- {recipe: r.yaml, model: m}\n",
                          "steps:\n- {name: a, model: m}\n", "steps:\n- {name: a, recipe: r.yaml}\n",
                          "steps:\n- {name: a/b, recipe: r.yaml, model: m}\n",
                          "steps:\n- {name: a, recipe: r.yaml, model: m, colour: red}\n",
                          "steps:\n- {name: a, recipe: r.yaml, model: m, priority: 1000}\n",
                          "steps:\n- {name: a, recipe: r.yaml, model: m}\n- {name: a, recipe: r.yaml, model: m}\n",
                          "steps:\n- {name: a, recipe: r.yaml, model: b}\n- {name: b, recipe: r.yaml, model: a}\n",
                          "steps:\n- {name: a, recipe: r.yaml, model: a}\n"}) {
    EXPECT_EQ(ReasonOf(refused(bad)), "BAD_PIPELINE") << bad << refused(bad);
  }
  const Status typo = refused("steps:\n- {name: check, recipe: r.yaml, model: m}\n- {name: b, recipe: r.yaml, model: m, after: [chekc]}\n");
  EXPECT_EQ(NextStepOf(typo), "did you mean 'check'?");
  EXPECT_EQ(refused("steps:\n- {name: a, recipe: none.yaml, model: m}\n").code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace swage
