#include "tests/jobs/jobtest_file.h"

#include <algorithm>
#include <set>

#include "base/env.h"
#include "base/text.h"
#include "yaml-cpp/yaml.h"

namespace swage {
namespace {

void CheckKeys(const YAML::Node& map, const std::set<std::string>& known,
               const std::string& where) {
  SWAGE_CHECK(map.IsMap(), where, " is no map");
  for (const auto& member : map) {
    SWAGE_CHECK(known.contains(member.first.as<std::string>()), where, ": unknown key ",
                member.first.as<std::string>());
  }
}

std::optional<double> Number(const YAML::Node& map, const char* key) {
  if (!map[key]) return std::nullopt;
  return map[key].as<double>();
}

JobExpectation ReadExpectation(const YAML::Node& map, const std::string& where) {
  CheckKeys(map,
            {"failure", "format", "effective_bits", "perplexity_rise_max", "kl_max",
             "top1_agreement_min", "relative_error_max", "tensors", "no_tensors"},
            where);
  JobExpectation expect;
  expect.failure = map["failure"].as<std::string>("");
  expect.format = map["format"].as<std::string>("");
  expect.effective_bits = Number(map, "effective_bits");
  expect.perplexity_rise_max = Number(map, "perplexity_rise_max");
  expect.kl_max = Number(map, "kl_max");
  expect.top1_agreement_min = Number(map, "top1_agreement_min");
  expect.relative_error_max = Number(map, "relative_error_max");
  if (map["tensors"]) expect.tensors = map["tensors"].as<std::map<std::string, std::string>>();
  if (map["no_tensors"]) expect.no_tensors = map["no_tensors"].as<std::vector<std::string>>();
  SWAGE_CHECK(!expect.failure.empty() || !expect.format.empty(), where, " needs failure or format");
  return expect;
}

}  // namespace

std::vector<JobCase> ReadJobTests(const std::string& dir) {
  std::vector<JobCase> cases;
  const auto entries = Env::Posix()->ListDir(dir);
  SWAGE_CHECK(entries.ok(), entries.status().ToString());
  for (const DirEntry& entry : *entries) {
    if (!EndsWith(entry.name, ".jobtest")) continue;
    const std::string path = JoinPath(dir, entry.name);
    const YAML::Node root = YAML::LoadFile(path);
    CheckKeys(root, {"model", "cases"}, path);
    for (const auto& node : root["cases"]) {
      CheckKeys(node, {"name", "recipe", "expect"}, path);
      JobCase job;
      job.file = entry.name.substr(0, entry.name.size() - std::string(".jobtest").size());
      job.name = node["name"].as<std::string>();
      job.model_dir = JoinPath(dir, root["model"].as<std::string>());
      job.recipe_yaml = YAML::Dump(node["recipe"]);
      job.expect = ReadExpectation(node["expect"], Cat(path, ": ", job.name));
      cases.push_back(std::move(job));
    }
  }
  return cases;
}

}  // namespace swage
