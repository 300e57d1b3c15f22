"""A published model, loaded by its own library, as the parts that a model folder is made of."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor, nn

from araclip.errors import ModelMismatch
from araclip.peers.libraries import without_tokens
from araclip.peers.loading import Request
from araclip.peers.pull import tokens
from araclip.peers.pull.graphs import ImageGraph, Language, TextGraph
from araclip.peers.pull.vocabulary import pieces_by_id
from araclip.peers.torch_encoder import TorchEncoder
from araclip.training.model import preprocessing
from araclip.training.model.preprocessing import Preprocessing
from araclip.training.teachers.text_encoders import has_arabic_letters, pooled, positions


@dataclass
class TextPart:
    """The text tower: its graph's module, its tokenizer, and how ids are made ready.

    fixed: texts are filled up to `max_tokens` tokens, since the tower attends to the padding as well.
    mask: the graph takes an attention mask.
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
    """The image tower: its graph's module, and how a picture becomes its input."""

    graph: ImageGraph
    tower: str
    preprocessing: Preprocessing


@dataclass
class Source:
    """Both towers, and the library's own encoder, against which their graphs are checked."""

    request: Request
    text: TextPart
    image: ImagePart
    reference: TorchEncoder
    notes: tuple[str, ...] = field(default=())


def source_of(encoder: TorchEncoder) -> Source:
    """The parts of a published model.

    Raises:
        ModelMismatch: its tokenizer or its preprocessing of pictures cannot be expressed in a model folder.
    """
    request, name = encoder.request, encoder.name
    text = _TEXT[request.kind](encoder)
    text.graph.takes_mask = text.mask
    image = _open_clip_image(name, encoder) if isinstance(encoder.image.settings, dict) else _image(name, encoder)
    return Source(request, text, image, encoder)


# ------------------------------------------------------------------ texts


def _open_clip_text(encoder: TorchEncoder) -> TextPart:
    model, tokenizer, name = encoder.text.model, encoder.text.tokenizer, encoder.name
    made = tokens.of_open_clip(name, tokenizer)
    own = getattr(model, "text", model)
    if hasattr(own, "pooler"):  # a text tower of transformers: what is no padding is attended to
        pooling, pad_id, fixed = (
            type(own.pooler).__name__.lower().removesuffix("pooler"),
            own.config.pad_token_id,
            False,
        )
        tower = str(own.config.name_or_path or own.config.model_type)
    else:
        pooling = getattr(own, "pool_type", None) or own.text_pool_type
        extra = getattr(own, "cls_emb", None) is not None or getattr(own, "use_pad_mask", False)
        # nothing before the end token sees what is behind it
        fixed = own.attn_mask is None or extra or pooling not in ("argmax", "eos")
        pad_id = getattr(getattr(tokenizer, "tokenizer", None), "pad_token_id", 0) or 0
        tower = "open_clip text transformer"
    encode: Callable[..., Tensor] = model.encode_text
    if own is model and not fixed:
        encode = _ShortTexts(model)
    inner = getattr(tokenizer, "tokenizer", None)
    language = _language(made, inner) if hasattr(inner, "src_lang") else None
    longest = int(tokenizer.context_length)
    return TextPart(TextGraph(model, encode, language), made, tower, pooling, longest, pad_id, fixed, mask=False)


class _ShortTexts:
    """`encode_text` of open_clip's CLIP for texts that are not filled up to its whole length."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, ids: Tensor) -> Tensor:
        from open_clip.transformer import text_global_pool

        model, length = self.model, ids.shape[1]
        x = model.token_embedding(ids) + model.positional_embedding[:length]  # (B, T, W)
        x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
        vectors: Tensor = text_global_pool(x, ids, model.text_pool_type, eos_token_id=model.text_eos_id)
        if model.text_projection is None:
            return vectors
        linear = isinstance(model.text_projection, nn.Linear)
        projected: Tensor = model.text_projection(vectors) if linear else vectors @ model.text_projection
        return projected


def _language(made: Tokenizer, inner: Any) -> Language:
    pieces = pieces_by_id(made)
    arabic = np.zeros(max(pieces) + 1, np.bool_)
    for id_, piece in pieces.items():
        arabic[id_] = has_arabic_letters(piece)
    ids = [inner.convert_tokens_to_ids(code) for code in ("arb_Arab", "eng_Latn")]
    return Language(arabic, *ids)


def _transformers_text(encoder: TorchEncoder) -> TextPart:
    model, tokenizer = encoder.text.model, encoder.text.tokenizer
    siglip = model.config.model_type.startswith("siglip")
    made = tokens.of_transformers(encoder.name, tokenizer, lower=siglip)
    _plain_attention(model)

    def encode(*inputs: Tensor) -> Tensor:
        return pooled(model.get_text_features(**dict(zip(("input_ids", "attention_mask"), inputs, strict=False))))

    tower = str(getattr(model.config.get_text_config(), "model_type", model.config.model_type))
    pooling = "last" if siglip else "published"
    return TextPart(
        TextGraph(model, encode), made, tower, pooling, _longest(encoder), tokenizer.pad_token_id or 0, fixed=siglip,
        mask=not siglip,
    )  # fmt: skip


def _sentence_transformers_text(encoder: TorchEncoder) -> TextPart:
    model, tokenizer = encoder.text.model, encoder.text.tokenizer
    if model.default_prompt_name:
        raise ModelMismatch(
            f"{encoder.name} puts the prompt '{model.default_prompt_name}' before every text, which is not expressed. "
            "Take default_prompt_name out of config_sentence_transformers.json."
        )
    example = model.preprocess(["a"])
    _plain_attention(model[0].auto_model)

    def encode(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        features = {name: value for name, value in example.items() if not isinstance(value, Tensor)}
        features |= {"input_ids": input_ids, "attention_mask": attention_mask}
        for module in model:
            if "token_embeddings" in features:  # texts are padded on the right; looking for their first token is an If
                features.setdefault("cls_token_embeddings", features["token_embeddings"][:, 0])
            features = module(features)
        vectors: Tensor = features["sentence_embedding"]
        return vectors

    made = tokens.of_transformers(encoder.name, tokenizer)
    config = model[0].auto_model.config.get_text_config()
    longest = _longest(encoder, positions(config))
    pad_id = tokenizer.pad_token_id or 0
    return TextPart(TextGraph(model, encode), made, str(config.model_type), "published", longest, pad_id)


def _mclip_text(encoder: TorchEncoder) -> TextPart:
    model, tokenizer = encoder.text.model, encoder.text.tokenizer
    _plain_attention(model.transformer)
    made = tokens.of_transformers(encoder.name, tokenizer)
    tower = str(model.transformer.config.model_type)
    return TextPart(TextGraph(model, model), made, tower, "mean", _longest(encoder), tokenizer.pad_token_id or 0)


def _araclip_text(encoder: TorchEncoder) -> TextPart:
    model, tokenizer = encoder.text.model, encoder.text.tokenizer
    _plain_attention(model.text_model)

    def encode(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        vectors: Tensor = model.get_text_features(input_ids, attention_mask).pooler_output
        return vectors

    made = tokens.of_transformers(encoder.name, tokenizer)
    return TextPart(
        TextGraph(model, encode), made, "AraBERT v2 base, fine-tuned", model.config.text_pooling, _longest(encoder),
        tokenizer.pad_token_id or 0,
    )  # fmt: skip


def _mexma_text(encoder: TorchEncoder) -> TextPart:
    model, tokenizer = encoder.text.model, encoder.text.tokenizer
    _plain_attention(model)
    made = tokens.of_transformers(encoder.name, tokenizer)
    graph = TextGraph(model, model.get_text_features)
    return TextPart(graph, made, "MEXMA (XLM-RoBERTa)", "cls", _longest(encoder), tokenizer.pad_token_id or 0)


_TEXT: dict[str, Callable[[TorchEncoder], TextPart]] = {
    "open_clip": _open_clip_text,
    "transformers": _transformers_text,
    "altclip": _transformers_text,
    "sentence-transformers": _sentence_transformers_text,
    "m-clip": _mclip_text,
    "mexma": _mexma_text,
    "araclip": _araclip_text,
}


def _longest(encoder: TorchEncoder, most: int | None = None) -> int:
    """How many tokens the library leaves of a text; at most as many as the tower has positions."""
    longest = int(encoder.text.longest or 0) or most
    if longest is None:
        raise ModelMismatch(f"{encoder.name} does not say how many tokens a text may have. Copy its folder again.")
    return longest if most is None else min(longest, most)


# ------------------------------------------------------------------ pictures


def _open_clip_image(name: str, encoder: TorchEncoder) -> ImagePart:
    visual = encoder.image.model
    how = preprocessing.of_open_clip(name, encoder.image.settings)
    trunk: Any = getattr(visual, "trunk", None)  # a network of timm
    own = "ResNet" if hasattr(visual, "attnpool") else "ViT"  # with attention pooling, as RN50
    tower = str(trunk.default_cfg.get("architecture", "timm")) if trunk is not None else f"open_clip {own}"
    graph = ImageGraph(visual, lambda pixels: without_tokens(visual(pixels)), how.mean, how.std)
    return ImagePart(graph, tower, how)


def _image(name: str, encoder: TorchEncoder) -> ImagePart:
    model = encoder.image.model
    how = preprocessing.of_transformers(name, encoder.image.settings)
    if encoder.request.kind == "sentence-transformers":
        example = model.preprocess([_blank(how.size)])
        _plain_attention(model[0].auto_model)

        def encode(pixels: Tensor) -> Tensor:
            features = {key: value for key, value in example.items() if not isinstance(value, Tensor)}
            vectors: Tensor = model({**features, "pixel_values": pixels})["sentence_embedding"]
            return vectors

        return ImagePart(ImageGraph(model, encode, how.mean, how.std), model[0].auto_model.config.model_type, how)

    _plain_attention(model)
    config = getattr(model.config, "vision_config", model.config)
    tower = str(getattr(config, "architecture", config.model_type))
    return ImagePart(
        ImageGraph(model, lambda pixels: pooled(model.get_image_features(pixel_values=pixels)), how.mean, how.std),
        tower, how,
    )  # fmt: skip


def _blank(side: int) -> Any:
    from PIL import Image

    return Image.new("RGB", (side, side))


def _plain_attention(model: Any) -> None:
    """MatMul and Softmax, which ONNX Runtime optimises best, in place of PyTorch's fused attention."""
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
