// What the golden tests of the tokenizer share.
#pragma once

#include <cstring>
#include <string>

#include "base/digest.h"
#include "base/env.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "workers/runtime/tokenizer.h"

namespace swage {

inline std::string ReadAll(const std::string& path) {
  StatusOr<std::string> text = ReadFile(Env::Posix(), path, 64 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *std::move(text) : "";
}

inline std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

inline void ExpectDigests(const Tokenizer& tokenizer, const std::string& text,
                          const nlohmann::json& expected) {
  const std::vector<int32_t> ids = tokenizer.Encode(text);
  std::string bytes(ids.size() * 4, '\0');
  std::memcpy(bytes.data(), ids.data(),
              bytes.size());  // little-endian, like every machine that Swage runs on
  EXPECT_EQ(ids.size(), expected["count"].get<size_t>());
  EXPECT_EQ(Sha256Of(bytes).Hex(), expected["ids"].get<std::string>());
  EXPECT_EQ(Sha256Of(tokenizer.Decode(ids)).Hex(), expected["decoded"].get<std::string>());
}

}  // namespace swage
