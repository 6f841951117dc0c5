// The unigram language model: of all ways to cut a word into pieces the most probable one. Kudo,
// "Subword Regularization" (ACL 2018), without its sampling.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "workers/runtime/tokenizer_model.h"

namespace swage {

struct UnigramTables {
  std::vector<std::pair<std::string, double>> pieces;  // by id: text and log-probability
  int32_t unknown = 0;                                 // an id
  bool byte_fallback = false;  // "<0x00>" and so on stand for what no piece has
};

// Immutable after construction; thread-safe.
class Unigram : public WordModel {
 public:
  explicit Unigram(UnigramTables tables);
  // O(n * longest piece). A character that is no piece costs 10 more than the rarest piece;
  // neighbours of that kind become one unknown token.
  void Encode(std::string_view word, std::vector<int32_t>* ids) const override;

 private:
  struct Node {             // of the trie of all pieces
    uint32_t children = 0;  // index of the first in nodes_ and labels_
    uint32_t count = 0;
    int32_t id = -1;
  };
  // What the path that is best up to here ends with.
  struct Step {
    double score = 0;
    int32_t id = -1;
    uint32_t begin = UINT32_MAX;  // nothing ends here
  };
  const Node* Child(const Node& node, char label) const;
  void Walk(std::string_view word, std::vector<Step>* steps) const;
  // The ids of a stretch that the model knows as a whole or not at all.
  void Put(std::string_view stretch, std::vector<int32_t>* ids) const;

  UnigramTables tables_;
  absl::flat_hash_map<std::string, int32_t> id_of_piece_;  // of equal pieces the last
  std::vector<Node> nodes_;
  std::string labels_;  // of the nodes
  std::optional<std::array<int32_t, 256>> fallback_;
  double unknown_score_ = 0;
};

}  // namespace swage
