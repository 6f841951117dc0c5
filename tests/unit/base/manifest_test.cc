#include "base/modelfile/manifest.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "tests/unit/base/safetensors_bytes.h"

namespace swage {
namespace {

using nlohmann::json;

constexpr char kSample[] = "tests/data/models/classics-6m";

class BuildManifestTest : public testing::Test {
 protected:
  void Put(std::string_view name, std::string_view bytes) {
    const std::string path = JoinPath(dir_.path(), name);
    ASSERT_TRUE(env_->CreateDirs(DirName(path)).ok());
    auto file = env_->NewWritableFile(path);
    ASSERT_TRUE(file.ok() && (*file)->Append(bytes).ok());
  }
  StatusOr<Manifest> Build() { return BuildManifest(env_, dir_.path(), "files", nullptr); }
  std::string Reason() { return ReasonOf(Build().status()); }

  Env* const env_ = Env::Posix();
  TempDir dir_;
};

TEST(Manifest, NamesEveryByteOfTheSampleModel) {
  uint64_t last = 0, calls = 0;
  const auto manifest = BuildManifest(Env::Posix(), kSample, "model", [&](uint64_t done) {
    EXPECT_GT(done, last);
    last = done;
    ++calls;
  });
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(last, manifest->total_bytes());
  EXPECT_GT(calls, 10u);
  const ManifestFile* weights = manifest->Find("model.safetensors");
  ASSERT_NE(weights, nullptr);
  EXPECT_EQ(weights->sha256.Hex(), "99526a43946df99ca77857b0d1c1924c593a75ea0f1d87f9ef454cc7af5c87b1");
  EXPECT_EQ(weights->parts.size(), 57u);
  EXPECT_EQ(weights->parts[0].tensor, "");
  const std::string bytes = *ReadFile(Env::Posix(), Cat(kSample, "/model.safetensors"), 1 << 24);
  for (const FilePart& part : weights->parts) {
    EXPECT_EQ(part.object, Sha256Of(std::string_view(bytes).substr(part.offset, part.size))) << part.tensor;
  }
  EXPECT_EQ(manifest->Find("no.txt"), nullptr);
  const auto parsed = ParseManifest(manifest->ToJson());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->ToJson(), manifest->ToJson());
  EXPECT_EQ(parsed->Id(), manifest->Id());
  EXPECT_EQ(manifest->Id(), Sha256Of(manifest->ToJson()));
}

TEST(Manifest, TheTextIsWhatASortedJsonWriterWrites) {
  const auto manifest = BuildManifest(Env::Posix(), kSample, "model", nullptr);
  ASSERT_TRUE(manifest.ok());
  EXPECT_EQ(json::parse(manifest->ToJson()).dump(), manifest->ToJson());
}

TEST_F(BuildManifestTest, SmallFolderByteForByte) {
  Put("b/c.txt", "hello");
  Put("a \"x\".txt", "");
  const auto manifest = Build();
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(manifest->ToJson(),
            "{\"files\":[{\"parts\":[],\"path\":\"a \\\"x\\\".txt\","
            "\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":0},"
            "{\"parts\":[{\"object\":\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\","
            "\"offset\":0,\"size\":5}],\"path\":\"b/c.txt\","
            "\"sha256\":\"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\",\"size\":5}],"
            "\"kind\":\"files\",\"version\":1}");
}

TEST_F(BuildManifestTest, FilesAreOrderedByTheBytesOfThePath) {
  // A walk by folders would put "a/b" before "a.txt"; '.' is smaller than '/'.
  for (const char* name : {"a/b", "a.txt", "a0", "B"}) Put(name, name);
  const auto manifest = Build();
  ASSERT_TRUE(manifest.ok());
  std::vector<std::string> paths;
  for (const ManifestFile& file : manifest->files) paths.push_back(file.path);
  EXPECT_EQ(paths, (std::vector<std::string>{"B", "a.txt", "a/b", "a0"}));
  EXPECT_TRUE(ParseManifest(manifest->ToJson()).ok());
}

TEST_F(BuildManifestTest, EmptyTensorsHaveNoPart) {
  Put("m.safetensors",
      SafetensorsBytes(R"({"e":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
                       2));
  const auto manifest = Build();
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  ASSERT_EQ(manifest->files[0].parts.size(), 2u);
  EXPECT_EQ(manifest->files[0].parts[1].tensor, "a");
  EXPECT_TRUE(ParseManifest(manifest->ToJson()).ok());
}

TEST_F(BuildManifestTest, EqualTensorsAreOneObjectInTwoFiles) {
  const char* const header = R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})";
  Put("1.safetensors", SafetensorsBytes(header, 9));
  Put("2.safetensors", SafetensorsBytes(std::string(header) + "        ", 9));
  const auto manifest = Build();
  ASSERT_TRUE(manifest.ok());
  EXPECT_NE(manifest->files[0].sha256, manifest->files[1].sha256);
  EXPECT_EQ(manifest->files[0].parts[1].object, manifest->files[1].parts[1].object);
}

TEST_F(BuildManifestTest, RefusesWhatItCannotNameExactly) {
  EXPECT_EQ(Reason(), "EMPTY_FOLDER");
  Put("good", "x");
  ASSERT_TRUE(Build().ok());
  const auto reason_with = [&](const std::string& name) {
    const std::string reason = Reason();
    EXPECT_TRUE(env_->Remove(JoinPath(dir_.path(), name)).ok());
    return reason;
  };
  ASSERT_EQ(::symlink("good", JoinPath(dir_.path(), "link").c_str()), 0);
  EXPECT_EQ(reason_with("link"), "SYMLINK_REFUSED");
  ASSERT_EQ(::symlink("/etc", JoinPath(dir_.path(), "folder").c_str()), 0);
  EXPECT_EQ(reason_with("folder"), "SYMLINK_REFUSED");
  ASSERT_EQ(::mkfifo(JoinPath(dir_.path(), "fifo").c_str(), 0600), 0);
  EXPECT_EQ(reason_with("fifo"), "NOT_A_FILE");
  Put("model.safetensors.tmp", "x");
  EXPECT_EQ(reason_with("model.safetensors.tmp"), "UNFINISHED_FILE");
  Put("bad\xff", "x");
  EXPECT_EQ(reason_with("bad\xff"), "PATH_ESCAPES");
  Put("new\nline", "x");
  EXPECT_EQ(reason_with("new\nline"), "PATH_ESCAPES");
  Put("m.safetensors", "not one");
  EXPECT_EQ(reason_with("m.safetensors"), "HEADER_TRUNCATED");
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "d/";
  Put(deep + "f", "x");
  EXPECT_EQ(Reason(), "TOO_MANY_FILES");
  EXPECT_EQ(ReasonOf(BuildManifest(env_, JoinPath(dir_.path(), "none"), "files", nullptr).status()), "FILE_NOT_FOUND");
}

// A valid manifest to damage.
json Good() {
  const std::string digest(64, 'a');
  return {{"version", 1},
          {"kind", "model"},
          {"files",
           {{{"path", "a/m.safetensors"},
             {"size", 12},
             {"sha256", digest},
             {"parts",
              {{{"object", digest}, {"offset", 0}, {"size", 4}},
               {{"object", digest}, {"offset", 4}, {"size", 8}, {"tensor", "t"}, {"dtype", "F32"}, {"shape", {2, 1}}}}}},
            {{"path", "b"}, {"size", 0}, {"sha256", digest}, {"parts", json::array()}}}}};
}

std::string ReasonOfText(const std::string& text) {
  const auto manifest = ParseManifest(text);
  return manifest.ok() ? "OK" : ReasonOf(manifest.status());
}

TEST(ParseManifest, TheExampleIsGood) { EXPECT_EQ(ReasonOfText(Good().dump()), "OK"); }

TEST(ParseManifest, OnlyTheCanonicalTextIsAccepted) {
  const std::string good = Good().dump();
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_EQ(ReasonOfText(good + "\n"), "MANIFEST_NOT_CANONICAL");
  EXPECT_EQ(ReasonOfText(" " + good), "MANIFEST_NOT_CANONICAL");
  EXPECT_EQ(ReasonOfText(replaced("\"kind\":\"model\"", "\"kind\": \"model\"")), "MANIFEST_NOT_CANONICAL");
  EXPECT_EQ(ReasonOfText(replaced("\"kind\":\"model\"", "\"kind\":\"x\",\"kind\":\"model\"")), "MANIFEST_NOT_CANONICAL");
  EXPECT_EQ(ReasonOfText(replaced("\"path\":\"b\"", "\"path\":\"\\u0062\"")), "MANIFEST_NOT_CANONICAL");
  EXPECT_EQ(ReasonOfText(replaced("\"kind\":\"model\",\"version\":1", "\"version\":1,\"kind\":\"model\"")),
            "MANIFEST_NOT_CANONICAL");
  EXPECT_EQ(ReasonOfText(replaced("\"kind\"", "\"extra\":{},\"kind\"")), "MANIFEST_MALFORMED");
  EXPECT_EQ(ReasonOfText("\xef\xbb\xbf" + good), "MANIFEST_NOT_CANONICAL");
}

TEST(ParseManifest, HostileManifestsHaveTheirReason) {
  const json::json_pointer file("/files/0"), part("/files/0/parts/1");
  const struct {
    const char* what;
    std::function<void(json&)> damage;
    const char* reason;
  } kCases[] = {
      {"version 2", [](json& m) { m["version"] = 2; }, "MANIFEST_VERSION"},
      {"no version", [](json& m) { m.erase("version"); }, "MANIFEST_VERSION"},
      {"an odd kind", [](json& m) { m["kind"] = "Model"; }, "MANIFEST_MALFORMED"},
      {"no files", [](json& m) { m.erase("files"); }, "MANIFEST_NOT_CANONICAL"},
      {"files is an object", [](json& m) { m["files"] = json::object(); }, "MANIFEST_MALFORMED"},
      {"a file is a number", [](json& m) { m["files"][0] = 1; }, "MANIFEST_MALFORMED"},
      {"a path escapes", [&](json& m) { m[file]["path"] = "../x"; }, "PATH_ESCAPES"},
      {"a path is absolute", [&](json& m) { m[file]["path"] = "/x"; }, "PATH_ESCAPES"},
      {"a path is empty", [&](json& m) { m[file]["path"] = ""; }, "PATH_ESCAPES"},
      {"wrong order", [&](json& m) { m[file]["path"] = "c"; }, "MANIFEST_MALFORMED"},
      {"a path twice", [&](json& m) { m[file]["path"] = "b"; }, "MANIFEST_MALFORMED"},
      {"a file and a folder", [](json& m) { m["files"][1]["path"] = "a/m.safetensors/x"; }, "MANIFEST_MALFORMED"},
      {"a short digest", [&](json& m) { m[file]["sha256"] = "aa"; }, "BAD_DIGEST"},
      {"a negative size", [&](json& m) { m[file]["size"] = -1; }, "MANIFEST_MALFORMED"},
      {"a size of 2^63", [&](json& m) { m[file]["size"] = 1ull << 63; }, "MANIFEST_MALFORMED"},
      {"a larger size", [&](json& m) { m[file]["size"] = 13; }, "MANIFEST_MALFORMED"},
      {"a smaller size", [&](json& m) { m[file]["size"] = 11; }, "MANIFEST_MALFORMED"},
      {"a gap", [&](json& m) { m[part]["offset"] = 5; }, "MANIFEST_MALFORMED"},
      {"an overlap", [&](json& m) { m[part]["offset"] = 3; }, "MANIFEST_MALFORMED"},
      {"an empty part", [&](json& m) { m[file]["parts"].push_back({{"object", std::string(64, 'a')}, {"offset", 12}, {"size", 0}}); },
       "MANIFEST_MALFORMED"},
      {"a shape that is not the size", [&](json& m) { m[part]["shape"] = {3, 1}; }, "MANIFEST_MALFORMED"},
      {"a shape that overflows", [&](json& m) { m[part]["shape"] = {1ll << 40, 1ll << 40}; }, "MANIFEST_MALFORMED"},
      {"nine dimensions", [&](json& m) { m[part]["shape"] = {2, 1, 1, 1, 1, 1, 1, 1, 1}; }, "MANIFEST_MALFORMED"},
      {"an unknown dtype", [&](json& m) { m[part]["dtype"] = "F3"; }, "MANIFEST_MALFORMED"},
      {"a shape without tensor", [&](json& m) { m[part].erase("tensor"); }, "MANIFEST_MALFORMED"},
      {"nested shapes", [&](json& m) { m[part]["shape"] = {{2, 1}}; }, "MANIFEST_NOT_JSON"},
  };
  for (const auto& c : kCases) {
    json manifest = Good();
    c.damage(manifest);
    EXPECT_EQ(ReasonOfText(manifest.dump()), c.reason) << c.what;
  }
  EXPECT_EQ(ReasonOfText(""), "MANIFEST_NOT_JSON");
  EXPECT_EQ(ReasonOfText(std::string(1 << 20, '[')), "MANIFEST_MALFORMED");
  EXPECT_EQ(ReasonOfText("{\"files\":[{\"parts\":[{\"shape\":" + std::string(1 << 20, '[')), "MANIFEST_NOT_JSON");
}

TEST(ParseManifest, SizesMayNotAddUpBeyondTwoToThe63) {
  json manifest = Good();
  const std::string digest(64, 'a');
  for (json& file : manifest["files"]) {
    file["size"] = 1ull << 62;
    file["parts"] = {{{"object", digest}, {"offset", 0}, {"size", 1ull << 62}}};
  }
  EXPECT_EQ(ReasonOfText(manifest.dump()), "MANIFEST_MALFORMED");
}

}  // namespace
}  // namespace swage
