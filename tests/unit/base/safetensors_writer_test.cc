#include <gtest/gtest.h>

#include "base/modelfile/safetensors.h"
#include "base/rng.h"
#include "base/text.h"

namespace swage {
namespace {

using Declared = SafetensorsWriter::Declared;

std::string RandomBytes(Rng* rng, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>((*rng)() & 0xff);
  return bytes;
}

TEST(SafetensorsWriter, WhatIsWrittenIsReadBack) {
  const TempDir dir;
  Rng rng(11);
  const DType kTypes[] = {DType::kBF16, DType::kF32, DType::kI8, DType::kF8E4M3, DType::kI64};
  for (int round = 0; round < 20; ++round) {
    std::vector<Declared> declared;
    std::vector<std::string> data;
    for (uint64_t i = 0; i < rng.Uniform(12); ++i) {
      Declared tensor{Cat("t\"\\é.", i), kTypes[rng.Uniform(5)], {}};
      uint64_t bytes = DTypeBytes(tensor.dtype);
      for (uint64_t d = 0; d < rng.Uniform(4); ++d) {
        tensor.shape.push_back(static_cast<int64_t>(rng.Uniform(6)));
        bytes *= static_cast<uint64_t>(tensor.shape.back());
      }
      data.push_back(RandomBytes(&rng, bytes));
      declared.push_back(std::move(tensor));
    }
    const std::string path = JoinPath(dir.path(), "model.safetensors");
    auto writer = SafetensorsWriter::Create(Env::Posix(), path, declared, {{"format", "pt"}});
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const std::string& bytes : data) ASSERT_TRUE(writer->Append(bytes).ok());
    ASSERT_TRUE(writer->Finish().ok());
    const auto model = ModelFiles::Open(Env::Posix(), dir.path());
    ASSERT_TRUE(model.ok()) << model.status();
    ASSERT_EQ(model->Names().size(), declared.size());
    for (size_t i = 0; i < declared.size(); ++i) {
      const auto view = model->Find(declared[i].name);
      ASSERT_TRUE(view.has_value());
      EXPECT_EQ(view->bytes, data[i]);
      EXPECT_EQ(view->info->shape, declared[i].shape);
      EXPECT_EQ(view->info->dtype, declared[i].dtype);
    }
    const std::string file = *ReadFile(Env::Posix(), path, 1 << 20);
    EXPECT_EQ(*SafetensorsDataOffset(file.substr(0, 8), file.size()) % 8, 0u);
  }
}

TEST(SafetensorsWriter, NothingIsVisibleBeforeFinishAndNothingStaysWithoutIt) {
  const TempDir dir;
  const std::string path = JoinPath(dir.path(), "m.safetensors");
  {
    auto writer = SafetensorsWriter::Create(Env::Posix(), path, {{"a", DType::kU8, {4}}}, {});
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->Append("1234").ok());
    EXPECT_FALSE(Env::Posix()->Exists(path));
    SafetensorsWriter moved = std::move(*writer);
  }
  EXPECT_TRUE(Env::Posix()->ListDir(dir.path())->empty());
}

TEST(SafetensorsWriter, HoldsTheCallerToTheDeclaration) {
  const TempDir dir;
  const std::string path = JoinPath(dir.path(), "m.safetensors");
  const auto create = [&](std::vector<Declared> declared) {
    return SafetensorsWriter::Create(Env::Posix(), path, declared, {});
  };
  EXPECT_EQ(ReasonOf(create({{"a", DType::kU8, {1}}, {"a", DType::kU8, {1}}}).status()), "DUPLICATE_TENSOR");
  EXPECT_EQ(ReasonOf(create({{"a", DType::kU8, {-1}}}).status()), "BAD_SHAPE");
  EXPECT_EQ(ReasonOf(create({{"a", DType::kF32, {int64_t{1} << 40, int64_t{1} << 40}}}).status()), "BAD_SHAPE");
  EXPECT_FALSE(create({{"", DType::kU8, {1}}}).ok());
  EXPECT_FALSE(create({{"\xff", DType::kU8, {1}}}).ok());
  EXPECT_FALSE(create({{"__metadata__", DType::kU8, {1}}}).ok());
  auto writer = create({{"a", DType::kU8, {4}}, {"b", DType::kU8, {1}}});
  ASSERT_TRUE(writer.ok());
  EXPECT_FALSE(writer->Append("123").ok());
  EXPECT_TRUE(writer->Append("1234").ok());
  EXPECT_FALSE(writer->Finish().ok());  // b is missing
  EXPECT_TRUE(writer->Append("5").ok());
  EXPECT_FALSE(writer->Append("6").ok());
  EXPECT_TRUE(writer->Finish().ok());
}

}  // namespace
}  // namespace swage
