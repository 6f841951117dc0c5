// Uploads: hash, ask what is missing, stream that. After a cut the same question is asked again, so that what has
// arrived is not sent twice; a large object goes on at the byte that the store holds.
#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include "base/rng.h"
#include "services/kit/artifact_state.h"

namespace swage {
namespace {

constexpr uint64_t kStreamBytes = 256ull << 20;  // of one Write stream, so that its deadline stays meaningful
constexpr size_t kUploadStreams = 2;
constexpr uint64_t kSlowestBytesPerMs = 500;     // a link slower than 0.5 MB/s runs into the deadline and resumes

using Source = ArtifactClient::State::Source;

uint64_t BytesOf(const std::vector<Source>& sources) {
  uint64_t bytes = 0;
  for (const Source& source : sources) bytes += source.size;
  return bytes;
}

int DeadlineFor(uint64_t bytes) {
  return limits::kStreamIdleDeadlineMs + static_cast<int>(std::min<uint64_t>(bytes / kSlowestBytesPerMs, 86400000));
}

std::vector<std::vector<Source>> GroupByBytes(const std::vector<Source>& sources) {
  std::vector<std::vector<Source>> groups;
  uint64_t bytes = 0;
  for (const Source& source : sources) {
    if (groups.empty() || bytes + source.size > kStreamBytes) {
      groups.emplace_back();
      bytes = 0;
    }
    groups.back().push_back(source);
    bytes += source.size;
  }
  return groups;
}

// One Write stream.
class Sender {
 public:
  Sender(ArtifactClient::State* state, const std::string& upload_id, ProgressMeter* meter)
      : state_(state), upload_id_(upload_id), meter_(meter) {}

  // `resume`: ask for each large object how much of it is there already.
  Status Send(const std::vector<Source>& sources, bool resume) {
    ArtifactClient::State::Call call(state_, DeadlineFor(BytesOf(sources)));
    v1::WriteResponse response;
    auto stream = state_->stub->Write(&call.context, &response);
    bool first = true, open = true;
    for (const Source& source : sources) {
      uint64_t offset = 0;
      if (resume && source.size > limits::kChunkBytes) {
        SWAGE_ASSIGN_OR_RETURN(offset, Committed(source));
        meter_->Add(offset);
      }
      const Status local = SendObject(source, offset, &first, &open, stream.get());
      if (!local.ok()) {
        call.context.TryCancel();
        (void)stream->Finish();
        return local;
      }
      if (!open) break;
    }
    if (open) stream->WritesDone();
    return FromGrpc(stream->Finish());
  }

 private:
  StatusOr<uint64_t> Committed(const Source& source) {
    v1::QueryWriteRequest request;
    request.set_tenant(state_->tenant);
    request.set_upload_id(upload_id_);
    request.set_digest(Bytes(source.digest));
    v1::QueryWriteResponse response;
    SWAGE_RETURN_IF_ERROR(state_->Unary(&v1::ArtifactService::Stub::QueryWrite, request, &response));
    return std::min<uint64_t>(response.committed_bytes(), source.size);
  }

  // Not OK: the local file cannot be read. *open false: the server ended the stream (Finish says why).
  Status SendObject(const Source& source, uint64_t offset, bool* first, bool* open,
                    grpc::ClientWriter<v1::WriteRequest>* stream) {
    if (source.path != path_) {
      SWAGE_ASSIGN_OR_RETURN(file_, Env::Posix()->NewReadableFile(source.path));
      path_ = source.path;
    }
    bool head = true;
    do {
      v1::WriteRequest message;
      if (*first) {
        message.set_tenant(state_->tenant);
        message.set_upload_id(upload_id_);
        *first = false;
      }
      if (head) {
        message.set_digest(Bytes(source.digest));
        message.set_size(source.size);
        head = false;
      }
      message.set_offset(offset);
      const uint64_t size = std::min<uint64_t>(limits::kChunkBytes, source.size - offset);
      message.mutable_data()->resize(size);
      SWAGE_RETURN_IF_ERROR(file_->ReadAt(source.offset + offset, size, message.mutable_data()->data()));
      if (!stream->Write(message)) {
        *open = false;
        return absl::OkStatus();
      }
      offset += size;
      meter_->Add(size);
    } while (offset < source.size);
    return absl::OkStatus();
  }

  ArtifactClient::State* state_;
  const std::string& upload_id_;
  ProgressMeter* meter_;
  std::string path_;
  std::unique_ptr<ReadableFile> file_;
};

Status SendAll(ArtifactClient::State* state, const std::string& upload_id, const std::vector<Source>& sources,
               bool resume, ProgressMeter* meter) {
  const auto groups = GroupByBytes(sources);
  std::mutex mutex;
  size_t next = 0;
  Status result;
  auto work = [&] {
    while (true) {
      size_t mine;
      {
        std::lock_guard<std::mutex> lock(mutex);
        if (next >= groups.size() || !result.ok()) return;
        mine = next++;
      }
      const Status status = Sender(state, upload_id, meter).Send(groups[mine], resume);
      std::lock_guard<std::mutex> lock(mutex);
      if (result.ok()) result = status;
    }
  };
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min(kUploadStreams, groups.size()); ++i) others.emplace_back(work);
  work();
  for (std::thread& thread : others) thread.join();
  return result;
}

}  // namespace

StatusOr<std::vector<Source>> ArtifactClient::State::Missing(const std::string& upload_id,
                                                             const std::vector<Source>& sources) {
  std::vector<Source> missing;
  for (size_t begin = 0; begin < sources.size(); begin += limits::kFindMissingDigests) {
    const size_t end = std::min<size_t>(sources.size(), begin + limits::kFindMissingDigests);
    v1::FindMissingRequest request;
    request.set_tenant(tenant);
    request.set_upload_id(upload_id);
    for (size_t i = begin; i < end; ++i) request.add_digests(Bytes(sources[i].digest));
    v1::FindMissingResponse response;
    SWAGE_RETURN_IF_ERROR(Unary(&v1::ArtifactService::Stub::FindMissing, request, &response));
    std::set<std::string> wanted(response.missing().begin(), response.missing().end());
    for (size_t i = begin; i < end; ++i) {
      if (wanted.count(Bytes(sources[i].digest))) missing.push_back(sources[i]);
    }
  }
  return missing;
}

Status ArtifactClient::State::Upload(const std::string& upload_id, std::vector<Source> sources,
                                     const TransferCallback& progress) {
  const uint64_t total = BytesOf(sources);
  ProgressMeter meter(progress, total);
  Backoff backoff(retry_ms);
  for (int round = 0;; ++round) {
    SWAGE_ASSIGN_OR_RETURN(auto missing, Missing(upload_id, sources));
    const uint64_t there = total - BytesOf(missing);
    if (round == 0) {
      meter.Add(there, true);
    } else {
      meter.SetDone(there);
      if (missing.size() < sources.size()) backoff.Progress();
    }
    sources = std::move(missing);
    if (sources.empty()) break;
    const Status status = SendAll(this, upload_id, sources, round > 0, &meter);
    if (status.ok()) break;
    if (!ShouldRetry(status) || !backoff.Wait()) return Explain(status);
  }
  meter.Last();
  return absl::OkStatus();
}

StatusOr<Manifest> ArtifactClient::State::UploadDir(const std::string& dir, const std::string& kind,
                                                    const std::string& upload_id, const TransferCallback& progress) {
  SWAGE_ASSIGN_OR_RETURN(Manifest manifest, BuildManifest(Env::Posix(), dir, kind, nullptr));
  std::vector<Source> sources;
  std::set<Digest> seen;
  for (const ManifestFile& file : manifest.files) {
    for (const FilePart& part : file.parts) {
      if (!seen.insert(part.object).second) continue;
      sources.push_back({part.object, JoinPath(dir, file.path), part.offset, part.size});
    }
  }
  SWAGE_RETURN_IF_ERROR(Upload(upload_id, std::move(sources), progress));
  return manifest;
}

StatusOr<ArtifactInfo> ArtifactClient::UploadFolder(const std::string& dir, const std::string& kind,
                                                    const std::string& alias, const TransferCallback& progress) {
  const std::string upload_id = Cat("up-", RandomHex(16));
  SWAGE_ASSIGN_OR_RETURN(const Manifest manifest, state_->UploadDir(dir, kind, upload_id, progress));
  return Commit(manifest, upload_id, alias);
}

StatusOr<std::string> ArtifactClient::PrepareFolder(const std::string& dir, const std::string& job,
                                                    const TokenFields& token, const TransferCallback& progress,
                                                    const std::function<Status()>& before_prepare) {
  // The same id for a repeated try of the same attempt, so that it finds what the first one sent.
  const std::string upload_id = Cat("job-", job, "-", token.epoch);
  SWAGE_ASSIGN_OR_RETURN(const Manifest manifest, state_->UploadDir(dir, "model", upload_id, progress));
  if (before_prepare) SWAGE_RETURN_IF_ERROR(before_prepare());
  v1::PrepareRequest request;
  request.set_tenant(state_->tenant);
  request.set_upload_id(upload_id);
  request.set_job(job);
  request.mutable_token()->set_incarnation(token.incarnation);
  request.mutable_token()->set_epoch(token.epoch);
  request.mutable_token()->set_random(token.random);
  request.set_manifest_json(manifest.ToJson());
  v1::PrepareResponse response;
  SWAGE_RETURN_IF_ERROR(state_->Unary(&v1::ArtifactService::Stub::Prepare, request, &response,
                                      limits::kStreamIdleDeadlineMs));
  return response.artifact();
}

StatusOr<Digest> ArtifactClient::UploadFile(const std::string& path, const std::string& upload_id) {
  Digest digest;
  uint64_t size = 0;
  {
    SWAGE_ASSIGN_OR_RETURN(size, Env::Posix()->FileSize(path));
    SWAGE_ASSIGN_OR_RETURN(const auto file, Env::Posix()->NewReadableFile(path));
    Sha256 hash;
    std::string chunk;
    for (uint64_t offset = 0; offset < size; offset += chunk.size()) {
      chunk.resize(std::min<uint64_t>(limits::kChunkBytes, size - offset));
      SWAGE_RETURN_IF_ERROR(file->ReadAt(offset, chunk.size(), chunk.data()));
      hash.Update(chunk);
    }
    digest = hash.Finish();
  }
  SWAGE_RETURN_IF_ERROR(state_->Upload(upload_id, {{digest, path, 0, size}}, nullptr));
  return digest;
}

}  // namespace swage
