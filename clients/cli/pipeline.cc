#include "clients/cli/pipeline.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "base/limits.h"
#include "clients/cli/job_view.h"
#include "workers/recipe/tree.h"

namespace swage {
namespace {

constexpr size_t kSteps = 256, kNameBytes = 60;

Status Bad(const std::string& path, int line, const std::string& what, const std::string& next = "") {
  return InvalidInput("BAD_PIPELINE", Cat(path, line > 0 ? Cat(":", line) : "", ": ", what),
                      next.empty() ? "a step has name, recipe, model, and perhaps after, as, priority" : next);
}

bool IsStepName(const std::string& name) {
  return !name.empty() && name.size() <= kNameBytes && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
}

// A step as written: what it refers to is not yet known.
struct WrittenStep {
  std::string name, recipe, model, alias;
  std::vector<std::string> after;
  int priority = 0, line = 0;
  bool has_priority = false;
};

StatusOr<std::vector<std::string>> ListOfNames(const std::string& path, const TreeNode& node) {
  std::vector<std::string> names;
  if (node.kind == TreeNode::Kind::kScalar) return std::vector<std::string>{node.scalar};
  if (node.kind != TreeNode::Kind::kList) return Bad(path, node.line, "'after' is a list of steps");
  for (const TreeNode& item : node.items) {
    if (item.kind != TreeNode::Kind::kScalar) return Bad(path, item.line, "'after' is a list of steps");
    names.push_back(item.scalar);
  }
  return names;
}

StatusOr<WrittenStep> StepOf(const std::string& path, const TreeNode& node) {
  if (node.kind != TreeNode::Kind::kMap) return Bad(path, node.line, "a step is a map");
  WrittenStep step;
  step.line = node.line;
  const std::map<std::string, std::string*> texts = {
      {"name", &step.name}, {"recipe", &step.recipe}, {"model", &step.model}, {"as", &step.alias}};
  for (const auto& [key, value] : node.members) {
    if (key == "after") {
      SWAGE_ASSIGN_OR_RETURN(step.after, ListOfNames(path, value));
      continue;
    }
    const auto text = texts.find(key);
    if (text == texts.end() && key != "priority") return Bad(path, value.line, Cat("unknown key '", key.substr(0, 80), "'"));
    if (value.kind != TreeNode::Kind::kScalar) return Bad(path, value.line, Cat("'", key, "' is one value"));
    if (key == "priority") {
      const char* const end = value.scalar.data() + value.scalar.size();
      const auto [at, error] = std::from_chars(value.scalar.data(), end, step.priority);
      if (error != std::errc() || at != end || step.priority < -100 || step.priority > 100) {
        return Bad(path, value.line, "'priority' is -100 to 100");
      }
      step.has_priority = true;
    } else {
      *text->second = value.scalar;
    }
  }
  if (!IsStepName(step.name)) {
    return Bad(path, node.line, "a step needs a name of letters, digits, '-', '_' and '.'");
  }
  if (step.recipe.empty() || step.model.empty()) {
    return Bad(path, node.line, Cat("step '", step.name, "' needs a recipe and a model"));
  }
  return step;
}

StatusOr<std::vector<WrittenStep>> WrittenSteps(const std::string& path, const std::string& text) {
  SWAGE_ASSIGN_OR_RETURN(const TreeNode tree, TreeFromYaml(text));
  const bool good = tree.kind == TreeNode::Kind::kMap && tree.members.size() == 1 && tree.members[0].first == "steps" &&
                    tree.members[0].second.kind == TreeNode::Kind::kList && !tree.members[0].second.items.empty();
  if (!good) return Bad(path, tree.line, "a pipeline is 'steps:' and a list of steps");
  const std::vector<TreeNode>& nodes = tree.members[0].second.items;
  if (nodes.size() > kSteps) return Bad(path, 0, Cat("at most ", kSteps, " steps are allowed"));
  std::vector<WrittenStep> steps;
  for (const TreeNode& node : nodes) {
    SWAGE_ASSIGN_OR_RETURN(WrittenStep step, StepOf(path, node));
    for (const WrittenStep& other : steps) {
      if (other.name == step.name) return Bad(path, step.line, Cat("two steps are named '", step.name, "'"));
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

// Sorts the steps so that each comes after those it names, else as written.
class Sorter {
 public:
  Sorter(const std::string& path, const std::vector<WrittenStep>& steps) : path_(path), steps_(steps) {
    for (size_t i = 0; i < steps.size(); ++i) index_[steps[i].name] = static_cast<int>(i);
  }

  StatusOr<std::vector<int>> Order() {
    for (size_t i = 0; i < steps_.size(); ++i) SWAGE_RETURN_IF_ERROR(Visit(static_cast<int>(i)));
    return order_;
  }

  int Find(const std::string& name) const {
    const auto it = index_.find(name);
    return it == index_.end() ? -1 : it->second;
  }

 private:
  Status Visit(int i) {  // as deep as there are steps: kSteps
    int& mark = marks_[i];
    if (mark == 2) return absl::OkStatus();
    const WrittenStep& step = steps_[i];
    if (mark == 1) return Bad(path_, step.line, Cat("step '", step.name, "' waits for itself"), "break the circle");
    mark = 1;
    if (const int model = Find(step.model); model >= 0) SWAGE_RETURN_IF_ERROR(Visit(model));
    for (const std::string& name : step.after) {
      const int other = Find(name);
      if (other >= 0) {
        SWAGE_RETURN_IF_ERROR(Visit(other));
      } else if (!StartsWith(name, "jobs/") || !JobName(name).ok()) {
        std::vector<std::string> names;
        for (const WrittenStep& s : steps_) names.push_back(s.name);
        const std::string near = Nearest(name, names);
        return Bad(path_, step.line, Cat("step '", step.name, "' waits for '", name.substr(0, 80), "', which is no step"),
                   near.empty() ? "name a step, or a job as jobs/<id>" : Cat("did you mean '", near, "'?"));
      }
    }
    marks_[i] = 2;
    order_.push_back(i);
    return absl::OkStatus();
  }

  const std::string& path_;
  const std::vector<WrittenStep>& steps_;
  std::map<std::string, int> index_;
  std::map<int, int> marks_;  // 1: being visited, 2: done
  std::vector<int> order_;
};

std::string Beside(const std::string& path, const std::string& written) {
  return StartsWith(written, "/") ? written : JoinPath(DirName(path), written);
}

bool IsLocalFolder(const std::string& model) {
  return model == "." || StartsWith(model, "./") || StartsWith(model, "../");
}

}  // namespace

StatusOr<Pipeline> ReadPipeline(Env* env, const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(const std::string text, ReadFile(env, path, limits::kRecipeBytes));
  SWAGE_ASSIGN_OR_RETURN(const std::vector<WrittenStep> written, WrittenSteps(path, text));
  Sorter sorter(path, written);
  SWAGE_ASSIGN_OR_RETURN(const std::vector<int> order, sorter.Order());
  std::map<int, int> place;  // index as written -> in the pipeline
  Pipeline pipeline;
  for (const int i : order) {
    place[i] = static_cast<int>(pipeline.steps.size());
    const WrittenStep& from = written[i];
    PipelineStep& step = pipeline.steps.emplace_back();
    step.name = from.name;
    step.alias = from.alias;
    step.priority = from.priority;
    step.has_priority = from.has_priority;
    auto recipe = ReadRecipe(env, Beside(path, from.recipe));
    if (!recipe.ok()) return Annotate(recipe.status(), Cat("step '", from.name, "'"));
    step.recipe = *std::move(recipe);
    if (const int model = sorter.Find(from.model); model >= 0) {
      step.model_step = place.at(model);
    } else {
      step.model = IsLocalFolder(from.model) ? Beside(path, from.model) : from.model;
    }
    for (const std::string& name : from.after) {
      if (const int other = sorter.Find(name); other >= 0) {
        step.after_steps.push_back(place.at(other));
      } else {
        step.after.push_back(name);
      }
    }
  }
  return pipeline;
}

}  // namespace swage
