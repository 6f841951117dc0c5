// `swage`: the platform's command line, and, as `swage __job`, the child process of a job.
#include "clients/cli/parse.h"
#include "workers/job/child.h"

int main(int argc, char** argv) {
  if (const auto code = swage::RunAsChild(argc, argv)) return *code;
  return swage::ParseAndRun(argc, argv);
}
