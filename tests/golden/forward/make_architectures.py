"""Makes the golden cases of tests/unit/workers/runtime/architectures_test.cc: tiny random-weight models of every row of
the architecture table, and what transformers computes with them in f32 (eager attention, one window).

    VENV/bin/python tests/golden/forward/make_architectures.py             (in the repository root)
    VENV/bin/python tests/golden/forward/make_architectures.py --trained MODELS OUT
        the same for the trained models in MODELS (classics-6m, classics-moe, capp-gpt2-hf, babyllama*, stories260k) into
        the folder OUT; check them with SWAGE_GOLDEN_FORWARD=OUT runtime_test --gtest_filter=*Architecture*Golden*

Made with torch 2.14.0, transformers 5.17.0, safetensors 0.8.0. Layout: FAMILY/model.safetensors (bf16), and for each
variant NAME.json (its config.json) and NAME.golden.safetensors (ids [T], logits [T, V]).
Configurations are written as hub files have them, old and new form mixed; windows are longer than sliding windows and
than original_max_position_embeddings, so that both matter.
"""
import json
import os
import shutil
import struct
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

assert transformers.__version__ == "5.17.0" and torch.__version__.startswith("2.14.0"), "other versions, other figures"
torch.set_num_threads(1)
HERE = "tests/golden/forward"
BASE = dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            vocab_size=80, max_position_embeddings=64, bos_token_id=1, eos_token_id=2)


def config(architecture, model_type, **more):
    return {"architectures": [architecture], "model_type": model_type, **BASE, **more}


def without(values, *keys):
    return {k: v for k, v in values.items() if k not in keys}


YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=16)
FACTORS = dict(short_factor=[1.0, 1.1, 1.3, 1.6], long_factor=[1.0, 1.7, 3.1, 6.5])
CASES = {
    "llama": {
        "default": config("LlamaForCausalLM", "llama", rms_norm_eps=1e-5, rope_theta=500.0),
        "linear": config("LlamaForCausalLM", "llama", rope_theta=500.0, rope_scaling=dict(type="linear", factor=2.5)),
        "dynamic": config("LlamaForCausalLM", "llama", max_position_embeddings=16, rope_theta=500.0,
                          rope_scaling=dict(rope_type="dynamic", factor=3.0)),
        "llama3": config("LlamaForCausalLM", "llama", rope_parameters=dict(
            rope_theta=500.0, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=32)),
        "yarn": config("LlamaForCausalLM", "llama", rope_theta=500.0, rope_scaling=YARN),
        "yarn-mscale": config("LlamaForCausalLM", "llama", rope_theta=500.0, rope_scaling=dict(
            YARN, mscale=1.4, mscale_all_dim=0.7, beta_fast=8, beta_slow=2, truncate=False)),
        "longrope": config("LlamaForCausalLM", "llama", rope_theta=500.0, rope_scaling=dict(
            rope_type="longrope", factor=4.0, original_max_position_embeddings=16, **FACTORS)),
        "longrope-short": config("LlamaForCausalLM", "llama", rope_theta=500.0, rope_scaling=dict(
            rope_type="longrope", attention_factor=1.2, original_max_position_embeddings=64, **FACTORS)),
    },
    "llama-bias": {"tied": config("LlamaForCausalLM", "llama", attention_bias=True, mlp_bias=True, head_dim=12,
                                  tie_word_embeddings=True)},
    "mistral": {"sliding": config("MistralForCausalLM", "mistral", sliding_window=9, head_dim=12),
                "whole": config("MistralForCausalLM", "mistral", sliding_window=None, head_dim=12)},
    "qwen2": {"plain": config("Qwen2ForCausalLM", "qwen2", use_sliding_window=False, sliding_window=8, rope_theta=1e6),
              "sliding": config("Qwen2ForCausalLM", "qwen2", use_sliding_window=True, sliding_window=8,
                                max_window_layers=1, rope_theta=1e6)},
    "qwen3": {"plain": config("Qwen3ForCausalLM", "qwen3", head_dim=16, rope_theta=1e6, tie_word_embeddings=True),
              "layer-types": config("Qwen3ForCausalLM", "qwen3", head_dim=16, use_sliding_window=True, sliding_window=7,
                                    layer_types=["sliding_attention", "full_attention"], tie_word_embeddings=True)},
    "gemma2": {"plain": config("Gemma2ForCausalLM", "gemma2", head_dim=16, query_pre_attn_scalar=24, sliding_window=8,
                               attn_logit_softcapping=2.0, final_logit_softcapping=5.0)},
    "gemma3": {"plain": config("Gemma3ForCausalLM", "gemma3_text", num_hidden_layers=3, head_dim=16,
                               query_pre_attn_scalar=20, sliding_window=8, sliding_window_pattern=3, rope_theta=1e4,
                               rope_local_base_freq=100.0, rope_scaling=dict(rope_type="linear", factor=8.0)),
               "new-form": config("Gemma3ForCausalLM", "gemma3_text", num_hidden_layers=3, head_dim=16,
                                  query_pre_attn_scalar=20, sliding_window=6, final_logit_softcapping=6.0,
                                  layer_types=["full_attention", "sliding_attention", "sliding_attention"],
                                  rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=2e4),
                                                       sliding_attention=dict(rope_type="default", rope_theta=50.0)))},
    "phi3": {"plain": config("Phi3ForCausalLM", "phi3", original_max_position_embeddings=64, pad_token_id=0),
             "longrope": config("Phi3ForCausalLM", "phi3", original_max_position_embeddings=16, pad_token_id=0,
                                partial_rotary_factor=0.75, sliding_window=30, rope_scaling=dict(
                                    type="longrope", short_factor=[1.0, 1.2, 1.5], long_factor=[1.0, 2.2, 5.0]))},
    "gpt2": {"plain": dict(architectures=["GPT2LMHeadModel"], model_type="gpt2", n_embd=32, n_layer=2, n_head=4,
                           n_positions=48, vocab_size=80, activation_function="gelu_new", bos_token_id=79,
                           eos_token_id=79),
             "by-layer": dict(architectures=["GPT2LMHeadModel"], model_type="gpt2", n_embd=32, n_layer=2, n_head=4,
                              n_positions=48, n_inner=128, vocab_size=80, activation_function="gelu",
                              scale_attn_by_inverse_layer_idx=True, bos_token_id=79, eos_token_id=79)},
    "opt": {"plain": dict(without(config("OPTForCausalLM", "opt", ffn_dim=48, max_position_embeddings=48),
                                  "intermediate_size", "num_key_value_heads"), activation_function="relu")},
    "opt-350m": {"plain": dict(without(config("OPTForCausalLM", "opt", ffn_dim=48, max_position_embeddings=48),
                                       "intermediate_size", "num_key_value_heads"), activation_function="relu",
                               do_layer_norm_before=False, word_embed_proj_dim=24)},
    "mixtral": {"plain": config("MixtralForCausalLM", "mixtral", intermediate_size=24, num_local_experts=4,
                                num_experts_per_tok=2, sliding_window=None, rope_theta=1e6)},
    "qwen2-moe": {"plain": config("Qwen2MoeForCausalLM", "qwen2_moe", moe_intermediate_size=16, num_experts=4,
                                  num_experts_per_tok=2, shared_expert_intermediate_size=24, norm_topk_prob=False,
                                  decoder_sparse_step=1, mlp_only_layers=[1])},
    "qwen3-moe": {"plain": config("Qwen3MoeForCausalLM", "qwen3_moe", moe_intermediate_size=16, num_experts=6,
                                  num_experts_per_tok=3, norm_topk_prob=True, head_dim=12)},
}


def write_json(path, value):
    with open(path, "w") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def randomize(model, seed):
    """Weights large enough that logits differ, norms and biases away from 1 and 0; all of them bf16 values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=generator)
            norm = p.dim() == 1 and name.endswith("weight")
            if norm:
                value = noise * 0.3 + (0.0 if "gemma" in model.config.model_type else 1.0)
            elif p.dim() == 1:
                value = noise * 0.3
            elif "embed" in name or "wte" in name or "wpe" in name or "lm_head" in name:
                value = noise * (0.6 if "gemma" not in model.config.model_type else 0.25)
            else:
                value = noise * 1.3 / p.shape[-1] ** 0.5
            p.copy_(value.bfloat16().float())


def golden(folder, ids):
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                         output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], (folder, report)
    model.eval()
    with torch.inference_mode():
        logits = model(input_ids=ids[None], use_cache=False).logits[0].float()
    assert logits.isfinite().all() and logits.abs().max() > 1, folder
    return logits


def write_case(out, family, name, folder, settings, tokens):
    generator = torch.Generator().manual_seed(len(name))
    ids = torch.randint(0, settings["vocab_size"], (tokens,), generator=generator)
    logits = golden(folder, ids)
    write_json(f"{out}/{family}/{name}.json", settings)
    save_file({"ids": ids.int(), "logits": logits.contiguous()}, f"{out}/{family}/{name}.golden.safetensors")
    print(f"{family:20} {name:16} max|logit| {logits.abs().max():8.3f}  std {logits.std():.3f}")


def make_random(out):
    for seed, (family, variants) in enumerate(CASES.items()):
        os.makedirs(f"{out}/{family}", exist_ok=True)
        first = next(iter(variants.values()))
        with tempfile.TemporaryDirectory() as folder:
            write_json(f"{folder}/config.json", first)
            model = AutoModelForCausalLM.from_config(transformers.AutoConfig.from_pretrained(folder))
            randomize(model, seed + 1)
            model.bfloat16().save_pretrained(folder)
            shutil.copy(f"{folder}/model.safetensors", f"{out}/{family}/model.safetensors")
            for name, settings in variants.items():
                write_json(f"{folder}/config.json", settings)
                write_case(out, family, name, folder, settings, 40)


def permute(weight, heads):
    """llama2.c turns neighbouring channels, transformers the two halves of a head."""
    d = weight.shape[0] // heads
    return weight.view(heads, d // 2, 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def from_llama2c(path):
    with open(path, "rb") as f:
        dim, ffn, layers, heads, kv, vocab, length = struct.unpack("<7i", f.read(28))
        values = torch.frombuffer(bytearray(f.read()), dtype=torch.float32)
    tied, vocab, at = vocab > 0, abs(vocab), 0
    head = dim // heads

    def take(*shape):
        nonlocal at
        n = torch.Size(shape).numel()
        at += n
        return values[at - n:at].view(shape).clone()

    out = {"model.embed_tokens.weight": take(vocab, dim)}
    names = [("input_layernorm", (dim,)), ("self_attn.q_proj", (dim, dim)), ("self_attn.k_proj", (kv * head, dim)),
             ("self_attn.v_proj", (kv * head, dim)), ("self_attn.o_proj", (dim, dim)),
             ("post_attention_layernorm", (dim,)), ("mlp.gate_proj", (ffn, dim)), ("mlp.down_proj", (dim, ffn)),
             ("mlp.up_proj", (ffn, dim))]
    for name, shape in names:
        for layer, weight in enumerate(take(layers, *shape)):
            if "q_proj" in name or "k_proj" in name:
                weight = permute(weight, heads if "q_proj" in name else kv)
            out[f"model.layers.{layer}.{name}.weight"] = weight.contiguous()
    out["model.norm.weight"] = take(dim)
    at += length * head  # two tables of the rotation
    if not tied:
        out["lm_head.weight"] = take(vocab, dim)
    assert at == len(values), path
    settings = config("LlamaForCausalLM", "llama", hidden_size=dim, intermediate_size=ffn, num_hidden_layers=layers,
                      num_attention_heads=heads, num_key_value_heads=kv, vocab_size=vocab,
                      max_position_embeddings=length, rms_norm_eps=1e-5, tie_word_embeddings=tied, dtype="float32")
    return settings, out


def make_trained(models, out):
    for family in ("classics-6m", "classics-moe", "capp-gpt2-hf"):
        os.makedirs(f"{out}/{family}", exist_ok=True)
        shutil.copy(f"{models}/{family}/model.safetensors", f"{out}/{family}/model.safetensors")
        settings = json.load(open(f"{models}/{family}/config.json"))
        write_case(out, family, "trained", f"{models}/{family}", settings, 200)
    for family, file in (("babyllama-tok105", "model5000.bin"), ("babyllama-tok361", "model5000.bin"),
                         ("stories260k", "stories260K.bin")):
        os.makedirs(f"{out}/{family}", exist_ok=True)
        settings, weights = from_llama2c(f"{models}/{family}/{file}")
        save_file(weights, f"{out}/{family}/model.safetensors", metadata={"format": "pt"})
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(f"{out}/{family}/model.safetensors", f"{folder}/model.safetensors")
            write_json(f"{folder}/config.json", settings)
            write_case(out, family, "trained", folder, settings, min(200, settings["max_position_embeddings"]))


if len(sys.argv) == 4 and sys.argv[1] == "--trained":
    make_trained(sys.argv[2], sys.argv[3])
else:
    make_random(HERE)
