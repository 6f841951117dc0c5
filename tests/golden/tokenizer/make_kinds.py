#!/usr/bin/env python3
"""Writes kinds.json: small tokenizers of every kind (kinds.py), and what the `tokenizers` library gives for them.

    VENV/bin/python tests/golden/tokenizer/make_kinds.py         (from the repository's root; needs sentencepiece)
"""
import json
import pathlib
import random
import struct

import sentencepiece
import tokenizers
from tokenizers import Tokenizer

import kinds
import make

# Normalizers and pre-tokenizers on the sample model, where every code point is asked for.
UNICODE = {name: dict(normalizer=dict(type=name)) for name in
           ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt")}
UNICODE["Strip"] = dict(normalizer=dict(type="Strip", strip_left=True, strip_right=True))
for name in ("Punctuation", "Whitespace", "WhitespaceSplit"):
    UNICODE[name] = make.sequence(dict(dict(type=name), **(dict(behavior="Isolated") if name == "Punctuation" else {})), make.BYTES)


WITH_POINTS = ["qwen2", "clip", "llama2", "t5", "unigram bytes"]


def few_points():
    """The code points of the assigned planes; the C++ test builds the same."""
    return "".join("x%s " % chr(c) for c in range(0x33480) if not 0xD800 <= c <= 0xDFFF)


def marks(rng):
    """Letters with several marks, jamo, ligatures: what Unicode's forms reorder and compose."""
    pool = [chr(c) for c in list(range(0x300, 0x370)) + list(range(0x1100, 0x1200)) + list(range(0xAC00, 0xAC40)) +
            list(range(0x1E00, 0x1F00)) + list(range(0x591, 0x5C8)) + list(range(0x900, 0x960)) + list(range(0x9BE, 0x9D8)) +
            list(range(0xFB00, 0xFB50)) + list(range(0x1D15E, 0x1D170)) + list(range(0x110B9, 0x110BC)) + [0x11131, 0x11127, 0x345]]
    return "".join(rng.choice("aeouAEOUqsd \u0439\u00c5\u01b0") if rng.random() < 0.3 else rng.choice(pool) for _ in range(3000))


def main():
    rng = random.Random(21)
    texts = [(make.ROOT / t).read_bytes().decode() for t in make.TEXTS]
    random_texts = [make.adversarial(rng) for _ in range(2)] + [marks(rng)]
    random_bytes = [rng.randbytes(600) for _ in range(2)]
    model = json.loads(make.MODEL.read_text())
    points = few_points()
    out = dict(library="tokenizers %s, sentencepiece %s" % (tokenizers.__version__, sentencepiece.__version__),
               random_texts=random_texts, random_bytes=[b.hex() for b in random_bytes], short=make.SHORT + SHORT, kinds=[])

    def add(name, spec, whole, **extra):
        t = Tokenizer.from_str(json.dumps(spec))
        encoded = [t.encode(x, add_special_tokens=False).ids for x in out["short"]]
        special = t.encode("Hello w\u00f6rld", add_special_tokens=True).ids
        out["kinds"].append(dict(
            name=name, short_ids=encoded, special=special,
            short_decoded=[t.decode(ids, skip_special_tokens=False) for ids in encoded],
            random_texts=[make.digests(t, x) for x in random_texts],
            random_bytes=[make.digests(t, b.decode("utf-8", "replace")) for b in random_bytes],
            points=make.digests(t, points) if not whole or name in WITH_POINTS else None,
            texts={n: make.digests(t, x) for n, x in zip(make.TEXTS, texts)} if whole else {}, **extra))

    for name, spec in kinds.kinds([x[:60000] for x in texts] + ["".join(make.SHORT)], True).items():
        add(name, spec, True, tokenizer=spec)
    for name, patch in UNICODE.items():
        add(name, make.merge_patch(model, patch), False, patch=patch)
    target = pathlib.Path(__file__).parent / "kinds.json"
    target.write_text(json.dumps(out, ensure_ascii=True, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")


SHORT = [
    "\u2581", " \u2581 \u2581x", "   a  \u2581b", "<s>", " <s> x</s>  y <unk>", "a<s>", "<|user|>  hi <|user|>\n\nx", "<0x41><0x0A>",
    "\ufb01n \uff21\u3000b\u00a0c e\u0301e\u0301\u0301 \u2026\u200b. \U0001d400\r\nq\r\tq", "``quoted'' \u00c9\u00c8 stra\u00dfe \u0130I",
    "\U0001F600\U0001F600 \U0001F468\u200d\U0001F469 \u4f60\u4f60\u597d\U00020000", "\n\n\n a \n", "  the  x the", "12345 1,234.5", "\ufffd\ufffd", " ", "      ",
    "\u1100\u1161\u11a8 \uac00\u11a8 \u0344\u0308\u0301 \u1e9b\u0323 d\u0323\u0307 \u0958 \u2adc \u212b",
]

if __name__ == "__main__":
    main()
