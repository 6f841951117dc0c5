#include "services/control/job_id.h"

#include <gtest/gtest.h>

#include <set>

namespace swage {
namespace {

TEST(JobId, IsTwentySixDigitsOrderedByTimeAndWithinAMillisecond) {
  ManualClock clock;
  JobIdGenerator ids(&clock);
  std::string last;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = ids.Next();
    EXPECT_TRUE(IsJobId(id)) << id;
    EXPECT_GT(id, last);
    last = id;
    if (i % 10 == 0) clock.AdvanceMillis(1);
  }
}

TEST(JobId, CarriesTheMilliseconds) {
  ManualClock clock;  // 1700000000000 ms = 0x18bcfe56800; its 50 bits in base 32, top first
  EXPECT_EQ(JobIdGenerator(&clock).Next().substr(0, 10), "01hf7yat00");
}

TEST(JobId, TwoGeneratorsDoNotCollide) {
  ManualClock clock;
  JobIdGenerator a(&clock), b(&clock);
  std::set<std::string> seen;
  for (int i = 0; i < 200; ++i) {
    seen.insert(a.Next());
    seen.insert(b.Next());
  }
  EXPECT_EQ(seen.size(), 400u);
}

TEST(JobId, NamesAreTakenWithAndWithoutThePrefix) {
  ManualClock clock;
  const std::string id = JobIdGenerator(&clock).Next();
  EXPECT_EQ(*ParseJobName("jobs/" + id), id);
  EXPECT_EQ(*ParseJobName(id), id);
  for (const std::string& bad : {std::string(), std::string("jobs/"), "jobs/jobs/" + id, id + "0", "jobs/../" + id,
                                std::string("jobs/UPPERUPPERUPPERUPPERUPPERU")}) {
    EXPECT_EQ(ReasonOf(ParseJobName(bad).status()), "BAD_JOB_NAME") << bad;
  }
}

}  // namespace
}  // namespace swage
