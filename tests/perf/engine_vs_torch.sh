#!/usr/bin/env bash
# engine_vs_torch.sh BUILD PYTHON MODEL forward|step bf16|f32 WINDOWS [ROUNDS [REPETITIONS]]: swage-bench-engine and
# engine_peer.py in turns on the same machine, then the medians and their ratio. PyTorch's forward takes all windows at once and
# one at a time in each round; the faster way counts.
set -euo pipefail
build=$1 python=$2 model=$3 mode=$4 dtype=$5 windows=$6 rounds=${7:-3} repetitions=${8:-3}
here=$(dirname "$0")
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for ((i = 0; i < rounds; ++i)); do
  "$build/bin/swage-bench-engine" "$model" "$mode" "$dtype" "$windows" "$repetitions" >> "$lines"
  "$python" "$here/engine_peer.py" "$model" "$mode" "$dtype" "$windows" "$repetitions" 0 2>/dev/null >> "$lines"
  if [ "$mode" = forward ]; then
    "$python" "$here/engine_peer.py" "$model" "$mode" "$dtype" "$windows" "$repetitions" 1 2>/dev/null >> "$lines"
  fi
done
"$python" - "$lines" <<'PY'
import json, statistics, sys
runs = {}
for line in open(sys.argv[1]):
    run = json.loads(line)
    runs.setdefault((run["side"], run.get("batch", 0)), []).append(run)
def median(key): return statistics.median(s for run in runs[key] for s in run["seconds"])
ours = ("swage", 0)
theirs = min((key for key in runs if key[0] == "torch"), key=median)
for key in runs:
    first = runs[key][0]
    spread = [s for run in runs[key] for s in run["seconds"]]
    print(f"{key[0]:6} batch {key[1]:2}: median {median(key):.3f} s ({min(spread):.3f} to {max(spread):.3f}), "
          f"{first['windows'] * 512 / median(key):.0f} tokens/s, peak {max(r['peak_mib'] for r in runs[key]):.0f} MiB, loss {first['loss']}")
memory = max(r["peak_mib"] for r in runs[ours]) / max(r["peak_mib"] for r in runs[theirs])
print(f"{first['mode']} {first['dtype']}: {median(theirs) / median(ours):.2f} times as fast, {memory:.2f} of the memory")
PY
