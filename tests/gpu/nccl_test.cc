// NCCL on one device: a world of one is a communicator, and takes every path but that of a lost peer.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "workers/runtime/reducer_nccl.h"

namespace swage {
namespace {

class NcclTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int devices = 0;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) GTEST_SKIP() << "no CUDA device";
    ReducerOptions options;
    options.session = "test";
    options.deadline_ms = 60'000;
    const auto meet = [](const std::string& mine) -> StatusOr<std::vector<std::string>> { return std::vector{mine}; };
    auto reducer = ConnectNccl(options, 0, meet);
    ASSERT_TRUE(reducer.ok()) << reducer.status();
    reducer_ = std::move(*reducer);
    ASSERT_EQ(cudaMalloc(&data_, 2 * sizeof(values_)), cudaSuccess);
    ASSERT_EQ(cudaMemcpy(data_, values_, sizeof(values_), cudaMemcpyHostToDevice), cudaSuccess);
  }
  void TearDown() override { cudaFree(data_); }

  const float values_[4] = {1, 2, 3, 4};
  float* data_ = nullptr;
  std::unique_ptr<Reducer> reducer_;
};

TEST_F(NcclTest, SumsBroadcastsAndGathers) {
  EXPECT_TRUE(reducer_->on_device());
  EXPECT_TRUE(reducer_->AllReduceSum(data_, 4).ok());
  EXPECT_TRUE(reducer_->Broadcast(data_, sizeof(values_), 0).ok());
  EXPECT_TRUE(reducer_->AllGatherV(data_, {sizeof(values_)}, data_ + 4).ok());
  EXPECT_TRUE(reducer_->Barrier().ok());
  float back[4];
  ASSERT_EQ(cudaMemcpy(back, data_ + 4, sizeof(back), cudaMemcpyDeviceToHost), cudaSuccess);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(back[i], values_[i]);
}

}  // namespace
}  // namespace swage
