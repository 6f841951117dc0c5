// How OpenMP's threads wait. By default they spin at the end of every parallel region, which on a machine that others use
// as well takes the cores from the threads they wait for: a forward of the sample model took 12.4 s instead of 2.8 s beside
// four busy processes, and without any no less time (docs/benchmarks/engine.md).
#pragma once

namespace swage {

// First thing in main. libgomp reads its settings when it is loaded, so that the process is started anew, once, with
// OMP_WAIT_POLICY=passive in its environment, which its children then inherit. Does nothing when OMP_WAIT_POLICY or
// GOMP_SPINCOUNT is set already, or when starting anew fails.
void LetOpenMpThreadsSleep(char** argv);

}  // namespace swage
