// What is built on Env: whole files, mappings, paths, temporary folders.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "base/env.h"
#include "base/rng.h"
#include "base/text.h"

namespace swage {

StatusOr<std::string> ReadFile(Env* env, const std::string& path, uint64_t max_bytes) {
  SWAGE_ASSIGN_OR_RETURN(auto file, env->NewReadableFile(path));
  if (file->size() > max_bytes) {
    return InvalidInput("FILE_TOO_LARGE", Cat(path, " has ", file->size(), " bytes; at most ", max_bytes, " are read"),
                        "check that this is the right file");
  }
  std::string bytes(file->size(), '\0');
  SWAGE_RETURN_IF_ERROR(file->ReadAt(0, bytes.size(), bytes.data()));
  return bytes;
}

Status WriteFileAtomic(Env* env, const std::string& path, std::string_view bytes) {
  const std::string temporary = Cat(path, ".tmp.", ::getpid());
  const Status written = [&]() -> Status {
    SWAGE_ASSIGN_OR_RETURN(auto file, env->NewWritableFile(temporary));
    SWAGE_RETURN_IF_ERROR(file->Append(bytes));
    SWAGE_RETURN_IF_ERROR(file->Sync());
    SWAGE_RETURN_IF_ERROR(file->Close());
    return env->Rename(temporary, path);
  }();
  if (!written.ok()) {
    env->Remove(temporary).IgnoreError();  // the first error is the one to tell
    return written;
  }
  return env->SyncDir(DirName(path));
}

StatusOr<MappedFile> MappedFile::Open(const std::string& path) {
  int fd;
  do {
    fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return PosixError(errno, Cat("cannot open ", path));
  struct stat info{};
  Status failed;
  MappedFile mapped;
  if (::fstat(fd, &info) != 0) {
    failed = PosixError(errno, Cat("cannot stat ", path));
  } else if (!S_ISREG(info.st_mode)) {
    failed = InvalidInput("NOT_A_FILE", Cat(path, " is not a regular file"));
  } else if (info.st_size > 0) {  // an empty file cannot be mapped, and needs no mapping
    void* data = ::mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      failed = PosixError(errno, Cat("cannot map ", path));
    } else {
      mapped.data_ = data;
      mapped.size_ = static_cast<size_t>(info.st_size);
    }
  }
  ::close(fd);
  if (!failed.ok()) return failed;
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<void*>(data_), size_);
}

namespace {
uint64_t PageBytes() {
  static const auto bytes = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}
}  // namespace

void MappedFile::WillNeed(uint64_t offset, uint64_t size) const {
  if (data_ == nullptr || offset >= size_) return;
  const uint64_t begin = offset / PageBytes() * PageBytes();
  const uint64_t end = offset + std::min<uint64_t>(size, size_ - offset);
  auto* base = static_cast<char*>(const_cast<void*>(data_));
  ::madvise(base + begin, end - begin, MADV_WILLNEED);
}

void MappedFile::DontNeed(uint64_t offset, uint64_t size) const {
  if (data_ == nullptr || offset >= size_) return;
  // Rounded inwards: a page shared with a neighbour stays, except the file's last one.
  const uint64_t begin = (offset + PageBytes() - 1) / PageBytes() * PageBytes();
  uint64_t end = offset + std::min<uint64_t>(size, size_ - offset);
  if (end < size_) end = end / PageBytes() * PageBytes();
  if (begin >= end) return;
  auto* base = static_cast<char*>(const_cast<void*>(data_));
  ::madvise(base + begin, end - begin, MADV_DONTNEED);
}

Status CheckRelativePath(std::string_view relative) {
  const auto escapes = [&](std::string_view why) {
    return InvalidInput("PATH_ESCAPES", Cat("'", relative.substr(0, 200), "' ", why),
                        "use a relative path with '/' between its parts, without '..'");
  };
  if (relative.empty()) return escapes("is an empty path");
  if (relative.size() > 1024) return escapes("has more than 1024 bytes");
  if (relative.front() == '/') return escapes("is an absolute path");
  for (const char c : relative) {
    if (c == '\\') return escapes("contains a backslash");
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return escapes("contains a control character");
  }
  for (const std::string& part : Split(relative, '/')) {
    if (part.empty()) return escapes("has an empty part");
    if (part == "." || part == "..") return escapes(Cat("has the part '", part, "'"));
    if (part.size() > 255) return escapes("has a part of more than 255 bytes");
  }
  return absl::OkStatus();
}

StatusOr<std::string> SafeJoin(const std::string& root, std::string_view relative) {
  SWAGE_RETURN_IF_ERROR(CheckRelativePath(relative));
  return JoinPath(root, relative);
}

std::string JoinPath(const std::string& a, std::string_view b) {
  if (a.empty()) return std::string(b);
  if (b.empty()) return a;
  return a.back() == '/' ? Cat(a, b) : Cat(a, "/", b);
}

namespace {
std::string_view WithoutTrailingSlashes(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  return path;
}
}  // namespace

std::string BaseName(const std::string& path) {
  const std::string_view clean = WithoutTrailingSlashes(path);
  if (clean == "/") return "/";
  return std::string(clean.substr(clean.rfind('/') + 1));  // npos + 1 is 0
}

std::string DirName(const std::string& path) {
  const std::string_view clean = WithoutTrailingSlashes(path);
  const size_t slash = clean.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(WithoutTrailingSlashes(clean.substr(0, slash == 0 ? 1 : slash)));
}

TempDir::TempDir(std::string_view prefix) {
  const char* root = std::getenv("TMPDIR");
  path_ = JoinPath(root != nullptr && *root != '\0' ? root : "/tmp", Cat(prefix, "-", RandomHex(8)));
  const Status created = Env::Posix()->CreateDirs(path_, 0700);
  SWAGE_CHECK(created.ok(), created.ToString());
}

TempDir::~TempDir() { Env::Posix()->RemoveTree(path_).IgnoreError(); }

}  // namespace swage
