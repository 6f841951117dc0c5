// Commands about artifacts: upload, artifacts, download, report.
#pragma once

#include <string>
#include <vector>

#include "clients/cli/session.h"
#include "services/kit/artifact_client.h"

namespace swage {

// With progress on stderr. `alias` may be "".
StatusOr<ArtifactInfo> UploadShown(const Session& session, ArtifactClient* store, const std::string& dir,
                                   const std::string& alias);

StatusOr<int> RunUpload(const Session& session, const std::string& dir, const std::string& alias);
StatusOr<int> RunArtifacts(const Session& session);
StatusOr<int> RunDownload(const Session& session, const std::string& artifact, const std::string& dir);
// Of artifacts (id or alias) and of folders that hold a report.json, as one table, or with --json as they are.
StatusOr<int> RunReport(const Session& session, const std::vector<std::string>& artifacts);

}  // namespace swage
