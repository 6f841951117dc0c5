"""Writes rtn_golden.json beside this file: what compressed-tensors stores for round-to-nearest.

    python tests/golden/rtn/rtn_golden.py MODEL_DIR [EXAMPLES_DIR]

MODEL_DIR is tests/data/models/classics-6m. The scales come from the library's calculate_qparams on the minimum and
maximum of each group (llm-compressor's memoryless min-max observer), the codes from its compressors, all in f32. Small
matrices are written out whole (f32 as hexadecimal bits); of the model's linears, the sha256 of each stored tensor. With
EXAMPLES_DIR (what llm-compressor itself wrote for layer 0), the digests are compared with those before writing.
"""
import hashlib
import json
import pathlib
import sys

import torch
from compressed_tensors import __version__ as compressed_tensors_version
from compressed_tensors.compressors.naive_quantized import NaiveQuantizationCompressor
from compressed_tensors.compressors.mxfp4 import MXFP4PackedCompressor
from compressed_tensors.compressors.mxfp8 import MXFP8QuantizationCompressor
from compressed_tensors.compressors.nvfp4 import NVFP4PackedCompressor
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from safetensors.torch import load_file

SCHEMES = {
    "W4A16": dict(num_bits=4, group_size=128, strategy="group", packed=True),
    "W8A16": dict(num_bits=8, group_size=128, strategy="group", packed=True),
    "W4A16_ASYM": dict(num_bits=4, group_size=128, strategy="group", symmetric=False, packed=True),
    "W3A16": dict(num_bits=3, group_size=128, strategy="group", packed=True),
    "W8A8": dict(num_bits=8, strategy="channel"),
    "FP8_DYNAMIC": dict(num_bits=8, type="float", strategy="channel"),
    "FP8": dict(num_bits=8, type="float", strategy="tensor"),
    "W2A16": dict(num_bits=2, group_size=128, strategy="group", packed=True),
    "W4A8": dict(num_bits=4, group_size=128, strategy="group"),
    "W4AFP8": dict(num_bits=4, group_size=128, strategy="group"),
    "FP8_BLOCK": dict(num_bits=8, type="float", strategy="block", block_structure=[128, 128]),
    "MXFP8A16": dict(num_bits=8, type="float", strategy="group", group_size=32, scale_dtype=torch.uint8),
    "MXFP4": dict(num_bits=4, type="float", strategy="group", group_size=32, scale_dtype=torch.uint8),
    "MXFP4A16": dict(num_bits=4, type="float", strategy="group", group_size=32, scale_dtype=torch.uint8),
    "NVFP4A16": dict(num_bits=4, type="float", strategy="tensor_group", group_size=16, scale_dtype=torch.float8_e4m3fn),
    "NVFP4": dict(num_bits=4, type="float", strategy="tensor_group", group_size=16, scale_dtype=torch.float8_e4m3fn),
}
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))  # share a global scale


def compress(weight, num_bits, strategy, type="int", group_size=None, symmetric=True, packed=False, block_structure=None,
             scale_dtype=None, global_absmax=None):
    """The stored tensors of one linear, by the suffix of their name."""
    args = QuantizationArgs(num_bits=num_bits, strategy=strategy, type=type, group_size=group_size, symmetric=symmetric,
                            block_structure=block_structure, scale_dtype=scale_dtype)
    if strategy == "tensor":
        low, high = weight.amin().reshape(1), weight.amax().reshape(1)
    elif strategy == "block":
        rows, columns = block_structure
        pad = (-weight.shape[1] % columns, -weight.shape[0] % rows)
        blocks = torch.nn.functional.pad(weight, (0, pad[0], 0, pad[1])).unflatten(1, (-1, columns)).unflatten(0, (-1, rows))
        low, high = blocks.amin(dim=(1, 3)), blocks.amax(dim=(1, 3))
    else:
        groups = weight.unflatten(-1, (-1, group_size or weight.shape[1]))
        low, high = groups.amin(dim=-1), groups.amax(dim=-1)
    state = {"weight": weight}
    global_scale = None
    if strategy == "tensor_group":
        absmax = (weight.abs().max() if global_absmax is None else global_absmax).reshape(1)
        state["weight_global_scale"] = global_scale = generate_gparam(-absmax, absmax)
    state["weight_scale"], state["weight_zero_point"] = calculate_qparams(low, high, args, global_scale=global_scale)
    if packed:
        compressor = PackedQuantizationCompressor
    elif num_bits == 4 and type == "float":
        compressor = NVFP4PackedCompressor if strategy == "tensor_group" else MXFP4PackedCompressor
    else:
        compressor = MXFP8QuantizationCompressor if scale_dtype == torch.uint8 else NaiveQuantizationCompressor
    return compressor.compress(state, QuantizationScheme(targets=["Linear"], weights=args))


def raw(tensor):
    tensor = tensor.contiguous()
    return tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else tensor.reshape(1).view(torch.uint8).numpy().tobytes()


def bits_of(tensor):
    return [x & 0xFFFFFFFF for x in tensor.contiguous().view(torch.int32).flatten().tolist()]


def small_matrices():
    generator = torch.Generator().manual_seed(3)
    plain = torch.randn(7, 24, generator=generator)
    edge = torch.randn(8, 24, generator=generator)
    edge[0] = 0
    edge[1] = -0.0
    edge[2] = torch.arange(24) * 0.5 - 6  # halves: many quotients are ties
    edge[2, 0] = 7.5
    edge[3] *= 1e-41  # subnormal
    edge[4] *= 1e30
    edge[5, ::2] = -0.0  # signed zeros among values
    edge[6] = edge[6].abs() + 1  # one sign: zero must still be representable
    edge[7] = -edge[7].abs() - 1e-3
    huge = torch.tensor([[3.4e38, -3.4e38] + [1.0] * 22, [1e-45, -1e-45] * 12])
    fours = torch.randn(9, 64, generator=generator)
    fours[0] = 0
    fours[1] = torch.arange(64) * 0.25 - 6  # quarters: many quotients are ties
    fours[2] *= 1e-41  # subnormal
    fours[3] *= 1e-30
    fours[4, ::2] = -0.0
    fours[5, 0], fours[6, 0], fours[7, 0] = 7.0, 6.999, 448.0  # where the power of two changes
    fours[8, 32:] = 1e-9
    fours[8, 40] = -0.0
    big = fours * 1e30
    return {"plain": plain, "edge": edge, "huge": huge, "fours": fours, "big": big}


def small_cases():
    cases = []
    for name, weight in small_matrices().items():
        if name in ("fours", "big"):
            cases += float_cases(name, weight)
            continue
        for bits in range(2, 9):
            for symmetric in (True, False):
                for strategy, group in (("group", 8), ("channel", None), ("tensor", None)):
                    cases.append(case(name, weight, f"int{bits}", bits, "int", symmetric, strategy, group))
        for strategy in ("channel", "tensor"):
            cases.append(case(name, weight, "fp8_e4m3", 8, "float", True, strategy, None))
    return cases


def float_cases(name, weight):
    cases = []
    for format_id, scheme in (("mxfp8", "MXFP8A16"), ("mxfp4", "MXFP4"), ("nvfp4", "NVFP4A16"), ("fp8_e4m3", "FP8_BLOCK")):
        options = dict(SCHEMES[scheme], **({"block_structure": [4, 48]} if scheme == "FP8_BLOCK" else {}))
        stored = compress(weight, **options)
        codes = stored["weight"] if "weight" in stored else stored["weight_packed"]
        result = {"matrix": name, "format": format_id, "symmetric": True, "strategy": options["strategy"],
                  "group": options.get("group_size") or 48, "codes": raw(codes).hex(),
                  "stored_scales": raw(stored["weight_scale"]).hex()}
        if "weight_global_scale" in stored:
            result["global"] = bits_of(stored["weight_global_scale"])[0]
        cases.append(result)
    return cases


def case(name, weight, format_id, bits, kind, symmetric, strategy, group):
    args = QuantizationArgs(num_bits=bits, strategy=strategy, type=kind, group_size=group, symmetric=symmetric)
    stored = compress(weight, num_bits=bits, strategy=strategy, type=kind, group_size=group, symmetric=symmetric)
    result = {"matrix": name, "format": format_id, "symmetric": symmetric, "strategy": strategy, "group": group or 0,
              "codes": raw(stored["weight"]).hex(), "scales": bits_of(stored["weight_scale"])}
    if not symmetric:
        result["zeros"] = stored["weight_zero_point"].flatten().tolist()
    if kind == "int" and strategy != "tensor":
        packed = compress(weight, num_bits=bits, strategy=strategy, group_size=group, symmetric=symmetric, packed=True)
        result["packed"] = raw(packed["weight_packed"]).hex()
    return result


def model_digests(model_dir):
    weights = load_file(pathlib.Path(model_dir) / "model.safetensors")
    digests = {}
    for name, weight in sorted(weights.items()):
        if not name.endswith("_proj.weight"):
            continue
        module = name.removesuffix(".weight")
        for scheme, options in SCHEMES.items():
            if options["strategy"] == "tensor_group":
                options = dict(options, global_absmax=fused_absmax(weights, name))
            for suffix, tensor in compress(weight.float(), **options).items():
                if suffix != "weight_shape":
                    digests.setdefault(scheme, {})[f"{module}.{suffix}"] = hashlib.sha256(raw(tensor)).hexdigest()
    return digests


def fused_absmax(weights, name):
    shards = next((group for group in FUSED if name.split(".")[-2] in group), (name.split(".")[-2],))
    names = [".".join(name.split(".")[:-2] + [shard, "weight"]) for shard in shards]
    return max(weights[n].float().abs().max() for n in names)


def check_examples(digests, examples_dir):
    for scheme in SCHEMES:
        tensors = json.loads((pathlib.Path(examples_dir) / f"{scheme}.json").read_text())["tensors"]
        same = 0
        for name, digest in digests[scheme].items():
            if name in tensors:
                assert tensors[name]["sha256"] == digest, f"{scheme}: {name} differs from llm-compressor's"
                same += 1
        print(f"{scheme}: {same} tensors equal llm-compressor's")


def main():
    digests = model_digests(sys.argv[1])
    if len(sys.argv) > 2:
        check_examples(digests, sys.argv[2])
    golden = {
        "versions": {"torch": torch.__version__, "compressed_tensors": compressed_tensors_version},
        "matrices": {n: {"rows": m.shape[0], "columns": m.shape[1], "bits": bits_of(m)}
                     for n, m in small_matrices().items()},
        "cases": small_cases(),
        "model": digests,
    }
    print(golden["versions"])
    lines = ",\n".join(f"{json.dumps(k)}: " + (
        "[\n" + ",\n".join(json.dumps(c) for c in v) + "\n]" if isinstance(v, list) else json.dumps(v))
        for k, v in golden.items())
    out = pathlib.Path(__file__).parent / "rtn_golden.json"
    out.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
