#include "workers/recipe/tree.h"

#include "base/limits.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage {
namespace {

using testing::HasSubstr;

std::string TreeFailureOf(std::string_view yaml) {
  const StatusOr<TreeNode> tree = TreeFromYaml(yaml);
  EXPECT_FALSE(tree.ok()) << yaml;
  if (tree.ok()) return "";
  EXPECT_EQ(tree.status().code(), StatusCode::kInvalidArgument);
  return Cat(ReasonOf(tree.status()), " ", MessageOf(tree.status()));
}

TEST(TreeFromYaml, KeepsLinesKindsAndQuotes) {
  const StatusOr<TreeNode> tree = TreeFromYaml("a: 1\nb:\n  - \"1\"\n  - ~\nc: {d: |\n  text\n}\n");
  ASSERT_FALSE(tree.ok()) << "a block scalar inside a flow map is no YAML";
  const StatusOr<TreeNode> good = TreeFromYaml("a: 1\nb:\n  - \"1\"\n  - ~\nc: {d: e}\n");
  ASSERT_TRUE(good.ok()) << good.status();
  ASSERT_EQ(good->members.size(), 3u);
  EXPECT_EQ(good->members[0].second.scalar, "1");
  EXPECT_FALSE(good->members[0].second.quoted);
  const TreeNode& list = good->members[1].second;
  ASSERT_EQ(list.items.size(), 2u);
  EXPECT_TRUE(list.items[0].quoted);
  EXPECT_EQ(list.items[0].line, 3);
  EXPECT_EQ(list.items[1].kind, TreeNode::Kind::kNull);
  EXPECT_EQ(good->members[2].second.members[0].second.scalar, "e");
}

TEST(TreeFromYaml, AnEmptyTextIsNull) {
  for (const char* text : {"", "# only a comment\n", "\n\n", "---\n"}) {
    const StatusOr<TreeNode> tree = TreeFromYaml(text);
    ASSERT_TRUE(tree.ok()) << tree.status();
    EXPECT_EQ(tree->kind, TreeNode::Kind::kNull);
  }
}

TEST(TreeFromYaml, RefusesWhatCouldGrow) {
  EXPECT_THAT(TreeFailureOf("a: &x [1, 2]\nb: 1\n"), HasSubstr("line 1: anchors"));
  EXPECT_THAT(TreeFailureOf("a: 1\nb: *x\n"), HasSubstr("RECIPE_NOT_YAML"));
  EXPECT_THAT(TreeFailureOf("a: !!python/object 1\n"), HasSubstr("tags"));
  EXPECT_THAT(TreeFailureOf("a: 1\n---\nb: 2\n"), HasSubstr("second document"));
  EXPECT_THAT(TreeFailureOf(std::string(50, '[') + std::string(50, ']')), HasSubstr("nested deeper"));
  EXPECT_THAT(TreeFailureOf(std::string(100000, '[')), HasSubstr("RECIPE_NOT_YAML"));
  std::string many = "[";
  for (int i = 0; i < 30000; ++i) many += "1,";
  EXPECT_THAT(TreeFailureOf(many + "]"), HasSubstr("more than"));
  EXPECT_THAT(TreeFailureOf(std::string(limits::kRecipeBytes + 1, ' ')), HasSubstr("RECIPE_TOO_LARGE"));
}

TEST(TreeFromYaml, RefusesDuplicateKeysWithTheLineOfTheSecond) {
  EXPECT_THAT(TreeFailureOf("a: 1\nb: 2\na: 3\n"),
              HasSubstr("RECIPE_DUPLICATE_KEY recipe, line 3: 'a'"));
}

TEST(TreeFromYaml, RefusesWhatIsNoYaml) {
  EXPECT_THAT(TreeFailureOf("a: [1, 2\nb: 3\n"), HasSubstr("RECIPE_NOT_YAML recipe, line "));
  EXPECT_THAT(TreeFailureOf("{a: 1\n"), HasSubstr("RECIPE_NOT_YAML"));
  EXPECT_THAT(TreeFailureOf("\xff\xfe"), HasSubstr("UTF-8"));
  EXPECT_THAT(TreeFailureOf("? [a, b]\n: c\n"), HasSubstr("a key is a list"));
}

TEST(TreeFromJson, RefusesDepthAndDuplicates) {
  EXPECT_FALSE(TreeFromJson(std::string(40, '[') + std::string(40, ']')).ok());
  EXPECT_FALSE(TreeFromJson("{\"a\":1,\"a\":2}").ok());
  EXPECT_FALSE(TreeFromJson("{\"a\":").ok());
  const StatusOr<TreeNode> tree = TreeFromJson("{\"a\":[1,\"1\",null,true]}");
  ASSERT_TRUE(tree.ok()) << tree.status();
  const TreeNode& list = tree->members[0].second;
  EXPECT_FALSE(list.items[0].quoted);
  EXPECT_TRUE(list.items[1].quoted);
  EXPECT_EQ(list.items[2].kind, TreeNode::Kind::kNull);
  EXPECT_EQ(list.items[3].scalar, "true");
}

}  // namespace
}  // namespace swage
