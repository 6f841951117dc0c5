// Stage "calibrate": the windows of the calibration text become the hidden states that the blocks will
// be calibrated on.
#include "base/log.h"
#include "workers/job/calibration.h"
#include "workers/job/job.h"

namespace swage {

Status RunCalibrate(Job* job) {
  const WindowSet& windows = *job->calibration_windows;
  SWAGE_RETURN_IF_ERROR(job->supervisor.Begin(
      "calibrate", Cat(windows.count, " windows of ", windows.tokens, " tokens")));
  const int64_t asked = job->plan.recipe.calibrate->samples;
  if (windows.count < asked) {
    LogWarning("calibration: the text holds ", windows.count, " windows, not ", asked);
  }
  job->supervisor.SetAttribute("swage.calibration.windows", Cat(windows.count));
  job->calibration = std::make_unique<Calibration>(job);
  return job->calibration->Embed();
}

}  // namespace swage
