"""Tokenizers of every kind, as the real ones are configured (taken from the tokenizer.json files of Llama 2 and 3,
Qwen 2, Gemma, GPT-2, OPT, Phi-3, Falcon, StarCoder, CLIP, T5, ALBERT, ...), trained small on texts at hand."""
import base64
import io
import json
import pathlib
import tempfile

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

META = "\u2581"
TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
LLAMA3 = WORDS + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
QWEN2 = WORDS + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + TAIL
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + r"+|[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER +
          r"*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL)
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
BYTE_TOKENS = ["<0x%02X>" % b for b in range(256)]

byte_level = lambda **f: dict(dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True), **f)
split = lambda p, behavior="Isolated", invert=False, kind="Regex": dict(
    type="Split", pattern={kind: p}, behavior=behavior, invert=invert)
pre = lambda *steps: dict(type="Sequence", pretokenizers=list(steps))
norm = lambda *steps: dict(type="Sequence", normalizers=list(steps))
decoder = lambda *steps: dict(type="Sequence", decoders=list(steps))
replace = lambda p, content, kind="String": dict(type="Replace", pattern={kind: p}, content=content)
metaspace = lambda scheme="always", cut=True: dict(type="Metaspace", replacement=META, prepend_scheme=scheme, split=cut)
SP_DECODER = [replace(META, " "), dict(type="ByteFallback"), dict(type="Fuse")]


def template(tokens, before=(), after=()):
    piece = lambda t: {"SpecialToken": {"id": t, "type_id": 0}}
    a, b = {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
    single = [piece(t) for t in before] + [a] + [piece(t) for t in after]
    return dict(type="TemplateProcessing", single=single, pair=single + [b],
                special_tokens={t: dict(id=t, ids=[tokens[t]], tokens=[t]) for t in list(before) + list(after)})


def added(content, id_, **flags):
    return dict(dict(id=id_, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False,
                     special=True), **flags)


def base(model, specials, **parts):
    ids = {t: i for i, t in enumerate(specials)}
    out = dict(version="1.0", truncation=None, padding=None, added_tokens=[added(t, i) for t, i in ids.items()],
               normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None, model=model)
    out.update(parts)
    return out


def train(model, pretok, trainer, texts):
    t = Tokenizer(model)
    t.pre_tokenizer = pretok
    t.train_from_iterator(texts, trainer)
    return json.loads(t.to_str())["model"]


def byte_bpe(texts, size, specials):
    return train(models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False), trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False), texts)


def sp_bpe(texts, size, specials, alphabet):
    """SentencePiece's kind: characters, bytes for what is none of them, runs of spaces and lines as tokens."""
    model = train(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True), pre_tokenizers.Metaspace(), trainers.BpeTrainer(
        vocab_size=size, special_tokens=specials + BYTE_TOKENS, limit_alphabet=alphabet, show_progress=False), texts)
    for left, right in [(META, META), (META * 2, META * 2), (META * 4, META * 4), ("\n", "\n")]:
        for token in (left, right, left + right):
            model["vocab"].setdefault(token, len(model["vocab"]))
        model["merges"].append([left, right])
    return model


def unigram(texts, size, specials, extra=()):
    model = train(models.Unigram(), pre_tokenizers.Metaspace(), trainers.UnigramTrainer(
        vocab_size=size, special_tokens=specials, unk_token="<unk>", show_progress=False), texts)
    model["vocab"] += [[t, -15.5] for t in extra]
    return model


def charsmap(rules):
    """SentencePiece compiles the rules: the name of a set it has ("nmt_nfkc"), or {from: to}."""
    import sentencepiece
    with tempfile.TemporaryDirectory() as folder:
        kwargs = dict(normalization_rule_name=rules)
        if isinstance(rules, dict):
            points = lambda text: " ".join("%X" % ord(c) for c in text)
            tsv = pathlib.Path(folder, "rules.tsv")
            tsv.write_text("".join("%s\t%s\n" % (points(k), points(v)) for k, v in rules.items()))
            kwargs = dict(normalization_rule_tsv=str(tsv))
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["a b c d e f g"] * 9), model_writer=model, vocab_size=12,
                                                 hard_vocab_limit=False, minloglevel=2, **kwargs)
    # ModelProto.normalizer_spec (3) .precompiled_charsmap (2), both of wire type 2.
    return dict(type="Precompiled", precompiled_charsmap=base64.b64encode(field(field(model.getvalue(), 3), 2)).decode())


def field(message, wanted):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    while True:
        tag = varint()
        if tag & 7 == 0:
            varint()
        elif tag & 7 == 5:
            at += 4
        else:
            size = varint()
            if tag >> 3 == wanted:
                return message[at:at + size]
            at += size


SMALL_RULES = {"\ufb01": "fi", "\uff21": "A", "\u00a0": " ", "\r": " ", "\t": " ", "\n": " ", "\u200b": "", "e\u0301": "\u00e9",
               "\u2026": "...", "\u0301": "'", "\U0001d400": "A", "\u3000": " ", "\x1f": ""}


def kinds(texts, small):
    """{name: tokenizer.json}; `small`: for files that are kept."""
    size = 600 if small else 16000
    rows = 400 if small else 8000
    alphabet = 90 if small else 1500
    rules = charsmap(SMALL_RULES if small else "nmt_nfkc")
    two, three = ["<|endoftext|>", "<|begin|>"], ["<unk>", "<s>", "</s>"]
    ids2, ids3 = {t: i for i, t in enumerate(two)}, {t: i for i, t in enumerate(three)}
    bytes_ = byte_bpe(texts, size, two)
    chars = sp_bpe(texts, rows + 256, three, alphabet)
    pieces = unigram(texts, rows, three)
    fallback = dict(unigram(texts, rows, three, BYTE_TOKENS), byte_fallback=True)
    plain = dict(bytes_, byte_fallback=False)
    bl = dict(decoder=byte_level())
    out = {
        "gpt2": base(plain, two, pre_tokenizer=byte_level(), post_processor=byte_level(), **bl),
        "llama3": base(dict(plain, ignore_merges=True), two, pre_tokenizer=pre(split(LLAMA3), byte_level(use_regex=False)),
                       post_processor=dict(type="Sequence", processors=[byte_level(), template(ids2, ["<|begin|>"])]), **bl),
        "qwen2": base(plain, two, normalizer=dict(type="NFC"), post_processor=byte_level(),
                      pre_tokenizer=pre(split(QWEN2), byte_level(use_regex=False, trim_offsets=False)), **bl),
        "mistral tekken": base(dict(plain, ignore_merges=True), two,
                               pre_tokenizer=pre(split(TEKKEN), byte_level(use_regex=False)), **bl),
        "falcon": base(plain, two, pre_tokenizer=pre(
            dict(type="Punctuation", behavior="Contiguous"), byte_level(), dict(type="Digits", individual_digits=False),
            split("[0-9][0-9][0-9]")), **bl),
        "starcoder": base(plain, two, pre_tokenizer=pre(dict(type="Digits", individual_digits=True), byte_level()), **bl),
        "roberta": base(plain, two, pre_tokenizer=byte_level(add_prefix_space=True), post_processor=dict(
            type="RobertaProcessing", sep=["<|endoftext|>", 0], cls=["<|begin|>", 1], trim_offsets=True,
            add_prefix_space=True), **bl),
        "byte normalizer": base(plain, two, normalizer=norm(dict(type="NFC"), dict(type="ByteLevel")), **bl),
        "llama2": base(chars, three, normalizer=norm(dict(type="Prepend", prepend=META), replace(" ", META)),
                       post_processor=template(ids3, ["<s>"]),
                       decoder=decoder(*SP_DECODER, dict(type="Strip", content=" ", start=1, stop=0))),
        "llama2 first": base(chars, three, pre_tokenizer=metaspace("first", False), post_processor=template(ids3, ["<s>"]),
                             decoder=decoder(*SP_DECODER, dict(type="Strip", content=" ", start=1, stop=0))),
        "phi3": base(chars, three, normalizer=norm(dict(type="Prepend", prepend=META), replace(" ", META)),
                     decoder=decoder(*SP_DECODER, dict(type="Strip", content=" ", start=1, stop=0))),
        "gemma": base(chars, three, normalizer=replace(" ", META), pre_tokenizer=split(" ", "MergedWithPrevious", False, "String"),
                      post_processor=template(ids3, ["<s>"], ["</s>"]), decoder=decoder(*SP_DECODER)),
        "no fallback": base(dict(chars, byte_fallback=False, fuse_unk=False), three, pre_tokenizer=metaspace("never", False),
                            decoder=metaspace("never", False)),
        "fused unknown": base(dict(chars, byte_fallback=False), three, pre_tokenizer=metaspace(), decoder=metaspace()),
        "some bytes": base(dict(chars, vocab={t: i for t, i in chars["vocab"].items() if t not in BYTE_TOKENS[0xC0:0xE4]}),
                           three, pre_tokenizer=metaspace(), decoder=None),
        "t5": base(pieces, three, normalizer=rules, pre_tokenizer=pre(dict(type="WhitespaceSplit"), metaspace()),
                   post_processor=template(ids3, [], ["</s>"]), decoder=metaspace()),
        "albert": base(pieces, three, normalizer=norm(
            replace("``", '"'), replace("''", '"'), dict(type="NFKD"), dict(type="StripAccents"), dict(type="Lowercase"),
            rules), pre_tokenizer=pre(dict(type="WhitespaceSplit"), metaspace()), post_processor=template(
                ids3, ["<s>"], ["</s>"]), decoder=metaspace()),
        "unigram bytes": base(fallback, three, normalizer=norm(dict(type="NFKC"), replace(" {2,}", " ", "Regex")),
                              pre_tokenizer=metaspace("first", False), decoder=decoder(dict(type="ByteFallback"), metaspace())),
        "unigram raw": base(fallback, three, normalizer=norm(dict(type="Nmt"), dict(type="Strip", strip_left=True, strip_right=True),
                                                             replace(" ", META)), decoder=decoder(*SP_DECODER)),
        "whitespace": base(dict(chars, byte_fallback=False), three, normalizer=dict(type="NFD"), pre_tokenizer=dict(type="Whitespace")),
        "bert": base(dict(chars, byte_fallback=False), three, normalizer=dict(type="Lowercase"),
                     pre_tokenizer=dict(type="BertPreTokenizer")),
        "fixed": base(chars, three, pre_tokenizer=pre(dict(type="CharDelimiterSplit", delimiter="e"), dict(type="FixedLength", length=3))),
    }
    flags = out["phi3"]["added_tokens"]
    flags[2]["rstrip"] = True
    known = len(chars["vocab"])
    flags += [added("<|user|>", known, rstrip=True), added("the", known + 1, normalized=True, special=False),
              added("  x", known + 2, normalized=True, lstrip=True, special=False)]
    clip = train(models.BPE(end_of_word_suffix="</w>"), pre_tokenizers.ByteLevel(add_prefix_space=False), trainers.BpeTrainer(
        vocab_size=size, special_tokens=two, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), end_of_word_suffix="</w>",
        show_progress=False), texts)
    wordy = train(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"), pre_tokenizers.Whitespace(), trainers.BpeTrainer(
        vocab_size=size, special_tokens=three, continuing_subword_prefix="##", limit_alphabet=alphabet, show_progress=False), texts)
    out["wordy"] = base(wordy, three, pre_tokenizer=dict(type="Whitespace"))
    out["clip"] = base(clip, two, normalizer=norm(dict(type="NFC"), replace(r"\s+", " ", "Regex"), dict(type="Lowercase")),
                       pre_tokenizer=pre(split(CLIP, "Removed", True), byte_level()),
                       decoder=decoder(dict(type="BPEDecoder", suffix="</w>")))
    return out
