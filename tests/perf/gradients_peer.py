"""What swage-bench-gradients measures, with PyTorch: forward and backward of classics-6m on 8 windows of 128 tokens, all
gradients, 2 threads; without and with torch.optim.AdamW. Prints tokens/s.

    VENV/bin/python tests/perf/gradients_peer.py MODEL [seconds]
"""
import sys
import time

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM

torch.set_num_threads(2)
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
for dtype in (torch.float32, torch.bfloat16):
    model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=dtype)
    model.train()
    vocab = model.config.vocab_size
    ids = (3 + torch.arange(8 * 128) * 7919 % (vocab - 3)).view(8, 128)
    for adamw in (False, True):
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

        def step():
            optimizer.zero_grad(set_to_none=True)
            logits = model(input_ids=ids, use_cache=False).logits
            F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten()).backward()
            if adamw:
                optimizer.step()

        step()
        count, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            step()
            count += 1
        rate = count * ids.numel() / (time.perf_counter() - begin)
        print(f"{str(dtype):16} adamw {int(adamw)}  {rate:9.0f} tokens/s", flush=True)
