// Put and get of objects beside what bounds them: copying the same bytes in memory and to a file, and hashing them.
//   storage_bench [--benchmark_filter=...]      TMPDIR says which disk
#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "storage/core/store.h"

namespace swage {
namespace {

constexpr size_t kBytes = 64u << 20;

// 0: bf16 of Gaussian weights; 1: bytes that do not shrink; 2: text.
const std::string& Input(int64_t kind) {
  static std::string inputs[3];
  std::string& bytes = inputs[kind];
  if (!bytes.empty()) return bytes;
  bytes.resize(kBytes);
  Rng rng(7);
  if (kind == 0) {
    for (size_t i = 0; i < kBytes; i += 2) {
      const float value = static_cast<float>(rng.Gaussian() * 0.02);
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      std::memcpy(bytes.data() + i, reinterpret_cast<const char*>(&bits) + 2, 2);
    }
  } else if (kind == 1) {
    for (size_t i = 0; i < kBytes; i += 4) {
      const uint32_t value = rng();
      std::memcpy(bytes.data() + i, &value, 4);
    }
  } else {
    static const char* kWords[] = {"the ", "store ", "keeps ", "every ", "tensor ", "once ", "and ", "checks ", "it\n"};
    for (size_t i = 0; i < kBytes;) {
      const std::string_view word = kWords[rng.Uniform(9)];
      const size_t n = std::min(word.size(), kBytes - i);
      word.copy(bytes.data() + i, n);
      i += n;
    }
  }
  return bytes;
}

struct Fixture {
  TempDir dir;
  std::unique_ptr<Store> store;
  Fixture() {
    StoreConfig config;
    config.data_dir = JoinPath(dir.path(), "store");
    auto opened = Store::Open(config);
    SWAGE_CHECK(opened.ok(), MessageOf(opened.status()));
    store = std::move(*opened);
  }
};

void SetRates(benchmark::State& state) { state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * kBytes)); }

void BM_Memcpy(benchmark::State& state) {
  const std::string& in = Input(1);
  std::string out(in.size(), '\0');
  for (auto _ : state) {
    std::memcpy(out.data(), in.data(), in.size());
    benchmark::ClobberMemory();
  }
  SetRates(state);
}

void BM_Sha256(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(Sha256Of(Input(1)));
  SetRates(state);
}

// What `cp` and then `sync FILE` would do.
void BM_WriteFileSynced(benchmark::State& state) {
  TempDir dir;
  for (auto _ : state) SWAGE_CHECK(WriteFileAtomic(Env::Posix(), JoinPath(dir.path(), "f"), Input(state.range(0))).ok());
  SetRates(state);
}

void BM_ReadFile(benchmark::State& state) {
  TempDir dir;
  SWAGE_CHECK(WriteFileAtomic(Env::Posix(), JoinPath(dir.path(), "f"), Input(1)).ok());
  for (auto _ : state) benchmark::DoNotOptimize(ReadFile(Env::Posix(), JoinPath(dir.path(), "f"), kBytes));
  SetRates(state);
}

void BM_Put(benchmark::State& state) {
  const std::string& bytes = Input(state.range(0));
  const Digest digest = Sha256Of(bytes);
  uint64_t stored = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto fixture = std::make_unique<Fixture>();
    state.ResumeTiming();
    SWAGE_CHECK(fixture->store->PutBytes("default", "up", digest, bytes).ok());
    state.PauseTiming();
    stored = *Env::Posix()->FileSize(StorePaths(JoinPath(fixture->dir.path(), "store")).Object(digest));
    fixture.reset();
    state.ResumeTiming();
  }
  state.counters["stored_share"] = static_cast<double>(stored) / static_cast<double>(bytes.size());
  SetRates(state);
}

void BM_Get(benchmark::State& state) {
  const std::string& bytes = Input(state.range(0));
  const Digest digest = Sha256Of(bytes);
  Fixture fixture;
  SWAGE_CHECK(fixture.store->PutBytes("default", "up", digest, bytes).ok());
  std::string out(1u << 20, '\0');
  for (auto _ : state) {
    auto source = fixture.store->OpenObject("default", digest);
    SWAGE_CHECK(source.ok());
    for (size_t at = 0; at < bytes.size(); at += out.size()) SWAGE_CHECK((*source)->Read(at, out.size(), out.data()).ok());
  }
  SetRates(state);
}

// Many small tensors: what a commit of syncs costs each.
void BM_PutSmallObjects(benchmark::State& state) {
  const std::string& bytes = Input(0);
  constexpr size_t kSize = 16 << 10;
  const auto count = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    auto fixture = std::make_unique<Fixture>();
    std::vector<Digest> digests;
    for (size_t i = 0; i < count; ++i) digests.push_back(Sha256Of(std::string_view(bytes).substr(i * kSize, kSize)));
    state.ResumeTiming();
    auto upload = *fixture->store->NewUpload("default", "up");
    for (size_t i = 0; i < count; ++i) {
      SWAGE_CHECK(upload->Begin(digests[i], kSize, 0).ok());
      SWAGE_CHECK(upload->Append(std::string_view(bytes).substr(i * kSize, kSize)).ok());
    }
    SWAGE_CHECK(upload->Finish().ok());
    state.PauseTiming();
    upload.reset();
    fixture.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations() * count));
}

void BM_OpenStore(benchmark::State& state) {
  TempDir dir;
  StoreConfig config;
  config.data_dir = JoinPath(dir.path(), "store");
  SWAGE_CHECK(Store::Open(config).ok());
  for (auto _ : state) SWAGE_CHECK(Store::Open(config).ok());
}

BENCHMARK(BM_Memcpy)->UseRealTime();
BENCHMARK(BM_Sha256)->UseRealTime();
BENCHMARK(BM_WriteFileSynced)->Arg(1)->UseRealTime();
BENCHMARK(BM_ReadFile)->UseRealTime();
BENCHMARK(BM_Put)->ArgName("kind")->DenseRange(0, 2)->UseRealTime();
BENCHMARK(BM_Get)->ArgName("kind")->DenseRange(0, 2)->UseRealTime();
BENCHMARK(BM_PutSmallObjects)->Arg(300)->UseRealTime();
BENCHMARK(BM_OpenStore)->UseRealTime();

}  // namespace
}  // namespace swage

BENCHMARK_MAIN();
