#include "base/json_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/rng.h"

namespace swage {
namespace {

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(JsonText, IsWhatTheLibraryWrites) {
  Rng rng(1);
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    const uint32_t highest = i % 3 == 0 ? 256 : 128;  // two thirds without a byte beyond ASCII
    for (uint32_t n = rng() % 20; n > 0; --n) text += static_cast<char>(rng() % highest);
    EXPECT_EQ(Quoted(text), nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  }
}

TEST(JsonText, AppendsAndReplacesWhatIsNotUtf8) {
  std::string out = "x";
  AppendJsonString("a\"b\n\xff\xc3\xa4", &out);
  EXPECT_EQ(out, "x\"a\\\"b\\n\xef\xbf\xbd\xc3\xa4\"");
}

}  // namespace
}  // namespace swage
