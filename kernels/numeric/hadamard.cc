#include "kernels/numeric/hadamard.h"

#include "base/text.h"

namespace swage {
namespace {

bool IsPrime(int q) {
  if (q < 2) return false;
  for (int d = 2; d * d <= q; ++d) {
    if (q % d == 0) return false;
  }
  return true;
}

// Which of Paley's two constructions makes a matrix of this order.
enum class Paley { kNone, kFirst, kSecond };

Paley ConstructionOf(int order) {
  if (order < 4 || order % 4 != 0) return Paley::kNone;
  const int half = order / 2 - 1;  // symmetric matrices first: their inverse is the same transform
  if (half % 4 == 1 && IsPrime(half)) return Paley::kSecond;
  if (IsPrime(order - 1)) return Paley::kFirst;
  return Paley::kNone;
}

// chi[a]: 0 for a = 0, 1 for squares modulo the prime q, -1 for the rest.
std::vector<int> QuadraticCharacter(int q) {
  std::vector<int> chi(q, -1);
  chi[0] = 0;
  for (int a = 1; a < q; ++a) chi[a * a % q] = 1;
  return chi;
}

// The (q+1) x (q+1) conference matrix: a border of ones around chi(j - i), its first column negated
// when q = 3 mod 4 (then it is skew).
std::vector<int> Conference(int q) {
  const std::vector<int> chi = QuadraticCharacter(q);
  const int n = q + 1;
  std::vector<int> c(n * n, 0);
  for (int i = 1; i < n; ++i) {
    c[i] = 1;
    c[i * n] = q % 4 == 3 ? -1 : 1;
    for (int j = 1; j < n; ++j) c[i * n + j] = chi[(j - i + q) % q];
  }
  return c;
}

}  // namespace

StatusOr<HadamardShape> FindHadamardShape(int64_t order) {
  constexpr int64_t kMaxOrder = int64_t{1} << 24;
  if (order >= 1 && order <= kMaxOrder) {
    int64_t odd = order;
    while (odd % 2 == 0) odd /= 2;
    if (odd == 1) return HadamardShape{1, order};
    for (int64_t base = 4 * odd; base <= kMaxPaleyOrder && order % base == 0; base *= 2) {
      if (ConstructionOf(static_cast<int>(base)) != Paley::kNone) {
        return HadamardShape{static_cast<int>(base), order / base};
      }
    }
  }
  return Error(StatusCode::kUnimplemented, "KERNEL_SHAPE",
               Cat("no Hadamard matrix of order ", order, " is known here"),
               "use a block that is a power of two");
}

bool IsPairedPaley(int base) { return ConstructionOf(base) == Paley::kSecond; }

std::vector<float> PaleyMatrix(int base) {
  if (base == 1) return {1.0f};
  const Paley construction = ConstructionOf(base);
  SWAGE_CHECK(construction != Paley::kNone, "no Paley matrix of order ", base);
  const bool second = construction == Paley::kSecond;
  const int n = second ? base / 2 : base;
  const std::vector<int> c = Conference(n - 1);
  std::vector<float> h(static_cast<size_t>(base) * base);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      const int entry = c[i * n + j];
      if (!second) {
        h[i * n + j] = static_cast<float>(i == j ? 1 : entry);
        continue;
      }
      // Zeros become [1 -1; -1 -1], +-1 become +-[1 1; 1 -1].
      float* block = &h[2 * i * base + 2 * j];
      block[0] = entry == 0 ? 1.0f : static_cast<float>(entry);
      block[1] = block[base] = entry == 0 ? -1.0f : static_cast<float>(entry);
      block[base + 1] = entry == 0 ? -1.0f : static_cast<float>(-entry);
    }
  }
  return h;
}

float HadamardEntry(const HadamardShape& shape, const std::vector<float>& paley, int64_t i,
                    int64_t j) {
  const float outer = paley[i / shape.power * shape.base + j / shape.power];
  const bool odd =
      __builtin_parityll(static_cast<uint64_t>((i % shape.power) & (j % shape.power))) != 0;
  return odd ? -outer : outer;
}

}  // namespace swage
