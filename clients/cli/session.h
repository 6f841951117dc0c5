// What every command shares: which server, whose tenant, how to print. Found in this order: --server; the address in
// <data>/run/address, where `swage up` of the same data folder writes it.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "base/telemetry/trace.h"

namespace swage {

struct Session {
  std::string data_dir;  // absolute
  std::string server;    // "" = that of the data folder
  std::string tenant = "default";
  bool json = false;
  bool color = true;

  // Of the server to call. NO_SERVER when none runs there: tells `swage up`.
  StatusOr<std::string> Address() const;
  // Tracer that writes <data>/traces/cli.jsonl; without a sink where that cannot be written.
  std::unique_ptr<Tracer> NewTracer() const;
};

// $XDG_DATA_HOME/swage, else $HOME/.local/share/swage, else /var/lib/swage.
std::string DefaultDataDir();

// Absolute, without a trailing slash; made of the current folder when relative.
std::string AbsolutePath(const std::string& path);

}  // namespace swage
