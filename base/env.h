// Files, behind an interface so that tests can inject faults (full disk, lost unsynced writes, torn writes).
// Thread-safe; a WritableFile is for one thread. Errors name the path.
//
//   SWAGE_ASSIGN_OR_RETURN(auto file, env->NewWritableFile(tmp));
//   SWAGE_RETURN_IF_ERROR(file->Append(bytes));
//   SWAGE_RETURN_IF_ERROR(file->Sync());
//   SWAGE_RETURN_IF_ERROR(file->Close());
//   SWAGE_RETURN_IF_ERROR(env->Rename(tmp, final_path));
//   SWAGE_RETURN_IF_ERROR(env->SyncDir(dir));
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace swage {

class WritableFile {
 public:
  virtual ~WritableFile() = default;  // closes without syncing
  virtual Status Append(std::string_view bytes) = 0;
  virtual Status Sync() = 0;  // fdatasync
  virtual Status Close() = 0;
};

class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  // Reads exactly `size` bytes at `offset`; fewer is OUT_OF_RANGE/FILE_TRUNCATED. Thread-safe (pread).
  virtual Status ReadAt(uint64_t offset, size_t size, char* out) const = 0;
  virtual uint64_t size() const = 0;
};

// An exclusive advisory lock (flock), held until destroyed; released by the kernel when the process dies.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

struct DirEntry {
  std::string name;
  bool is_dir = false;
  bool is_symlink = false;
  uint64_t size = 0;
};

class Env {
 public:
  virtual ~Env() = default;
  static Env* Posix();  // never destroyed

  virtual StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string& path) = 0;  // truncates
  virtual StatusOr<std::unique_ptr<WritableFile>> NewAppendableFile(const std::string& path) = 0;
  // Regular files only: anything else is INVALID_ARGUMENT/NOT_A_FILE.
  virtual StatusOr<std::unique_ptr<ReadableFile>> NewReadableFile(const std::string& path) = 0;
  virtual Status Rename(const std::string& from, const std::string& to) = 0;  // atomic, replaces
  virtual Status Link(const std::string& existing, const std::string& link) = 0;  // hard link; EEXIST is an error
  virtual Status Remove(const std::string& path) = 0;  // a file
  virtual Status RemoveTree(const std::string& path) = 0;  // follows no link; OK when nothing is there
  virtual Status CreateDirs(const std::string& path, int mode = 0755) = 0;
  virtual Status SyncDir(const std::string& path) = 0;
  virtual StatusOr<std::vector<DirEntry>> ListDir(const std::string& path) = 0;  // sorted by name
  virtual bool Exists(const std::string& path) = 0;
  virtual StatusOr<uint64_t> FileSize(const std::string& path) = 0;
  virtual StatusOr<uint64_t> FreeBytes(const std::string& path) = 0;
  // Waits while another process holds it; `wait` false: UNAVAILABLE/LOCKED at once.
  virtual StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path, bool wait) = 0;
};

StatusOr<std::string> ReadFile(Env* env, const std::string& path, uint64_t max_bytes);
// Write to "<path>.tmp.<pid>", sync, rename, sync the folder: after a crash the old or the new content is there.
Status WriteFileAtomic(Env* env, const std::string& path, std::string_view bytes);

// A read-only memory mapping of a whole file. Movable. The bytes stay valid until destroyed.
class MappedFile {
 public:
  static StatusOr<MappedFile> Open(const std::string& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();
  std::string_view bytes() const { return {static_cast<const char*>(data_), size_}; }
  // Tells the kernel that [offset, offset + size) will soon be read / is no longer needed.
  void WillNeed(uint64_t offset, uint64_t size) const;
  void DontNeed(uint64_t offset, uint64_t size) const;

 private:
  const void* data_ = nullptr;
  size_t size_ = 0;
};

// A path from outside, relative to a folder: neither empty nor absolute, no "." or ".." or empty part, no control
// character, no backslash, at most 1024 bytes, 255 a part: else INVALID_ARGUMENT/PATH_ESCAPES.
Status CheckRelativePath(std::string_view relative);
// JoinPath of a `relative` that passes CheckRelativePath.
StatusOr<std::string> SafeJoin(const std::string& root, std::string_view relative);
std::string JoinPath(const std::string& a, std::string_view b);
std::string BaseName(const std::string& path);
std::string DirName(const std::string& path);

// A unique folder under $TMPDIR or /tmp, removed with its content at the end of its life.
class TempDir {
 public:
  explicit TempDir(std::string_view prefix = "swage");
  ~TempDir();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace swage
