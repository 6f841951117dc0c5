// The options of the operators' commands; main's parser (parse.h) takes them in. Apart, as there are many.
#pragma once

#include <functional>
#include <string>

#include "base/status.h"
#include "clients/cli/admin_view.h"
#include "clients/cli/session.h"

namespace CLI {
class App;
}

namespace swage {

struct OperateFlags {
  std::string worker, device, reason, job, tenant, file;
  std::string weight, max_running, max_memory, max_device_memory, max_queued;
  int limit = 100;
  double interval_seconds = 2;
  bool once = false, undo = false, evict = false;
};

// The chosen command's callback fills `command`; all pointers must outlive it.
void AddOperate(CLI::App* app, const Session* session, OperateFlags* flags, std::function<StatusOr<int>()>* command);

}  // namespace swage
