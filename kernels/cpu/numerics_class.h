// What the bits of the CPU's results depend on: CPU vendor, family and model (oneDNN blocks by its
// caches), instruction sets, library version, threads.
// "cpu/amd-25-17/avx512_bf16/hwy-avx3/onednn-2.6.3/t2"
#pragma once

#include <string>

namespace swage::cpu {

std::string NumericsClassOf(int threads);

}  // namespace swage::cpu
