#include "clients/cli/session.h"

#include <cstdlib>
#include <filesystem>

#include "base/env.h"

namespace swage {

StatusOr<std::string> Session::Address() const {
  if (!server.empty()) return server;
  const std::string path = JoinPath(data_dir, "run/address");
  const StatusOr<std::string> text = ReadFile(Env::Posix(), path, 4096);
  const std::string address = text.ok() ? std::string(Trim(*text)) : "";
  if (address.empty()) {
    return Unavailable("NO_SERVER", Cat("no server runs in the data folder ", data_dir),
                       Cat("start one with 'swage up --data ", data_dir,
                           "', or name a running one with --data DIR or --server HOST:PORT"));
  }
  return address;
}

std::unique_ptr<Tracer> Session::NewTracer() const {
  std::shared_ptr<SpanSink> sink;
  const std::string dir = JoinPath(data_dir, "traces");
  if (Env::Posix()->CreateDirs(dir, 0700).ok()) {
    if (auto made = NewJsonLinesSink(JoinPath(dir, "cli.jsonl")); made.ok()) sink = std::move(*made);
  }
  return std::make_unique<Tracer>("swage-cli", Clock::Real(), std::move(sink));
}

std::string DefaultDataDir() {
  const auto absolute = [](const char* path) { return path != nullptr && path[0] == '/'; };
  if (const char* xdg = std::getenv("XDG_DATA_HOME"); absolute(xdg)) return JoinPath(xdg, "swage");
  if (const char* home = std::getenv("HOME"); absolute(home)) return JoinPath(home, ".local/share/swage");
  return "/var/lib/swage";
}

std::string AbsolutePath(const std::string& path) {
  std::error_code error;
  std::filesystem::path absolute = std::filesystem::absolute(path, error).lexically_normal();
  std::string text = error ? path : absolute.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

}  // namespace swage
