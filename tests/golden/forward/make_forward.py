"""Makes classics-6m.json: what transformers computes for the sample model in f32, as evidence for tests/unit/workers.

    VENV/bin/python tests/golden/forward/make_forward.py PEERS   (PEERS: the folder of ppl.py; run in the repository root)
"""
import json
import sys

import torch

sys.path.insert(0, sys.argv[1])
from _common import bos_id, load_model, load_tokenizer, read_ids, windows  # noqa: E402
from ppl import total_nll  # noqa: E402

torch.set_num_threads(2)
MODEL = "tests/data/models/classics-6m"
TEXTS = ["tests/data/texts/wikitext2-raw-test-160k.txt", "tests/data/texts/tinystories-val-160k.txt"]
model, _ = load_model(MODEL)
tokenizer = load_tokenizer(MODEL)
bos = bos_id(model, tokenizer)
out = {"model": MODEL, "bos": bos, "perplexity": []}
with torch.inference_mode():
    ids = windows(read_ids(tokenizer, TEXTS[0])[:16], 16, 1, bos)
    logits = model(input_ids=ids, use_cache=False).logits[0].float()
    columns = list(range(0, logits.shape[1], 97))
    out["logits"] = {"text": TEXTS[0], "ids": ids[0].tolist(), "columns": columns,
                     "values": [[round(v, 6) for v in row] for row in logits[:, columns].tolist()],
                     "argmax": logits.argmax(-1).tolist(), "max_abs": logits.abs().max().item()}
    for text in TEXTS:
        for window, limit in ((128, 8), (511, 3), (32, 40)):
            tokens = read_ids(tokenizer, text)
            data = windows(tokens, window, limit, bos)
            total = total_nll(model, data)
            scored = data[:, 1:].reshape(-1).tolist()
            nbytes = len(tokenizer.decode(scored, skip_special_tokens=False,
                                          clean_up_tokenization_spaces=False).encode("utf-8"))
            out["perplexity"].append({"text": text, "window": window, "max_windows": limit, "nll": total / len(scored),
                                      "text_tokens": len(tokens), "tokens": len(scored), "windows": len(data), "bytes": nbytes})
with open("tests/golden/forward/classics-6m.json", "w") as f:
    json.dump(out, f, indent=0)
