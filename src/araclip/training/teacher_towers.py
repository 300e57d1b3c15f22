"""The text towers that can teach: each turns texts into unit vectors, exactly as its own library would."""

import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize as unit

from araclip.arabic import NORMALIZER_VERSION
from araclip.encoder import AraCLIP
from araclip.errors import ModelNotFound, RecipeError

# Their token ids stand for a tokenizer in a fingerprint: case, punctuation, digits, Arabic, emoji, too many tokens
PROBES = ["a photo of a cat", "A Dog's 2 balls, RED & blue!", "قطة جالسة على طاولة", "أَكْلٌ ٣", "🐈", "long " * 100]
NOT_TEXT = ("visual.", "vision_model.", "visual_projection.", "logit_")  # these never touch a text's vector

Inputs = Mapping[str, Tensor]


class Teacher(Protocol):
    """A frozen text encoder whose vectors a student learns to make."""

    @property
    def name(self) -> str:
        """How it was asked for, as messages show it."""

    @property
    def width(self) -> int:
        """D, the length of its vectors."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever a vector could: weights, tokens and kind."""

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Texts → (n, D) float32, rows of unit length, in the order given."""


class TorchTeacher:
    """A PyTorch text tower: `tokens` makes its inputs from texts, `features` makes (n, D) from the inputs."""

    def __init__(
        self,
        kind: str,
        name: str,
        model: nn.Module,
        tokens: Callable[[list[str]], Inputs],
        features: Callable[[Inputs], Tensor],
        device: str,
    ) -> None:
        self.kind, self.name, self.device = kind, name, device
        self._model = model.eval().requires_grad_(False).to(device)
        self._tokens, self._features = tokens, features

    @cached_property
    def width(self) -> int:
        """D, the length of its vectors."""
        return int(self.encode(PROBES[:1]).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of kind, text weights and the token ids of a few texts that show how text is prepared."""
        digest = hashlib.sha256(self.kind.encode())
        for name, tensor in sorted(self._model.state_dict().items()):
            if not name.startswith(NOT_TEXT):
                digest.update(f"{name} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        for probe in PROBES:
            for name, tensor in sorted(self._tokens([probe]).items()):
                digest.update(f"{name} {tensor.tolist()}".encode())
        return digest.hexdigest()[:16]

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Texts → (n, D) float32, rows of unit length, in the order given."""
        if not texts:
            return np.empty((0, self.width), np.float32)
        inputs = {name: tensor.to(self.device) for name, tensor in self._tokens(texts).items()}  # (n, T) each
        vectors: NDArray[np.float32] = unit(self._features(inputs).float(), dim=-1).cpu().numpy()  # (n, D)
        return vectors


class FolderTeacher:
    """A model folder of AraCLIP on ONNX Runtime."""

    def __init__(self, name: str, model: AraCLIP) -> None:
        self.name, self._model = name, model

    @property
    def width(self) -> int:
        """D, the length of its vectors."""
        return self._model.width

    @property
    def fingerprint(self) -> str:
        """The folder's own, which covers graphs and tokenizer, with the text normaliser's version."""
        kind = f"onnx {self._model.config.fingerprint} normalizer {NORMALIZER_VERSION}"
        return hashlib.sha256(kind.encode()).hexdigest()[:16]

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Texts → (n, D) float32, rows of unit length, in the order given."""
        return self._model.encode_text(texts)


def open_clip_teacher(name: str, place: str, device: str) -> Teacher:
    """`MODEL/PRETRAINED`: a model of open_clip's list and a tag or file of weights; or `local-dir:` or `hf-hub:` PLACE.

    Tokens are those of open_clip's tokenizer for the model, lower-casing and padding included.
    """
    import open_clip

    whole = place.startswith(("local-dir:", "hf-hub:"))
    model_name, _, weights = (place, "", None) if whole else place.partition("/")
    if not model_name or weights == "":
        raise RecipeError(f"teacher {name}: expected open_clip:MODEL/PRETRAINED, as in open_clip:ViT-B-32/openai.")
    try:
        model = open_clip.create_model(model_name, pretrained=weights, require_pretrained=not whole)
        tokenizer = open_clip.get_tokenizer(model_name)
    except (OSError, RuntimeError, ValueError) as error:
        raise _not_loaded(
            name, error, "open_clip.list_pretrained() has the names; a file of weights works too"
        ) from error
    model.visual = None  # half of the memory, and no text goes through it
    return TorchTeacher(
        "open_clip",
        name,
        model,
        lambda texts: {"text": tokenizer(texts)},
        lambda i: model.encode_text(i["text"]),
        device,
    )


def transformers_teacher(name: str, place: str, device: str) -> Teacher:
    """A folder or hub id of a CLIP-like model or of its text tower alone, its projection included where it has one.

    SigLIP's towers were trained on lower-case text padded to the full length with every position attended to, and get
    the same here; others get their tokenizer's mask.
    """
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(place)
        saved_as = (config.architectures or [""])[0]
        alone = saved_as.endswith(("TextModel", "TextModelWithProjection"))  # AutoModel would drop a projection
        loader = getattr(transformers, saved_as) if alone else transformers.AutoModel
        model = loader.from_pretrained(place, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(place)
    except (OSError, RuntimeError, ValueError) as error:
        raise _not_loaded(name, error, "check the path or hub id, and that its tokenizer lies beside it") from error
    if not alone and not hasattr(model, "get_text_features"):
        raise RecipeError(
            f"teacher {name} is a {type(model).__name__}, which has no get_text_features. "
            "Name a CLIP-like model, or the text tower of one."
        )
    if hasattr(model, "vision_model"):
        model.vision_model = None
    longest = min(config.get_text_config().max_position_embeddings, tokenizer.model_max_length)
    siglip = config.model_type.startswith("siglip")

    def tokens(texts: list[str]) -> Inputs:
        if siglip:
            tokenizer.padding_side = "right"
            texts = [text.lower() for text in texts]
        padding = "max_length" if siglip else True
        found = tokenizer(texts, padding=padding, truncation=True, max_length=longest, return_tensors="pt")
        return {
            key: found[key]
            for key in ("input_ids", "attention_mask")
            if key in found and (key == "input_ids" or not siglip)
        }

    def features(inputs: Inputs) -> Tensor:
        found: Any = model.get_text_features(**inputs) if hasattr(model, "get_text_features") else model(**inputs)
        if isinstance(found, Tensor):
            return found
        vectors: Tensor = found.text_embeds if "text_embeds" in found else found.pooler_output  # (n, D)
        return vectors

    return TorchTeacher(f"transformers {config.model_type}", name, model, tokens, features, device)


def araclip_teacher(name: str, place: str, device: str) -> Teacher:
    """A saved AraCLIPModel with its processor, or a model folder (or bundled model) with ONNX graphs."""
    folder = Path(place).expanduser()
    if (folder / "text.onnx").is_file() or not folder.is_dir():
        return FolderTeacher(name, AraCLIP.load(place))
    from araclip.training.model import AraCLIPModel
    from araclip.training.processing import AraCLIPProcessor

    try:
        model = AraCLIPModel.from_pretrained(folder, dtype=torch.float32)
        processor = AraCLIPProcessor.from_pretrained(folder)
    except (OSError, RuntimeError, ValueError) as error:
        raise _not_loaded(
            name, error, "a folder that AraCLIPModel and AraCLIPProcessor were saved to is needed"
        ) from error
    model.vision_model = model.visual_projection = None

    def tokens(texts: list[str]) -> Inputs:
        found = processor(text=texts, return_tensors="pt")  # normalises and cuts
        return {"input_ids": found["input_ids"], "attention_mask": found["attention_mask"]}

    return TorchTeacher("araclip", name, model, tokens, lambda inputs: model.get_text_features(**inputs), device)


def _not_loaded(name: str, error: Exception, remedy: str) -> ModelNotFound:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ModelNotFound(f"teacher {name} cannot be loaded ({reason:.300}). Remedy: {remedy}.")
