// The whole platform in this process, in a temporary folder. Jobs run in fake_child (quick; its behaviour is chosen by
// the recipe's seed) or, with UseEngine, in swage-worker's real child.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "base/env.h"
#include "clients/cli/job_client.h"
#include "services/embedded/embedded.h"
#include "services/kit/artifact_client.h"

namespace swage {

inline constexpr char kModelDir[] = "tests/data/models/classics-6m";

class PlatformTest : public ::testing::Test {
 protected:
  void SetUp() override { Start(); }
  void TearDown() override { Stop(); }

  void Start();
  void Stop();
  EmbeddedOptions Options() const;
  void UseEngine();  // from here on

  // The sample model under models/tiny, once for each platform.
  void UploadModel();
  // A text of the first `bytes` of the sample text, as an object; returns its digest.
  std::string UploadText(uint64_t bytes);
  // int4 g128 on models/tiny, evaluated on two windows of "t.txt".
  Submission SmallJob(int seed = 0);
  JobView WatchToEnd(const std::string& name);

  TempDir dir_;
  std::string child_ = SWAGE_FAKE_CHILD;
  std::unique_ptr<EmbeddedPlatform> platform_;
  std::unique_ptr<ArtifactClient> store_;
  std::unique_ptr<JobClient> jobs_;
};

// A small folder that is a loadable-looking model: what bad inputs are made from.
std::string CopyOfModel(const std::string& to);

}  // namespace swage
