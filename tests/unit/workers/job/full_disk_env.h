// The machine's files, on a disk that is full after so many bytes.
#pragma once

#include <cerrno>
#include <memory>

#include "base/env.h"

namespace swage {

class FullDiskEnv : public Env {
 public:
  explicit FullDiskEnv(uint64_t budget) : left_(std::make_shared<uint64_t>(budget)) {}

  StatusOr<std::unique_ptr<WritableFile>> NewWritableFile(const std::string& path) override {
    SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, real_->NewWritableFile(path));
    return std::unique_ptr<WritableFile>(std::make_unique<File>(std::move(file), left_));
  }
  StatusOr<std::unique_ptr<WritableFile>> NewAppendableFile(const std::string& path) override {
    SWAGE_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, real_->NewAppendableFile(path));
    return std::unique_ptr<WritableFile>(std::make_unique<File>(std::move(file), left_));
  }
  StatusOr<std::unique_ptr<ReadableFile>> NewReadableFile(const std::string& path) override {
    return real_->NewReadableFile(path);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    return real_->Rename(from, to);
  }
  Status Link(const std::string& existing, const std::string& link) override {
    return real_->Link(existing, link);
  }
  Status Remove(const std::string& path) override { return real_->Remove(path); }
  Status RemoveTree(const std::string& path) override { return real_->RemoveTree(path); }
  Status CreateDirs(const std::string& path, int mode) override {
    return real_->CreateDirs(path, mode);
  }
  Status SyncDir(const std::string& path) override { return real_->SyncDir(path); }
  StatusOr<std::vector<DirEntry>> ListDir(const std::string& path) override {
    return real_->ListDir(path);
  }
  bool Exists(const std::string& path) override { return real_->Exists(path); }
  StatusOr<uint64_t> FileSize(const std::string& path) override { return real_->FileSize(path); }
  StatusOr<uint64_t> FreeBytes(const std::string& path) override { return real_->FreeBytes(path); }
  StatusOr<std::unique_ptr<FileLock>> Lock(const std::string& path, bool wait) override {
    return real_->Lock(path, wait);
  }

 private:
  class File : public WritableFile {
   public:
    File(std::unique_ptr<WritableFile> file, std::shared_ptr<uint64_t> left)
        : file_(std::move(file)), left_(std::move(left)) {}
    Status Append(std::string_view bytes) override {
      if (bytes.size() > *left_) return PosixError(ENOSPC, "write");
      *left_ -= bytes.size();
      return file_->Append(bytes);
    }
    Status Sync() override { return file_->Sync(); }
    Status Close() override { return file_->Close(); }

   private:
    std::unique_ptr<WritableFile> file_;
    std::shared_ptr<uint64_t> left_;
  };

  Env* real_ = Env::Posix();
  std::shared_ptr<uint64_t> left_;
};

}  // namespace swage
