// A small run of the engine on the sample model, shared by the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "workers/job/engine.h"
#include "workers/recipe/recipe.h"

namespace swage {

inline constexpr char kSampleModel[] = "tests/data/models/classics-6m";
inline constexpr char kSampleText[] = "tests/data/texts/tinystories-val-160k.txt";

inline constexpr char kInt4[] =
    "steps:\n- {kind: quantize, method: rtn, format: int4, granularity: group, group_size: 128}\n";
inline constexpr char kW8A8[] =
    "steps:\n- {kind: quantize, method: rtn, format: int8, granularity: channel, "
    "activations: {format: int8, granularity: token, dynamic: true}}\n";
inline constexpr char kEvaluate[] = "evaluate: {text: t.txt, window: 16, max_windows: 2}\n";

class EngineFixture : public testing::Test {
 protected:
  EngineRequest Request(const std::string& recipe_yaml, const std::string& name = "out") {
    auto recipe = ParseRecipe(recipe_yaml);
    EXPECT_TRUE(recipe.ok()) << recipe.status();
    EngineRequest request;
    request.model_dir = kSampleModel;
    request.recipe_json = recipe.ok() ? recipe->ToJson() : "";
    request.texts = {{"t.txt", kSampleText}};
    request.out_dir = JoinPath(dir_.path(), name);
    request.scratch_dir = JoinPath(dir_.path(), name + "-scratch");
    request.threads = 1;
    return request;
  }

  // Files of a folder but the report, whose times differ from run to run.
  static std::map<std::string, std::string> FilesOf(const std::string& dir) {
    std::map<std::string, std::string> files;
    auto entries = Env::Posix()->ListDir(dir);
    EXPECT_TRUE(entries.ok()) << entries.status();
    for (const DirEntry& entry : *entries) {
      if (entry.name != "report.json")
        files[entry.name] = *ReadFile(Env::Posix(), JoinPath(dir, entry.name), 64 << 20);
    }
    return files;
  }

  // A copy of the sample model that a test may damage.
  std::string CopyModel() {
    const std::string to = JoinPath(dir_.path(), "model");
    EXPECT_TRUE(Env::Posix()->CreateDirs(to).ok());
    for (const auto& [name, bytes] : FilesOf(kSampleModel)) {
      EXPECT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(to, name), bytes).ok());
    }
    return to;
  }

  TempDir dir_;
};

}  // namespace swage
