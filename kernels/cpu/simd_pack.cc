// Eight codes of b bits are exactly b bytes of the stream, so a row is packed octet by octet: three
// steps of pairing neighbours (bytes, then 2b-bit pairs, then 4b-bit quads) inside 64-bit lanes.
// Two octets make a 128-bit vector; a byte shuffle closes or opens the gap between them. 4 and 8
// bits, what most models are stored in, take whole vectors.
#include <array>
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

void PackStream(CodePacking packing, int bits, int64_t n, const int8_t* codes, uint8_t* bytes) {
  for (int64_t i = 0; i < PackedRowBytes(packing, bits, n); ++i) {
    bytes[i] = PackedByte(packing, bits, codes, n, i);
  }
}
void UnpackStream(CodePacking packing, int bits, int64_t n, const uint8_t* bytes, int8_t* codes) {
  for (int64_t i = 0; i < n; ++i) codes[i] = CodeOfStream(packing, bits, bytes, i);
}

#else

// The low `bits` of every `every` bits.
constexpr uint64_t Fields(int bits, int every) {
  uint64_t field = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1, all = 0;
  for (int at = 0; at < 64; at += every) all |= field << at;
  return all;
}

// Codes, one a byte, to octets in the low bits of each 64-bit lane, and back. D: a tag of uint64_t.
template <int kBits, class D>
HWY_INLINE hn::Vec<D> PackOctets(D d, uint8_t flip, const int8_t* codes) {
  const hn::Repartition<uint8_t, D> db;
  const auto raw = hn::LoadU(db, reinterpret_cast<const uint8_t*>(codes));
  auto x = hn::And(hn::BitCast(d, hn::Xor(raw, hn::Set(db, flip))), hn::Set(d, Fields(kBits, 8)));
  const auto low8 = hn::Set(d, Fields(8, 16)), low16 = hn::Set(d, Fields(16, 32)),
             low32 = hn::Set(d, Fields(32, 64));
  x = hn::Or(hn::And(x, low8), hn::ShiftRight<8 - kBits>(hn::AndNot(low8, x)));
  x = hn::Or(hn::And(x, low16), hn::ShiftRight<16 - 2 * kBits>(hn::AndNot(low16, x)));
  return hn::Or(hn::And(x, low32), hn::ShiftRight<32 - 4 * kBits>(hn::AndNot(low32, x)));
}

template <int kBits, class D>
HWY_INLINE void UnpackOctets(D d, hn::Vec<D> x, uint8_t offset, int8_t* codes) {
  const hn::Repartition<uint8_t, D> db;
  x = hn::And(x, hn::Set(d, Fields(8 * kBits, 64)));
  const auto low4 = hn::Set(d, Fields(4 * kBits, 64)), low2 = hn::Set(d, Fields(2 * kBits, 32)),
             low1 = hn::Set(d, Fields(kBits, 16));
  x = hn::Or(hn::And(x, low4), hn::ShiftLeft<32 - 4 * kBits>(hn::AndNot(low4, x)));
  x = hn::Or(hn::And(x, low2), hn::ShiftLeft<16 - 2 * kBits>(hn::AndNot(low2, x)));
  x = hn::Or(hn::And(x, low1), hn::ShiftLeft<8 - kBits>(hn::AndNot(low1, x)));
  hn::StoreU(hn::Sub(hn::BitCast(db, x), hn::Set(db, offset)), db,
             reinterpret_cast<uint8_t*>(codes));
}

// Bytes of two octets of kBits bytes each at offsets 0 and 8, next to each other; and their
// inverse. 0x80 gives zero.
template <int kBits>
constexpr std::array<uint8_t, 16> CloseGap() {
  std::array<uint8_t, 16> from{};
  for (int i = 0; i < 16; ++i) {
    from[i] = static_cast<uint8_t>(i < kBits ? i : i < 2 * kBits ? 8 + i - kBits : 0x80);
  }
  return from;
}
template <int kBits>
constexpr std::array<uint8_t, 16> OpenGap() {
  std::array<uint8_t, 16> from{};
  for (int i = 0; i < 16; ++i) {
    const int lane = i / 8, byte = i % 8;
    from[i] = static_cast<uint8_t>(byte < kBits ? lane * kBits + byte : 0x80);
  }
  return from;
}

template <int kBits>
void PackRowOf(CodePacking packing, int64_t n, const int8_t* codes, uint8_t* out) {
  const hn::FixedTag<uint64_t, 2> d;
  const hn::FixedTag<uint8_t, 16> db;
  static constexpr std::array<uint8_t, 16> kFrom = CloseGap<kBits>();
  const auto from = hn::LoadU(db, kFrom.data());
  const auto flip = static_cast<uint8_t>(CodeFlip(packing, kBits));
  const int64_t out_bytes = PackedRowBytes(packing, kBits, n);
  int64_t i = 0, at = 0;
  // 16 bytes are stored, of which the next store overwrites what is beyond 2 * kBits.
  for (; i + 16 <= n && at + 16 <= out_bytes; i += 16, at += 2 * kBits) {
    const auto octets = hn::BitCast(db, PackOctets<kBits>(d, flip, codes + i));
    hn::StoreU(hn::TableLookupBytesOr0(octets, from), db, out + at);
  }
  for (; at < out_bytes; ++at) out[at] = PackedByte(packing, kBits, codes, n, at);
}

template <int kBits>
void UnpackRowOf(CodePacking packing, int64_t n, const uint8_t* in, int8_t* codes) {
  const hn::FixedTag<uint64_t, 2> d;
  const hn::FixedTag<uint8_t, 16> db;
  static constexpr std::array<uint8_t, 16> kFrom = OpenGap<kBits>();
  const auto from = hn::LoadU(db, kFrom.data());
  const auto offset = static_cast<uint8_t>(CodeFlip(packing, kBits));
  const int64_t in_bytes = PackedRowBytes(packing, kBits, n);
  int64_t i = 0, at = 0;
  for (; i + 16 <= n && at + 16 <= in_bytes; i += 16, at += 2 * kBits) {
    const auto octets = hn::TableLookupBytesOr0(hn::LoadU(db, in + at), from);
    UnpackOctets<kBits>(d, hn::BitCast(d, octets), offset, codes + i);
  }
  for (; i < n; ++i) codes[i] = CodeOfStream(packing, kBits, in, i);
}

template <>
void PackRowOf<4>(CodePacking packing, int64_t n, const int8_t* codes, uint8_t* out) {
  const hn::ScalableTag<uint64_t> d;
  const hn::Repartition<uint32_t, decltype(d)> dw;
  const auto flip = static_cast<uint8_t>(CodeFlip(packing, 4));
  const int64_t step = 8 * static_cast<int64_t>(hn::Lanes(d));  // codes a vector
  int64_t i = 0;
  for (; i + 2 * step <= n; i += 2 * step) {
    const auto low = hn::BitCast(dw, PackOctets<4>(d, flip, codes + i));
    const auto high = hn::BitCast(dw, PackOctets<4>(d, flip, codes + i + step));
    hn::StoreU(hn::ConcatEven(dw, high, low), dw, reinterpret_cast<uint32_t*>(out + i / 2));
  }
  for (int64_t at = i / 2; at < PackedRowBytes(packing, 4, n); ++at) {
    out[at] = PackedByte(packing, 4, codes, n, at);
  }
}

template <>
void UnpackRowOf<4>(CodePacking packing, int64_t n, const uint8_t* in, int8_t* codes) {
  const hn::ScalableTag<uint64_t> d;
  const hn::Rebind<uint32_t, decltype(d)> dw;
  const auto offset = static_cast<uint8_t>(CodeFlip(packing, 4));
  const int64_t step = 8 * static_cast<int64_t>(hn::Lanes(d));
  int64_t i = 0;
  for (; i + step <= n; i += step) {
    const auto words = hn::LoadU(dw, reinterpret_cast<const uint32_t*>(in + i / 2));
    UnpackOctets<4>(d, hn::PromoteTo(d, words), offset, codes + i);
  }
  for (; i < n; ++i) codes[i] = CodeOfStream(packing, 4, in, i);
}

// Of 8 bits: packing and unpacking flip the same bit.
void FlipBytes(uint8_t flip, int64_t n, const uint8_t* in, uint8_t* out) {
  const hn::ScalableTag<uint8_t> db;
  const int64_t lanes = hn::Lanes(db);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    hn::StoreU(hn::Xor(hn::LoadU(db, in + i), hn::Set(db, flip)), db, out + i);
  }
  for (; i < n; ++i) out[i] = in[i] ^ flip;
}

template <>
void PackRowOf<8>(CodePacking packing, int64_t n, const int8_t* codes, uint8_t* out) {
  FlipBytes(static_cast<uint8_t>(CodeFlip(packing, 8)), n, reinterpret_cast<const uint8_t*>(codes),
            out);
  std::memset(out + n, 0, PackedRowBytes(packing, 8, n) - n);
}

template <>
void UnpackRowOf<8>(CodePacking packing, int64_t n, const uint8_t* in, int8_t* codes) {
  FlipBytes(static_cast<uint8_t>(CodeFlip(packing, 8)), n, in, reinterpret_cast<uint8_t*>(codes));
}

#define SWAGE_BY_BITS(Function, ...)   \
  switch (bits) {                      \
    case 1:                            \
      return Function<1>(__VA_ARGS__); \
    case 2:                            \
      return Function<2>(__VA_ARGS__); \
    case 3:                            \
      return Function<3>(__VA_ARGS__); \
    case 4:                            \
      return Function<4>(__VA_ARGS__); \
    case 5:                            \
      return Function<5>(__VA_ARGS__); \
    case 6:                            \
      return Function<6>(__VA_ARGS__); \
    case 7:                            \
      return Function<7>(__VA_ARGS__); \
    default:                           \
      return Function<8>(__VA_ARGS__); \
  }

void PackStream(CodePacking packing, int bits, int64_t n, const int8_t* codes, uint8_t* bytes) {
  SWAGE_BY_BITS(PackRowOf, packing, n, codes, bytes)
}
void UnpackStream(CodePacking packing, int bits, int64_t n, const uint8_t* bytes, int8_t* codes) {
  SWAGE_BY_BITS(UnpackRowOf, packing, n, bytes, codes)
}
#undef SWAGE_BY_BITS

#endif  // HWY_TARGET == HWY_SCALAR

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace swage::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace swage::cpu {
namespace {

// Byte 4 of (t0..t4, one a byte) * this is t0 + 3 t1 + 9 t2 + 27 t3 + 81 t4: no byte below it
// carries.
constexpr uint64_t kPowersOfThree = 1ull << 32 | 3ull << 24 | 9ull << 16 | 27ull << 8 | 81ull;

void PackTrits(int64_t n, const int8_t* codes, uint8_t* bytes) {
  int64_t at = 0;
  for (; at * 5 + 8 <= n; ++at) {
    uint64_t octet = 0;
    std::memcpy(&octet, codes + at * 5, sizeof octet);
    // -1, 0, 1 to 0, 1, 2 without a carry from byte to byte.
    const uint64_t trits = ((octet & 0x0303030303u) ^ 0x0202020202u) - 0x0101010101u;
    bytes[at] = static_cast<uint8_t>((trits * kPowersOfThree) >> 32);
  }
  for (; at * 5 < n; ++at) bytes[at] = PackedTrits(codes, n, at);
}

// The five codes of each byte, as the low bytes of a word.
const std::array<uint64_t, 256>& TritTable() {
  static const std::array<uint64_t, 256> table = [] {
    std::array<uint64_t, 256> made{};
    for (int value = 0; value < 256; ++value) {
      const auto byte = static_cast<uint8_t>(value);
      for (int i = 0; i < 5; ++i) {
        const auto code = static_cast<uint8_t>(CodeOfStream(CodePacking::kTrits, 0, &byte, i));
        made[value] |= static_cast<uint64_t>(code) << (8 * i);
      }
    }
    return made;
  }();
  return table;
}

void UnpackTrits(int64_t n, const uint8_t* bytes, int8_t* codes) {
  const std::array<uint64_t, 256>& table = TritTable();
  int64_t at = 0;
  for (; at * 5 + 8 <= n; ++at) std::memcpy(codes + at * 5, &table[bytes[at]], 8);
  for (int64_t i = at * 5; i < n; ++i) codes[i] = CodeOfStream(CodePacking::kTrits, 0, bytes, i);
}

}  // namespace

HWY_EXPORT(PackStream);
HWY_EXPORT(UnpackStream);

void PackRow(CodePacking packing, int bits, int64_t n, const int8_t* codes, uint8_t* bytes) {
  if (packing == CodePacking::kTrits) return PackTrits(n, codes, bytes);
  HWY_DYNAMIC_DISPATCH(PackStream)(packing, bits, n, codes, bytes);
}
void UnpackRow(CodePacking packing, int bits, int64_t n, const uint8_t* bytes, int8_t* codes) {
  if (packing == CodePacking::kTrits) return UnpackTrits(n, bytes, codes);
  HWY_DYNAMIC_DISPATCH(UnpackStream)(packing, bits, n, bytes, codes);
}

}  // namespace swage::cpu
#endif  // HWY_ONCE
