// Commands for operators: top, why, queue, workers, drain, cordon, quota, snapshot. They ask the scheduler that leads.
#pragma once

#include <string>

#include "clients/cli/admin_view.h"
#include "clients/cli/session.h"

namespace swage {

// Redrawn every `interval_seconds` until Ctrl-C when stdout is a terminal; else, or with `once`, said once.
StatusOr<int> RunTop(const Session& session, double interval_seconds, bool once);
StatusOr<int> RunWhy(const Session& session, const std::string& job);
StatusOr<int> RunQueue(const Session& session, const std::string& tenant, int limit);  // "" = all tenants
StatusOr<int> RunWorkers(const Session& session);
StatusOr<int> RunDrain(const Session& session, const std::string& worker, bool undo, bool evict);
StatusOr<int> RunCordon(const Session& session, const std::string& worker, const std::string& device,
                        const std::string& reason, bool undo);
StatusOr<int> RunQuota(const Session& session);
StatusOr<int> RunQuotaSet(const Session& session, const std::string& tenant, const QuotaChange& change);
// What decisions rest on, as JSON that `swage-sim --replay` reads.
StatusOr<int> RunSnapshot(const Session& session, const std::string& file);

}  // namespace swage
