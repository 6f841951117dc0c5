#!/usr/bin/env python3
"""Writes blocks.json: random bytes of every GGUF type and the f32 values that the gguf package reads from them (Q8_K,
Q1_0 and Q2_0, which it does not decode, from their definition).

    VENV/bin/python tests/golden/gguf/make_blocks.py
"""
import hashlib
import json
import pathlib
from importlib.metadata import version

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import dequantize
from gguf.constants import GGML_QUANT_SIZES

ELEMENTS = 1024


def q8_k(blocks):
    return blocks[:, :4].copy().view(np.float32) * blocks[:, 4:260].view(np.int8).astype(np.float32)


def q1_0(blocks):
    d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    return np.where(np.unpackbits(blocks[:, 2:], axis=1, bitorder="little") == 1, d, -d)


def q2_0(blocks):
    d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
    codes = np.stack([blocks[:, 2:] >> s & 3 for s in (0, 2, 4, 6)], axis=-1).reshape(len(blocks), -1)
    return (codes.astype(np.float32) - 1) * d


def main():
    rng = np.random.default_rng(3)
    kinds = {t.name: (int(t), *GGML_QUANT_SIZES[t], lambda b, t=t: dequantize(b.reshape(-1), t)) for t in GGML_QUANT_SIZES
             if t.name not in ("I8", "I16", "I32", "I64", "F64", "Q8_1")}
    kinds["Q8_K"] = (15, 256, 292, q8_k)
    kinds["Q1_0"] = (41, 128, 18, q1_0)
    kinds["Q2_0"] = (42, 64, 18, q2_0)
    rows = []
    for name, (id_, elements, size, decode) in kinds.items():
        good = []
        with np.errstate(all="ignore"):
            while len(good) < ELEMENTS // elements:  # scales that are NaN or infinite tell nothing
                block = rng.integers(0, 256, (1, size), dtype=np.uint8)
                if np.isfinite(np.asarray(decode(block), dtype=np.float32)).all():
                    good.append(block)
        blocks = np.concatenate(good)
        values = np.ascontiguousarray(decode(blocks), dtype=np.float32).reshape(-1)
        assert values.size == ELEMENTS, (name, values.size)
        rows.append(dict(type=id_, name=name, bytes=blocks.tobytes().hex(), first=values[:8].tobytes().hex(),
                         sha256=hashlib.sha256(values.tobytes()).hexdigest()))
    out = dict(library="gguf %s, numpy %s" % (version("gguf"), np.__version__), elements=ELEMENTS, types=rows)
    target = pathlib.Path(__file__).parent / "blocks.json"
    target.write_text(json.dumps(out, separators=(",", ":")).replace('{"type"', '\n{"type"') + "\n")


main()
