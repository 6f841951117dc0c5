#include "tests/tidy/source_tree.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace swage::tidy {
namespace {

constexpr std::string_view kTops[] = {"base", "clients", "kernels", "scheduler", "services", "storage", "tests", "workers"};

bool EndsWithAny(std::string_view path, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(), [&](std::string_view e) { return path.ends_with(e); });
}

SourceFile Parse(const std::string& path) {
  static const std::regex include_line(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  SourceFile file{.path = path};
  std::istringstream in(ReadText(path));
  for (std::string line; std::getline(in, line);) {
    ++file.lines;
    std::smatch match;
    if (line.find("include") == std::string::npos || !std::regex_search(line, match, include_line)) continue;
    file.includes.push_back({match[2], match[1] == "\"", file.lines});
  }
  return file;
}

}  // namespace

bool SourceFile::is_header() const { return EndsWithAny(path, {".h", ".cuh"}); }
bool SourceFile::is_unit() const { return EndsWithAny(path, {".cc", ".cu"}); }

const SourceTree& SourceTree::Get() {
  static const SourceTree* tree = [] {
    auto* all = new SourceTree;
    for (const std::string_view top : kTops) {
      for (const std::string& path : FilesBelow(std::string(top))) {
        if (EndsWithAny(path, {".h", ".cuh", ".cc", ".cu"})) all->files_.emplace(path, Parse(path));
      }
    }
    return all;
  }();
  return *tree;
}

std::set<std::string> SourceTree::Closure(const std::string& path) const {
  std::set<std::string> seen;
  std::vector<std::string> open{path};
  while (!open.empty()) {
    const std::string next = std::move(open.back());
    open.pop_back();
    const auto at = files_.find(next);
    if (at == files_.end() || !seen.insert(next).second) continue;
    for (const Include& include : at->second.includes) open.push_back(include.path);
  }
  return seen;
}

bool SourceTree::Reaches(const std::string& path, bool (*is)(std::string_view)) const {
  for (const std::string& reached : Closure(path)) {
    for (const Include& include : files_.at(reached).includes) {
      if (is(include.path)) return true;
    }
  }
  return false;
}

std::string ReadText(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> FilesBelow(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (std::filesystem::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->is_regular_file()) paths.push_back(it->path().generic_string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

bool IsProductPath(std::string_view path) { return !path.starts_with("tests/"); }

bool IsRpcHeader(std::string_view include) {
  for (const std::string_view start : {"grpc/", "grpcpp/", "google/", "swage/v1/", "opentelemetry/"}) {
    if (include.starts_with(start)) return true;
  }
  return include.ends_with(".pb.h");
}

bool IsCudaHeader(std::string_view include) {
  for (const std::string_view start : {"cuda", "cublas", "cusolver", "cub/", "nccl", "thrust/", "curand"}) {
    if (include.starts_with(start)) return true;
  }
  return include.ends_with(".cuh");
}

}  // namespace swage::tidy
