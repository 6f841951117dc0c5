#!/usr/bin/env python3
"""Writes cases.json: what the `tokenizers` library gives for the sample model's tokenizer and for variants of it.

    VENV/bin/python tests/golden/tokenizer/make.py            (from the repository's root)

A variant is a JSON merge patch (RFC 7396) of the sample's tokenizer.json. Short cases carry their ids; long ones the
SHA-256 of their ids as little-endian 32-bit integers, and of the decoded text.
"""
import hashlib
import json
import pathlib
import random
import struct

import tokenizers
from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODEL = ROOT / "tests/data/models/classics-6m/tokenizer.json"
TEXTS = ["tests/data/texts/tinystories-val-160k.txt", "tests/data/texts/wikitext2-raw-test-160k.txt"]

TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL)
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + r"+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?" + UPPER + "+" +
         LOWER + r"*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL)
DEEPSEEK = [r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
            r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*" + TAIL]
BYTES = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)


# The long cases, only where they can tell something.
WITH_POINTS = ["as shipped", "llama 3", "o200k", "deepseek", "words", "scripts and negations", "digits"]
WITH_TEXTS = ["as shipped", "llama 3", "o200k", "deepseek", "prefix space"]


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return dict(type="Split", pattern={kind: pattern}, behavior=behavior, invert=invert)


def sequence(*steps):
    return dict(pre_tokenizer=dict(type="Sequence", pretokenizers=list(steps)))


def added(content, id_, **flags):
    return dict(dict(id=id_, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False,
                     special=True), **flags)


def variants(base):
    more = [added("<a>", 4096, lstrip=True), added("<b>", 4097, rstrip=True), added("<c>", 4098, single_word=True),
            added("<a><b>", 4099), added("word", 4100, single_word=True, special=False, normalized=True),
            added("the", 4101, normalized=True, special=False, lstrip=True, rstrip=True),
            added(" \u00e9 ", 4102, special=False), added("<a", 4103), added("hell", 4104, single_word=True)]
    return {
        "as shipped": {},
        "llama 3": sequence(split(LLAMA3), BYTES),
        "o200k": sequence(split(O200K), BYTES),
        "deepseek": sequence(*[split(p) for p in DEEPSEEK], BYTES),
        "words": sequence(split(r"\w+|[^\w\s]+"), BYTES),
        "scripts and negations": sequence(split(r"\p{Han}+|\p{Hiragana}|\P{N}\D"), BYTES),
        "digits": sequence(dict(type="Digits", individual_digits=True), dict(BYTES, use_regex=True)),
        "runs of digits": sequence(dict(type="Digits", individual_digits=False), dict(BYTES, use_regex=True)),
        "prefix space": dict(pre_tokenizer=dict(BYTES, use_regex=True, add_prefix_space=True)),
        "removed": sequence(split(r"\s+", "Removed"), BYTES),
        "merged with previous": sequence(split(r"\s+", "MergedWithPrevious"), BYTES),
        "merged with next": sequence(split(r"\p{P}", "MergedWithNext"), BYTES),
        "contiguous": sequence(split(r"\p{P}|x", "Contiguous"), BYTES),
        "inverted": sequence(split(r"\p{L}+| ?\S+", "Removed", True), BYTES),
        "literal": sequence(split(" ", "MergedWithNext", False, "String"), BYTES),
        "lines": sequence(split(r"^\s*|.$"), BYTES),
        "empty matches": sequence(split("x*"), BYTES),
        "no pattern": dict(pre_tokenizer=BYTES),
        "added tokens": dict(added_tokens=base["added_tokens"] + more),
        "known words whole": dict(model=dict(ignore_merges=True, merges=base["model"]["merges"][:40])),
        "unknown bytes": dict(model=dict(unk_token="<|endoftext|>", vocab={"Q": None}, merges=[])),
        "unknown bytes fused": dict(model=dict(unk_token="<|endoftext|>", fuse_unk=True, vocab={"Q": None}, merges=[])),
        "unknown bytes dropped": dict(model=dict(vocab={"Q": None}, merges=[])),
    }


def merge_patch(target, patch):
    if not isinstance(patch, dict):
        return patch
    out = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge_patch(out.get(key), value)
    return out


SHORT = [
    "", " ", "Hello, world! It's don't we'll I'VE 'S 's", "\u2019s '\u017f 'LL'll", "  two  spaces\n\n  and\ttabs \r\n\r\nend ",
    "<|endoftext|>", "a<|bos|> b<|endoftext|><|bos|>\n", "<|endoftext|", "<|<|bos|>|>",
    "caf\u00e9 cafe\u0301 na\u00efve \u00df \u1e9e", "\U0001F468\u200d\U0001F469\u200d\U0001F467 \U0001F44D\U0001F3FD \U0001F1E9\U0001F1EA\ufe0f",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u3053\u3093\u306b\u3061\u306f \ud55c\uad6d\uc5b4", "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u0939\u093f\u0928\u094d\u0926\u0940",
    "1234567890 3.14 \u00b2\u00bd\u2167\u0663\u09ea\u3007", "a\u00a0b\u2003c\u3000d\u200be\ufefff\u180eg\u0085h\u2028i", "\x00\x01\x1f\x7f\x80\x9f",
    "\u0378\ue000\ufffe\U0010ffff\U00030000 \U0001c1e0", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "x = foo(bar[0], \"baz\") // TODO: 42 != 0x2A;\n\treturn x;\n", "------====== ...!!! #@$ [](){}", "QQ aQ Q\u00c3",
    " <a> <b> <c> x<c>y <a><b> <a word words the  the then hell hello \u00e9 \u00e9 ",
    "\U00011de1 \U00016ff5 1\U00011de1 \u1c89\u1c8a \u0897a\u0897 \ua7cb", "HTTPServer iPhone McDonald X\u01c5Y \u1d2c\u02b0",
]


def adversarial(rng):
    pools = [[chr(c) for c in range(32, 127)], list(" \t\n\r\x0b\x0c\x85\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u180e\u200b"),
             ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "\u2019s"], ["\u0301", "\u0308", "\u20e3", "e\u0301", "\u200d", "\ufe0f", "\U0001F44D"],
             [chr(c) for c in range(32)], list("\u00e4\u00df\u00f1\u05e9\u0645\u4f60\u65e5\u304b\ud55c\u0e44\u0939\u093f"), list("0123456789\u00b2\u00bd\u2167\u0663"),
             ["a" * 50, "  " * 20, "\n" * 20, "\r\n" * 5, "=-" * 20], ["<|bos|>", "<|endoftext|>", "<a>", "<b>", "the", "word"]]
    out = []
    for _ in range(400):
        pool = rng.choice(pools)
        if rng.random() < 0.1:
            pool = [chr(rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)]))]
        out.append("".join(rng.choice(pool) for _ in range(rng.randrange(1, 6))))
    return "".join(out)


def all_points():
    """The code points of the assigned planes between letters, digits, spaces and line ends; the C++ test builds the same."""
    points = [c for c in range(0x33480) if not 0xD800 <= c <= 0xDFFF] + list(range(0xE0000, 0xE0200))
    return "".join("a%s1 '%sx\n%s \n" % (chr(c), chr(c), chr(c)) for c in points)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def digests(tokenizer, text):
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    decoded = tokenizer.decode(ids, skip_special_tokens=False)
    return dict(count=len(ids), ids=sha(struct.pack("<%di" % len(ids), *ids)), decoded=sha(decoded.encode()))


def main():
    base = json.loads(MODEL.read_text())
    rng = random.Random(20)
    random_texts = [adversarial(rng) for _ in range(3)]
    random_bytes = [rng.randbytes(600) for _ in range(4)]
    points = all_points()
    out = dict(library="tokenizers " + tokenizers.__version__, random_texts=random_texts,
               random_bytes=[b.hex() for b in random_bytes], short=SHORT, variants=[])
    for name, patch in variants(base).items():
        tokenizer = Tokenizer.from_str(json.dumps(merge_patch(base, patch)))
        encoded = [tokenizer.encode(t, add_special_tokens=False).ids for t in SHORT]
        out["variants"].append(dict(
            name=name, patch=patch, short_ids=encoded,
            short_decoded=[tokenizer.decode(ids, skip_special_tokens=False) for ids in encoded],
            random_texts=[digests(tokenizer, t) for t in random_texts],
            random_bytes=[digests(tokenizer, b.decode("utf-8", "replace")) for b in random_bytes],
            points=digests(tokenizer, points) if name in WITH_POINTS else None,
            texts={t: digests(tokenizer, (ROOT / t).read_bytes().decode()) for t in TEXTS if name in WITH_TEXTS}))
    target = pathlib.Path(__file__).parent / "cases.json"
    target.write_text(json.dumps(out, ensure_ascii=True, separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    main()
