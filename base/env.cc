#include "base/env.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "base/text.h"

namespace swage {
namespace {

constexpr size_t kLargestTransfer = size_t{1} << 30;  // Linux moves at most about 2 GiB a call

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

int OpenRetrying(const std::string& path, int flags, int mode = 0644) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

class PosixWritableFile : public WritableFile {
 public:
  PosixWritableFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}

  Status Append(std::string_view bytes) override {
    if (fd_.get() < 0) return Internal(Cat("append to ", path_, " after it was closed"));
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_.get(), bytes.data(), std::min(bytes.size(), kLargestTransfer));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return PosixError(errno, Cat("cannot write ", path_));
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  Status Sync() override {
    if (fd_.get() < 0) return Internal(Cat("sync of ", path_, " after it was closed"));
    // A failed fdatasync is never tried again: the kernel may have dropped the pages that it could not write.
    if (::fdatasync(fd_.get()) != 0) return PosixError(errno, Cat("cannot sync ", path_));
    return absl::OkStatus();
  }

  Status Close() override {
    const int fd = fd_.release();
    // EINTR: Linux has closed the descriptor all the same.
    if (fd >= 0 && ::close(fd) != 0 && errno != EINTR) return PosixError(errno, Cat("cannot close ", path_));
    return absl::OkStatus();
  }

 private:
  Descriptor fd_;
  const std::string path_;
};

class PosixReadableFile : public ReadableFile {
 public:
  PosixReadableFile(int fd, uint64_t size, std::string path) : fd_(fd), size_(size), path_(std::move(path)) {}

  Status ReadAt(uint64_t offset, size_t size, char* out) const override {
    if (offset > size_ || size > size_ - offset) return Truncated(offset, size);
    for (size_t done = 0; done < size;) {
      const ssize_t got = ::pread(fd_.get(), out + done, std::min(size - done, kLargestTransfer),
                                  static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return PosixError(errno, Cat("cannot read ", path_));
      if (got == 0) return Truncated(offset, size);  // shrunk since it was opened
      done += static_cast<size_t>(got);
    }
    return absl::OkStatus();
  }

  uint64_t size() const override { return size_; }

 private:
  Status Truncated(uint64_t offset, size_t size) const {
    return Error(StatusCode::kOutOfRange, "FILE_TRUNCATED",
                 Cat(path_, ": ", size, " bytes at ", offset, " asked, the file has ", size_, " or fewer"),
                 "fetch or write the file again");
  }

  Descriptor fd_;
  const uint64_t size_;
  const std::string path_;
};

class PosixFileLock : public FileLock {
 public:
  explicit PosixFileLock(int fd) : fd_(fd) {}

 private:
  Descriptor fd_;  // closing it releases the lock
};

class PosixEnv : public Env {
 public:
  StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string& path) override {
    return OpenForWriting(path, O_TRUNC);
  }
  StatusOr<std::unique_ptr<WritableFile>> NewAppendableFile(const std::string& path) override {
    return OpenForWriting(path, O_APPEND);
  }

  StatusOr<std::unique_ptr<ReadableFile>> NewReadableFile(const std::string& path) override {
    // O_NONBLOCK: opening a FIFO that somebody left in a folder must not wait for its writer.
    Descriptor fd(OpenRetrying(path, O_RDONLY | O_NONBLOCK));
    if (fd.get() < 0) return PosixError(errno, Cat("cannot open ", path));
    struct stat info{};
    if (::fstat(fd.get(), &info) != 0) return PosixError(errno, Cat("cannot stat ", path));
    if (!S_ISREG(info.st_mode)) return InvalidInput("NOT_A_FILE", Cat(path, " is not a regular file"));
    return std::make_unique<PosixReadableFile>(fd.release(), static_cast<uint64_t>(info.st_size), path);
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return PosixError(errno, Cat("cannot rename ", from, " to ", to));
    return absl::OkStatus();
  }

  Status Link(const std::string& existing, const std::string& link) override {
    if (::link(existing.c_str(), link.c_str()) != 0) {
      return PosixError(errno, Cat("cannot link ", link, " to ", existing));
    }
    return absl::OkStatus();
  }

  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return PosixError(errno, Cat("cannot remove ", path));
    return absl::OkStatus();
  }

  Status RemoveTree(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);  // follows no symbolic link
    if (error) return PosixError(error.value(), Cat("cannot remove ", path));
    return absl::OkStatus();
  }

  Status CreateDirs(const std::string& path, int mode) override {
    for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
      const std::string part = path.substr(0, end);
      if (::mkdir(part.c_str(), static_cast<mode_t>(mode)) != 0 && errno != EEXIST) {
        const int mkdir_error = errno;
        // A read-only file system says so even of a folder that is there.
        if (!IsFolder(part)) return PosixError(mkdir_error, Cat("cannot create ", part));
      }
      if (end == std::string::npos) break;
    }
    if (!IsFolder(path)) return PosixError(ENOTDIR, Cat("cannot create ", path));
    return absl::OkStatus();
  }

  Status SyncDir(const std::string& path) override {
    Descriptor fd(OpenRetrying(path, O_RDONLY | O_DIRECTORY));
    if (fd.get() < 0) return PosixError(errno, Cat("cannot open ", path));
    if (::fsync(fd.get()) != 0) return PosixError(errno, Cat("cannot sync ", path));
    return absl::OkStatus();
  }

  StatusOr<std::vector<DirEntry>> ListDir(const std::string& path) override {
    DIR* dir = ::opendir(path.c_str());
    if (dir == nullptr) return PosixError(errno, Cat("cannot list ", path));
    std::unique_ptr<DIR, int (*)(DIR*)> closer(dir, ::closedir);
    std::vector<DirEntry> entries;
    for (;;) {
      errno = 0;
      const dirent* found = ::readdir(dir);
      if (found == nullptr) {
        if (errno != 0) return PosixError(errno, Cat("cannot list ", path));
        break;
      }
      DirEntry entry{.name = found->d_name};
      if (entry.name == "." || entry.name == "..") continue;
      struct stat info{};
      if (::fstatat(::dirfd(dir), found->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) continue;  // removed meanwhile
        return PosixError(errno, Cat("cannot stat ", JoinPath(path, entry.name)));
      }
      entry.is_dir = S_ISDIR(info.st_mode);
      entry.is_symlink = S_ISLNK(info.st_mode);
      entry.size = entry.is_dir ? 0 : static_cast<uint64_t>(info.st_size);
      entries.push_back(std::move(entry));
    }
    std::sort(entries.begin(), entries.end(),
              [](const DirEntry& a, const DirEntry& b) { return a.name < b.name; });
    return entries;
  }

  bool Exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }

  StatusOr<uint64_t> FileSize(const std::string& path) override {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return PosixError(errno, Cat("cannot stat ", path));
    return static_cast<uint64_t>(info.st_size);
  }

  StatusOr<uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs info{};
    if (::statvfs(path.c_str(), &info) != 0) return PosixError(errno, Cat("cannot stat the disk of ", path));
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }

  StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path, bool wait) override {
    Descriptor fd(OpenRetrying(path, O_RDWR | O_CREAT));
    if (fd.get() < 0) return PosixError(errno, Cat("cannot open ", path));
    int result;
    do {
      result = ::flock(fd.get(), LOCK_EX | (wait ? 0 : LOCK_NB));
    } while (result != 0 && errno == EINTR);
    if (result != 0 && errno == EWOULDBLOCK) {
      return Unavailable("LOCKED", Cat(path, " is locked by another process"),
                         "stop the other process that uses this folder, or use another folder");
    }
    if (result != 0) return PosixError(errno, Cat("cannot lock ", path));
    return std::make_unique<PosixFileLock>(fd.release());
  }

 private:
  static bool IsFolder(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }

  static StatusOr<std::unique_ptr<WritableFile>> OpenForWriting(const std::string& path, int flags) {
    const int fd = OpenRetrying(path, O_WRONLY | O_CREAT | flags);
    if (fd < 0) return PosixError(errno, Cat("cannot open ", path, " for writing"));
    return std::make_unique<PosixWritableFile>(fd, path);
  }
};

}  // namespace

Env* Env::Posix() {
  static Env* env = new PosixEnv;
  return env;
}

}  // namespace swage
