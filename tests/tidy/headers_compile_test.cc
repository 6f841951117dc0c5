// Every header compiles alone. Most are shown to by the build itself: a .cc that includes its header before anything
// else compiles only if the header needs nothing before it. The others are compiled here, each by itself.
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/tidy/source_tree.h"

namespace swage::tidy {
namespace {

// Set by CMake. Include folders are separated by ';'; without the services the generated code is not there.
constexpr char kCompiler[] = SWAGE_TIDY_COMPILER;
constexpr char kIncludeFolders[] = SWAGE_TIDY_INCLUDES;
constexpr bool kHaveGeneratedCode = SWAGE_TIDY_HAVE_PROTO;

std::set<std::string> ShownByTheBuild() {
  std::set<std::string> shown;
  for (const auto& [path, file] : SourceTree::Get().files()) {
    if (file.is_unit() && !file.includes.empty()) shown.insert(file.includes.front().path);
  }
  return shown;
}

std::vector<std::string> HeadersToCompile() {
  const std::set<std::string> shown = ShownByTheBuild();
  std::vector<std::string> headers;
  for (const auto& [path, file] : SourceTree::Get().files()) {
    if (!file.is_header() || path.ends_with(".cuh") || path.ends_with("-inl.h") || shown.contains(path)) continue;
    if (!kHaveGeneratedCode && SourceTree::Get().Reaches(path, IsRpcHeader)) continue;
    if (SourceTree::Get().Reaches(path, IsCudaHeader)) continue;  // the CUDA build compiles them
    headers.push_back(path);
  }
  return headers;
}

std::vector<std::string> CompilerCommand(const std::string& header) {
  std::vector<std::string> command = {kCompiler, "-std=c++20", "-fsyntax-only", "-fopenmp", "-w", "-x", "c++", "-I."};
  const std::string folders = kIncludeFolders;
  for (size_t at = 0; at < folders.size();) {
    const size_t end = std::min(folders.find(';', at), folders.size());
    if (end > at) command.insert(command.end(), {"-isystem", folders.substr(at, end - at)});
    at = end + 1;
  }
  command.push_back(header);
  return command;
}

// The exit status; what the compiler says goes to stderr.
int RunCompiler(const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  pid_t child = 0;
  int status = 0;
  if (::posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ) != 0) return -1;
  if (::waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Headers, EachCompilesAlone) {
  const std::vector<std::string> headers = HeadersToCompile();
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::vector<std::string> failed;
  const auto work = [&] {
    for (size_t i; (i = next++) < headers.size();) {
      if (RunCompiler(CompilerCommand(headers[i])) == 0) continue;
      const std::lock_guard lock(mutex);
      failed.push_back(headers[i]);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < std::max(1u, std::thread::hardware_concurrency()); ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  for (const std::string& header : failed) ADD_FAILURE() << header << " does not compile by itself";
  std::printf("%zu headers compiled here\n", headers.size());
}

TEST(Headers, EachIsGuardedByPragmaOnce) {
  for (const auto& [path, file] : SourceTree::Get().files()) {
    if (!file.is_header() || path.ends_with("-inl.h")) continue;
    EXPECT_NE(ReadText(path).find("\n#pragma once\n"), std::string::npos) << path;
  }
}

// Without this, a unit that no list builds would vouch for its header.
TEST(Units, EachIsInAListOfTheBuild) {
  std::set<std::string> named;  // last parts of all words of all lists
  for (const char* top : {"base", "clients", "deploy", "kernels", "scheduler", "services", "storage", "tests", "workers"}) {
    for (const std::string& path : FilesBelow(top)) {
      if (!path.ends_with("CMakeLists.txt") && !path.ends_with(".cmake")) continue;
      std::string text = ReadText(path);
      std::replace_if(text.begin(), text.end(), [](char c) { return std::string_view("()\"/").find(c) != std::string::npos; }, ' ');
      std::istringstream words(text);
      for (std::string word; words >> word;) named.insert(word);
    }
  }
  for (const auto& [path, file] : SourceTree::Get().files()) {
    if (!file.is_unit()) continue;
    EXPECT_TRUE(named.contains(path.substr(path.rfind('/') + 1))) << path << " is built by no CMakeLists.txt";
  }
}

}  // namespace
}  // namespace swage::tidy
