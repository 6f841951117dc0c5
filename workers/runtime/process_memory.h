// Memory of this process, from /proc. Bytes; 0 where /proc cannot be read.
#pragma once

#include <cstdint>

namespace swage {

uint64_t ResidentBytes();      // now, mapped files included
uint64_t AnonymousBytes();     // now, without mapped files: what a memory limit counts
uint64_t PeakResidentBytes();  // since the start or the last ResetPeak
// From here on what is freed in pieces of 4 MB or more goes back to the system at once: the heap
// would keep it, and next to it the next block's.
void ReturnWhatIsFreed();
void ResetPeak();              // best effort: without the right to, the peak goes on from the start

}  // namespace swage
