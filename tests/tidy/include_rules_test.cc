// Who may include whom (docs/architecture.md): one row a room. A room that has no row yet fails, so that its place in
// the house is decided when it is built.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/tidy/source_tree.h"

namespace swage::tidy {
namespace {

struct Room {
  std::string_view folder;
  std::vector<std::string_view> may_include;  // folders; with '/' at the end the folders below too. Always its own.
  bool may_see_rpc = false;                   // protobuf and gRPC
};

const std::vector<Room>& Rooms() {
  static const std::vector<std::string_view> kComputes = {"base/", "kernels/", "workers/catalog/", "workers/recipe/",
                                                          "workers/runtime/"};
  static const auto with = [](std::vector<std::string_view> more) {
    more.insert(more.end(), kComputes.begin(), kComputes.end());
    return more;
  };
  static const auto* rooms = new std::vector<Room>{
      {"base", {}},
      {"base/modelfile", {"base"}},
      {"base/telemetry", {"base"}},
      {"kernels", {"base/"}},
      {"kernels/numeric", {"base/"}},
      {"kernels/api", {"base/", "kernels/numeric/"}},
      {"kernels/ref", {"base/", "kernels/numeric/", "kernels/api/"}},
      {"kernels/cpu", {"base/", "kernels/numeric/", "kernels/api/"}},
      {"kernels/cuda", {"base/", "kernels/numeric/", "kernels/api/"}},
      {"workers/catalog", {"base/"}},
      {"workers/recipe", {"base/", "workers/catalog/"}},
      {"workers/runtime", {"base/", "kernels/"}},
      {"workers/allocate", kComputes},
      {"workers/methods", with({"workers/allocate/"})},
      {"workers/exports", with({"workers/methods/"})},
      {"workers/report", with({"workers/methods/", "workers/exports/"})},
      {"workers/job", with({"workers/methods/", "workers/allocate/", "workers/exports/", "workers/report/"})},
      {"workers/daemon", {"base/", "services/kit/", "workers/catalog/", "workers/recipe/", "workers/job/"}, true},
      {"scheduler/core", {"base/"}},
      {"scheduler/state", {"base/", "scheduler/core/"}},
      {"scheduler/server", {"base/", "services/kit/", "scheduler/core/", "scheduler/state/"}, true},
      {"storage/codecs", {"base/", "kernels/api/"}},
      {"storage/core", {"base/", "storage/codecs/"}},
      {"storage/family", {"base/", "storage/core/"}},
      {"storage/hub", {"base/", "services/kit/", "storage/core/"}, true},
      {"storage/server", {"base/", "services/kit/", "storage/codecs/", "storage/core/"}, true},
      {"services/kit", {"base/"}, true},
      {"services/control",
       {"base/", "services/kit/", "scheduler/core/", "scheduler/state/", "workers/catalog/", "workers/recipe/"},
       true},
      {"services/gateway", {"base/", "services/kit/"}, true},
      {"services/embedded",  // the wiring of all services into one process
       {"base/", "services/", "scheduler/", "storage/", "workers/"},
       true},
      {"clients/cli",
       {"base/", "services/kit/", "services/embedded/", "scheduler/state/", "workers/catalog/", "workers/recipe/",
        "workers/job/"},
       true},
      {"clients/cpp", {}, true},  // what a stranger sees: the generated code only
  };
  return *rooms;
}

const Room* RoomOf(std::string_view path) {
  const Room* best = nullptr;
  for (const Room& room : Rooms()) {
    const bool inside = path.starts_with(room.folder) && path.size() > room.folder.size() && path[room.folder.size()] == '/';
    if (inside && (best == nullptr || room.folder.size() > best->folder.size())) best = &room;
  }
  return best;
}

bool MayInclude(const Room& from, const std::string& include) {
  if (const Room* to = RoomOf(include); to != nullptr && to->folder == from.folder) return true;
  const std::string folder = include.substr(0, include.rfind('/'));
  return std::any_of(from.may_include.begin(), from.may_include.end(), [&](std::string_view allowed) {
    return allowed.ends_with('/') ? include.starts_with(allowed) : folder == allowed;
  });
}

// The mains wire objects of several rooms.
bool IsWiring(std::string_view path) { return path.ends_with("_main.cc"); }

std::string At(const SourceFile& file, const Include& include) {
  return file.path + ":" + std::to_string(include.line) + " includes " + include.path;
}

TEST(IncludeRules, EveryRoomIncludesOnlyWhatItsRowAllows) {
  const auto& files = SourceTree::Get().files();
  for (const auto& [path, file] : files) {
    if (!IsProductPath(path) || IsWiring(path)) continue;
    const Room* room = RoomOf(path);
    ASSERT_NE(room, nullptr) << path << " is in no room of the table in " << __FILE__;
    for (const Include& include : file.includes) {
      if (!files.contains(include.path)) continue;
      EXPECT_TRUE(MayInclude(*room, include.path)) << At(file, include) << ", which " << room->folder << " may not";
    }
  }
}

TEST(IncludeRules, OnlyTheEdgeSeesProtobufAndGrpc) {
  for (const auto& [path, file] : SourceTree::Get().files()) {
    const Room* room = RoomOf(path);
    if (!IsProductPath(path) || room == nullptr || room->may_see_rpc) continue;
    for (const Include& include : file.includes) {
      EXPECT_FALSE(IsRpcHeader(include.path)) << At(file, include) << "; convert at the edge instead";
    }
  }
}

TEST(IncludeRules, TheProductDoesNotIncludeTests) {
  for (const auto& [path, file] : SourceTree::Get().files()) {
    if (!IsProductPath(path)) continue;
    for (const Include& include : file.includes) EXPECT_TRUE(IsProductPath(include.path)) << At(file, include);
  }
}

TEST(IncludeRules, OurHeadersAreIncludedByTheirFullPath) {
  const auto& files = SourceTree::Get().files();
  for (const auto& [path, file] : files) {
    for (const Include& include : file.includes) {
      const std::string beside = path.substr(0, path.rfind('/') + 1) + include.path;
      EXPECT_FALSE(include.quoted && !files.contains(include.path) && files.contains(beside)) << At(file, include);
      EXPECT_EQ(include.path.find(".."), std::string::npos) << At(file, include);
    }
  }
}

TEST(IncludeRules, LibrariesBehindOurHeadersAreIncludedInOnePlace) {
  const struct {
    std::string_view library, place;
  } kBehind[] = {{"spdlog/", "base/log.cc"}, {"openssl/", "base/digest.cc"}, {"xxhash.h", "base/digest.cc"},
                 {"zstd.h", "storage/codecs/"}, {"pcre2.h", "workers/runtime/"}, {"hiredis/", "scheduler/state/"}};
  for (const auto& [path, file] : SourceTree::Get().files()) {
    if (!IsProductPath(path)) continue;
    for (const Include& include : file.includes) {
      for (const auto& [library, place] : kBehind) {
        const bool right_place = !include.path.starts_with(library) || path.starts_with(place);
        EXPECT_TRUE(right_place) << At(file, include) << "; use the header of " << place;
      }
    }
  }
}

TEST(IncludeRules, FewTranslationUnitsPayForGrpc) {
  constexpr size_t kMost = 25;
  std::vector<std::string> units;
  for (const auto& [path, file] : SourceTree::Get().files()) {
    if (IsProductPath(path) && file.is_unit() && SourceTree::Get().Reaches(path, IsRpcHeader)) units.push_back(path);
  }
  std::string list;
  for (const std::string& unit : units) list += "\n  " + unit;
  EXPECT_LE(units.size(), kMost) << "units that include gRPC or protobuf headers:" << list;
  RecordProperty("rpc_units", static_cast<int>(units.size()));
}

}  // namespace
}  // namespace swage::tidy
