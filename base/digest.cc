#include "base/digest.h"

#include <openssl/evp.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/text.h"

namespace swage {
namespace {

// Fetched once: an implicit fetch at each digest would cost more than hashing a small tensor.
const EVP_MD* Sha256Algorithm() {
  static const EVP_MD* algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  SWAGE_CHECK(algorithm != nullptr, "this libcrypto has no SHA-256");
  return algorithm;
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string Digest::Hex() const { return HexLower(bytes.data(), bytes.size()); }

StatusOr<Digest> Digest::FromHex(std::string_view hex) {
  Digest digest;
  bool good = hex.size() == 2 * digest.bytes.size();
  for (size_t i = 0; good && i < digest.bytes.size(); ++i) {
    const int high = HexValue(hex[2 * i]), low = HexValue(hex[2 * i + 1]);
    good = high >= 0 && low >= 0;
    digest.bytes[i] = static_cast<uint8_t>((high << 4 | low) & 0xff);
  }
  if (!good) {
    return InvalidInput("BAD_DIGEST", Cat("'", hex.substr(0, 80), "' is not a SHA-256 of 64 lower-case hex digits"));
  }
  return digest;
}

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  bool finished = false;
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  SWAGE_CHECK(state_->context != nullptr && EVP_DigestInit_ex2(state_->context, Sha256Algorithm(), nullptr) == 1,
              "SHA-256 cannot start");
}

Sha256::~Sha256() = default;

void Sha256::Update(std::string_view bytes) {
  SWAGE_CHECK(!state_->finished, "Update after Finish");
  SWAGE_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, "SHA-256 update");
}

Digest Sha256::Finish() {
  SWAGE_CHECK(!state_->finished, "Finish twice");
  state_->finished = true;
  Digest digest;
  unsigned size = 0;
  SWAGE_CHECK(EVP_DigestFinal_ex(state_->context, digest.bytes.data(), &size) == 1 && size == digest.bytes.size(),
              "SHA-256 finish");
  return digest;
}

Digest Sha256Of(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

Xxh128 Xxh3_128(std::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

}  // namespace swage
