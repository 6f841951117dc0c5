// Downloads: files are cut into ranges of whole parts (tensors, blobs), a few streams fetch them, every part is
// checked against its SHA-256 as it arrives; the parts cover the file, so the file is checked too.
#include <algorithm>
#include <optional>
#include <set>
#include <thread>

#include "services/kit/artifact_state.h"
#include "services/kit/part_file.h"

namespace swage {
namespace {

constexpr uint64_t kRangeBytes = 32ull << 20;  // of one Read stream
constexpr unsigned kDownloadStreams = 4;

// A run of neighbouring parts of one file.
struct Range {
  size_t file = 0, first_part = 0, end_part = 0;
  uint64_t offset = 0, size = 0;
};

// Cuts what flows in into parts, hashes and writes each.
class PartSink {
 public:
  PartSink(const ManifestFile& file, const Range& range, PartFile* out)
      : file_(file), next_(range.first_part), offset_(range.offset), out_(out) {}

  Status Take(std::string_view bytes) {
    while (!bytes.empty()) {
      SWAGE_CHECK(next_ < file_.parts.size(), "more bytes than asked for");
      const FilePart& part = file_.parts[next_];
      const uint64_t left = part.offset + part.size - offset_;
      const std::string_view mine = bytes.substr(0, left);
      hash_->Update(mine);
      SWAGE_RETURN_IF_ERROR(out_->Write(offset_, mine));
      offset_ += mine.size();
      bytes.remove_prefix(mine.size());
      if (offset_ < part.offset + part.size) continue;
      if (hash_->Finish() != part.object) {
        return DataLoss("DOWNLOAD_CORRUPT", Cat(file_.path, " at byte ", part.offset, " arrived with a wrong SHA-256"),
                        "try again; when it happens again, the store's disk or the network damages data");
      }
      hash_.emplace();
      ++next_;
    }
    return absl::OkStatus();
  }

 private:
  const ManifestFile& file_;
  size_t next_;
  uint64_t offset_;
  std::optional<Sha256> hash_{std::in_place};
  PartFile* out_;
};

template <typename Reader>  // Status(uint64_t offset, size_t size, char* out)
bool PartIsThere(const FilePart& part, const Reader& read, std::string* buffer) {
  Sha256 hash;
  for (uint64_t done = 0; done < part.size;) {
    buffer->resize(std::min<uint64_t>(limits::kChunkBytes, part.size - done));
    if (!read(part.offset + done, buffer->size(), buffer->data()).ok()) return false;
    hash.Update(*buffer);
    done += buffer->size();
  }
  return hash.Finish() == part.object;
}

class Download {
 public:
  Download(ArtifactClient::State* state, const Manifest& manifest, std::string artifact, std::string dir,
           const TransferCallback& progress)
      : state_(state), manifest_(manifest), artifact_(std::move(artifact)), dir_(std::move(dir)),
        meter_(progress, manifest.total_bytes()), files_(manifest.files.size()), left_(manifest.files.size()) {}

  Status Run() {
    SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(dir_));
    SWAGE_RETURN_IF_ERROR(OpenFiles());
    SWAGE_RETURN_IF_ERROR(InParallel([this](const Range& range) { return Fetch(range); }));
    for (const std::string& folder : folders_) SWAGE_RETURN_IF_ERROR(Env::Posix()->SyncDir(folder));
    meter_.Last();
    return absl::OkStatus();
  }

 private:
  bool AlreadyThere(const ManifestFile& file, const std::string& path) {
    const auto size = Env::Posix()->FileSize(path);
    if (!size.ok() || *size != file.size) return false;
    const auto opened = Env::Posix()->NewReadableFile(path);
    if (!opened.ok()) return false;
    std::string buffer;
    for (const FilePart& part : file.parts) {
      const auto read = [&](uint64_t offset, size_t n, char* out) { return (*opened)->ReadAt(offset, n, out); };
      if (!PartIsThere(part, read, &buffer)) return false;
    }
    return true;
  }

  Status OpenFiles() {
    uint64_t wanted = 0;
    for (size_t i = 0; i < manifest_.files.size(); ++i) {
      const ManifestFile& file = manifest_.files[i];
      SWAGE_ASSIGN_OR_RETURN(const std::string path, SafeJoin(dir_, file.path));
      if (AlreadyThere(file, path)) {
        meter_.Add(file.size, true);
        continue;
      }
      SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(DirName(path)));
      folders_.insert(DirName(path));
      SWAGE_ASSIGN_OR_RETURN(files_[i], PartFile::Open(path, file.size));
      if (file.parts.empty()) {
        SWAGE_RETURN_IF_ERROR(files_[i].Finish());
        continue;
      }
      if (!files_[i].resumed()) wanted += file.size;
      CutIntoRanges(i);
    }
    const auto free_bytes = Env::Posix()->FreeBytes(dir_);
    if (free_bytes.ok() && *free_bytes < wanted) {
      return Error(StatusCode::kResourceExhausted, "DISK_FULL",
                   Cat(dir_, " has ", HumanBytes(*free_bytes), " free, the download needs ", HumanBytes(wanted)),
                   "free some space or choose another folder");
    }
    return absl::OkStatus();
  }

  void CutIntoRanges(size_t index) {
    const auto& parts = manifest_.files[index].parts;
    for (size_t i = 0; i < parts.size(); ++i) {
      Range* last = ranges_.empty() ? nullptr : &ranges_.back();
      if (last == nullptr || last->file != index || last->size + parts[i].size > kRangeBytes) {
        ranges_.push_back({index, i, i, parts[i].offset, 0});
        ++left_[index];
        last = &ranges_.back();
      }
      last->end_part = i + 1;
      last->size += parts[i].size;
    }
  }

  template <typename Work>
  Status InParallel(const Work& work) {
    std::mutex mutex;
    size_t next = 0;
    Status result;
    auto loop = [&] {
      while (true) {
        size_t mine;
        {
          std::lock_guard<std::mutex> lock(mutex);
          if (next >= ranges_.size() || !result.ok()) return;
          mine = next++;
        }
        const Status status = work(ranges_[mine]);
        std::lock_guard<std::mutex> lock(mutex);
        if (result.ok()) result = status;
      }
    };
    const size_t threads = std::min<size_t>({kDownloadStreams, ranges_.size(), std::thread::hardware_concurrency() + 1});
    std::vector<std::thread> others;
    for (size_t i = 1; i < threads; ++i) others.emplace_back(loop);
    loop();
    for (std::thread& thread : others) thread.join();
    return result;
  }

  Status Fetch(const Range& range) {
    const ManifestFile& file = manifest_.files[range.file];
    PartFile* out = &files_[range.file];
    Range rest = range;
    if (out->resumed()) SkipWhatIsThere(file, *out, &rest);
    if (rest.size > 0) {
      Status status = FetchOnce(file, rest, out);
      if (ReasonOf(status) == "DOWNLOAD_CORRUPT") status = FetchOnce(file, rest, out);
      SWAGE_RETURN_IF_ERROR(status);
    }
    bool last = false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      last = --left_[range.file] == 0;
    }
    return last ? out->Finish() : absl::OkStatus();
  }

  Status FetchOnce(const ManifestFile& file, const Range& range, PartFile* out) {
    PartSink sink(file, range, out);
    v1::ReadRequest request;
    request.mutable_file()->set_artifact(artifact_);
    request.mutable_file()->set_path(file.path);
    return state_->Read(request, range.offset, range.size, [&](std::string_view bytes) {
      meter_.Add(bytes.size());
      return sink.Take(bytes);
    });
  }

  // What an earlier download wrote in front of the range is checked, not fetched.
  void SkipWhatIsThere(const ManifestFile& file, const PartFile& out, Range* range) {
    std::string buffer;
    const auto read = [&](uint64_t offset, size_t n, char* to) { return out.Read(offset, n, to); };
    while (range->first_part < range->end_part && PartIsThere(file.parts[range->first_part], read, &buffer)) {
      const uint64_t size = file.parts[range->first_part].size;
      meter_.Add(size, true);
      range->offset += size;
      range->size -= size;
      ++range->first_part;
    }
  }

  ArtifactClient::State* state_;
  const Manifest& manifest_;
  const std::string artifact_, dir_;
  ProgressMeter meter_;
  std::mutex mutex_;
  std::vector<PartFile> files_;
  std::vector<size_t> left_;  // ranges of each file still to come; guarded by mutex_
  std::vector<Range> ranges_;
  std::set<std::string> folders_;
};

}  // namespace

Status ArtifactClient::State::Read(v1::ReadRequest request, uint64_t offset, uint64_t size, const Sink& sink) {
  if (size == 0) return absl::OkStatus();  // a limit of 0 would mean "to the end"
  request.set_tenant(tenant);
  Backoff backoff(retry_ms);
  const uint64_t end = offset + size;
  while (true) {
    request.set_offset(offset);
    request.set_limit(end - offset);
    Call call(this, limits::kStreamIdleDeadlineMs + static_cast<int>(std::min<uint64_t>(size / 500, 86400000)));
    auto stream = stub->Read(&call.context, request);
    v1::ReadResponse response;
    Status local;
    while (local.ok() && offset < end && stream->Read(&response)) {
      const std::string_view bytes = std::string_view(response.data()).substr(0, end - offset);
      if (!bytes.empty()) backoff.Progress();
      local = sink(bytes);
      offset += bytes.size();
    }
    if (!local.ok()) call.context.TryCancel();
    const bool whole = offset == end;
    Status status = FromGrpc(stream->Finish());
    if (!local.ok()) return local;
    if (whole) return absl::OkStatus();
    if (status.ok()) return DataLoss("SHORT_READ", Cat("the store ended the stream at byte ", offset, " of ", end));
    if (!ShouldRetry(status) || !backoff.Wait()) return Explain(status);
  }
}

StatusOr<uint64_t> ArtifactClient::State::TotalSize(v1::ReadRequest request) {
  request.set_tenant(tenant);
  request.set_limit(1);
  Backoff backoff(retry_ms);
  while (true) {
    Call call(this, limits::kUnaryDeadlineMs);
    auto stream = stub->Read(&call.context, request);
    v1::ReadResponse response, more;
    const bool got = stream->Read(&response);
    while (got && stream->Read(&more)) {
    }
    const Status status = FromGrpc(stream->Finish());
    if (status.ok()) return got ? response.total_size() : 0;
    if (!ShouldRetry(status) || !backoff.Wait()) return Explain(status);
  }
}

Status ArtifactClient::Download(const std::string& id_or_alias, const std::string& dir,
                                const TransferCallback& progress) {
  SWAGE_ASSIGN_OR_RETURN(const Manifest manifest, GetManifest(id_or_alias));
  // From here on by id: an alias may move meanwhile.
  return swage::Download(state_.get(), manifest, manifest.Id().Hex(), dir, progress).Run();
}

Status ArtifactClient::DownloadObject(const Digest& object, const std::string& path) {
  SWAGE_ASSIGN_OR_RETURN(const uint64_t size, ObjectSize(object));
  v1::ReadRequest request;
  request.set_object(Bytes(object));
  SWAGE_RETURN_IF_ERROR(Env::Posix()->CreateDirs(DirName(path)));
  SWAGE_ASSIGN_OR_RETURN(PartFile out, PartFile::Open(path, size));
  ManifestFile file;
  file.path = BaseName(path);
  file.size = size;
  file.parts.push_back({0, size, object, "", "", {}});
  PartSink sink(file, Range{0, 0, 1, 0, size}, &out);
  SWAGE_RETURN_IF_ERROR(state_->Read(request, 0, size, [&](std::string_view bytes) { return sink.Take(bytes); }));
  SWAGE_RETURN_IF_ERROR(out.Finish());
  return Env::Posix()->SyncDir(DirName(path));
}

StatusOr<std::string> ArtifactClient::ReadRange(const std::string& id_or_alias, const std::string& path,
                                                uint64_t offset, uint64_t size) {
  v1::ReadRequest request;
  request.mutable_file()->set_artifact(id_or_alias);
  request.mutable_file()->set_path(path);
  std::string bytes;
  bytes.reserve(size);
  SWAGE_RETURN_IF_ERROR(state_->Read(request, offset, size, [&](std::string_view more) {
    bytes.append(more);
    return absl::OkStatus();
  }));
  return bytes;
}

StatusOr<std::string> ArtifactClient::ReadObject(const Digest& object, uint64_t max_bytes) {
  SWAGE_ASSIGN_OR_RETURN(const uint64_t size, ObjectSize(object));
  if (size > max_bytes) {
    return InvalidInput("OBJECT_TOO_LARGE", Cat("the object has ", size, " bytes, at most ", max_bytes, " are read here"));
  }
  v1::ReadRequest request;
  request.set_object(Bytes(object));
  std::string bytes;
  bytes.reserve(size);
  SWAGE_RETURN_IF_ERROR(state_->Read(request, 0, size, [&](std::string_view more) {
    bytes.append(more);
    return absl::OkStatus();
  }));
  if (Sha256Of(bytes) != object) return DataLoss("DOWNLOAD_CORRUPT", Cat("object ", object.Hex(), " arrived damaged"));
  return bytes;
}

StatusOr<uint64_t> ArtifactClient::ObjectSize(const Digest& object) {
  v1::ReadRequest request;
  request.set_object(Bytes(object));
  return state_->TotalSize(std::move(request));
}

}  // namespace swage
