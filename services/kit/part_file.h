// A file that is being downloaded: "<path>.part", written in any order by several threads, then synced and renamed.
// What an interrupted download left in it is kept, so that the next one can check it and go on.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace swage {

class PartFile {
 public:
  PartFile() = default;
  PartFile(PartFile&& other) noexcept;
  PartFile& operator=(PartFile&& other) noexcept;
  ~PartFile();  // leaves the .part file

  static StatusOr<PartFile> Open(const std::string& final_path, uint64_t size);
  bool resumed() const { return resumed_; }  // it was there before
  Status Write(uint64_t offset, std::string_view bytes);      // thread-safe
  Status Read(uint64_t offset, size_t size, char* out) const;  // thread-safe
  Status Finish();  // fdatasync, rename to the final path; the folder is synced by the caller

 private:
  int fd_ = -1;
  bool resumed_ = false;
  std::string path_, final_path_;
};

}  // namespace swage
