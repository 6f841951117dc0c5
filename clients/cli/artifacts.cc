#include "clients/cli/artifacts.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "clients/cli/console.h"
#include "clients/cli/exit_code.h"
#include "clients/cli/jobs.h"
#include "clients/cli/progress.h"
#include "clients/cli/report_view.h"

namespace swage {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kReportBytes = 64u << 20;

Json Of(const ArtifactInfo& artifact) {
  return {{"id", artifact.id},
          {"kind", artifact.kind},
          {"aliases", artifact.aliases},
          {"job", artifact.job},
          {"total_bytes", artifact.total_bytes},
          {"stored_bytes", artifact.stored_bytes},
          {"files", artifact.files},
          {"objects", artifact.objects},
          {"create_time", Rfc3339(artifact.create_unix_nanos)}};
}

StatusOr<std::string> StoreAddress(const Session& session) {
  SWAGE_ASSIGN_OR_RETURN(const ServerInfoView server, NewJobClient(session)->ServerInfo());
  return server.store_address;
}

// A transfer's bar; silent with --json.
class TransferShown {
 public:
  TransferShown(const Session& session, std::string verb)
      : silent_(session.json), verb_(std::move(verb)), meter_(Clock::Real()),
        display_(StderrStyle(session.color), Clock::Real(), PrintErr) {}

  TransferCallback Callback() {
    if (silent_) return nullptr;
    return [this](const Transfer& transfer) {
      const double fraction =
          transfer.total == 0 ? 1 : static_cast<double>(transfer.done) / static_cast<double>(transfer.total);
      std::string detail = Cat(HumanBytes(static_cast<double>(transfer.done)), " of ",
                               HumanBytes(static_cast<double>(transfer.total)));
      if (transfer.skipped > 0) detail += Cat(", ", HumanBytes(static_cast<double>(transfer.skipped)), " were there");
      skipped_ = transfer.skipped;
      display_.Update(verb_, fraction, fraction < 1 ? meter_.EtaSeconds(fraction) : -1, detail);
    };
  }
  double Seconds() const { return meter_.Seconds(); }
  uint64_t skipped() const { return skipped_; }

 private:
  const bool silent_;
  const std::string verb_;
  uint64_t skipped_ = 0;
  EtaMeter meter_;
  ProgressDisplay display_;
};

StatusOr<std::string> StoredReport(ArtifactClient* store, const std::string& artifact) {
  SWAGE_ASSIGN_OR_RETURN(const Manifest manifest, store->GetManifest(artifact));
  const ManifestFile* file = manifest.Find("report.json");
  if (file == nullptr) {
    return NotFound("NO_REPORT", Cat("the artifact ", artifact, " has no report.json"),
                    "only artifacts that a job made have one");
  }
  std::string text;
  for (const FilePart& part : file->parts) {
    SWAGE_ASSIGN_OR_RETURN(const std::string bytes, store->ReadObject(part.object, kReportBytes));
    text += bytes;
  }
  return text;
}

}  // namespace

StatusOr<ArtifactInfo> UploadShown(const Session& session, ArtifactClient* store, const std::string& dir,
                                   const std::string& alias) {
  TransferShown shown(session, "upload");
  return store->UploadFolder(dir, "model", alias, shown.Callback());
}

StatusOr<int> RunUpload(const Session& session, const std::string& dir, const std::string& alias) {
  SWAGE_ASSIGN_OR_RETURN(const std::string address, StoreAddress(session));
  const auto tracer = session.NewTracer();
  Span span = tracer->Start("swage upload", {}, {{"swage.folder", dir}});
  ArtifactClient store(address, session.tenant);
  store.SetTraceParent(span.context());
  const auto artifact = UploadShown(session, &store, dir, alias);
  span.SetStatus(artifact.status());
  SWAGE_RETURN_IF_ERROR(artifact.status());
  if (session.json) {
    PrintOut(Of(*artifact).dump() + "\n");
  } else {
    const std::string names = Join(artifact->aliases, "  ");
    PrintOut(Cat(names, names.empty() ? "" : "  ", artifact->id, "  ",
                 HumanBytes(static_cast<double>(artifact->total_bytes)), "\n"));
  }
  return kExitOk;
}

StatusOr<int> RunArtifacts(const Session& session) {
  SWAGE_ASSIGN_OR_RETURN(const std::string address, StoreAddress(session));
  SWAGE_ASSIGN_OR_RETURN(const auto artifacts, ArtifactClient(address, session.tenant).List());
  if (session.json) {
    Json list = Json::array();
    for (const ArtifactInfo& artifact : artifacts) list.push_back(Of(artifact));
    PrintOut(Json{{"artifacts", list}}.dump() + "\n");
    return kExitOk;
  }
  if (artifacts.empty()) {
    PrintOut("no artifacts\n");
    return kExitOk;
  }
  TextTable table({{"ARTIFACT"}, {"KIND"}, {"SIZE", Align::kRight}, {"STORED", Align::kRight}, {"CREATED"}, {"JOB"},
                   {"ALIASES"}});
  for (const ArtifactInfo& artifact : artifacts) {
    table.AddRow({ShortDigest(artifact.id), artifact.kind, HumanBytes(static_cast<double>(artifact.total_bytes)),
                  HumanBytes(static_cast<double>(artifact.stored_bytes)), LocalTime(artifact.create_unix_nanos),
                  artifact.job.empty() ? "-" : artifact.job, Join(artifact.aliases, ", ")});
  }
  PrintOut(table.ToString());
  return kExitOk;
}

StatusOr<int> RunDownload(const Session& session, const std::string& artifact, const std::string& dir) {
  SWAGE_ASSIGN_OR_RETURN(const std::string address, StoreAddress(session));
  const auto tracer = session.NewTracer();
  Span span = tracer->Start("swage download", {}, {{"swage.artifact", artifact}});
  ArtifactClient store(address, session.tenant);
  store.SetTraceParent(span.context());
  SWAGE_ASSIGN_OR_RETURN(const ArtifactInfo info, store.Get(artifact));
  {
    TransferShown shown(session, "download");
    const Status status = store.Download(info.id, dir, shown.Callback());
    span.SetStatus(status);
    SWAGE_RETURN_IF_ERROR(status);
  }
  if (session.json) {
    Json json = Of(info);
    json["folder"] = dir;
    PrintOut(json.dump() + "\n");
  } else {
    PrintOut(Cat(dir, "  ", info.files, " files  ", HumanBytes(static_cast<double>(info.total_bytes)), "  ", info.id,
                 "\n"));
  }
  return kExitOk;
}

StatusOr<int> RunReport(const Session& session, const std::vector<std::string>& artifacts) {
  std::unique_ptr<ArtifactClient> store;
  std::vector<ReportRow> rows;
  Json reports = Json::array();
  for (const std::string& artifact : artifacts) {
    std::string text;
    if (const std::string path = JoinPath(artifact, "report.json"); Env::Posix()->Exists(path)) {
      SWAGE_ASSIGN_OR_RETURN(text, ReadFile(Env::Posix(), path, kReportBytes));
    } else {
      if (store == nullptr) {
        SWAGE_ASSIGN_OR_RETURN(const std::string address, StoreAddress(session));
        store = std::make_unique<ArtifactClient>(address, session.tenant);
      }
      SWAGE_ASSIGN_OR_RETURN(text, StoredReport(store.get(), artifact));
    }
    SWAGE_ASSIGN_OR_RETURN(ReportRow row, ReadReport(text, artifact));
    rows.push_back(std::move(row));
    reports.push_back({{"artifact", artifact}, {"report", Json::parse(text, nullptr, false)}});
  }
  PrintOut(session.json ? Json{{"reports", reports}}.dump() + "\n" : ReportTable(rows));
  return kExitOk;
}

}  // namespace swage
