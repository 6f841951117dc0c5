#include "kernels/cpu/numerics_class.h"

#include "base/text.h"
#include "kernels/cpu/families_cpu.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/simd.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstring>
#endif

namespace swage::cpu {
namespace {

#if defined(__x86_64__)
std::string CpuModel() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  char vendor[13] = {};
  if (__get_cpuid(0, &eax, &ebx, &ecx, &edx) == 0) return "x86";
  std::memcpy(vendor, &ebx, 4);
  std::memcpy(vendor + 4, &edx, 4);
  std::memcpy(vendor + 8, &ecx, 4);
  std::string name = vendor;
  if (name == "AuthenticAMD") name = "amd";
  if (name == "GenuineIntel") name = "intel";
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return name;
  unsigned family = (eax >> 8) & 0xf, model = (eax >> 4) & 0xf;
  if (family == 0xf || family == 6) model += ((eax >> 16) & 0xf) << 4;
  if (family == 0xf) family += (eax >> 20) & 0xff;
  return Cat(name, "-", family, "-", model);
}
#else
std::string CpuModel() { return "other"; }
#endif

}  // namespace

std::string NumericsClassOf(int threads) {
  return Cat("cpu/", CpuModel(), "/", OneDnnIsa(), "/hwy-", SimdName(), "/onednn-", OneDnnVersion(),
             "/openblas-", OpenBlasName(), "/t", threads);
}

}  // namespace swage::cpu
