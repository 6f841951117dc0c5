#include "base/env.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"

namespace swage {
namespace {

class EnvTest : public testing::Test {
 protected:
  std::string Path(std::string_view name) const { return JoinPath(dir_.path(), name); }
  void Put(std::string_view name, std::string_view bytes) {
    ASSERT_TRUE(WriteFileAtomic(env_, Path(name), bytes).ok());
  }
  Env* const env_ = Env::Posix();
  TempDir dir_;
};

TEST_F(EnvTest, WritesReadsAndAppends) {
  auto file = env_->NewWritableFile(Path("a"));
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Append("hello ").ok());
  ASSERT_TRUE((*file)->Append("").ok());
  ASSERT_TRUE((*file)->Append("world").ok());
  ASSERT_TRUE((*file)->Sync().ok());
  ASSERT_TRUE((*file)->Close().ok());
  EXPECT_FALSE((*file)->Append("late").ok());
  auto more = env_->NewAppendableFile(Path("a"));
  ASSERT_TRUE(more.ok());
  ASSERT_TRUE((*more)->Append("!").ok());
  more->reset();
  EXPECT_EQ(*ReadFile(env_, Path("a"), 100), "hello world!");
  EXPECT_EQ(*env_->FileSize(Path("a")), 12u);
  auto again = env_->NewWritableFile(Path("a"));  // truncates
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*env_->FileSize(Path("a")), 0u);
}

TEST_F(EnvTest, ReadAtIsExactOrFails) {
  Put("a", "0123456789");
  auto file = env_->NewReadableFile(Path("a"));
  ASSERT_TRUE(file.ok());
  EXPECT_EQ((*file)->size(), 10u);
  char out[10];
  ASSERT_TRUE((*file)->ReadAt(7, 3, out).ok());
  EXPECT_EQ(std::string_view(out, 3), "789");
  EXPECT_TRUE((*file)->ReadAt(10, 0, out).ok());
  const std::pair<uint64_t, size_t> kBeyond[] = {{8, 3}, {11, 0}, {~uint64_t{0}, 2}};
  for (const auto& [offset, size] : kBeyond) {
    const Status status = (*file)->ReadAt(offset, size, out);
    EXPECT_EQ(status.code(), StatusCode::kOutOfRange);
    EXPECT_EQ(ReasonOf(status), "FILE_TRUNCATED");
  }
  ASSERT_EQ(::truncate(Path("a").c_str(), 4), 0);  // it shrinks while it is open
  EXPECT_EQ(ReasonOf((*file)->ReadAt(2, 5, out)), "FILE_TRUNCATED");
}

TEST_F(EnvTest, OnlyRegularFilesAreRead) {
  ASSERT_EQ(::mkfifo(Path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(ReasonOf(env_->NewReadableFile(Path("fifo")).status()), "NOT_A_FILE");  // and does not wait for a writer
  EXPECT_EQ(ReasonOf(MappedFile::Open(Path("fifo")).status()), "NOT_A_FILE");
  EXPECT_EQ(ReasonOf(env_->NewReadableFile(dir_.path()).status()), "NOT_A_FILE");
  EXPECT_EQ(ReasonOf(env_->NewReadableFile(Path("none")).status()), "FILE_NOT_FOUND");
}

TEST_F(EnvTest, ReadFileIsBounded) {
  Put("a", "0123456789");
  EXPECT_EQ(*ReadFile(env_, Path("a"), 10), "0123456789");
  EXPECT_EQ(ReasonOf(ReadFile(env_, Path("a"), 9).status()), "FILE_TOO_LARGE");
}

TEST_F(EnvTest, AtomicWriteReplacesAndLeavesNothingBeside) {
  Put("a", "old");
  Put("a", "new");
  EXPECT_EQ(*ReadFile(env_, Path("a"), 10), "new");
  EXPECT_EQ(env_->ListDir(dir_.path())->size(), 1u);
  EXPECT_FALSE(WriteFileAtomic(env_, Path("no/such/folder"), "x").ok());
}

TEST_F(EnvTest, AFullDiskIsSaidAndLeavesTheOldContent) {
  auto full = env_->NewAppendableFile("/dev/full");
  if (!full.ok()) GTEST_SKIP() << "no /dev/full here";
  const Status status = (*full)->Append("x");
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(ReasonOf(status), "DISK_FULL");
}

TEST_F(EnvTest, LinkRefusesToReplaceAndRenameReplaces) {
  Put("a", "A");
  Put("b", "B");
  EXPECT_EQ(env_->Link(Path("a"), Path("b")).code(), StatusCode::kAlreadyExists);
  EXPECT_TRUE(env_->Link(Path("a"), Path("c")).ok());
  EXPECT_TRUE(env_->Rename(Path("a"), Path("b")).ok());
  EXPECT_EQ(*ReadFile(env_, Path("b"), 10), "A");
  EXPECT_FALSE(env_->Exists(Path("a")));
  EXPECT_TRUE(env_->Remove(Path("c")).ok());
  EXPECT_EQ(ReasonOf(env_->Remove(Path("c"))), "FILE_NOT_FOUND");
}

TEST_F(EnvTest, FoldersAreMadeListedAndRemoved) {
  ASSERT_TRUE(env_->CreateDirs(Path("x/y/z"), 0700).ok());
  ASSERT_TRUE(env_->CreateDirs(Path("x/y/z"), 0700).ok());  // again is no error
  struct stat info{};
  ASSERT_EQ(::stat(Path("x/y").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
  Put("x/file", "12345");
  ASSERT_EQ(::symlink("/etc", Path("x/link").c_str()), 0);
  const auto entries = env_->ListDir(Path("x"));
  ASSERT_TRUE(entries.ok());
  ASSERT_EQ(entries->size(), 3u);
  EXPECT_EQ((*entries)[0].name, "file");
  EXPECT_EQ((*entries)[0].size, 5u);
  EXPECT_TRUE((*entries)[1].is_symlink);
  EXPECT_FALSE((*entries)[1].is_dir);
  EXPECT_TRUE((*entries)[2].is_dir);
  ASSERT_TRUE(env_->SyncDir(Path("x")).ok());
  ASSERT_TRUE(env_->RemoveTree(Path("x")).ok());
  EXPECT_FALSE(env_->Exists(Path("x")));
  EXPECT_TRUE(env_->Exists("/etc"));  // the link was removed, not followed
  EXPECT_TRUE(env_->RemoveTree(Path("x")).ok());
  Put("f", "");
  EXPECT_FALSE(env_->CreateDirs(Path("f")).ok());
  EXPECT_FALSE(env_->CreateDirs(Path("f/g")).ok());
  EXPECT_FALSE(env_->CreateDirs("").ok());
  EXPECT_GT(*env_->FreeBytes(dir_.path()), 0u);
}

TEST_F(EnvTest, ALockIsHeldUntilItIsDestroyed) {
  auto first = env_->Lock(Path("lock"), false);
  ASSERT_TRUE(first.ok());
  const auto second = env_->Lock(Path("lock"), false);
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable);
  EXPECT_EQ(ReasonOf(second.status()), "LOCKED");
  first->reset();
  EXPECT_TRUE(env_->Lock(Path("lock"), true).ok());
}

TEST_F(EnvTest, TheLockOfADeadProcessIsFree) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = env_->Lock(Path("lock"), false);
    const char byte = lock.ok() ? 'y' : 'n';
    if (::write(ready[1], &byte, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_EQ(byte, 'y');
  EXPECT_FALSE(env_->Lock(Path("lock"), false).ok());
  ::kill(child, SIGKILL);
  EXPECT_TRUE(env_->Lock(Path("lock"), true).ok());  // waits for the kernel to release it
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(EnvTest, DescriptorsDoNotLeakIntoChildren) {
  Put("a", "x");
  const auto reader = env_->NewReadableFile(Path("a"));
  const auto writer = env_->NewWritableFile(Path("b"));
  const auto lock = env_->Lock(Path("lock"), false);
  ASSERT_TRUE(reader.ok() && writer.ok() && lock.ok());
  const std::vector<DirEntry> descriptors = *env_->ListDir("/proc/self/fd");
  for (const DirEntry& entry : descriptors) {
    char target[4096];
    const ssize_t size = ::readlink(Cat("/proc/self/fd/", entry.name).c_str(), target, sizeof target);
    if (size < 0 || !StartsWith({target, static_cast<size_t>(size)}, dir_.path())) continue;
    EXPECT_TRUE(::fcntl(std::stoi(entry.name), F_GETFD) & FD_CLOEXEC) << std::string_view(target, size);
  }
}

TEST_F(EnvTest, AMappingHasTheFilesBytesAndSurvivesAdvice) {
  std::string bytes(300000, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 >> 3);
  Put("a", bytes);
  auto mapped = MappedFile::Open(Path("a"));
  ASSERT_TRUE(mapped.ok());
  MappedFile moved = std::move(*mapped);
  EXPECT_EQ(mapped->bytes().size(), 0u);
  EXPECT_EQ(moved.bytes(), bytes);
  const std::pair<uint64_t, uint64_t> kRanges[] = {{0, 300000}, {5000, 7},           {299999, 1},
                                                   {300000, 1}, {~uint64_t{0}, 5}, {10, ~uint64_t{0}}};
  for (const auto& [offset, size] : kRanges) {
    moved.DontNeed(offset, size);
    moved.WillNeed(offset, size);
  }
  EXPECT_EQ(moved.bytes(), bytes);
  Put("empty", "");
  const auto empty = MappedFile::Open(Path("empty"));
  ASSERT_TRUE(empty.ok());
  EXPECT_EQ(empty->bytes().size(), 0u);
}

TEST(Paths, SafeJoinKeepsWithinTheRoot) {
  EXPECT_EQ(*SafeJoin("/root", "a/b.txt"), "/root/a/b.txt");
  EXPECT_EQ(*SafeJoin("/root/", "..a"), "/root/..a");
  const std::string_view nul("a\0b", 3);
  for (const std::string_view bad :
       {std::string_view(""), std::string_view("/etc/passwd"), std::string_view(".."), std::string_view("a/../b"),
        std::string_view("a//b"), std::string_view("a/"), std::string_view("./a"), std::string_view("a\\b"), nul,
        std::string_view("a\nb")}) {
    EXPECT_EQ(ReasonOf(SafeJoin("/root", bad).status()), "PATH_ESCAPES") << bad;
  }
  EXPECT_FALSE(SafeJoin("/root", std::string(1025, 'a')).ok());
  EXPECT_FALSE(SafeJoin("/root", std::string(256, 'a')).ok());
}

TEST(Paths, NamesAndFolders) {
  EXPECT_EQ(BaseName("/a/b"), "b");
  EXPECT_EQ(BaseName("/a/b/"), "b");
  EXPECT_EQ(BaseName("b"), "b");
  EXPECT_EQ(BaseName("/"), "/");
  EXPECT_EQ(DirName("/a/b"), "/a");
  EXPECT_EQ(DirName("/a"), "/");
  EXPECT_EQ(DirName("a"), ".");
  EXPECT_EQ(DirName("a/b/"), "a");
  EXPECT_EQ(JoinPath("a", "b"), "a/b");
  EXPECT_EQ(JoinPath("a/", "b"), "a/b");
  EXPECT_EQ(JoinPath("", "b"), "b");
  EXPECT_EQ(JoinPath("a", ""), "a");
}

TEST(TempDir, IsPrivateAndGoesAway) {
  std::string path;
  {
    const TempDir dir("swage-env-test");
    path = dir.path();
    struct stat info{};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700u);
    ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(path, "f"), "x").ok());
  }
  EXPECT_FALSE(Env::Posix()->Exists(path));
}

}  // namespace
}  // namespace swage
