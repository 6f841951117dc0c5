#!/usr/bin/env python3
"""Submits one quantization job from Python, with stubs generated from proto/, and watches it to its end.

    python -m grpc_tools.protoc -I proto --python_out=STUBS --grpc_python_out=STUBS \
        swage/v1/{job,artifact,worker,admin}.proto
    PYTHONPATH=STUBS python clients/python/examples/submit.py ADDRESS models/classics-6m TEXT

ADDRESS is what stands in <data>/run/address, or HOST:PORT. The model must be in the store (`swage upload`).
tests/accept/python_stubs.sh runs this against `swage up`.
"""
import hashlib
import sys
import uuid

import grpc
from swage.v1 import artifact_pb2, artifact_pb2_grpc, job_pb2, job_pb2_grpc

CHUNK = 1 << 20
RECIPE = """
steps:
- kind: quantize
  method: rtn
  format: int4
  granularity: group
  group_size: 128
evaluate: {text: test.txt, window: 512, max_windows: 8}
"""


def upload_text(store, data):
    """One object: its SHA-256 names it. Returns the hexadecimal digits."""
    digest = hashlib.sha256(data).digest()
    upload_id = uuid.uuid4().hex
    missing = store.FindMissing(
        artifact_pb2.FindMissingRequest(upload_id=upload_id, digests=[digest]), timeout=10).missing
    if missing:
        def chunks():
            for offset in range(0, len(data), CHUNK):
                first = offset == 0
                yield artifact_pb2.WriteRequest(
                    upload_id=upload_id if first else "", digest=digest if first else b"",
                    size=len(data) if first else 0, offset=offset, data=data[offset:offset + CHUNK])
        store.Write(chunks(), timeout=60)
    return digest.hex()


def main():
    address, model, text = sys.argv[1:4]
    jobs = job_pb2_grpc.JobServiceStub(grpc.insecure_channel(address))
    info = jobs.GetServerInfo(job_pb2.GetServerInfoRequest(), timeout=10)
    store = artifact_pb2_grpc.ArtifactServiceStub(grpc.insecure_channel(info.store_address or address))

    with open(text, "rb") as f:
        digest = upload_text(store, f.read())
    spec = job_pb2.JobSpec(model=model, recipe=RECIPE, files={"test.txt": digest})
    # The request id makes the call safe to repeat: the same id never makes a second job.
    job = jobs.CreateJob(job_pb2.CreateJobRequest(job=spec, request_id=uuid.uuid4().hex), timeout=10)
    print(job.name)
    for event in jobs.WatchJob(job_pb2.WatchJobRequest(name=job.name), timeout=600):
        print(job_pb2.JobState.Name(event.state), event.progress.stage, f"{event.progress.fraction:.0%}", event.message)
    job = jobs.GetJob(job_pb2.GetJobRequest(name=job.name), timeout=10)
    print(job_pb2.JobState.Name(job.state), job.artifact_alias, job.artifact)
    return 0 if job.state == job_pb2.SUCCEEDED else 1


if __name__ == "__main__":
    sys.exit(main())
