"""Splits a published model, loaded by its own library, into two towers for ONNX graphs and a tokenizer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import ModelMismatch
from araclip.models.folder import ImageConfig
from araclip.peers.libraries import pooled_vectors
from araclip.peers.request import Request
from araclip.peers.tokenizers import convert_open_clip, convert_transformers
from araclip.peers.torch_encoder import TorchEncoder
from araclip.peers.vocabulary import pieces_by_id
from araclip.training.export.tower_graphs import Scaled
from araclip.training.model import preprocessing
from araclip.training.teachers.text_encoders import has_arabic_letters, pooled, positions


class TextGraph(nn.Module):
    """The graph of a text tower: token ids (texts, tokens), and perhaps a mask → vectors (texts, D) of unit length.

    `encode` is a function that runs `model`. `language`, if it is given, chooses the first token of each text by the
    text's script.
    """

    rows: Tensor | None

    def __init__(
        self, model: nn.Module, encode: Callable[..., Tensor], language: "LanguageToken | None" = None
    ) -> None:
        super().__init__()
        self.model, self.encode, self.language = model, encode, language
        self.register_buffer("rows", None)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        ids = input_ids if self.rows is None else self.rows[input_ids]  # token ids of the published model
        if self.language is not None:
            ids = self.language(ids)
        inputs = (ids,) if attention_mask is None else (ids, attention_mask)
        return l2_normalize(self.encode(*inputs).to(torch.float32), dim=-1)

    def keep_rows(self, rows: NDArray[np.int64], ids: Tensor) -> None:
        """Keep only some rows of the token embeddings. From now on, the graph takes the ids of the cut tokenizer.

        Args:
            rows: (n,), the old ids of the rows to keep; the place of an old id in `rows` is its new id.
            ids: (1, tokens), the old ids of any text: the model runs on them to find its table of token embeddings.
        """
        parent, name, table = self._find_token_table(ids)
        if int(rows.max()) >= table.num_embeddings:
            raise ModelMismatch(
                f"the tokenizer has an id {rows.max()}, but the table of tokens {table.num_embeddings} rows. "
                "Tokenizer and weights belong to different models: copy the model's folder again."
            )
        setattr(parent, name, CutTable(table, torch.from_numpy(rows)))
        self.rows = torch.from_numpy(rows)

    def _find_token_table(self, ids: Tensor) -> tuple[nn.Module, str, nn.Embedding]:
        """Find the layer of token embeddings by running the model on `ids`: return its parent, its name, the layer."""
        receivers: list[nn.Module] = []
        found = [module for module in self.model.modules() if isinstance(module, nn.Embedding)]

        def note_receiver(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].shape == ids.shape and inputs[0].equal(ids):
                receivers.append(module)

        hooks = [module.register_forward_pre_hook(note_receiver) for module in found]
        try:
            with torch.inference_mode():
                self.encode(*(ids, torch.ones_like(ids))[: 1 + self.takes_mask])
        finally:
            for hook in hooks:
                hook.remove()
        tables = list(dict.fromkeys(receivers))
        if len(tables) != 1:
            raise ModelMismatch(f"the text tower has {len(tables)} tables of tokens, expected one. Keep all languages.")
        (table,) = tables
        for parent in self.model.modules():
            for name, child in parent.named_children():
                if child is table:
                    return parent, name, table  # type: ignore[return-value]
        raise AssertionError("a table without a parent")

    takes_mask: bool = False


class CutTable(nn.Module):
    """A token embedding table that keeps only the rows `rows` (n,). `forward` still takes the ids of the full table."""

    positions: Tensor

    def __init__(self, table: nn.Embedding, rows: Tensor) -> None:
        super().__init__()
        positions = torch.zeros(table.num_embeddings, dtype=torch.int32)
        positions[rows] = torch.arange(len(rows), dtype=torch.int32)
        self.register_buffer("positions", positions)
        table.weight = nn.Parameter(table.weight.detach()[rows], requires_grad=False)
        table.num_embeddings, table.padding_idx = len(rows), None
        self.table = table

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.table(self.positions[ids])
        return found

    @property
    def weight(self) -> Tensor:
        """The kept rows of the token embedding table, (rows, width)."""
        return self.table.weight


class LanguageToken(nn.Module):
    """Sets the first token of each text by script: `arabic` if any other token has Arabic letters, else `other`.

    The tokenizer writes `arabic` before every text, and NLLB's encoder gives its output at this token. `pieces` is an
    array over all token ids: true for a piece with Arabic letters.
    """

    pieces: Tensor

    def __init__(self, pieces: NDArray[np.bool_], arabic: int, other: int) -> None:
        super().__init__()
        self.register_buffer("pieces", torch.from_numpy(pieces))
        self.arabic, self.other = arabic, other

    def forward(self, ids: Tensor) -> Tensor:
        found = self.pieces[ids[:, 1:]].to(torch.int32).amax(dim=1, keepdim=True)  # for each text: 1 if Arabic, else 0
        first = torch.where(found > 0, self.arabic, self.other).to(ids.dtype)
        return torch.cat([first, ids[:, 1:]], dim=1)


class ImageGraph(Scaled):
    """The graph of an image tower: uint8 squares (pictures, side, side, 3) → vectors (pictures, D) of unit length.

    Pixels are scaled by each channel's mean and std; then `encode`, a function that runs `model`, is called.
    """

    def __init__(
        self, model: nn.Module, encode: Callable[[Tensor], Tensor], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__(mean, std)
        self.model, self.encode = model, encode

    def forward(self, pixels: Tensor) -> Tensor:
        return l2_normalize(self.encode(self.scaled(pixels)).to(torch.float32), dim=-1)

    def forget_texts(self) -> None:
        """Free the text tower's memory, after its graph was written; the image tower is still needed."""
        for module in [*self.modules()]:
            for name in ("text_model", "text_projection"):
                if name in dict(module.named_children()):
                    setattr(module, name, nn.Identity())


@dataclass
class TextPart:
    """The text tower of a model folder: the module for its graph, its tokenizer, and how ids are padded and cut.

    fixed: True if texts must be padded to `max_tokens` tokens, since the tower attends to the padding as well.
    mask: True if the graph takes an attention mask.
    """

    graph: TextGraph
    tokenizer: Tokenizer
    tower: str
    pooling: str
    max_tokens: int
    pad_id: int
    fixed: bool = False
    mask: bool = True


@dataclass
class ImagePart:
    """The image tower: the module of its graph, and how a picture becomes the graph's input."""

    graph: ImageGraph
    tower: str
    preprocessing: ImageConfig


@dataclass
class Source:
    """Both towers of a published model, and the library's own encoder, against which the graphs are checked."""

    request: Request
    text: TextPart
    image: ImagePart
    reference: TorchEncoder


def split_towers(encoder: TorchEncoder) -> Source:
    """Take a published model apart: return its towers, its tokenizer and the encoder for comparison as a Source."""
    text = _TEXT_PARTS[encoder.request.kind](encoder)
    text.graph.takes_mask = text.mask
    split_image = _open_clip_image_part if isinstance(encoder.image.settings, dict) else _transformers_image_part
    return Source(encoder.request, text, split_image(encoder), encoder)


# ------------------------------------------------------------------ texts


def _open_clip_text_part(encoder: TorchEncoder) -> TextPart:
    model, tokenizer, name = encoder.text.model, encoder.text.tokenizer, encoder.name
    converted = convert_open_clip(name, tokenizer)
    own = getattr(model, "text", model)
    encode: Callable[..., Tensor] = model.encode_text
    if hasattr(own, "pooler"):  # the text tower is one of transformers, which masks padding
        pooling, fixed = type(own.pooler).__name__.lower().removesuffix("pooler"), False
        pad_id = own.config.pad_token_id
        tower = str(own.config.name_or_path or own.config.model_type)
    else:
        pooling = getattr(own, "pool_type", None) or own.text_pool_type
        extra = getattr(own, "cls_emb", None) is not None or getattr(own, "use_pad_mask", False)
        # With a causal mask, tokens up to the end token do not attend to later padding, so texts need no padding.
        fixed = own.attn_mask is None or extra or pooling not in ("argmax", "eos")
        pad_id = getattr(getattr(tokenizer, "tokenizer", None), "pad_token_id", 0) or 0
        tower = "open_clip text transformer"
        if not fixed:
            encode = _ShortTexts(own)
    inner: Any = getattr(tokenizer, "tokenizer", None)
    language = None
    if hasattr(inner, "src_lang"):
        pieces = pieces_by_id(converted)
        arabic = np.zeros(max(pieces) + 1, np.bool_)
        for id_, piece in pieces.items():
            arabic[id_] = has_arabic_letters(piece)
        language = LanguageToken(arabic, *(inner.convert_tokens_to_ids(code) for code in ("arb_Arab", "eng_Latn")))
    longest = int(tokenizer.context_length)
    return TextPart(TextGraph(model, encode, language), converted, tower, pooling, longest, pad_id, fixed, mask=False)


class _ShortTexts:
    """Does what `encode_text` of open_clip's causal text transformer does, but without filling up short texts.

    open_clip pads every text to the transformer's length. In a CustomTextCLIP the transformer is a module of its
    own. In a CLIP the transformer's layers and settings are attributes of the CLIP itself, two of them under other
    names.
    """

    def __init__(self, tower: Any) -> None:
        self.tower = tower
        own = hasattr(tower, "pool_type")
        self.pooling, self.end = (tower.pool_type, tower.eos_id) if own else (tower.text_pool_type, tower.text_eos_id)

    def __call__(self, ids: Tensor) -> Tensor:
        from open_clip.transformer import text_global_pool

        tower, length = self.tower, ids.shape[1]
        x = tower.token_embedding(ids) + tower.positional_embedding[:length]  # (texts, tokens, width)
        x = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
        vectors: Tensor = text_global_pool(x, ids, self.pooling, eos_token_id=self.end)
        if tower.text_projection is None:
            return vectors
        linear = isinstance(tower.text_projection, nn.Linear)
        projected: Tensor = tower.text_projection(vectors) if linear else vectors @ tower.text_projection
        return projected


def _transformers_text_part(encoder: TorchEncoder) -> TextPart:
    model = encoder.text.model
    siglip = model.config.model_type.startswith("siglip")

    def encode(*inputs: Tensor) -> Tensor:
        return pooled(model.get_text_features(**dict(zip(("input_ids", "attention_mask"), inputs, strict=False))))

    tower = str(getattr(model.config.get_text_config(), "model_type", model.config.model_type))
    return _make_text_part(encoder, model, encode, tower, "last" if siglip else "published", siglip=siglip)


def _sentence_transformers_text_part(encoder: TorchEncoder) -> TextPart:
    model, tokenizer = encoder.text.model, encoder.text.tokenizer
    if model.default_prompt_name:
        raise ModelMismatch(
            f"{encoder.name} puts the prompt '{model.default_prompt_name}' before every text, which is not expressed. "
            "Take default_prompt_name out of config_sentence_transformers.json."
        )
    example = model.preprocess(["a"])
    _use_plain_attention(model[0].auto_model)

    def encode(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        features = {name: value for name, value in example.items() if not isinstance(value, Tensor)}
        features |= {"input_ids": input_ids, "attention_mask": attention_mask}
        for module in model:
            # Padding is on the right, so a text's first token is at position 0. Left alone, the library would search
            # for the first token, which puts an If node into the graph.
            if "token_embeddings" in features:
                features.setdefault("cls_token_embeddings", features["token_embeddings"][:, 0])
            features = module(features)
        vectors: Tensor = features["sentence_embedding"]
        return vectors

    converted = convert_transformers(encoder.name, tokenizer)
    config = model[0].auto_model.config.get_text_config()
    longest = _most_tokens(encoder, positions(config))
    pad_id = tokenizer.pad_token_id or 0
    return TextPart(TextGraph(model, encode), converted, str(config.model_type), "published", longest, pad_id)


def _make_text_part(
    encoder: TorchEncoder, attending: Any, encode: Callable[..., Tensor], tower: str, pooling: str, *,
    siglip: bool = False,
) -> TextPart:  # fmt: skip
    """Return the TextPart of a model whose texts pass a tokenizer of transformers.

    Args:
        attending: the module whose attention is replaced by plain attention.
        encode: turns ids, and the mask if the graph takes one, into vectors.
        tower, pooling: names of tower and pooling, as config.json states them.
        siglip: True for SigLIP, whose texts become lower case, and whose tower also attends to the padding.
    """
    _use_plain_attention(attending)
    tokenizer, graph = encoder.text.tokenizer, TextGraph(encoder.text.model, encode)
    converted = convert_transformers(encoder.name, tokenizer, lower=siglip)
    pad_id = tokenizer.pad_token_id or 0
    return TextPart(graph, converted, tower, pooling, _most_tokens(encoder), pad_id, fixed=siglip, mask=not siglip)


_TEXT_PARTS: dict[str, Callable[[TorchEncoder], TextPart]] = {
    "open_clip": _open_clip_text_part,
    "transformers": _transformers_text_part,
    "altclip": _transformers_text_part,
    "sentence-transformers": _sentence_transformers_text_part,
    "m-clip": lambda found: _make_text_part(
        found, found.text.model.transformer, found.text.model, str(found.text.model.transformer.config.model_type),
        "mean",
    ),
    "mexma": lambda found: _make_text_part(
        found, found.text.model, found.text.model.get_text_features, "MEXMA (XLM-RoBERTa)", "cls"
    ),
    "araclip": lambda found: _make_text_part(
        found, found.text.model.text_model,
        lambda ids, mask: found.text.model.get_text_features(ids, mask).pooler_output,
        "AraBERT v2 base, fine-tuned", found.text.model.config.text_pooling,
    ),
}  # fmt: skip


def _most_tokens(encoder: TorchEncoder, most: int | None = None) -> int:
    """Return how many tokens of a text the encoder's library keeps, but at most `most`.

    `most`, if given, is the number of the tower's positions; it is returned if the library states no number.

    Raises:
        ModelMismatch: the library states no number, and `most` is None.
    """
    longest = int(encoder.text.longest or 0) or most
    if longest is None:
        raise ModelMismatch(f"{encoder.name} does not say how many tokens a text may have. Copy its folder again.")
    return longest if most is None else min(longest, most)


# ------------------------------------------------------------------ pictures


def _open_clip_image_part(encoder: TorchEncoder) -> ImagePart:
    visual = encoder.image.model
    how = preprocessing.of_open_clip(encoder.name, encoder.image.settings)
    trunk: Any = getattr(visual, "trunk", None)  # timm's network, if open_clip took the image tower from timm
    own = "ResNet" if hasattr(visual, "attnpool") else "ViT"  # only open_clip's ResNets, such as RN50, have an attnpool
    tower = str(trunk.default_cfg.get("architecture", "timm")) if trunk is not None else f"open_clip {own}"
    graph = ImageGraph(visual, lambda pixels: pooled_vectors(visual(pixels)), how.mean, how.std)
    return ImagePart(graph, tower, how)


def _transformers_image_part(encoder: TorchEncoder) -> ImagePart:
    model = encoder.image.model
    how = preprocessing.of_transformers(encoder.name, encoder.image.settings)
    if encoder.request.kind == "sentence-transformers":
        example = model.preprocess([Image.new("RGB", (how.size, how.size))])
        _use_plain_attention(model[0].auto_model)

        def encode(pixels: Tensor) -> Tensor:
            features = {key: value for key, value in example.items() if not isinstance(value, Tensor)}
            vectors: Tensor = model({**features, "pixel_values": pixels})["sentence_embedding"]
            return vectors

        return ImagePart(ImageGraph(model, encode, how.mean, how.std), model[0].auto_model.config.model_type, how)

    _use_plain_attention(model)
    config = getattr(model.config, "vision_config", model.config)
    tower = str(getattr(config, "architecture", config.model_type))
    return ImagePart(
        ImageGraph(model, lambda pixels: pooled(model.get_image_features(pixel_values=pixels)), how.mean, how.std),
        tower, how,
    )  # fmt: skip


def _use_plain_attention(model: Any) -> None:
    """Replace PyTorch's fused attention by MatMul and Softmax, which ONNX Runtime optimises best."""
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
