#include "workers/runtime/tensor_source.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/text.h"
#include "workers/runtime/npy.h"

namespace swage {
namespace {

// A file whose header is not padded: what follows is unaligned.
std::string UnalignedFile(const std::string& dir, const std::string& name,
                          const std::vector<float>& values) {
  std::string header = Cat("{\"", name, "\":{\"dtype\":\"F32\",\"shape\":[", values.size(),
                           "],\"data_offsets\":[0,", values.size() * 4, "]}}");
  while ((header.size() + 8) % 4 != 1) header += ' ';
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  const std::string path = JoinPath(dir, Cat(name, ".safetensors"));
  EXPECT_TRUE(WriteFileAtomic(Env::Posix(), path, bytes).ok());
  return path;
}

TEST(TensorSource, ReadsUnalignedTensors) {
  TempDir dir;
  const std::vector<float> values = {1.5f, -2, 3, 4, 5};
  auto source = OpenFileTensors(UnalignedFile(dir.path(), "w", values));
  ASSERT_TRUE(source.ok()) << source.status();
  auto view = FindTensor(**source, "w", {5});
  ASSERT_TRUE(view.ok()) << view.status();
  std::vector<float> out(3);
  const std::unique_ptr<Ops> ops = NewCpuOps(1);
  ASSERT_TRUE(ReadF32(ops.get(), *view, 1, 3, out.data()).ok());
  EXPECT_EQ(out, (std::vector<float>{-2, 3, 4}));
}

TEST(TensorSource, SaysWhatIsMissingOrMisshapen) {
  TempDir dir;
  auto source = OpenFileTensors(UnalignedFile(dir.path(), "w", {1, 2, 3}));
  ASSERT_TRUE(source.ok());
  EXPECT_EQ(ReasonOf(FindTensor(**source, "v", {3}).status()), "TENSOR_MISSING");
  auto wrong = FindTensor(**source, "w", {4});
  EXPECT_EQ(ReasonOf(wrong.status()), "TENSOR_SHAPE");
  EXPECT_NE(MessageOf(wrong.status()).find("[3]"), std::string::npos);
}

TEST(TensorSource, TheFirstLayerOfAnOverlayWins) {
  TempDir a, b;
  auto one = OpenFileTensors(UnalignedFile(a.path(), "w", {1}));
  auto two = OpenFileTensors(UnalignedFile(b.path(), "w", {2}));
  auto other = OpenFileTensors(UnalignedFile(b.path(), "v", {3}));
  ASSERT_TRUE(one.ok() && two.ok() && other.ok());
  const auto both = Overlay({*one, *two, *other});
  EXPECT_EQ(both->Names(), (std::vector<std::string>{"v", "w"}));
  float value = 0;
  std::memcpy(&value, both->Find("w")->bytes.data(), 4);
  EXPECT_EQ(value, 1);
  EXPECT_FALSE(both->Find("u").has_value());
}

TEST(Npy, HeaderIsWhatNumPyReads) {
  TempDir dir;
  const std::string path = JoinPath(dir.path(), "x.npy");
  auto writer = NpyWriter::Create(Env::Posix(), path, 2, 3);
  ASSERT_TRUE(writer.ok());
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  ASSERT_TRUE(writer->Append(values.data(), 1).ok());
  ASSERT_TRUE(writer->Append(values.data() + 3, 1).ok());
  EXPECT_FALSE(Env::Posix()->Exists(path)) << "visible before it was complete";
  ASSERT_TRUE(writer->Finish().ok());
  auto bytes = ReadFile(Env::Posix(), path, 1 << 20);
  ASSERT_TRUE(bytes.ok());
  EXPECT_EQ(bytes->substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const size_t header = static_cast<uint8_t>((*bytes)[8]) + 256 * static_cast<uint8_t>((*bytes)[9]);
  EXPECT_EQ((10 + header) % 64, 0u);
  EXPECT_EQ((*bytes)[9 + header], '\n');
  EXPECT_NE(bytes->find("'shape': (2, 3)"), std::string::npos);
  EXPECT_EQ(bytes->substr(10 + header),
            std::string(reinterpret_cast<const char*>(values.data()), 24));
}

TEST(Npy, IdsAreAVectorOfI32) {
  TempDir dir;
  const std::string path = JoinPath(dir.path(), "ids.npy");
  ASSERT_TRUE(WriteNpyIds(Env::Posix(), path, {7, -1}).ok());
  const auto bytes = ReadFile(Env::Posix(), path, 1 << 20);
  ASSERT_TRUE(bytes.ok());
  EXPECT_NE(bytes->find("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }"), std::string::npos);
  EXPECT_EQ(bytes->substr(bytes->size() - 9), std::string("\n\x07\0\0\0\xff\xff\xff\xff", 9));
}

}  // namespace
}  // namespace swage
