// The command line: what each command takes (docs/cli.md is the same for people), then runs it.
#pragma once

namespace swage {

// The whole run of `swage`: returns the exit code. Errors are printed: on stderr, or with --json on stdout.
int ParseAndRun(int argc, char** argv);

}  // namespace swage
