#include "clients/cli/admin_client.h"

#include <gtest/gtest.h>

#include <atomic>

#include "base/env.h"
#include "services/kit/rpc.h"
#include "swage/v1/admin.grpc.pb.h"

namespace swage {
namespace {

class FakeScheduler : public v1::AdminService::Service {
 public:
  std::atomic<bool> leads{true};
  std::atomic<int> asked{0};
  int cut_snapshot_after = 100;

  grpc::Status ListTenants(grpc::ServerContext*, const v1::ListTenantsRequest*, v1::ListTenantsResponse* response) override {
    ++asked;
    if (!leads) return ToGrpc(Unavailable("NOT_LEADER", "this scheduler does not lead", "try again"));
    response->add_tenants()->set_tenant("default");
    return grpc::Status::OK;
  }
  grpc::Status GetSnapshot(grpc::ServerContext*, const v1::GetSnapshotRequest*,
                           grpc::ServerWriter<v1::GetSnapshotResponse>* writer) override {
    ++asked;
    for (int i = 0; i < 3; ++i) {
      if (i == cut_snapshot_after) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "socket closed");
      v1::GetSnapshotResponse piece;
      piece.set_json(Cat(i));
      writer->Write(piece);
    }
    return grpc::Status::OK;
  }
};

class AdminClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 2; ++i) {
      auto server = RpcServer::Start({AddressOf(i)}, {&schedulers_[i]});
      ASSERT_TRUE(server.ok()) << server.status();
      servers_[i] = std::move(*server);
    }
  }
  std::string AddressOf(int i) const { return Cat("unix:", dir_.path(), "/s", i); }
  AdminClient Client(int patience_ms = 10000) {
    AdminClientOptions options;
    options.addresses = [this]() -> StatusOr<std::string> { return Cat(AddressOf(0), ", ", AddressOf(1)); };
    options.patience_ms = patience_ms;
    return AdminClient(std::move(options));
  }

  TempDir dir_{"admin_client"};
  FakeScheduler schedulers_[2];
  std::unique_ptr<RpcServer> servers_[2];
};

TEST_F(AdminClientTest, OfSeveralSchedulersTheLeaderIsFoundAndKept) {
  schedulers_[0].leads = false;
  AdminClient client = Client();
  ASSERT_TRUE(client.Tenants().ok());
  ASSERT_TRUE(client.Tenants().ok());
  EXPECT_EQ(schedulers_[0].asked, 1);
  EXPECT_EQ(schedulers_[1].asked, 2);
}

TEST_F(AdminClientTest, ADeadSchedulerIsPassedOver) {
  servers_[0].reset();
  EXPECT_TRUE(Client().Tenants().ok());
}

TEST_F(AdminClientTest, WithoutALeaderPatienceEnds) {
  schedulers_[0].leads = schedulers_[1].leads = false;
  const auto tenants = Client(/*patience_ms=*/100).Tenants();
  EXPECT_EQ(ReasonOf(tenants.status()), "NO_LEADER");
}

TEST_F(AdminClientTest, ASnapshotThatIsCutIsAnErrorAndNeverHalfOfTwo) {
  std::string json;
  const auto collect = [&](std::string_view piece) {
    json += piece;
    return absl::OkStatus();
  };
  ASSERT_TRUE(Client().Snapshot(collect).ok());
  EXPECT_EQ(json, "012");
  schedulers_[0].cut_snapshot_after = 1;
  EXPECT_EQ(ReasonOf(Client().Snapshot(collect)), "SNAPSHOT_CUT");
}

}  // namespace
}  // namespace swage
