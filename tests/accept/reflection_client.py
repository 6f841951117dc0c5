#!/usr/bin/env python3
"""Submits a job knowing nothing but an address: services, methods and messages come from server reflection.

    reflection_client.py ADDRESS MODEL TEXT

Checks that reflection lists the four services and health, that health says SERVING for each, then submits a job and
watches it to SUCCEEDED. Needs grpcio and grpcio-reflection, and no stub of ours.
"""
import hashlib
import sys
import uuid

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVICES = ["swage.v1.JobService", "swage.v1.ArtifactService", "swage.v1.AdminService", "swage.v1.WorkerService"]
RECIPE = "steps: [{kind: quantize, method: rtn, format: int8, granularity: channel}]\n" \
         "evaluate: {text: test.txt, window: 256, max_windows: 4}\n"


class Reflected:
    """Calls methods by name, with dictionaries for requests."""

    def __init__(self, address):
        self.channel = grpc.insecure_channel(address)
        self.database = ProtoReflectionDescriptorDatabase(self.channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def message(self, descriptor, fields):
        return message_factory.GetMessageClass(descriptor)(**fields)

    def health(self, service):
        """The health service of gRPC's C++ library is listed by reflection, but its messages are not described."""
        request = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
        return self.channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=10)

    def call(self, service, method, fields, timeout=30):
        m = self.pool.FindServiceByName(service).FindMethodByName(method)
        path = f"/{service}/{method}"
        serialize = lambda message: message.SerializeToString()
        parse = message_factory.GetMessageClass(m.output_type).FromString
        if m.client_streaming:
            requests = (self.message(m.input_type, f) for f in fields)
            return self.channel.stream_unary(path, serialize, parse)(requests, timeout=timeout)
        request = self.message(m.input_type, fields)
        if m.server_streaming:
            return self.channel.unary_stream(path, serialize, parse)(request, timeout=timeout)
        return self.channel.unary_unary(path, serialize, parse)(request, timeout=timeout)


def main():
    address, model, text = sys.argv[1:4]
    client = Reflected(address)
    listed = set(client.database.get_services())
    absent = [s for s in SERVICES + ["grpc.health.v1.Health"] if s not in listed]
    if absent:
        print("reflection does not list", absent, "but", sorted(listed))
        return 1
    for service in SERVICES + [""]:
        health = client.health(service)
        if health != b"\x08\x01":  # status: SERVING
            print("health of", repr(service), "is", health)
            return 1

    with open(text, "rb") as f:
        data = f.read()[:900000]
    digest = hashlib.sha256(data).digest()
    upload_id = uuid.uuid4().hex
    client.call("swage.v1.ArtifactService", "FindMissing", {"upload_id": upload_id, "digests": [digest]})
    client.call("swage.v1.ArtifactService", "Write",
                [{"upload_id": upload_id, "digest": digest, "size": len(data), "offset": 0, "data": data}])
    spec = {"model": model, "recipe": RECIPE, "files": {"test.txt": digest.hex()}}
    job = client.call("swage.v1.JobService", "CreateJob", {"job": spec, "request_id": uuid.uuid4().hex})
    last = 0
    for event in client.call("swage.v1.JobService", "WatchJob", {"name": job.name}, timeout=600):
        if event.sequence != last + 1:
            print("event", event.sequence, "after", last)
            return 1
        last = event.sequence
    job = client.call("swage.v1.JobService", "GetJob", {"name": job.name})
    states = job.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
    print(job.name, states[job.state].name, job.artifact_alias, "after", last, "events")
    return 0 if states[job.state].name == "SUCCEEDED" else 1


if __name__ == "__main__":
    sys.exit(main())
