#!/usr/bin/env bash
# Submit -> SUCCEEDED from Python: with stubs generated from proto/, and from a client that knows only what reflection
# tells. Needs PyPI, hence not part of tests/run.sh.
#
#   tests/accept/python_stubs.sh [SWAGE [VENV]]
#
#   SWAGE  the binary (default build/ci/bin/swage)
#   VENV   an environment with grpcio-tools and grpcio-reflection; made when missing
set -euo pipefail
cd "$(dirname "$0")/../.."
SWAGE=$(realpath "${1:-build/ci/bin/swage}")
VENV=${2:-build/accept-venv}
WORK=$(mktemp -d)
UP=
trap '[ -z "$UP" ] || { kill -TERM "$UP"; wait "$UP" || true; }; rm -rf "$WORK"' EXIT

[ -x "$VENV/bin/python" ] || { python3 -m venv "$VENV"; "$VENV/bin/pip" install -q grpcio-tools grpcio-reflection; }
mkdir "$WORK/stubs"
"$VENV/bin/python" -m grpc_tools.protoc -I proto --python_out="$WORK/stubs" --grpc_python_out="$WORK/stubs" \
  swage/v1/job.proto swage/v1/artifact.proto swage/v1/worker.proto swage/v1/admin.proto

"$SWAGE" up --data "$WORK/data" > "$WORK/up.log" 2>&1 &
UP=$!
"$SWAGE" --data "$WORK/data" ping --wait 20
"$SWAGE" --data "$WORK/data" upload tests/data/models/classics-6m --as models/classics-6m
ADDRESS=$(cat "$WORK/data/run/address")
TEXT=tests/data/texts/wikitext2-raw-test-160k.txt
echo "== generated stubs"
PYTHONPATH=$WORK/stubs "$VENV/bin/python" clients/python/examples/submit.py "$ADDRESS" models/classics-6m "$TEXT"
echo "== reflection only"
"$VENV/bin/python" tests/accept/reflection_client.py "$ADDRESS" models/classics-6m "$TEXT"
echo "both SUCCEEDED"
