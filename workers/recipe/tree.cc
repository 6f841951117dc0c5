#include "workers/recipe/tree.h"

#include <sstream>

#include "base/limits.h"
#include "base/modelfile/json.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

namespace swage {
namespace {

constexpr size_t kMaxDepth = 16;
constexpr size_t kMaxNodes = 20000;

Status NotYaml(int line, std::string_view what) {
  return InvalidInput("RECIPE_NOT_YAML", Cat("recipe, line ", line, ": ", what),
                      "docs/recipes.md describes the grammar");
}

// What the handler throws to leave yaml-cpp's parser; caught in TreeFromYaml.
struct Refused {
  Status status;
};

class TreeBuilder : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) Refuse(mark, "a second document begins; a recipe is one document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Add(mark, "", anchor, TreeNode::Kind::kNull);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Refuse(mark, "aliases (*name) are not allowed");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    const bool quoted =
        tag == "!";  // yaml-cpp's mark of a quoted or block scalar; "?" is a plain one
    TreeNode& node = Add(mark, quoted || tag == "?" ? "" : tag, anchor, TreeNode::Kind::kScalar);
    node.scalar = value;
    node.quoted = quoted;
    if (!quoted &&
        (value == "~" || value == "null" || value == "Null" || value == "NULL" || value.empty())) {
      node.kind = TreeNode::Kind::kNull;
    }
    Done();
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag == "?" ? "" : tag, anchor, TreeNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag == "?" ? "" : tag, anchor, TreeNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

  TreeNode Take() { return std::move(root_); }

 private:
  // A container whose end has not come yet, and in a map the key whose value comes next.
  struct OpenNode {
    TreeNode node;
    bool has_key = false;
    std::string key;
  };

  [[noreturn]] void Refuse(const YAML::Mark& mark, std::string_view what) {
    throw Refused{NotYaml(mark.line + 1, what)};
  }

  TreeNode& Add(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                TreeNode::Kind kind) {
    if (anchor != 0) Refuse(mark, "anchors (&name) are not allowed");
    if (!tag.empty()) Refuse(mark, Cat("tags (", tag.substr(0, 40), ") are not allowed"));
    if (++nodes_ > kMaxNodes) Refuse(mark, Cat("more than ", kMaxNodes, " values"));
    current_ = TreeNode{};
    current_.kind = kind;
    current_.line = mark.line + 1;
    if (kind == TreeNode::Kind::kNull) Done();
    return current_;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            TreeNode::Kind kind) {
    Add(mark, tag, anchor, kind);
    if (stack_.size() >= kMaxDepth) Refuse(mark, Cat("nested deeper than ", kMaxDepth, " levels"));
    if (!stack_.empty() && stack_.back().node.kind == TreeNode::Kind::kMap &&
        !stack_.back().has_key) {
      Refuse(mark, "a key is a list or a map");
    }
    stack_.push_back({std::move(current_), false, ""});
  }

  void Close() {
    current_ = std::move(stack_.back().node);
    stack_.pop_back();
    Done();
  }

  // Puts current_ where it belongs.
  void Done() {
    if (stack_.empty()) {
      root_ = std::move(current_);
      return;
    }
    OpenNode& top = stack_.back();
    if (top.node.kind == TreeNode::Kind::kList) {
      top.node.items.push_back(std::move(current_));
    } else if (!top.has_key) {
      for (const auto& [key, value] : top.node.members) {
        if (key == current_.scalar) {
          throw Refused{InvalidInput(
              "RECIPE_DUPLICATE_KEY",
              Cat("recipe, line ", current_.line, ": '", key.substr(0, 80), "' was given before"),
              "keep only one of the two")};
        }
      }
      top.has_key = true;
      top.key = std::move(current_.scalar);
    } else {
      top.node.members.emplace_back(std::move(top.key), std::move(current_));
      top.has_key = false;
    }
  }

  std::vector<OpenNode> stack_;
  TreeNode current_, root_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

StatusOr<TreeNode> FromJson(const nlohmann::json& value, size_t depth) {
  if (depth > kMaxDepth)
    return InvalidInput("RECIPE_NOT_JSON",
                        Cat("recipe: nested deeper than ", kMaxDepth, " levels"));
  TreeNode node;
  if (value.is_null()) return node;
  if (value.is_array()) {
    node.kind = TreeNode::Kind::kList;
    for (const nlohmann::json& item : value) {
      SWAGE_ASSIGN_OR_RETURN(TreeNode child, FromJson(item, depth + 1));
      node.items.push_back(std::move(child));
    }
    return node;
  }
  if (value.is_object()) {
    node.kind = TreeNode::Kind::kMap;
    for (const auto& [key, item] : value.items()) {
      SWAGE_ASSIGN_OR_RETURN(TreeNode child, FromJson(item, depth + 1));
      node.members.emplace_back(key, std::move(child));
    }
    return node;
  }
  node.kind = TreeNode::Kind::kScalar;
  node.quoted = value.is_string();
  node.scalar = value.is_string() ? value.get<std::string>() : value.dump();
  return node;
}

Status CheckSize(size_t size) {
  if (size <= limits::kRecipeBytes) return absl::OkStatus();
  return InvalidInput("RECIPE_TOO_LARGE",
                      Cat("the recipe has ", size, " bytes, more than ", limits::kRecipeBytes),
                      "use globs instead of long lists of modules");
}

}  // namespace

StatusOr<TreeNode> TreeFromYaml(std::string_view yaml) {
  SWAGE_RETURN_IF_ERROR(CheckSize(yaml.size()));
  if (!IsUtf8(yaml))
    return InvalidInput("RECIPE_NOT_YAML", "the recipe is not UTF-8 text", "save it as UTF-8");
  TreeBuilder builder;
  try {
    std::istringstream stream{std::string(yaml)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refused& refused) {
    return refused.status;
  } catch (const YAML::Exception& error) {
    return NotYaml(error.mark.is_null() ? 0 : error.mark.line + 1, error.msg);
  }
  return builder.Take();
}

StatusOr<TreeNode> TreeFromJson(std::string_view text) {
  SWAGE_RETURN_IF_ERROR(CheckSize(text.size()));
  SWAGE_ASSIGN_OR_RETURN(const nlohmann::json root,
                         ParseJsonTree(text, "RECIPE_NOT_JSON", "the recipe"));
  return FromJson(root, 0);
}

}  // namespace swage
