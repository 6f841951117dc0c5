#!/usr/bin/env bash
# From a clone to two compressed models, on a bare Debian 12 machine: installs what is missing, builds `swage`, runs the
# platform in a data folder of its own, compresses the sample model twice, prints what came out, stops.
#
#   deploy/quickstart.sh [--data DIR] [--keep]
#
#   --data DIR   data folder (default ~/.local/share/swage-quickstart); reused by the next run, as the build is
#   --keep       leave the platform running
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
DATA=${HOME:-/root}/.local/share/swage-quickstart
KEEP=0
while [ $# -gt 0 ]; do
  case $1 in
    --data) [ $# -ge 2 ] || { echo "error: --data needs a folder" >&2; exit 2; }; DATA=$2; shift 2 ;;
    --keep) KEEP=1; shift ;;
    -h|--help) sed -n '2,8p' "$0" | cut -c3-; exit 0 ;;
    *) echo "error: unknown option $1" >&2; echo "  do this: $0 --help" >&2; exit 2 ;;
  esac
done
case $DATA in /*) ;; *) DATA=$ROOT/$DATA ;; esac
BUILD=$ROOT/build/quickstart
SWAGE=$BUILD/bin/swage
MODEL=tests/data/models/classics-6m
PHASES=()

now() { date +%s.%N; }
T0=$(now)
phase() { echo; echo "== $1"; PHASE=$1; PHASE_START=$(now); }
phase_end() { PHASES+=("$(awk -v n="$PHASE" -v a="$PHASE_START" -v b="$(now)" 'BEGIN{printf "  %-22s %7.1f s", n, b - a}')"); }

UP=
stop() {
  [ -n "$UP" ] || return 0
  kill -TERM "$UP" 2>/dev/null || true
  wait "$UP" 2>/dev/null || true
  UP=
}
on_exit() {
  code=$?
  if [ "$code" -ne 0 ] && [ -s "$DATA/up.log" ] && [ -n "$UP" ]; then
    echo "the platform's last words ($DATA/up.log):" >&2
    tail -n 20 "$DATA/up.log" >&2
  fi
  stop
  exit "$code"
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

phase "packages"
deploy/install.sh build
phase_end

phase "build"
mkdir -p "$BUILD"
if [ ! -f "$BUILD/build.ninja" ]; then
  cmake -S . -B "$BUILD" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSWAGE_CUDA=OFF -DSWAGE_TESTS=OFF \
    -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=10 > "$BUILD/configure.log" 2>&1 ||
    { cat "$BUILD/configure.log" >&2; exit 1; }
fi
ninja -C "$BUILD" swage
phase_end

phase "start"
mkdir -p "$DATA"
if "$SWAGE" --data "$DATA" ping > /dev/null 2>&1; then
  echo "a platform runs in $DATA already: using it"
else
  "$SWAGE" up --data "$DATA" > "$DATA/up.log" 2>&1 &
  UP=$!
  "$SWAGE" --data "$DATA" ping --wait 20
fi
phase_end

phase "upload"
"$SWAGE" --data "$DATA" upload "$MODEL" --as models/classics-6m
phase_end

OUT=$DATA/artifacts
mkdir -p "$OUT"
REPORTS=()
for recipe in int4-g128 w8a8; do
  phase "compress $recipe"
  "$SWAGE" --data "$DATA" submit "tests/data/recipes/$recipe.yaml" --model models/classics-6m \
    --as "models/classics-6m-$recipe" --watch
  phase_end
  phase "download $recipe"
  # A run of its own gets a folder of its own; the one before it stays until this one is complete.
  rm -rf "$OUT/$recipe.new"
  "$SWAGE" --data "$DATA" download "models/classics-6m-$recipe" "$OUT/$recipe.new"
  rm -rf "$OUT/$recipe"
  mv "$OUT/$recipe.new" "$OUT/$recipe"
  REPORTS+=("$OUT/$recipe")
  phase_end
done

phase "stop"
if [ "$KEEP" = 1 ] && [ -n "$UP" ]; then
  disown "$UP"
  echo "still running (process $UP); stop it with: kill $UP"
  UP=
else
  stop
fi
phase_end

echo
"$SWAGE" report "${REPORTS[@]}"
echo
echo "artifacts for transformers and vLLM: ${REPORTS[*]}"
echo "time by phase:"
printf '%s\n' "${PHASES[@]}"
awk -v a="$T0" -v b="$(now)" 'BEGIN{printf "  %-22s %7.1f s\n", "all", b - a}'
