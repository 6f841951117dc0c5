// The repository's sources as text, for the tests of the house rules. Paths are relative to the repository's root, which
// is the working directory of every test.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace swage::tidy {

struct Include {
  std::string path;
  bool quoted = false;  // "path", not <path>
  int line = 0;
};

struct SourceFile {
  std::string path;
  std::vector<Include> includes;  // in order, commented-out ones not
  int lines = 0;
  bool is_header() const;
  bool is_unit() const;  // .cc or .cu: compiled by itself
};

// All C++ and CUDA files of the top folders given, by path.
class SourceTree {
 public:
  static const SourceTree& Get();  // the whole repository, read once

  const std::map<std::string, SourceFile>& files() const { return files_; }
  // The files of ours that `path` includes, directly or through others, itself included.
  std::set<std::string> Closure(const std::string& path) const;
  // True when `path` or a header of ours that it includes, at any depth, includes one that `is` accepts.
  bool Reaches(const std::string& path, bool (*is)(std::string_view include)) const;

 private:
  std::map<std::string, SourceFile> files_;
};

std::string ReadText(const std::string& path);
std::vector<std::string> FilesBelow(const std::string& folder);  // relative paths, sorted; none when it is not there
bool IsProductPath(std::string_view path);                       // not below tests/

// gRPC, protobuf, or code generated for them.
bool IsRpcHeader(std::string_view include);
bool IsCudaHeader(std::string_view include);

}  // namespace swage::tidy
