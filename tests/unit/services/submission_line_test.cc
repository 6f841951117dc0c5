// Submissions in line, with a store that takes connections and never answers.
#include "services/control/submission_line.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>

#include "base/env.h"

namespace swage {
namespace {

class SubmissionLineTest : public ::testing::Test {
 protected:
  SubmissionLineTest() {
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(fd_, 64), 0);
  }
  ~SubmissionLineTest() override { close(fd_); }

  v1::CreateJobRequest RequestFor(const std::string& model, const std::string& request_id) {
    v1::CreateJobRequest request;
    request.set_request_id(request_id);
    request.mutable_job()->set_model(model);
    request.mutable_job()->set_recipe("steps:\n- {kind: quantize, method: rtn, format: int8, granularity: channel}\n");
    return request;
  }
  void Add(const v1::CreateJobRequest& request, v1::Job* job, const std::string& name) {
    line_.Add({&request, job, {}, [this, name](const Status& status) {
                 std::lock_guard lock(mu_);
                 answered_.emplace_back(name, ReasonOf(status));
                 changed_.notify_all();
               }});
  }
  void Await(size_t count) {
    std::unique_lock lock(mu_);
    changed_.wait(lock, [&] { return answered_.size() >= count; });
  }

  TempDir dir_;
  std::string path_ = JoinPath(dir_.path(), "store.sock");
  int fd_ = -1;
  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<std::pair<std::string, std::string>> answered_;
  JobDirectory directory_{NewMemoryStateStore(), Clock::Real()};
  Admitter admitter_{"unix:" + path_, Clock::Real(),
                     [](const std::string&, const std::string&) -> StatusOr<KnownJob> {
                       return NotFound("JOB_NOT_FOUND", "no job", "");
                     },
                     [](const Plan&) { return std::string("{}"); }};
  SubmissionLine line_{&directory_, &admitter_, Clock::Real(), nullptr};
};

TEST_F(SubmissionLineTest, AStoreThatDoesNotAnswerHoldsUpOnlyThoseThatNeedIt) {
  const v1::CreateJobRequest needs = RequestFor("models/unknown", "a"), wrong = RequestFor("models/unknown", "not good");
  v1::Job jobs[4];
  for (int i = 0; i < 3; ++i) Add(needs, &jobs[i], "needs the store");
  Add(wrong, &jobs[3], "does not");
  Await(1);
  {
    std::lock_guard lock(mu_);
    EXPECT_EQ(answered_[0], std::make_pair(std::string("does not"), std::string("BAD_REQUEST_ID")));
  }
  line_.Stop();  // those in line are answered first
  ASSERT_EQ(answered_.size(), 4u);
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(answered_[static_cast<size_t>(i)].first, "needs the store");
    EXPECT_NE(answered_[static_cast<size_t>(i)].second, "");
  }
  Add(needs, &jobs[0], "late");
  EXPECT_EQ(answered_.back(), std::make_pair(std::string("late"), std::string("SHUTTING_DOWN")));
}

}  // namespace
}  // namespace swage
