"""Copies from the peers' examples (what llm-compressor wrote for classics-6m) the facts that our export must reproduce:
names, dtypes, shapes and sha256 of the tensors of layer 0's linears.

    python3 tests/golden/export/make_export.py PEERS/examples   (in the repository root)
"""
import json
import sys

for scheme in ("W4A16", "W4A16_ASYM", "W8A16", "W8A8", "FP8_DYNAMIC"):
    with open(f"{sys.argv[1]}/{scheme}.json") as f:
        example = json.load(f)
    group = example["quantization_config"]["config_groups"]["group_0"]
    keep = ("num_bits", "type", "symmetric", "strategy", "group_size")
    facts = {
        "format": example["quantization_config"]["format"],
        "ignore": example["quantization_config"]["ignore"],
        "weights": {k: group["weights"][k] for k in keep},
        "input_activations": group["input_activations"] and {
            k: group["input_activations"][k] for k in ("num_bits", "type", "symmetric", "strategy", "dynamic")},
        "tensors": {name: {k: t[k] for k in ("dtype", "shape", "sha256")} for name, t in sorted(example["tensors"].items())
                    if "_proj." in name},
    }
    with open(f"tests/golden/export/{scheme}.json", "w") as f:
        json.dump(facts, f, indent=1)
        f.write("\n")
