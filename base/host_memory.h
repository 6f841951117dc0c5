// The memory that this process and its children can have: the machine's, or that of the control group (version 1 or 2)
// that they are in, whichever is less.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace swage {

struct MachineMemory {
  uint64_t total = 0;
  uint64_t available = 0;  // without pushing others out: free, or cache that can be dropped
};
// `root` stands before /proc and /sys. Zeros where nothing can be read.
MachineMemory ReadHostMemory(const std::string& root = "");
// What a process holds and the kernel cannot drop. 0 when it is gone.
uint64_t AnonymousBytesOf(pid_t pid);

}  // namespace swage
