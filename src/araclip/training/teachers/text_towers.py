"""Teachers: text towers that encode texts exactly as their own libraries do."""

import hashlib
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize as l2_normalize

from araclip.encoder import AraCLIP
from araclip.errors import ModelMismatch
from araclip.model_folder import existing_folder, find
from araclip.text.normalization import NORMALIZER_VERSION
from araclip.training.foreign.failures import failures
from araclip.training.teachers.text_encoders import (
    TextEncoder,
    araclip_text,
    fingerprint,
    open_clip_text,
    transformers_text,
)

_ENCODE = "tokenizer, settings and weights must belong together: copy the folder again"
NOT_TEXT = ("visual.", "vision_model.", "visual_projection.", "logit_")  # weights that no text vector depends on


class Teacher(Protocol):
    """A frozen text encoder, whose vectors are the targets of a student."""

    @property
    def name(self) -> str:
        """The spec that it was loaded by, for messages."""

    @property
    def width(self) -> int:
        """D, the length of its vectors."""

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change whenever a vector could: weights, tokens and kind."""

    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Texts → (n, D) float32, rows of unit length, in the order given."""


class TorchTeacher:
    """A PyTorch text tower."""

    def __init__(self, name: str, text: TextEncoder, device: str, bfloat16: bool = False) -> None:
        self.name, self.device, self.bfloat16, self._text = name, device, bfloat16, text
        text.model.eval().requires_grad_(False).to(device)

    @cached_property
    def width(self) -> int:
        """D, the length of its vectors."""
        return int(self.encode(["a photo of a cat"]).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of kind, text weights and the token ids of a few texts that show how text is prepared."""
        state = self._text.model.state_dict()
        text = {name: tensor for name, tensor in state.items() if not name.startswith(NOT_TEXT)}
        kind = f"{self._text.kind} bfloat16" if self.bfloat16 else self._text.kind
        with failures(f"teacher {self.name}", _ENCODE, ModelMismatch, cannot="encode"):
            return fingerprint(kind, text, self._text.tokens)[:16]

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """Texts → (n, D) float32, rows of unit length, in the order given."""
        if not texts:
            return np.empty((0, self.width), np.float32)
        with failures(f"teacher {self.name}", _ENCODE, ModelMismatch, cannot="encode"):
            inputs = {name: tensor.to(self.device) for name, tensor in self._text.tokens(texts).items()}  # (n, T) each
            with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bfloat16):
                features = self._text.features(inputs)
        vectors: NDArray[np.float32] = l2_normalize(features.float(), dim=-1).cpu().numpy()  # (n, D)
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


def open_clip_teacher(name: str, location: str, device: str, bfloat16: bool) -> Teacher:
    """`MODEL/PRETRAINED`, `local-dir:` or `hf-hub:` PLACE, see `text_encoders.open_clip_text`."""
    text = open_clip_text(f"teacher {name}", location)
    text.model.visual = None  # half of the memory, and unused for texts
    return TorchTeacher(name, text, device, bfloat16)


def transformers_teacher(name: str, location: str, device: str, bfloat16: bool) -> Teacher:
    """A folder or hub id of a CLIP-like model or of its text tower alone, see `text_encoders.transformers_text`."""
    text = transformers_text(f"teacher {name}", location)
    if hasattr(text.model, "vision_model"):
        text.model.vision_model = None
    return TorchTeacher(name, text, device, bfloat16)


def araclip_teacher(name: str, location: str, device: str, bfloat16: bool) -> Teacher:
    """A saved AraCLIPModel with its processor, or a model folder (or bundled model) with ONNX graphs."""
    folder = existing_folder(location)
    if folder is None or (folder / "text.onnx").is_file():
        return FolderTeacher(name, AraCLIP(find(location)))
    text = araclip_text(f"teacher {name}", folder)
    text.model.vision_model = text.model.visual_projection = None
    return TorchTeacher(name, text, device, bfloat16)
