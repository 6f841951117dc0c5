#!/usr/bin/env bash
# Installs what is missing, builds everything, runs every test that needs no GPU. Exit 0: all of it passed.
#
#   tests/run.sh [--quick] [--asan-only] [--no-install]
#
#   --quick        the Release build and its tests only, without sanitizers
#   --asan-only    the sanitizers only
#   --no-install   the packages are there
#
# build/ci    Release, with everything; also compiles the CUDA kernels where there is a CUDA toolkit
# build/asan  AddressSanitizer and UndefinedBehaviorSanitizer: unit and simulation tests of all that needs no gRPC
# build/tsan  ThreadSanitizer: base and what is built on it alone (libgomp's threads are not seen by it)
set -uo pipefail
cd "$(dirname "$0")/.."
# A clone elsewhere finds what this one has compiled.
export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
INSTALL=1 RELEASE=1 SANITIZERS=1
while [ $# -gt 0 ]; do
  case $1 in
    --quick) SANITIZERS=0 ;;
    --asan-only) RELEASE=0 ;;
    --no-install) INSTALL=0 ;;
    -h|--help) sed -n '2,12p' "$0" | cut -c3-; exit 0 ;;
    *) echo "error: unknown option $1" >&2; echo "  do this: $0 --help" >&2; exit 2 ;;
  esac
  shift
done

SUMMARY=() FAILED=0
timed() {  # timed NAME COMMAND...: runs it, notes how long it took, goes on after a failure
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  if "$@"; then
    SUMMARY+=("$(printf '%-34s %5d s  ok' "$name" $((SECONDS - start)))")
  else
    SUMMARY+=("$(printf '%-34s %5d s  FAILED' "$name" $((SECONDS - start)))")
    FAILED=1
    return 1
  fi
}

configure() {  # configure DIR OPTIONS...
  local dir=$1
  shift
  mkdir -p build
  # In one piece per library, as the quickstart builds it: what breaks there is seen here, and it takes half the time.
  cmake -S . -B "$dir" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=10 \
    "$@" > "$dir.log" 2>&1 || { cat "$dir.log"; return 1; }
  grep 'CUDA kernels' "$dir.log"
}

CLOSING=()
run_tests() {  # run_tests DIR OPTIONS...: all tests of a build; keeps ctest's closing lines for the end
  local dir=$1 log code
  shift
  log=$dir/ctest.log
  ctest --test-dir "$dir" -j 2 --output-on-failure "$@" 2>&1 | tee "$log"
  code=${PIPESTATUS[0]}
  CLOSING+=("$dir: $(sed -n '/tests passed/,$p' "$log" | sed '/^ *$/d')")
  # A filter that matches nothing must not pass for a test that passed.
  grep -q 'tests passed' "$log" || return 1
  return "$code"
}

[ $INSTALL = 0 ] || timed "packages" deploy/install.sh build test || exit 1

if [ $RELEASE = 1 ]; then
  timed "configure build/ci" configure build/ci &&
    timed "build build/ci" ninja -k 0 -C build/ci &&
    timed "test build/ci" run_tests build/ci
fi

if [ $SANITIZERS = 1 ]; then
  export UBSAN_OPTIONS=print_stacktrace=1
  timed "configure build/asan" configure build/asan -DSWAGE_CUDA=OFF -DSWAGE_SERVICES=OFF -DSWAGE_SANITIZE=address &&
    timed "build build/asan" ninja -C build/asan &&
    timed "test build/asan" run_tests build/asan -LE 'slow|jobs|tidy'
  THREADED='^(base_|telemetry_|scheduler_state_|state_store_test|redis_state_)'
  timed "configure build/tsan" configure build/tsan -DSWAGE_CUDA=OFF -DSWAGE_SERVICES=OFF -DSWAGE_SANITIZE=thread &&
    timed "build build/tsan" ninja -C build/tsan $(ctest --test-dir build/tsan -N -R "$THREADED" -LE slow |
      sed -n 's/^ *Test *#[0-9]*: //p') &&
    timed "test build/tsan" run_tests build/tsan -R "$THREADED" -LE slow
fi

echo
echo "== summary ($SECONDS s)"
printf '%s\n' "${SUMMARY[@]}"
printf '%s\n' "${CLOSING[@]+"${CLOSING[@]}"}"
[ $FAILED = 0 ] || echo "FAILED"
exit $FAILED
