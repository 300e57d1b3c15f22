"""Random checkpoints of the real sizes, in the layouts in which the models are published.

Or, with `shrink`, of one layer and 64 numbers a token, with the same code, to see that every step works. Vocabularies
have as many pieces as the published ones: a fifth of Arabic and Latin letters, the rest of other scripts.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    AltCLIPConfig,
    AltCLIPModel,
    BertConfig,
    BertModel,
    CLIPImageProcessor,
    M2M100Config,
    NllbTokenizer,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
)

OTHER = (
    "абвгдежзийклмнопрстуфхцчшщыьэюяαβγδεζηθικλμνξοπρστυφχψωअआइउएकखगघचजटडतदनपबभमयरलवशसहका日本中国人大学生年月水火山川田"
)
LETTERS = ("ابتثجحخدذرزسشصضطظعغفقكلمنهويةىء", "abcdefghijklmnopqrstuvwxyz", OTHER)
SHARES = (0.08, 0.12, 0.8)
XLMR_LARGE: dict[str, Any] = {
    "vocab_size": 250_002, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
    "intermediate_size": 4096, "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1,
}  # fmt: skip
WORDS = {"araclip": 64_000, "siglip2": 256_000, "nllb": 255_950, "xlmr": 250_002}  # pieces of the vocabularies
BERT: dict[str, Any] = {}  # what is not AraBERT base's
VISION: dict[str, Any] = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "image_size": 224, "patch_size": 14,
}  # fmt: skip
NLLB: dict[str, Any] = {
    "d_model": 1024, "encoder_layers": 12, "decoder_layers": 12, "encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096,
}  # fmt: skip
SMALL_TRUNK = "araclip_benchmark_vit"  # of timm, in place of its large ones


def shrink() -> None:
    """From now on checkpoints of one layer are written, and open_clip's models of this file have one too."""
    small = {"hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    XLMR_LARGE.update(small | {"vocab_size": 3000})
    WORDS.update(dict.fromkeys(WORDS, 3000))
    BERT.update(small)
    VISION.update(small | {"image_size": 32, "patch_size": 16})
    NLLB.update(d_model=64, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=64, decoder_ffn_dim=64)
    small_open_clip()


def small_open_clip() -> None:
    """Shrink open_clip's entries of the models of this file: what `AraCLIP.load` needs in every process."""
    from open_clip import factory
    from timm.models import is_model, register_model
    from timm.models.vision_transformer import _create_vision_transformer

    def araclip_benchmark_vit(pretrained: bool = False, **options: Any) -> nn.Module:
        sizes = {"img_size": 32, "patch_size": 16, "embed_dim": 64, "depth": 1, "num_heads": 2, "mlp_ratio": 2}
        return _create_vision_transformer(
            "test_vit", **{**sizes, "class_token": False, "global_pool": "map", **options}
        )

    if not is_model(SMALL_TRUNK):
        register_model(araclip_benchmark_vit)
    for name in ("ViT-B-16-SigLIP-512", "ViT-B-16-SigLIP2-256", "nllb-clip-base-siglip", "ViT-B-32-quickgelu"):
        config = factory._MODEL_CONFIGS[name]
        config["embed_dim"] = 64
        vision, text = config["vision_cfg"], config["text_cfg"]
        vision["image_size"] = 32
        if "timm_model_name" in vision:
            vision["timm_model_name"] = SMALL_TRUNK
        else:
            vision.update(layers=1, width=64, patch_size=16)
        if "hf_model_name" not in text:
            text.update(width=64, heads=2, layers=1)


# ------------------------------------------------------------------ vocabularies


def pieces(count: int) -> Iterator[str]:
    """So many different pieces, of one to six letters."""
    chance = random.Random(0)
    seen: set[str] = set()
    for letter in dict.fromkeys("".join(LETTERS)):
        seen.add(letter)
        yield letter
    while len(seen) < count:
        script = chance.choices(LETTERS, SHARES)[0]
        piece = "".join(chance.choices(script, k=chance.choice((2, 3, 3, 4, 5, 6))))
        if piece not in seen:
            seen.add(piece)
            yield piece


def unigram(count: int) -> PreTrainedTokenizerFast:
    """As XLM-R has it."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    words = [f"▁{piece}" if i % 2 else piece for i, piece in enumerate(pieces(count - 6))]
    scored = [(word, 0.0) for word in special] + [("▁", -5.0)] + [(w, -8.0 - i / count) for i, w in enumerate(words)]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens([AddedToken("<mask>", special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=512,
    )  # fmt: skip


def word_pieces(count: int) -> PreTrainedTokenizerFast:
    """As AraBERT has it."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    single = [letter for script in LETTERS for letter in script]
    words = [*special, *single, *(f"##{letter}" for letter in single)]
    known = set(words)
    for i, piece in enumerate(pieces(count)):
        word = f"##{piece}" if i % 2 else piece
        if len(words) < count and word not in known:
            known.add(word)
            words.append(word)
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names)


def byte_pairs(count: int) -> PreTrainedTokenizerFast:
    """As Gemma, and so SigLIP 2, has it."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {piece: i for i, piece in enumerate([*special, "▁"])}
    merges: list[tuple[str, str]] = []
    for piece in pieces(count):
        for end in range(1, len(piece) + 1):  # every piece is made of a shorter one and a letter
            if piece[:end] not in vocabulary and len(vocabulary) < count:
                vocabulary[piece[:end]] = len(vocabulary)
                merges += [(piece[: end - 1], piece[end - 1])] if end > 1 else []
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in special[:4]])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>",
        padding_side="right",
    )  # fmt: skip


# ------------------------------------------------------------------ models


class _Part(nn.Module):
    """Named as in the published weights."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def _save(model: nn.Module, path: Path, more: dict[str, Tensor] | None = None) -> None:
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()} | (more or {})
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)


def araclip(folder: Path) -> str:
    """AraCLIP as published: AraBERT base, a linear head, ViT-B/16 at 512 pixels and the English tower."""
    bert = BertConfig(vocab_size=WORDS["araclip"], **BERT)
    width = open_clip.get_model_config("ViT-B-16-SigLIP-512")["embed_dim"]
    text = _Part(transformer=BertModel(bert), clip_head=nn.Linear(bert.hidden_size, width))
    model = _Part(text_model=text, clip_model=open_clip.create_model("ViT-B-16-SigLIP-512", load_weights=False))
    config = {"transformer_cfg": bert.to_dict(), "in_features": bert.hidden_size, "out_features": width}
    (folder / "config.json").write_text(json.dumps(config))
    _save(model, folder / "model.safetensors")
    word_pieces(WORDS["araclip"]).save_pretrained(folder)
    return str(folder)


def siglip2(folder: Path) -> str:
    """SigLIP 2 B/16 at 256 pixels, of open_clip."""
    byte_pairs(WORDS["siglip2"]).save_pretrained(folder)
    return _open_clip(folder, "ViT-B-16-SigLIP2-256", {"hf_tokenizer_name": str(folder)})


def nllb_siglip(folder: Path) -> str:
    """NLLB-SigLIP base: the encoder of NLLB-200 distilled, 600 M, and ViT-B/16 at 384 pixels."""
    vocabulary = {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "▁", *pieces(WORDS["nllb"])])}
    NllbTokenizer(vocab=vocabulary, merges=[]).save_pretrained(folder)
    M2M100Config(
        vocab_size=WORDS["nllb"] + 256, max_position_embeddings=1024, scale_embedding=True, activation_function="relu",
        **NLLB,
    ).save_pretrained(folder)  # fmt: skip
    return _open_clip(
        folder, "nllb-clip-base-siglip", {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder)}
    )  # fmt: skip


def m_clip(folder: Path) -> str:
    """M-CLIP: XLM-R large and a linear head, and ViT-B/32 of open_clip."""
    config, base = XLMRobertaConfig(**XLMR_LARGE), folder.with_name(f"{folder.name}-base")
    config.save_pretrained(base)
    width, dims = config.hidden_size, open_clip.get_model_config("ViT-B-32-quickgelu")["embed_dim"]
    model = _Part(transformer=XLMRobertaModel(config), LinearTransformation=nn.Linear(width, dims))
    fields = {"modelBase": str(base), "transformerDimensions": width, "numDims": dims, "model_type": "M-CLIP"}
    (folder / "config.json").write_text(json.dumps(fields))
    _save(model, folder / "pytorch_model.bin")
    unigram(WORDS["xlmr"]).save_pretrained(folder)
    image = folder.with_name(f"{folder.name}-image.pt")
    _save(open_clip.create_model("ViT-B-32-quickgelu", load_weights=False), image)
    return f"m-clip:{folder}+open_clip:ViT-B-32-quickgelu/{image}"


def altclip(folder: Path) -> str:
    """AltCLIP: XLM-R large and ViT-L/14 at 224 pixels, of transformers."""
    text = {**XLMR_LARGE, "project_dim": 768}
    AltCLIPModel(AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=768)).save_pretrained(folder)
    side = VISION["image_size"]
    square = {"height": side, "width": side}
    CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square).save_pretrained(folder)
    unigram(WORDS["xlmr"]).save_pretrained(folder)
    return str(folder)


def _open_clip(folder: Path, name: str, text: dict[str, Any]) -> str:
    config = open_clip.get_model_config(name)
    config["text_cfg"] |= text
    half = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": half}))
    model = open_clip.create_model(f"local-dir:{folder}", load_weights=False, pretrained_text=False)
    _save(model, folder / "open_clip_pytorch_model.bin")
    return str(folder)


WRITERS: dict[str, Callable[[Path], str]] = {
    "araclip-published": araclip, "siglip2-b16-256": siglip2, "nllb-siglip-base": nllb_siglip, "m-clip-b32": m_clip,
    "altclip": altclip,
}  # fmt: skip


def write(name: str, folder: Path) -> str:
    """Write a checkpoint, unless it is there; returns what `AraCLIP.load` takes."""
    done = folder.with_name(f"{folder.name}.spec")
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(0)
        with torch.no_grad():
            done.write_text(WRITERS[name](folder))
    return done.read_text()
