#!/usr/bin/env bash
# A rolling upgrade: store, scheduler, control, worker and client each of one of two builds, in all 32 mixtures, over
# one state that goes on through all of them. In each a job must succeed, and an artifact of the other build's time be
# read. (docs/guarantees.md, G19.)
#
#   [MIXES="2 4"] tests/accept/mixed_versions.sh OLD_BIN NEW_BIN    folders with swage, swage-control, -scheduler, -store, -worker
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# = 2 ] || { sed -n '2,7p' "$0" | cut -c3- >&2; exit 2; }
BIN=("$(realpath "$1")" "$(realpath "$2")")
WORK=$(mktemp -d)
PIDS=()
stop() {
  for pid in "${PIDS[@]}"; do kill -TERM "$pid" 2> /dev/null || true; done
  for pid in "${PIDS[@]}"; do wait "$pid" 2> /dev/null || true; done
  PIDS=()
}
trap 'stop; rm -rf "$WORK"' EXIT
cat > "$WORK/recipe.yaml" <<'R'
steps:
- {kind: quantize, method: rtn, format: int8, granularity: channel}
seed: 0
R

daemon() {  # daemon NAME COMMAND...: starts it and waits until it says that it is ready
  local name=$1
  shift
  "$@" > "$WORK/$name.log" 2>&1 &
  PIDS+=($!)
  for _ in $(seq 200); do
    grep -q ready "$WORK/$name.log" && return
    sleep 0.05
  done
  cat "$WORK/$name.log" >&2
  return 1
}

failed=0 previous=
for mix in ${MIXES:-$(seq 0 31)}; do
  of() { echo "${BIN[$((mix >> $1 & 1))]}"; }
  store=unix:$WORK/store.sock scheduler=unix:$WORK/scheduler.sock control=unix:$WORK/control.sock
  daemon store "$(of 0)/swage-store" --data "$WORK/store" --listen "$store"
  daemon scheduler "$(of 1)/swage-scheduler" --state "$WORK/state.sqlite" --store "$store" --listen "$scheduler" --lease-ms 2000 --traces "$WORK/t"
  daemon control "$(of 2)/swage-control" --state "$WORK/state.sqlite" --store "$store" --scheduler "$scheduler" --listen "$control" --traces "$WORK/t"
  daemon worker "$(of 3)/swage-worker" --data "$WORK/worker" --scheduler "$scheduler" --store "$store" --slots 1 --threads 1
  client=("$(of 4)/swage" --server "$control")
  what="store $((mix & 1)) scheduler $((mix >> 1 & 1)) control $((mix >> 2 & 1)) worker $((mix >> 3 & 1)) client $((mix >> 4 & 1))"
  ok=1
  "${client[@]}" upload tests/data/models/classics-6m --as "models/m$mix" > "$WORK/out" 2>&1 || ok=0
  [ $ok = 0 ] || timeout 60 "${client[@]}" submit "$WORK/recipe.yaml" --model "models/m$mix" --no-cache --as "models/q$mix" --watch > "$WORK/out" 2>&1 || ok=0
  [ $ok = 0 ] || "${client[@]}" download "models/q$mix" "$WORK/d$mix" > "$WORK/out" 2>&1 || ok=0
  [ $ok = 0 ] || [ -z "$previous" ] || "${client[@]}" download "$previous" "$WORK/again" > "$WORK/out" 2>&1 || ok=0
  [ $ok = 0 ] || "${client[@]}" jobs > "$WORK/out" 2>&1 || ok=0
  if [ $ok = 1 ]; then
    echo "ok      $what"
  else
    echo "FAILED  $what"
    tail -n 5 "$WORK/out" "$WORK"/*.log
    failed=1
  fi
  previous=models/q$mix
  stop
  rm -rf "$WORK/again" "$WORK/d$mix"
done
exit $failed
