// `swage`: the platform's command line, and, as `swage __job`, the child process of a job.
#include "base/openmp_wait.h"
#include "clients/cli/parse.h"
#include "workers/job/child.h"

int main(int argc, char** argv) {
  swage::LetOpenMpThreadsSleep(argv);
  if (const auto code = swage::RunAsChild(argc, argv)) return *code;
  return swage::ParseAndRun(argc, argv);
}
