"""Loads text encoders with their own library's preprocessing: open_clip, transformers, or saved AraCLIPModels.

A dual encoder is loaded with both towers; a caller that needs one tower drops the other.
"""

import hashlib
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from araclip.errors import ModelMismatch, ModelNotFound
from araclip.training.failures import failures
from araclip.training.model.foreign import (
    check_folder,
    check_size,
    check_tokens,
    config_at,
    model_settings,
    tokenizer_arguments,
    tokenizer_at,
)
from araclip.training.model.towers import load_complete

# A tokenizer's ids of these texts are hashed in fingerprints: case, punctuation, digits, Arabic, emoji, length.
PROBES = ["a photo of a cat", "A Dog's 2 balls, RED & blue!", "قطة جالسة على طاولة", "أَكْلٌ ٣", "🐈", "long " * 100]
# Text towers derived from RoBERTa; their positions start after the padding id, so fewer are left for tokens.
_OFFSET = (
    "roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "altclip_text_model", "mpnet", "xmod",
    "roberta-prelayernorm", "data2vec-text", "longformer", "ibert",
)  # fmt: skip

_ARABIC_LETTER = re.compile("[\u0620-\u064a\u066e-\u06d3\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc]")

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class TextEncoder:
    """A model and how it encodes text: `tokens` turns texts into inputs, `features` turns inputs into (n, D).

    kind: the kind of model, for fingerprints. tokenizer: the tokenizer that `tokens` calls. longest: the number of
    tokens to which texts are cut. `tokenizer` and `longest` are None for a saved AraCLIPModel.
    """

    kind: str
    model: Any
    tokens: Callable[[list[str]], Inputs]
    features: Callable[[Inputs], Tensor]
    tokenizer: Any = None
    longest: int | None = None

    def encode(self, texts: list[str], device: str) -> Tensor:
        """Encode texts to (n, D) on `device`, where the model must be."""
        return self.features({name: tensor.to(device) for name, tensor in self.tokens(texts).items()})


def open_clip_text(name: str, location: str) -> TextEncoder:
    """Load an open_clip model, see `open_clip_model`, with its open_clip tokenizer, which lower-cases and pads.

    NLLB's tokenizer begins each text with a token for the language, and NLLB-CLIP's vector is read from that token. The
    default is English; here texts with Arabic letters get Arabic. (open_clip's `set_language` has no effect, because
    transformers returns to `src_lang` with every call.)
    """
    import open_clip

    model = open_clip_model(name, location)
    with failures(name, "its tokenizer must be on this machine, or the network be there"):
        own, _ = _open_clip_names(location)
        tokenizer = open_clip.get_tokenizer(own, **tokenizer_arguments(model_settings(own)))
        check_tokens(getattr(tokenizer, "tokenizer", None), location)
    language_lock = threading.Lock()  # for threads that share the tokenizer: it holds the language as state

    def tokens(texts: list[str]) -> Inputs:
        inner: Any = getattr(tokenizer, "tokenizer", None)
        if not hasattr(inner, "src_lang"):
            return {"text": tokenizer(texts)}
        rows: dict[int, Tensor] = {}
        arabic = [has_arabic_letters(text) for text in texts]
        with language_lock:
            for is_arabic, language in ((False, "eng_Latn"), (True, "arb_Arab")):
                inner.src_lang = language
                rows |= {i: tokenizer([text])[0] for i, text in enumerate(texts) if arabic[i] == is_arabic}
        return {"text": torch.stack([rows[i] for i in range(len(texts))])}

    features = lambda inputs: model.encode_text(inputs["text"])  # noqa: E731
    return TextEncoder("open_clip", model, tokens, features, tokenizer, tokenizer.context_length)


def has_arabic_letters(text: str) -> bool:
    """True if the text has an Arabic letter."""
    return _ARABIC_LETTER.search(text) is not None


def open_clip_model(name: str, location: str) -> Any:
    """Load an open_clip model by its location.

    A location is `MODEL/PRETRAINED` (a model of open_clip's list, and a tag or file of weights), `local-dir:FOLDER` or
    `hf-hub:ID`.
    """
    import open_clip

    model_name, weights = _open_clip_names(location)
    if not model_name or weights == "":
        raise ModelNotFound(f"{name}: expected open_clip:MODEL/PRETRAINED, as in open_clip:ViT-B-32/openai.")
    with failures(name, "open_clip.list_pretrained() has the names; a file of weights works too"):
        model_settings(model_name)  # raises an error if open_clip must not load a model of these settings
        return open_clip.create_model(model_name, pretrained=weights, require_pretrained=True)


def _open_clip_names(location: str) -> tuple[str, str | None]:
    """Split a location into model and weights; weights are None if a folder or hub id holds both."""
    if location.startswith(("local-dir:", "hf-hub:")):
        return location, None
    model, _, weights = location.partition("/")
    return model, weights


def transformers_text(name: str, location: str) -> TextEncoder:
    """Load a CLIP-like model, or a text tower alone (with its projection, if it has one), from a folder or hub id.

    SigLIP's text towers were trained on lower-case text, padded to the full length, without a mask, and get the same
    here; other towers get their tokenizer's mask. An image tower alone is a ModelMismatch.
    """
    import transformers

    remedy = "check the path or hub id, that its tokenizer lies beside it, or copy the folder again"
    with failures(name, remedy):
        config = config_at(location)
        saved_as = (config.architectures or [""])[0]
        # a text tower saved alone is loaded by its own class, since AutoModel would drop the projection
        alone = saved_as.endswith(("TextModel", "TextModelWithProjection"))
        loader = getattr(transformers, saved_as) if alone else transformers.AutoModel
        kind = loader if alone else transformers.MODEL_MAPPING[type(config)]
        if not hasattr(kind, "get_text_features") and getattr(kind, "main_input_name", "") == "pixel_values":
            raise ModelMismatch(
                f"{name} is an image tower alone ({saved_as or kind.__name__}) and reads no texts. Name a model with "
                "both towers, or train a text tower for it (docs/training.md)."
            )
        build = loader if alone else partial(loader.from_config, trust_remote_code=False)
        check_size(location, lambda: build(config))
        model = load_complete(loader, location, name=name)
        tokenizer = tokenizer_at(location)
        longest = min(positions(config.get_text_config()), tokenizer.model_max_length)
    if not alone and not hasattr(model, "get_text_features"):
        raise ModelMismatch(
            f"{name} is a {type(model).__name__}, which has no get_text_features. "
            "Name a CLIP-like model, or the text tower of one."
        )
    tokens = token_inputs(tokenizer, longest)
    if config.model_type.startswith("siglip"):
        ids = token_inputs(tokenizer, longest, "max_length", ("input_ids",))
        tokens = lambda texts: ids([text.lower() for text in texts])  # noqa: E731

    def features(inputs: Inputs) -> Tensor:
        return pooled(model.get_text_features(**inputs) if hasattr(model, "get_text_features") else model(**inputs))

    return TextEncoder(f"transformers {config.model_type}", model, tokens, features, tokenizer, longest)


def araclip_text(name: str, folder: Path) -> TextEncoder:
    """Load a saved AraCLIPModel with its processor, which normalises and cuts texts.

    What araclip-mini adds to projections (`mini.heads`: correction for hubness, numbers for class names) is left out.
    """
    from araclip.training.model.model import AraCLIPModel
    from araclip.training.model.processing import AraCLIPProcessor
    from araclip.training.model.saved_models import plain

    with failures(name, "a folder that AraCLIPModel and AraCLIPProcessor were saved to is needed"):
        check_folder(folder)
        model = plain(AraCLIPModel.from_pretrained(folder, dtype=torch.float32))
        processor = AraCLIPProcessor.from_pretrained(folder)

    def tokens(texts: list[str]) -> Inputs:
        found = processor(text=texts, return_tensors="pt")
        return {"input_ids": found["input_ids"], "attention_mask": found["attention_mask"]}

    pooling = model.config.text_pooling
    kind = "araclip" if pooling == "mean" else f"araclip {pooling}"  # the pooling changes vectors, so fingerprints too
    return TextEncoder(kind, model, tokens, lambda inputs: model.get_text_features(**inputs).pooler_output)


def token_inputs(
    tokenizer: Any, longest: int, padding: bool | str = True, names: Sequence[str] = ("input_ids", "attention_mask")
) -> Callable[[list[str]], Inputs]:
    """Return a function that turns texts into the tensors `names`: `input_ids` and `attention_mask` (n, T) by default.

    Texts are truncated to `longest` tokens and padded as `padding` says, by default to the longest text of a call.
    """
    tokenizer.padding_side = "right"  # padding on the left would move the positions of shorter texts

    def tokens(texts: list[str]) -> Inputs:
        encoded = tokenizer(texts, padding=padding, truncation=True, max_length=longest, return_tensors="pt")
        return {name: encoded[name] for name in names}

    return tokens


def pooled(output: Any) -> Tensor:
    """Return the vectors (n, D) from the result of a feature method of transformers: a tensor, or an output object."""
    if isinstance(output, Tensor):
        return output
    vectors: Tensor = output.text_embeds if "text_embeds" in output else output.pooler_output
    return vectors


def positions(config: Any) -> int:
    """Return the largest number of tokens that a text tower of transformers can read."""
    most = int(config.max_position_embeddings)
    return most - (config.pad_token_id or 0) - 1 if config.model_type in _OFFSET else most


def fingerprint(kind: str, state: Mapping[str, Tensor], tokens: Callable[[list[str]], Inputs]) -> str:
    """Return hex digits, a hash of all that vectors depend on: kind, weights, and the ids of the texts in PROBES."""
    digest = hashlib.sha256(kind.encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    for probe in PROBES:
        for name, tensor in sorted(tokens([probe]).items()):
            digest.update(f"{name} {tensor.tolist()}".encode())
    return digest.hexdigest()
