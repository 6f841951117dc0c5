#!/usr/bin/env python3
"""Compares `swage tokenize` with the `tokenizers` library, token for token and in speed, on 1 MB each of English, code,
multilingual text, random bytes and adversarial Unicode, for tokenizers of every kind (kinds.py) and those of given folders.

    VENV/bin/python tests/golden/tokenizer/compare.py --swage build/bin/swage --texts DIR [--models DIR ...] [--kind NAME ... | none]

Both encode one text on one thread, special tokens included; the best of some runs counts. Exit 1 when any differs.
"""
import argparse
import glob
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import numpy as np
import tokenizers
from tokenizers import Tokenizer

import kinds
import make
import make_kinds

MB = 1 << 20


def texts(folder):
    rng = random.Random(5)
    read = lambda name: pathlib.Path(folder, name).read_bytes()
    lines = read("cal-multilingual.utf8").splitlines(True)
    many = b"".join(rng.sample(lines, len(lines))[i] for _ in range(5) for i in range(len(lines)))
    code = b"".join(pathlib.Path(p).read_bytes() for p in sorted(glob.glob("**/*.cc", recursive=True) + glob.glob("**/*.py", recursive=True)))
    odd = "".join(make.adversarial(rng) for _ in range(200)) + make_kinds.marks(rng) * 20 + make_kinds.few_points()[::7]
    while len(odd.encode()) < MB:
        odd += "".join(make.adversarial(rng) for _ in range(100))
    cut = lambda b: b[:MB].decode("utf-8", "ignore").encode()
    return {"english": cut(read("wikitext2-raw-test.txt")), "code": cut(code), "multilingual": cut(many),
            "random bytes": rng.randbytes(MB), "adversarial": cut(odd.encode())}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--swage", required=True)
    p.add_argument("--texts", required=True)
    p.add_argument("--models", nargs="*", default=[])
    p.add_argument("--kind", nargs="*")
    p.add_argument("--runs", type=int, default=3)
    a = p.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    all_texts = texts(a.texts)
    training = [pathlib.Path(a.texts, n).read_text(errors="replace")[:400000] for n in ("cal-wiki.utf8", "cal-multilingual.utf8", "cal-technical.utf8")]
    specs = {pathlib.Path(m).name: json.loads(pathlib.Path(m, "tokenizer.json").read_text()) for m in a.models}
    if a.kind != ["none"]:
        specs.update({n: s for n, s in kinds.kinds(training, False).items() if not a.kind or n in a.kind})
    print("tokenizers %s; MB/s, ours | the library's | ratio" % tokenizers.__version__)
    bad, ratios = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in specs.items():
            model, ids_file = pathlib.Path(folder, name), pathlib.Path(folder, "ids.npy")
            model.mkdir()
            spec = dict(spec, truncation=None, padding=None)
            pathlib.Path(model, "tokenizer.json").write_text(json.dumps(spec))
            cells = []
            for kind, raw in all_texts.items():
                text_file = pathlib.Path(folder, "text")
                text_file.write_bytes(raw)
                text, theirs = raw.decode("utf-8", "replace"), float("inf")
                for _ in range(a.runs):
                    library = Tokenizer.from_file(str(model / "tokenizer.json"))  # anew: its cache is empty
                    start = time.perf_counter()
                    encoding = library.encode(text)
                    theirs = min(theirs, time.perf_counter() - start)
                ours = float("inf")
                for _ in range(a.runs):
                    run = subprocess.run([a.swage, "--json", "tokenize", "--model", model, "--text", text_file, "--out", ids_file],
                                         capture_output=True, text=True)
                    if run.returncode:
                        sys.exit("%s: %s" % (name, run.stdout + run.stderr))
                    ours = min(ours, json.loads(run.stdout)["seconds"])
                same = np.array_equal(np.load(ids_file), np.array(encoding.ids, dtype=np.int32))
                bad += not same
                ratios.append(theirs / ours)
                cells.append("%s%5.1f |%5.1f |%4.1fx" % ("" if same else "DIFFERS ", MB / 1e6 / ours, MB / 1e6 / theirs, theirs / ours))
            print("%-18s" % name + "  ".join("%-24s" % c for c in cells), flush=True)
    print("%d of %d differ; ratio %.1f to %.1f, median %.1f" % (bad, len(ratios), min(ratios), max(ratios), np.median(ratios)))
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
