// Eight codes of b bits are exactly b bytes of the stream, so a row is packed octet by octet: three
// steps of pairing neighbours (bytes, then 2b-bit pairs, then 4b-bit quads) inside 64-bit lanes,
// several octets to a vector.
#include <bit>
#include <cstring>

#include "kernels/cpu/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/simd_pack.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace swage::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

static_assert(std::endian::native == std::endian::little,
              "the packed stream is written with 64-bit stores");

#if HWY_TARGET == HWY_SCALAR  // a vector of one 64-bit lane has no byte lanes

void PackRow(int64_t n, int bits, const int8_t* codes, uint32_t* words) {
  for (int64_t i = 0; i < PackedWords(n, bits); ++i) words[i] = PackedWord(codes, n, bits, i);
}
void UnpackRow(int64_t n, int bits, const uint32_t* words, int8_t* codes) {
  for (int64_t i = 0; i < n; ++i) codes[i] = UnpackedCode(words, bits, i);
}

#else

using Octet = hn::ScalableTag<uint64_t>;
using Bytes = hn::Repartition<uint8_t, Octet>;
using VO = hn::Vec<Octet>;

HWY_INLINE VO Mask(uint64_t bits) { return hn::Set(Octet(), bits); }

// The low `bits` of every `every` bits.
constexpr uint64_t Fields(int bits, int every) {
  uint64_t field = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1, all = 0;
  for (int at = 0; at < 64; at += every) all |= field << at;
  return all;
}

template <int kBits>
HWY_INLINE VO PackOctets(const int8_t* codes) {
  const Octet d;
  const Bytes db;
  const auto raw = hn::LoadU(db, reinterpret_cast<const uint8_t*>(codes));
  const auto offset = hn::Set(db, static_cast<uint8_t>(1 << (kBits - 1)));
  VO x = hn::And(hn::BitCast(d, hn::Add(raw, offset)), Mask(Fields(kBits, 8)));
  x = hn::Or(hn::And(x, Mask(Fields(8, 16))),
             hn::ShiftRight<8 - kBits>(hn::AndNot(Mask(Fields(8, 16)), x)));
  x = hn::Or(hn::And(x, Mask(Fields(16, 32))),
             hn::ShiftRight<16 - 2 * kBits>(hn::AndNot(Mask(Fields(16, 32)), x)));
  return hn::Or(hn::And(x, Mask(Fields(32, 64))),
                hn::ShiftRight<32 - 4 * kBits>(hn::AndNot(Mask(Fields(32, 64)), x)));
}

template <int kBits>
HWY_INLINE void UnpackOctets(VO x, int8_t* codes) {
  const Bytes db;
  x = hn::And(x, Mask(Fields(8 * kBits, 64)));
  x = hn::Or(hn::And(x, Mask(Fields(4 * kBits, 64))),
             hn::ShiftLeft<32 - 4 * kBits>(hn::AndNot(Mask(Fields(4 * kBits, 64)), x)));
  x = hn::Or(hn::And(x, Mask(Fields(2 * kBits, 32))),
             hn::ShiftLeft<16 - 2 * kBits>(hn::AndNot(Mask(Fields(2 * kBits, 32)), x)));
  x = hn::Or(hn::And(x, Mask(Fields(kBits, 16))),
             hn::ShiftLeft<8 - kBits>(hn::AndNot(Mask(Fields(kBits, 16)), x)));
  const auto offset = hn::Set(db, static_cast<uint8_t>(1 << (kBits - 1)));
  hn::StoreU(hn::Sub(hn::BitCast(db, x), offset), db, reinterpret_cast<uint8_t*>(codes));
}

template <int kBits>
void PackRowOf(int64_t n, const int8_t* codes, uint32_t* words) {
  const Octet d;
  const int64_t lanes = hn::Lanes(d);
  auto* out = reinterpret_cast<uint8_t*>(words);
  const int64_t out_bytes = 4 * PackedWords(n, kBits);
  HWY_ALIGN uint64_t octets[hn::MaxLanes(d)];
  int64_t octet = 0;
  // A lane is stored with 8 bytes, of which the next lane overwrites what is beyond its own kBits.
  for (; (octet + lanes) * 8 <= n && (octet + lanes - 1) * kBits + 8 <= out_bytes; octet += lanes) {
    hn::Store(PackOctets<kBits>(codes + octet * 8), d, octets);
    for (int64_t i = 0; i < lanes; ++i) std::memcpy(out + (octet + i) * kBits, octets + i, 8);
  }
  // The word that the rest begins in; its earlier bytes are done.
  const int64_t first = octet * kBits / 4;
  const int64_t done = octet * kBits - first * 4;
  for (int64_t i = first; i < out_bytes / 4; ++i) {
    const uint32_t word = PackedWord(codes, n, kBits, i);
    const int64_t skip = i == first ? done : 0;
    std::memcpy(out + i * 4 + skip, reinterpret_cast<const uint8_t*>(&word) + skip, 4 - skip);
  }
}

template <int kBits>
void UnpackRowOf(int64_t n, const uint32_t* words, int8_t* codes) {
  const Octet d;
  const int64_t lanes = hn::Lanes(d);
  const auto* in = reinterpret_cast<const uint8_t*>(words);
  const int64_t in_bytes = 4 * PackedWords(n, kBits);
  HWY_ALIGN uint64_t octets[hn::MaxLanes(d)];
  int64_t octet = 0;
  for (; (octet + lanes) * 8 <= n && (octet + lanes - 1) * kBits + 8 <= in_bytes; octet += lanes) {
    for (int64_t i = 0; i < lanes; ++i) std::memcpy(octets + i, in + (octet + i) * kBits, 8);
    UnpackOctets<kBits>(hn::Load(d, octets), codes + octet * 8);
  }
  for (int64_t i = octet * 8; i < n; ++i) codes[i] = UnpackedCode(words, kBits, i);
}

// 4 and 8 bits are what most models are stored in: whole vectors instead of single lanes.
template <>
void PackRowOf<4>(int64_t n, const int8_t* codes, uint32_t* words) {
  const Octet d;
  const hn::Repartition<uint32_t, Octet> dw;
  const int64_t codes_per_vector = 8 * static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + 2 * codes_per_vector <= n; i += 2 * codes_per_vector) {
    const auto low = hn::BitCast(dw, PackOctets<4>(codes + i));
    const auto high = hn::BitCast(dw, PackOctets<4>(codes + i + codes_per_vector));
    hn::StoreU(hn::ConcatEven(dw, high, low), dw, words + i / 8);
  }
  for (int64_t word = i / 8; word < PackedWords(n, 4); ++word)
    words[word] = PackedWord(codes, n, 4, word);
}

template <>
void UnpackRowOf<4>(int64_t n, const uint32_t* words, int8_t* codes) {
  const Octet d;
  const hn::Rebind<uint32_t, Octet> dw;
  const int64_t codes_per_vector = 8 * static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + codes_per_vector <= n; i += codes_per_vector) {
    UnpackOctets<4>(hn::PromoteTo(d, hn::LoadU(dw, words + i / 8)), codes + i);
  }
  for (; i < n; ++i) codes[i] = UnpackedCode(words, 4, i);
}

template <>
void PackRowOf<8>(int64_t n, const int8_t* codes, uint32_t* words) {
  const Bytes db;
  const int64_t lanes = hn::Lanes(db);
  auto* out = reinterpret_cast<uint8_t*>(words);
  const auto* in = reinterpret_cast<const uint8_t*>(codes);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Add(hn::LoadU(db, in + i), hn::Set(db, 0x80)), db, out + i);
  }
  for (; i < n; ++i) out[i] = static_cast<uint8_t>(in[i] + 0x80);
  std::memset(out + n, 0, 4 * PackedWords(n, 8) - n);
}

template <>
void UnpackRowOf<8>(int64_t n, const uint32_t* words, int8_t* codes) {
  const Bytes db;
  const int64_t lanes = hn::Lanes(db);
  auto* out = reinterpret_cast<uint8_t*>(codes);
  const auto* in = reinterpret_cast<const uint8_t*>(words);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Sub(hn::LoadU(db, in + i), hn::Set(db, 0x80)), db, out + i);
  }
  for (; i < n; ++i) out[i] = static_cast<uint8_t>(in[i] - 0x80);
}

void PackRow(int64_t n, int bits, const int8_t* codes, uint32_t* words) {
  switch (bits) {
    case 2:
      return PackRowOf<2>(n, codes, words);
    case 3:
      return PackRowOf<3>(n, codes, words);
    case 4:
      return PackRowOf<4>(n, codes, words);
    case 5:
      return PackRowOf<5>(n, codes, words);
    case 6:
      return PackRowOf<6>(n, codes, words);
    case 7:
      return PackRowOf<7>(n, codes, words);
    default:
      return PackRowOf<8>(n, codes, words);
  }
}

void UnpackRow(int64_t n, int bits, const uint32_t* words, int8_t* codes) {
  switch (bits) {
    case 2:
      return UnpackRowOf<2>(n, words, codes);
    case 3:
      return UnpackRowOf<3>(n, words, codes);
    case 4:
      return UnpackRowOf<4>(n, words, codes);
    case 5:
      return UnpackRowOf<5>(n, words, codes);
    case 6:
      return UnpackRowOf<6>(n, words, codes);
    case 7:
      return UnpackRowOf<7>(n, words, codes);
    default:
      return UnpackRowOf<8>(n, words, codes);
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {

HWY_EXPORT(PackRow);
HWY_EXPORT(UnpackRow);

void PackRow(int64_t n, int bits, const int8_t* codes, uint32_t* words) {
  HWY_DYNAMIC_DISPATCH(PackRow)(n, bits, codes, words);
}
void UnpackRow(int64_t n, int bits, const uint32_t* words, int8_t* codes) {
  HWY_DYNAMIC_DISPATCH(UnpackRow)(n, bits, words, codes);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
