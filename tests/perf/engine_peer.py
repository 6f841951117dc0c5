"""What swage-bench-engine measures, with PyTorch and transformers: the same tokens, 2 threads, eager mode.

    VENV/bin/python tests/perf/engine_peer.py MODEL forward|step bf16|f32 WINDOWS [REPETITIONS [BATCH]]

forward: logits and mean loss without gradients. step: forward, backward, torch.optim.AdamW (fused), weights and moments
in the model's type. BATCH windows go through the model at a time (0: all; a forward only). Prints one line of JSON.
"""
import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

path, mode, dtype, windows = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
repetitions = int(sys.argv[5]) if len(sys.argv) > 5 else 3
batch = (int(sys.argv[6]) if len(sys.argv) > 6 else 0) or windows
torch.set_num_threads(2)
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16 if dtype == "bf16" else torch.float32)
vocab = model.config.vocab_size
ids = (3 + torch.arange(windows * 512) * 7919 % (vocab - 3)).view(windows, 512)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.0, fused=True) if mode == "step" else None


def loss_of(part):
    logits = model(input_ids=part, use_cache=False).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), part[:, 1:].flatten())


def forward():
    with torch.inference_mode():
        return sum(loss_of(ids[i:i + batch]).item() for i in range(0, windows, batch)) * batch / windows


def step():
    optimizer.zero_grad(set_to_none=True)
    loss = loss_of(ids)
    loss.backward()
    optimizer.step()
    return loss.item()


model.train(mode == "step")
seconds, loss = [], 0.0
for i in range(repetitions + 1):
    begin = time.perf_counter()
    loss = step() if mode == "step" else forward()
    if i > 0:
        seconds.append(round(time.perf_counter() - begin, 4))
print(json.dumps({"side": "torch", "mode": mode, "dtype": dtype, "windows": windows, "batch": batch, "loss": round(loss, 6),
                  "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, "seconds": seconds}))
