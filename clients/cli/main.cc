// `swage`: the platform's command line, and, as `swage __job`, the child process of a job.
#include <string_view>

#include "clients/cli/parse.h"
#include "workers/job/child.h"

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "__job") return swage::JobChildMain();
  return swage::ParseAndRun(argc, argv);
}
