"""Makes the golden gradients of tests/unit/workers/runtime/backward_test.cc: what PyTorch's autograd finds for the tiny
models of tests/golden/forward (transformers, f32, eager attention) and for classics-6m.

    VENV/bin/python tests/golden/backward/make_backward.py             (in the repository root)

Made with torch 2.14.0, transformers 5.17.0, safetensors 0.8.0. FAMILY.NAME.safetensors holds ids [windows, tokens], the
loss (mean cross-entropy of the next tokens), and under the name of each tensor of the checkpoint its gradient: whole
where it has at most 32 values (and everywhere for llama.default), else a sketch of it: 32 sums of its values with
signs, by a hash of their index, so that the norm of a difference of sketches estimates that of the gradients
(Charikar et al. 2002, Count Sketch); NAME#norm is the gradient's norm. Linears are [out, in], as the engine has them.
Windows have no padding tokens: PyTorch drops their embeddings' gradients (padding_idx), the engine does not.
llama.parameters has parametrized linears, made here from the weights: see parametrize().
"""
import json
import shutil
import tempfile

import torch
import torch.nn.functional as F
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

assert transformers.__version__ == "5.17.0" and torch.__version__.startswith("2.14.0"), "other versions, other figures"
torch.set_num_threads(1)
FORWARD, HERE = "tests/golden/forward", "tests/golden/backward"
CASES = [("llama", "default"), ("llama", "yarn"), ("llama", "llama3"), ("llama-bias", "tied"), ("mistral", "sliding"), ("qwen2", "sliding"),
         ("qwen3", "layer-types"), ("gemma2", "plain"), ("gemma3", "new-form"), ("phi3", "longrope"), ("gpt2", "plain"),
         ("gpt2", "by-layer"), ("opt", "plain"), ("opt-350m", "plain"), ("mixtral", "plain"), ("qwen2-moe", "plain"),
         ("qwen3-moe", "plain")]
SKETCH = 32


def hashes(n):
    h = torch.arange(n, dtype=torch.int64)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = ((h ^ (h >> shift)) * factor) & 0xFFFFFFFF
    return h ^ (h >> 16)


def sketch(values):
    flat = values.double().flatten()
    if flat.numel() <= SKETCH:
        return flat.float()
    h = hashes(flat.numel())
    signs = 1.0 - 2.0 * ((h >> 5) & 1).double()
    return torch.zeros(SKETCH, dtype=torch.float64).index_add_(0, h & 31, flat * signs).float()


def split_experts(name, grad):
    """transformers 5 keeps the experts of a layer in one tensor; checkpoints have them one by one."""
    prefix, kind = name.rsplit(".experts.", 1)
    mixtral = "block_sparse_moe" in prefix
    for e, part in enumerate(grad):
        if kind == "down_proj":
            yield f"{prefix}.experts.{e}.{'w2' if mixtral else 'down_proj'}.weight", part
            continue
        gate, up = part.chunk(2)
        yield f"{prefix}.experts.{e}.{'w1' if mixtral else 'gate_proj'}.weight", gate
        yield f"{prefix}.experts.{e}.{'w3' if mixtral else 'up_proj'}.weight", up


def gradients(model):
    kind = model.config.model_type
    for name, p in model.named_parameters():
        grad = torch.zeros_like(p) if p.grad is None else p.grad
        if kind == "mixtral":
            name = name.replace(".mlp.", ".block_sparse_moe.")
        if ".experts." in name and grad.dim() == 3:
            yield from split_experts(name, grad)
        elif kind == "gpt2" and grad.dim() == 2 and ".h." in name:
            yield name, grad.t()
        else:
            yield name, grad


def run(folder, ids):
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                         output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], folder
    model.eval()
    return model, loss_of(model, ids)


def loss_of(model, ids):
    logits = model(input_ids=ids, use_cache=False).logits.float()
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def write(path, ids, loss, grads, whole=False, more={}):
    out = {"ids": ids.int(), "loss": loss.detach().double().reshape(1), **more}
    for name, grad in grads:
        assert grad.isfinite().all(), name
        out[name] = grad.contiguous().clone() if whole else sketch(grad)
        out[name + "#norm"] = grad.double().norm().reshape(1)
    save_file(out, path)
    print(f"{path:55} loss {loss.item():.6f}  {len(out)} tensors")


def case_folder(family, name, folder):
    shutil.copy(f"{FORWARD}/{family}/model.safetensors", f"{folder}/model.safetensors")
    shutil.copy(f"{FORWARD}/{family}/{name}.json", f"{folder}/config.json")
    return json.load(open(f"{folder}/config.json"))


def make_tiny(family, name):
    with tempfile.TemporaryDirectory() as folder:
        settings = case_folder(family, name, folder)
        ids = torch.randint(3, settings["vocab_size"], (2, 24), generator=torch.Generator().manual_seed(7))
        model, loss = run(folder, ids)
        loss.backward()
        grads = list(gradients(model))
        with safe_open(f"{folder}/model.safetensors", "pt") as f:
            stored, made = set(f.keys()), {n for n, _ in grads}
            assert made == stored, (family, made ^ stored)
        write(f"{HERE}/{family}.{name}.safetensors", ids, loss, grads, whole=name == "default")


def fake_quantize(weight, bits, group, clip):
    """int, symmetric, as kernels/numeric/int_quant.h; the gradient goes through within the clip range."""
    w = weight.view(-1, group)
    limit = clip * w.detach().abs().amax(1, keepdim=True)
    clamped = w.clamp(-limit, limit)
    half = 2 ** (bits - 1)
    scale = limit / ((2 ** bits - 1) / 2)
    rounded = ((clamped / scale).clamp(-half, half - 1).round() * scale).detach()
    passing = w * (clamped == w)  # torch halves the gradient of clamp at its very limits
    return (passing + (rounded - passing).detach()).view_as(weight)


def parametrize(model, more):
    """In layer 0: q_proj has a LoRA of rank 3 and scale 0.5; up_proj a mask; down_proj int4 in groups of 8, clipped
    to 0.8. In layer 1: gate_proj int8 by rows, not clipped."""
    generator = torch.Generator().manual_seed(3)
    first, second = model.model.layers[0], model.model.layers[1]
    a, b = torch.randn(3, 32, generator=generator) * 0.2, torch.randn(32, 3, generator=generator) * 0.2
    mask = (torch.rand(40, 32, generator=generator) > 0.4)
    more.update({"lora_A": a.clone(), "lora_B": b.clone(), "mask": mask.to(torch.uint8)})
    a.requires_grad_()
    b.requires_grad_()

    def replace(linear, effective):
        linear.forward = lambda x: F.linear(x, effective(linear.weight), linear.bias)

    replace(first.self_attn.q_proj, lambda w: w + 0.5 * (b @ a))
    replace(first.mlp.up_proj, lambda w: w * mask)
    replace(first.mlp.down_proj, lambda w: fake_quantize(w, 4, 8, 0.8))
    replace(second.mlp.gate_proj, lambda w: fake_quantize(w, 8, 32, 1.0))
    return a, b


def make_parametrized():
    with tempfile.TemporaryDirectory() as folder:
        settings = case_folder("llama", "default", folder)
        ids = torch.randint(3, settings["vocab_size"], (2, 24), generator=torch.Generator().manual_seed(8))
        model, _ = run(folder, ids)
        more = {}
        a, b = parametrize(model, more)
        loss = loss_of(model, ids)
        loss.backward()
        prefix = "model.layers.0.self_attn.q_proj"
        grads = list(gradients(model)) + [(f"{prefix}.lora_A.weight", a.grad), (f"{prefix}.lora_B.weight", b.grad)]
        write(f"{HERE}/llama.parameters.safetensors", ids, loss, grads, more=more)


def make_classics():
    folder = json.load(open(f"{FORWARD}/classics-6m.json"))["model"]
    ids = torch.tensor(json.load(open(f"{FORWARD}/classics-6m.json"))["logits"]["ids"])
    ids = ids[:len(ids) // 2 * 2].view(2, -1)
    model, loss = run(folder, ids)
    loss.backward()
    write(f"{HERE}/classics-6m.trained.safetensors", ids, loss, gradients(model))


for case in CASES:
    make_tiny(*case)
make_parametrized()
make_classics()
