"""Copies from the peers' examples (what llm-compressor wrote for classics-6m) the facts that our export must reproduce:
names, dtypes, shapes and sha256 of the tensors of layer 0's linears.

    python3 tests/golden/export/make_export.py PEERS/examples   (in the repository root)
"""
import json
import sys

SCHEMES = ("W2A16", "W3A16", "W4A16", "W4A16_ASYM", "W8A16", "W8A8", "W4A8", "W4AFP8", "FP8_DYNAMIC", "FP8_BLOCK", "MXFP8A16",
           "MXFP4A16", "MXFP4", "NVFP4A16")
# Absent from our configuration where they are null in the peer's.
OPTIONAL = ("block_structure", "scale_dtype", "group_size")

for scheme in SCHEMES:
    with open(f"{sys.argv[1]}/{scheme}.json") as f:
        example = json.load(f)
    group = example["quantization_config"]["config_groups"]["group_0"]
    keep = lambda args, keys: {k: args[k] for k in keys + tuple(k for k in OPTIONAL if args[k] is not None)}
    facts = {
        "format": example["quantization_config"]["format"],
        "ignore": example["quantization_config"]["ignore"],
        "weights": keep(group["weights"], ("num_bits", "type", "symmetric", "strategy")),
        "input_activations": group["input_activations"] and keep(
            group["input_activations"], ("num_bits", "type", "symmetric", "strategy", "dynamic")),
        "tensors": {name: {k: t[k] for k in ("dtype", "shape", "sha256")} for name, t in sorted(example["tensors"].items())
                    if "_proj." in name},
    }
    with open(f"tests/golden/export/{scheme}.json", "w") as f:
        json.dump(facts, f, indent=1)
        f.write("\n")
