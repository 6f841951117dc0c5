#include "workers/runtime/tokenizer_bpe.h"

#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace swage {
namespace {

using testing::ElementsAre;

// The definition: merge the pair of lowest rank, the leftmost of equals, until none is left.
std::vector<int32_t> Slowly(const BpeTables& tables, std::string_view word) {
  std::vector<int32_t> ids;
  for (const char c : word) ids.push_back(tables.byte_id[static_cast<uint8_t>(c)]);
  for (;;) {
    const MergeRow* best = nullptr;
    size_t at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = tables.merges.find(MergeKey(ids[i], ids[i + 1]));
      if (found == tables.merges.end() || (best != nullptr && best->rank <= found->second.rank))
        continue;
      best = &found->second;
      at = i;
    }
    if (best == nullptr) return ids;
    ids[at] = best->result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

// Random merges over the letters a to d.
BpeTables RandomTables(uint32_t seed, int merges) {
  std::mt19937 random(seed);
  BpeTables tables;
  tables.byte_id.fill(-1);
  for (int c = 0; c < 4; ++c) tables.byte_id['a' + c] = c;
  for (int rank = 0; rank < merges; ++rank) {
    const int known = 4 + rank;
    tables.merges.try_emplace(
        MergeKey(static_cast<int32_t>(random() % known), static_cast<int32_t>(random() % known)),
        MergeRow{rank, 4 + rank});
  }
  return tables;
}

TEST(Bpe, FollowsTheDefinitionForShortAndLongWords) {
  std::mt19937 random(7);
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const BpeTables tables = RandomTables(seed, 60);
    const Bpe bpe(tables);
    for (size_t length : {0, 1, 2, 3, 23, 24, 25, 26, 100, 400}) {
      std::string word;
      for (size_t i = 0; i < length; ++i)
        word.push_back(static_cast<char>('a' + random() % (1 + seed % 4)));
      std::vector<int32_t> ids = {77};
      bpe.Encode(word, &ids);
      ASSERT_EQ(ids.front(), 77) << "what was there stays";
      ids.erase(ids.begin());
      ASSERT_EQ(ids, Slowly(tables, word)) << seed << " " << word;
    }
  }
}

TEST(Bpe, AMegabyteOfOneLetterTakesNoQuadraticTime) {
  BpeTables tables = RandomTables(0, 0);
  for (int32_t rank = 0; rank < 10; ++rank) {
    const int32_t half = rank == 0 ? 0 : 3 + rank;
    tables.merges[MergeKey(half, half)] = MergeRow{rank, 4 + rank};
  }
  std::vector<int32_t> ids;
  Bpe(tables).Encode(std::string(1 << 20, 'a'), &ids);
  EXPECT_EQ(ids, std::vector<int32_t>(1 << 10, 13));
}

TEST(Bpe, BytesOutsideTheVocabulary) {
  BpeTables tables = RandomTables(0, 0);
  const auto encode = [&] {
    std::vector<int32_t> ids;
    Bpe(tables).Encode("axxbx", &ids);
    return ids;
  };
  EXPECT_THAT(encode(), ElementsAre(0, 1));
  tables.unknown = 9;
  EXPECT_THAT(encode(), ElementsAre(0, 9, 9, 1, 9));
  tables.fuse_unknown = true;
  EXPECT_THAT(encode(), ElementsAre(0, 9, 1, 9));
}

TEST(Bpe, KnownWordsCanComeBeforeMerges) {
  BpeTables tables = RandomTables(0, 0);
  tables.whole_words["abc"] = 50;
  std::vector<int32_t> ids;
  const Bpe bpe(tables);
  bpe.Encode("abc", &ids);
  bpe.Encode("ab", &ids);
  EXPECT_THAT(ids, ElementsAre(50, 0, 1));
}

}  // namespace
}  // namespace swage
