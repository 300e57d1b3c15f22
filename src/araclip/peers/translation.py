"""A baseline without an Arabic model: translates queries into English and encodes them with an English model."""

import hashlib
from collections.abc import Callable, Iterable
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from araclip.errors import InputError
from araclip.models.encoder import AraCLIP, Encoder
from araclip.models.encoder_base import IMAGE_BATCH, TEXT_BATCH, Picture, Vectors, checked_texts
from araclip.peers.request import KINDS, Request
from araclip.pictures.image_transform import ImageTransform, transform_of

Translate = Callable[[str], str]


class Translated:
    """Translates texts before an encoder encodes them; pictures go to the encoder as they are.

    Args:
        translate: a function from text to text. name: the translator's name in labels; by default the function's name.
    """

    def __init__(self, encoder: Encoder, translate: Translate, name: str | None = None) -> None:
        self.encoder, self.translate = encoder, translate
        self.translator = name or getattr(translate, "__name__", type(translate).__name__)
        self.name, self.label = f"{self.translator}+{encoder.name}", f"{self.translator}+{encoder.label}"
        # a fingerprint of its own, because vectors differ from those of the encoder alone
        self.fingerprint = hashlib.sha256(self.label.encode()).hexdigest()[:12]
        # the licence of the encoder alone: that of the translator is not known here
        self.license, self.threads = encoder.license, encoder.threads

    def __repr__(self) -> str:
        return f"<Translated by {self.translator}: {self.encoder!r}>"

    @property
    def width(self) -> int:
        """D, how many numbers a vector has."""
        return self.encoder.width

    @property
    def image_transform(self) -> ImageTransform:
        """How the encoder prepares pictures."""
        return transform_of(self.encoder)

    @property
    def image_size(self) -> int:
        """S, the side of the squares that `encode_pixels` takes."""
        return self.encoder.image_size

    def encode_text(self, texts: str | Iterable[str], *, batch_size: int = TEXT_BATCH) -> Vectors:
        """Translate and encode texts: one text → (D,), n texts → (n, D) in the order given, float32 of unit length."""
        english = (self._translate_text(text) for text in checked_texts(texts))
        vectors = self.encoder.encode_text(english, batch_size=batch_size)
        return vectors[0] if isinstance(texts, str) else vectors

    def encode_image(self, pictures: Picture | Iterable[Picture], *, batch_size: int = IMAGE_BATCH) -> Vectors:
        """Encode pictures with the encoder: one picture → (D,), n pictures → (n, D), float32 of unit length."""
        return self.encoder.encode_image(pictures, batch_size=batch_size)

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> Vectors:
        """Encode squares of RGB pixels, (n, S, S, 3) uint8, with the encoder, as (n, D) float32 of unit length."""
        return self.encoder.encode_pixels(pixels)

    def _translate_text(self, text: str) -> str:
        english: object = self.translate(text)
        if not isinstance(english, str):
            raise InputError(
                f"{self.translator} translated {text!r:.80} to a {type(english).__name__}, expected a string."
            )
        return english


def load_translation(request: Request) -> Translated:
    """Load a model that gets its texts from a translator, from the location `MODULE:FUNCTION/MODEL`.

    MODULE:FUNCTION is a function that can be imported; MODEL is any model that `AraCLIP.load` takes.
    """
    function, _, model = request.location.partition("/")
    module, _, name = function.partition(":")
    if not (module and name and model):
        raise InputError(f"'{request.name}' does not name a function and a model. Expected {KINDS['translate'].way}.")
    try:
        translate = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{function} cannot be imported ({error}). Name a module on Python's path.") from error
    return Translated(AraCLIP.load(model, threads=request.threads, device=request.device), translate, function)
