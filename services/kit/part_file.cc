#include "services/kit/part_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

namespace swage {

PartFile::PartFile(PartFile&& other) noexcept { *this = std::move(other); }

PartFile& PartFile::operator=(PartFile&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(resumed_, other.resumed_);
  std::swap(path_, other.path_);
  std::swap(final_path_, other.final_path_);
  return *this;
}

PartFile::~PartFile() {
  if (fd_ >= 0) ::close(fd_);
}

StatusOr<PartFile> PartFile::Open(const std::string& final_path, uint64_t size) {
  PartFile file;
  file.final_path_ = final_path;
  file.path_ = final_path + ".part";
  // O_NOFOLLOW: a link that somebody planted must not make us write elsewhere.
  file.fd_ = ::open(file.path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (file.fd_ < 0) return PosixError(errno, Cat("opening ", file.path_));
  struct stat info {};
  if (::fstat(file.fd_, &info) != 0) return PosixError(errno, Cat("reading the size of ", file.path_));
  file.resumed_ = info.st_size > 0;
  if (::ftruncate(file.fd_, static_cast<off_t>(size)) != 0) return PosixError(errno, Cat("sizing ", file.path_));
  return file;
}

Status PartFile::Write(uint64_t offset, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return PosixError(errno, Cat("writing ", path_));
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return absl::OkStatus();
}

Status PartFile::Read(uint64_t offset, size_t size, char* out) const {
  while (size > 0) {
    const ssize_t n = ::pread(fd_, out, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return PosixError(errno, Cat("reading ", path_));
    if (n == 0) return DataLoss("FILE_TRUNCATED", Cat(path_, " became shorter while it was read"));
    out += n;
    offset += static_cast<uint64_t>(n);
    size -= static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

Status PartFile::Finish() {
  if (::fdatasync(fd_) != 0) return PosixError(errno, Cat("syncing ", path_));
  if (::rename(path_.c_str(), final_path_.c_str()) != 0) return PosixError(errno, Cat("renaming ", path_));
  return absl::OkStatus();
}

}  // namespace swage
