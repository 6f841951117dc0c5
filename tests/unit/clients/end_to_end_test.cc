// The real `swage`, as a user runs it: a pipeline that fails in its first step and is retried, and what an operator
// sees and sets meanwhile.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/env.h"
#include "tests/chaos/platform.h"

namespace swage {
namespace {

using Json = nlohmann::json;

class EndToEndTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(Env::Posix()->CreateDirs(data_, 0700).ok());
    // Time enough to cancel a job that has been begun.
    auto platform = chaos::Platform::StartEmbedded({SWAGE_BIN_DIR, data_, 2000, "load:1000"});
    ASSERT_TRUE(platform.ok()) << platform.status();
    platform_ = *std::move(platform);
    Write("half.yaml", "steps:\n- {kind: quantize, method: rtn, format: int8, granularity: channel}\nexport: dense\n");
    Write("int4.yaml", "steps:\n- {kind: quantize, method: rtn, format: int4, granularity: group, group_size: 128}\n");
    Write("pipeline.yaml",
          "steps:\n"
          "- {name: half, recipe: half.yaml, model: models/tiny}\n"
          "- {name: small, recipe: int4.yaml, model: half, as: models/small}\n");
    Cli({"upload", "tests/data/models/classics-6m", "--as", "models/tiny"});
  }
  std::string In(const std::string& name) const { return JoinPath(dir_.path(), name); }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomic(Env::Posix(), In(name), text).ok());
  }
  Json Cli(const std::vector<std::string>& arguments) {
    const auto out = platform_->Cli(arguments);
    EXPECT_TRUE(out.ok()) << out.status();
    return Json::parse(out.ok() ? *out : "null", nullptr, false);
  }
  // Without --json, stdout only; also the exit code.
  chaos::Finished Plain(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), std::string(SWAGE_BIN_DIR) + "/swage");
    arguments.insert(arguments.end(), {"--data", data_});
    auto finished = chaos::Run(arguments, In("stderr"));
    EXPECT_TRUE(finished.ok()) << finished.status();
    return *finished;
  }
  std::string EndOf(const std::string& job) {
    return Json::parse(LastLine(chaos::Run({std::string(SWAGE_BIN_DIR) + "/swage", "watch", job, "--json", "--data", data_},
                                           In("stderr"))->output), nullptr, false)
        .value("state", "");
  }
  static std::string LastLine(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text.substr(text.rfind('\n') + 1);
  }

  TempDir dir_{"end_to_end"};
  const std::string data_ = JoinPath(dir_.path(), "data");
  std::unique_ptr<chaos::Platform> platform_;
};

TEST_F(EndToEndTest, APipelinesFailedStepIsRetriedAndTheRestFollows) {
  const Json steps = Cli({"submit", "--pipeline", In("pipeline.yaml"), "--request-id", "p"})["steps"];
  ASSERT_EQ(steps.size(), 2u) << steps;
  const std::string half = steps[0]["job"], small = steps[1]["job"];
  EXPECT_EQ(steps[0]["step"], "half");
  // The same request makes the same jobs.
  EXPECT_EQ(Cli({"submit", "--pipeline", In("pipeline.yaml"), "--request-id", "p"})["steps"][1]["job"], small);
  Cli({"cancel", half});
  EXPECT_EQ(EndOf(half), "CANCELLED");
  EXPECT_EQ(EndOf(small), "FAILED");
  EXPECT_EQ(Cli({"job", small})["reason"], "DEPENDENCY_FAILED");

  Cli({"retry", half});
  EXPECT_EQ(EndOf(half), "SUCCEEDED");
  EXPECT_EQ(EndOf(small), "SUCCEEDED");
  const Json done = Cli({"job", small});
  EXPECT_EQ(done["model_digest"], Cli({"job", half})["artifact"]);
  EXPECT_EQ(done["artifact_alias"], "models/small");
  Cli({"download", "models/small", In("out")});
  EXPECT_TRUE(Env::Posix()->Exists(In("out/model.safetensors")));

  // An equal job takes the result, and says so; the newest is listed first.
  const Json twin = Cli({"submit", In("half.yaml"), "--model", "models/tiny"});
  EXPECT_EQ(EndOf(twin["name"]), "SUCCEEDED");
  const Json listed = Cli({"jobs"})["jobs"];
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[0]["name"], twin["name"]);
  EXPECT_EQ(listed[0]["shared_result"], true);
  EXPECT_EQ(Cli({"jobs", "--oldest"})["jobs"][0]["name"], half);
  EXPECT_NE(Plain({"jobs"}).output.find("(shared)"), std::string::npos);
}

TEST_F(EndToEndTest, AnOperatorSeesAndSetsWhatDecides) {
  const Json workers = Cli({"workers"})["workers"];
  ASSERT_EQ(workers.size(), 1u);
  const std::string worker = workers[0]["worker_id"], device = workers[0]["devices"][0]["id"];
  const std::string big = Cli({"submit", In("int4.yaml"), "--model", "models/tiny", "--memory", "900TB"})["name"];
  const Json why = Cli({"why", big});
  EXPECT_EQ(why["state"], "QUEUED");
  EXPECT_NE(why["summary"].get<std::string>().find("largest worker has"), std::string::npos) << why;
  ASSERT_EQ(why["workers"].size(), 1u);
  EXPECT_EQ(why["workers"][0]["worker"], worker);
  const Json queue = Cli({"queue"});
  ASSERT_EQ(queue["classes"].size(), 1u);
  EXPECT_EQ(queue["jobs"][0]["job"], big);
  EXPECT_EQ(Cli({"queue", "--tenant", "other"})["classes"].size(), 0u);
  EXPECT_EQ(Cli({"top", "--once"})["stats"]["waiting"], 1);
  const std::string top = Plain({"top"}).output;  // no terminal: once
  EXPECT_NE(top.find(worker), std::string::npos) << top;
  EXPECT_EQ(top.find('\x1b'), std::string::npos);

  Cli({"quota", "set", "default", "--weight", "3", "--max-memory", "8GiB"});
  EXPECT_EQ(Cli({"quota", "set", "default", "--max-running", "4"})["weight"], 3.0);
  const Json tenant = Cli({"quota"})["tenants"][0];
  EXPECT_EQ(tenant["max_host_bytes"], uint64_t{8} << 30);
  EXPECT_EQ(tenant["max_running"], 4);
  EXPECT_EQ(Plain({"quota", "set", "default"}).exit_code, 2);

  Cli({"cordon", worker, device, "--reason", "a new fan"});
  EXPECT_EQ(Cli({"workers"})["workers"][0]["devices"][0]["problem"], "cordoned: a new fan");
  Cli({"cordon", worker, device, "--undo"});
  EXPECT_EQ(Cli({"workers"})["workers"][0]["devices"][0]["problem"], "");
  EXPECT_EQ(Plain({"cordon", worker, device}).exit_code, 2);
  Cli({"drain", worker, "--evict"});
  EXPECT_EQ(Cli({"workers"})["workers"][0]["draining"], true);
  Cli({"drain", worker, "--undo"});
  EXPECT_EQ(Cli({"workers"})["workers"][0]["draining"], false);
  EXPECT_EQ(Plain({"drain", "nobody"}).exit_code, 3);

  Cli({"snapshot", "--out", In("snapshot.json")});
  const auto snapshot = ReadFile(Env::Posix(), In("snapshot.json"), 1 << 24);
  ASSERT_TRUE(snapshot.ok());
  EXPECT_TRUE(Json::parse(*snapshot, nullptr, false).contains("records"));
}

}  // namespace
}  // namespace swage
