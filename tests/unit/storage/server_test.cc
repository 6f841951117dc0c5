// ArtifactService through a real gRPC server on a unix socket.
#include <gmock/gmock.h>
#include <grpc/grpc.h>
#include <grpcpp/grpcpp.h>

#include <thread>

#include "base/limits.h"
#include "services/kit/artifact_client.h"
#include "services/kit/rpc.h"
#include "storage/server/store_server.h"
#include "storage/server/stream_watch.h"
#include "swage/v1/artifact.grpc.pb.h"
#include "tests/unit/storage/store_fixture.h"

namespace swage {
namespace {

// Held for the whole process: gRPC 1.51 takes seconds to go down with its last channel, and would do so after each test.
const bool kGrpcStaysUp = (grpc_init(), true);

std::string BytesOf(const Digest& digest) { return std::string(reinterpret_cast<const char*>(digest.bytes.data()), 32); }

class StoreServerTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }
  void TearDown() override { Stop(); }
  void Start() {
    ASSERT_TRUE(kGrpcStaysUp);
    StoreOptions options;
    options.data_dir = JoinPath(dir_.path(), "store");
    auto store = StoreServer::Open(options);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
    auto server = RpcServer::Start({Cat("unix:", dir_.path(), "/s")}, store_->services());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    stub_ = v1::ArtifactService::NewStub(NewChannel(server_->addresses()[0]));
  }
  void Stop() {
    if (server_ != nullptr) server_->Drain(1000);
    if (store_ != nullptr) store_->Shutdown();
    server_.reset();
    store_.reset();
  }

  Status Write(const std::string& upload, const std::vector<v1::WriteRequest>& messages, v1::WriteResponse* response) {
    grpc::ClientContext context;
    PrepareContext(&context, 10000);
    auto stream = stub_->Write(&context, response);
    bool first = true;
    for (v1::WriteRequest message : messages) {
      if (first) message.set_upload_id(upload);
      first = false;
      if (!stream->Write(message)) break;
    }
    stream->WritesDone();
    return FromGrpc(stream->Finish());
  }
  // One object cut into messages of `cut` bytes.
  static std::vector<v1::WriteRequest> Messages(const std::string& bytes, size_t cut) {
    std::vector<v1::WriteRequest> messages;
    for (size_t at = 0; at == 0 || at < bytes.size(); at += cut) {
      v1::WriteRequest message;
      if (at == 0) {
        message.set_digest(BytesOf(Sha256Of(bytes)));
        message.set_size(bytes.size());
      }
      message.set_offset(at);
      message.set_data(bytes.substr(at, cut));
      messages.push_back(message);
    }
    return messages;
  }
  StatusOr<std::string> Read(const std::string& bytes_of, uint64_t offset, uint64_t limit, uint64_t* total = nullptr) {
    grpc::ClientContext context;
    PrepareContext(&context, 10000);
    v1::ReadRequest request;
    request.set_object(BytesOf(Sha256Of(bytes_of)));
    request.set_offset(offset);
    request.set_limit(limit);
    auto stream = stub_->Read(&context, request);
    std::string all;
    v1::ReadResponse response;
    bool first = true;
    while (stream->Read(&response)) {
      if (first && total != nullptr) *total = response.total_size();
      first = false;
      all += response.data();
    }
    SWAGE_RETURN_IF_ERROR(FromGrpc(stream->Finish()));
    return all;
  }

  TempDir dir_;
  std::unique_ptr<StoreServer> store_;
  std::unique_ptr<RpcServer> server_;
  std::unique_ptr<v1::ArtifactService::Stub> stub_;
};

TEST_F(StoreServerTest, ManyObjectsInOneStreamAndRangesBack) {
  const std::string large = WeightBytes(1, (3 << 20) + 77), small = "small", empty;
  std::vector<v1::WriteRequest> messages;
  for (const std::string* object : {&large, &small, &empty}) {
    for (const v1::WriteRequest& message : Messages(*object, 300000)) messages.push_back(message);
  }
  v1::WriteResponse response;
  ASSERT_TRUE(Write("up", messages, &response).ok());
  EXPECT_EQ(response.objects(), 3u);
  EXPECT_EQ(response.bytes(), large.size() + small.size());
  uint64_t total = 0;
  EXPECT_EQ(*Read(large, 0, 0, &total), large);
  EXPECT_EQ(total, large.size());
  EXPECT_EQ(*Read(large, 1000001, 1500000), large.substr(1000001, 1500000));
  EXPECT_EQ(*Read(large, large.size(), 0), "");
  EXPECT_EQ(*Read(large, large.size() - 3, 100), large.substr(large.size() - 3));
  EXPECT_EQ(*Read(empty, 0, 0, &total), "");
  EXPECT_EQ(ReasonOf(Read(large, large.size() + 1, 0).status()), "RANGE_BEYOND_END");
  EXPECT_EQ(ReasonOf(Read("never sent", 0, 0).status()), "OBJECT_MISSING");
}

TEST_F(StoreServerTest, WhatAStreamGetsWrongIsSaid) {
  v1::WriteResponse response;
  const std::string bytes = WeightBytes(1, 5000);
  auto messages = Messages(bytes, 1000);
  messages[2].set_offset(2500);
  EXPECT_EQ(ReasonOf(Write("up", messages, &response)), "OFFSET_MISMATCH");
  messages = Messages(bytes, 1000);
  messages[0].set_digest("short");
  EXPECT_EQ(ReasonOf(Write("up", messages, &response)), "BAD_DIGEST");
  messages = Messages(bytes, 1000);
  messages[3].mutable_data()->at(5) ^= 1;
  EXPECT_EQ(ReasonOf(Write("up", messages, &response)), "DIGEST_MISMATCH");
  messages = Messages(bytes, 1000);
  messages.pop_back();
  EXPECT_EQ(ReasonOf(Write("up", messages, &response)), "OBJECT_INCOMPLETE");
  EXPECT_EQ(ReasonOf(Write("../up", Messages(bytes, 1000), &response)), "BAD_UPLOAD_ID");
  v1::WriteRequest huge;
  huge.set_data(std::string(limits::kChunkBytes + 1, 'x'));
  EXPECT_EQ(ReasonOf(Write("up", {huge}, &response)), "CHUNK_TOO_LARGE");
  EXPECT_TRUE(Write("up", Messages(bytes, 1000), &response).ok()) << "and nothing of it is in the way";
}

TEST_F(StoreServerTest, ACutStreamKeepsWhatIsWhole) {
  const std::string small = "whole", large = WeightBytes(2, 4 << 20);
  {
    grpc::ClientContext context;
    PrepareContext(&context, 10000);
    v1::WriteResponse response;
    auto stream = stub_->Write(&context, &response);
    std::vector<v1::WriteRequest> messages = Messages(small, 100);
    for (const v1::WriteRequest& message : Messages(large, 1 << 20)) messages.push_back(message);
    messages[0].set_upload_id("cut");
    for (size_t i = 0; i + 1 < messages.size(); ++i) ASSERT_TRUE(stream->Write(messages[i]));
    stream->WritesDone();  // one object short of its end
    EXPECT_EQ(ReasonOf(FromGrpc(stream->Finish())), "OBJECT_INCOMPLETE");
  }
  grpc::ClientContext context;
  PrepareContext(&context, 10000);
  v1::QueryWriteRequest query;
  query.set_upload_id("cut");
  query.set_digest(BytesOf(Sha256Of(large)));
  v1::QueryWriteResponse state;
  ASSERT_TRUE(stub_->QueryWrite(&context, query, &state).ok());
  EXPECT_EQ(state.committed_bytes(), 3u << 20);
  EXPECT_EQ(*Read(small, 0, 0), small);
  v1::WriteRequest rest;
  rest.set_digest(BytesOf(Sha256Of(large)));
  rest.set_size(large.size());
  rest.set_offset(state.committed_bytes());
  rest.set_data(large.substr(state.committed_bytes()));
  v1::WriteResponse response;
  ASSERT_TRUE(Write("cut", {rest}, &response).ok());
  EXPECT_EQ(*Read(large, 0, 0), large);
}

TEST_F(StoreServerTest, AFolderGoesUpAndComesBackByteForByteAcrossARestart) {
  const std::string from = JoinPath(dir_.path(), "from"), to = JoinPath(dir_.path(), "to");
  ASSERT_TRUE(Env::Posix()->CreateDirs(JoinPath(from, "sub")).ok());
  const std::map<std::string, std::string> files = {
      {"a.bin", WeightBytes(1, 5 << 20)}, {"sub/b.json", "{\"x\": 1}"}, {"empty", ""}, {"c.bin", WeightBytes(1, 5 << 20)}};
  for (const auto& [path, bytes] : files) ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(from, path), bytes).ok());
  std::string id;
  {
    ArtifactClient client(server_->addresses()[0], "default");
    auto info = client.UploadFolder(from, "files", "models/tiny", nullptr);
    ASSERT_TRUE(info.ok()) << info.status();
    EXPECT_THAT(info->aliases, ::testing::ElementsAre("models/tiny@v1", "models/tiny"));
    EXPECT_EQ(info->objects, 2u) << "equal files are one object, an empty one none";
    id = info->id;
  }
  Stop();
  Start();
  ArtifactClient client(server_->addresses()[0], "default");
  ASSERT_TRUE(client.Download("models/tiny", to, nullptr).ok());
  for (const auto& [path, bytes] : files) EXPECT_EQ(*ReadFile(Env::Posix(), JoinPath(to, path), 1 << 30), bytes) << path;
  EXPECT_EQ(client.List()->size(), 1u);
  EXPECT_EQ(ReasonOf(client.Delete(id)), "ARTIFACT_HAS_ALIAS");
  EXPECT_TRUE(client.Delete("models/tiny").ok());
  EXPECT_EQ(ReasonOf(client.Get(id).status()), "ARTIFACT_NOT_FOUND");
}

TEST_F(StoreServerTest, AResultIsPreparedPublishedAndReconciled) {
  const std::string from = JoinPath(dir_.path(), "result");
  ASSERT_TRUE(Env::Posix()->CreateDirs(from).ok());
  ASSERT_TRUE(WriteFileAtomic(Env::Posix(), JoinPath(from, "report.json"), "{}").ok());
  ArtifactClient client(server_->addresses()[0], "default");
  const auto id = client.PrepareFolder(from, "j1", {3, 1, 99}, nullptr);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(ReasonOf(client.Get(*id).status()), "ARTIFACT_NOT_FOUND");
  v1::PublishRequest publish;
  publish.set_job("j1");
  publish.set_incarnation(3);
  publish.set_artifact(*id);
  publish.set_alias("jobs/j1");
  publish.mutable_token()->set_random(99);
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    PrepareContext(&context, 10000);
    v1::Artifact artifact;
    ASSERT_TRUE(FromGrpc(stub_->Publish(&context, publish, &artifact)).ok());
    EXPECT_EQ(artifact.job(), "j1");
    EXPECT_GT(artifact.create_time().seconds(), 0);
  }
  grpc::ClientContext context;
  PrepareContext(&context, 10000);
  v1::ReconcileResponse state;
  ASSERT_TRUE(stub_->Reconcile(&context, v1::ReconcileRequest(), &state).ok());
  EXPECT_EQ(state.highest_incarnation(), 3u);
  ASSERT_EQ(state.published_size(), 1);
  EXPECT_EQ(state.published(0).artifact(), *id);
  EXPECT_EQ(state.published(0).token().random(), 99u);
  grpc::ClientContext late;
  PrepareContext(&late, 10000);
  publish.set_incarnation(2);
  v1::Artifact artifact;
  EXPECT_EQ(ReasonOf(FromGrpc(stub_->Publish(&late, publish, &artifact))), "STALE_LEADER");
}

TEST_F(StoreServerTest, ReadersThatReadNothingHoldNobodyUp) {
  const std::string bytes = WeightBytes(1, 16 << 20);
  v1::WriteResponse response;
  ASSERT_TRUE(Write("up", Messages(bytes, 1 << 20), &response).ok());
  v1::ReadRequest request;
  request.set_object(BytesOf(Sha256Of(bytes)));
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::ReadResponse>>> stuck;
  for (int i = 0; i < 40; ++i) {  // many times the store's threads
    contexts.push_back(std::make_unique<grpc::ClientContext>());
    PrepareContext(contexts.back().get(), 20000);
    stuck.push_back(stub_->Read(contexts.back().get(), request));
  }
  EXPECT_EQ(Read(bytes, 0, 0)->size(), bytes.size());
  for (auto& context : contexts) context->TryCancel();
  for (auto& stream : stuck) (void)stream->Finish();
}

TEST_F(StoreServerTest, ShutdownEndsOpenStreams) {
  grpc::ClientContext context;
  PrepareContext(&context, 20000);
  v1::WriteResponse response;
  auto stream = stub_->Write(&context, &response);
  v1::WriteRequest message = Messages("abc", 2)[0];
  message.set_upload_id("up");
  ASSERT_TRUE(stream->Write(message));
  Stop();
  EXPECT_FALSE(stream->Finish().ok());
}

TEST(StreamWatchTest, OnlyIdleStreamsAreCancelled) {
  ManualClock clock;
  StreamWatch watch(&clock);
  int a = 0, b = 0;
  ASSERT_TRUE(watch.Add(&a, [&] { ++a; }));
  ASSERT_TRUE(watch.Add(&b, [&] { ++b; watch.Remove(&b); }));
  clock.AdvanceMillis(100);
  watch.Moved(&a);
  EXPECT_EQ(watch.CancelIdle(100), 1);
  EXPECT_EQ(a, 0);
  EXPECT_EQ(b, 1);
  watch.CancelAll();
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 1) << "removed streams are left alone";
  EXPECT_FALSE(watch.Add(&b, [] {}));
}

}  // namespace
}  // namespace swage
