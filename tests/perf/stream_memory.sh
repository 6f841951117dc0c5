#!/usr/bin/env bash
# stream_memory.sh BUILD WORKDIR [HIDDEN FFN LAYERS HEADS KV_HEADS VOCAB]: `swage compress` (int4 in groups of 128, a small
# evaluation) on a generated model 20 times larger than the memory that the process is given, with and without fetching blocks
# ahead (SWAGE_PREFETCH), after the model's file has left the page cache. The memory is given by a control group below the
# caller's own (v1 or v2, which needs the right to make one; the page cache counts in it); without that right by nothing, which
# is said, and the peak is measured all the same. The model (some GB) stays in WORKDIR for the next run.
# Printed: the peak of resident memory (VmHWM, anonymous and mapped, by stage from report.json) against one block as it is
# computed with (f32) + hidden states + statistics in flight (none: this method is free of data).
set -euo pipefail
build=$1 work=$2
hidden=${3:-2560} ffn=${4:-10240} layers=${5:-56} heads=${6:-20} kv=${7:-4} vocab=${8:-65536}
root=$(cd "$(dirname "$0")/../.." && pwd)
model=$work/model-$hidden-$ffn-$layers-$heads-$kv-$vocab
mkdir -p "$work"
if [ ! -e "$model/model.safetensors" ]; then
  (cd "$root" && "$build/bin/swage-make-model" "$model" --hidden "$hidden" --ffn "$ffn" --layers "$layers" --heads "$heads" \
    --kv-heads "$kv" --vocab "$vocab")
fi
sync "$model/model.safetensors"
bytes=$(stat -c %s "$model/model.safetensors")
limit=$((bytes / 20))
windows=2 window=32
cat > "$work/recipe.yaml" <<YAML
steps:
- {kind: quantize, method: rtn, format: int4, granularity: group, group_size: 128}
evaluate: {text: text.txt, window: $window, max_windows: $windows}
YAML
cp "$root/tests/data/texts/tinystories-val-160k.txt" "$work/text.txt"

# The group of this name below the caller's, or nothing where none can be made.
make_group() {
  local base file
  if base=/sys/fs/cgroup/memory$(awk -F: '$2 == "memory" {print $3}' /proc/self/cgroup) && [ -e "$base/memory.limit_in_bytes" ]; then
    file=memory.limit_in_bytes
  else
    base=/sys/fs/cgroup$(awk -F: '$1 == "0" {print $3}' /proc/self/cgroup)
    file=memory.max
  fi
  group=$base/swage-stream-$$
  mkdir "$group" 2>/dev/null && echo "$limit" > "$group/$file" 2>/dev/null && return
  rmdir "$group" 2>/dev/null || true
  group=
}
group=
trap '[ -z "$group" ] || rmdir "$group" 2>/dev/null || true' EXIT
make_group
if [ -n "$group" ]; then
  echo "model $bytes bytes, limit $limit ($group)"
else
  echo "model $bytes bytes; no control group can be made here: NOTHING LIMITS THE PROCESS, its peak is measured only"
fi

# run NAME PREFETCH MODEL: prints seconds, the peak by kind of stage, and what the group says.
run() {
  local out=$work/out-$1
  rm -rf "$out" "$out.scratch" "$out.partial"
  dd if="$3/model.safetensors" of=/dev/null iflag=nocache count=0 status=none
  [ -z "$group" ] || [ ! -e "$group/memory.max_usage_in_bytes" ] || echo 0 > "$group/memory.max_usage_in_bytes"
  local begin end
  begin=$(date +%s.%N)
  GROUP=$group SWAGE_PREFETCH=$2 bash -c '[ -z "$GROUP" ] || echo $$ > "$GROUP/cgroup.procs"; exec "$@"' run \
    "$build/bin/swage" compress --model "$3" --recipe "$work/recipe.yaml" --out "$out" > "$work/log-$1" 2>&1 || {
    tail -5 "$work/log-$1"
    return 1
  }
  end=$(date +%s.%N)
  "${PYTHON:-python3}" - "$1" "$begin" "$end" "$out/report.json" "$hidden" "$ffn" "$heads" "$kv" "$windows" "$window" <<'PY'
import json, sys
name, begin, end, path = sys.argv[1:5]
hidden, ffn, heads, kv, windows, window = map(int, sys.argv[5:])
block = 4 * (2 * hidden * hidden + 2 * hidden * hidden * kv // heads + 3 * hidden * ffn)
states = 2 * windows * (window + 1) * hidden * 4
kinds = {}
for stage in json.load(open(path))["stages"]:
    kind = kinds.setdefault(stage["name"].split("[")[0], [0, 0])
    kind[0] += stage["seconds"]
    kind[1] = max(kind[1], stage["peak_bytes"])
for kind, (seconds, peak) in kinds.items():
    print(f"  {kind:9} {seconds:7.1f} s, peak {peak / 1e6:7.1f} MB")
peak = max(p for _, p in kinds.values())
if name == "process":
    print(f"{name}: {peak / 1e6:.1f} MB with a model of 11 MB")
else:
    print(f"{name}: {float(end) - float(begin):.1f} s; peak {peak / 1e6:.1f} MB; one block {block / 1e6:.1f} MB + hidden states "
          f"{states / 1e6:.1f} MB + statistics 0: ratio {peak / (block + states):.3f}")
PY
  [ -z "$group" ] || [ ! -e "$group/memory.max_usage_in_bytes" ] ||
    echo "  the group's peak with page cache: $(cat "$group/memory.max_usage_in_bytes") bytes"
  rm -rf "$out"
}
run process 1 "$root/tests/data/models/classics-6m"
run prefetch 1 "$model"
run plain 0 "$model"
