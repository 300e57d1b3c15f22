"""A dual encoder of another system on PyTorch, behind the contract of `araclip.encoder.Encoder`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize as l2_normalize

from araclip.encoder import IMAGE_BATCH, TEXT_BATCH, Picture, Vectors, batches, checked_pictures, checked_texts
from araclip.errors import ImageError, ModelMismatch
from araclip.images import map_ahead, open_image
from araclip.peers.loading import Request
from araclip.training.teachers.libraries import Inputs, TextSide, fingerprint


@dataclass(frozen=True)
class TextTower:
    """`encode` makes (n, D) of texts. `tokens`, their ids, and `kind` of model are for the fingerprint."""

    kind: str
    model: Any
    encode: Callable[[list[str]], Tensor]
    tokens: Callable[[list[str]], Inputs]


@dataclass(frozen=True)
class ImageTower:
    """`prepare` takes an upright RGB picture, in one of several threads; `encode` makes (n, D) of n results."""

    model: Any
    prepare: Callable[[Image.Image], Any]
    encode: Callable[[Sequence[Any]], Tensor]


def text_tower(side: TextSide, device: str) -> TextTower:
    """The text side of a model that takes tensors."""
    return TextTower(side.kind, side.model, lambda texts: side.features(_on(device, side.tokens(texts))), side.tokens)


def image_tower(
    model: Any, prepare: Callable[[Image.Image], Inputs], features: Callable[[Inputs], Tensor], device: str
) -> ImageTower:
    """An image tower that takes tensors: `prepare` makes a batch of one, `features` (n, D) of a batch."""

    def encode(prepared: Sequence[Inputs]) -> Tensor:
        return features(_on(device, {name: torch.cat([inputs[name] for inputs in prepared]) for name in prepared[0]}))

    return ImageTower(model, prepare, encode)


def _on(device: str, inputs: Inputs) -> Inputs:
    return {name: tensor.to(device) for name, tensor in inputs.items()}


class Dual:
    """A text tower and an image tower into one space, each fed as its own library would.

    Texts reach the tokenizer as they are: nobody's model but ours was trained on what `arabic.normalize` makes of them.
    Instances may be shared between threads.
    """

    def __init__(self, asked: Request, text: TextTower, image: ImageTower) -> None:
        self.asked, self._text, self._image = asked, text, image
        for model in (text.model, image.model):
            model.eval().requires_grad_(False).to(asked.device)

    @cached_property
    def width(self) -> int:
        """D, the length of a vector."""
        return int(self._encode_texts(["a photo of a cat"]).shape[1])

    @cached_property
    def label(self) -> str:
        """Name and twelve hex digits that change whenever a vector could."""
        parts = {"": self._text.model}
        if self._image.model not in list(self._text.model.modules()):
            parts["image "] = self._image.model
        state = {start + name: value for start, part in parts.items() for name, value in part.state_dict().items()}
        return f"{self.asked.name}@{fingerprint(self._text.kind, state, self._text.tokens)[:12]}"

    @property
    def license(self) -> str | None:
        """Of the weights; None where it is not known."""
        return self.asked.license

    def encode_text(self, texts: Iterable[str], *, batch_size: int = TEXT_BATCH) -> Vectors:
        """Texts → (n, D) float32 of unit length, in the order given; an iterator is read as it is needed.

        Raises:
            InputError: `texts` is one string rather than several, or holds something that is not a string.
        """
        groups = batches(checked_texts(texts), batch_size * 16)  # enough texts at once to put like lengths together
        return self._stack(self._by_length(group, batch_size) for group in groups)

    def encode_image(self, pictures: Iterable[Picture], *, batch_size: int = IMAGE_BATCH) -> Vectors:
        """Paths or PIL pictures → (n, D) float32 of unit length, in the order given; an iterator is read as needed.

        Raises:
            InputError: `pictures` is a single path or picture.
            ImageError: a picture cannot be used; the message names it.
            ModelMismatch: the image tower leads into another space than the text tower.
        """
        several = checked_pictures(pictures)

        def prepared() -> Iterator[Any]:
            for _, found in map_ahead(self._prepare, several, self.asked.threads):
                if isinstance(found, ImageError):
                    raise found
                yield found

        return self._stack(self._encode_pictures(group) for group in batches(prepared(), batch_size))

    def _prepare(self, picture: Picture) -> Any:
        try:
            return self._image.prepare(open_image(picture))
        except ImageError as error:
            return error

    def _by_length(self, texts: tuple[str, ...], batch_size: int) -> Vectors:
        out = np.empty((len(texts), self.width), np.float32)
        order = np.argsort([len(text) for text in texts], kind="stable")  # like lengths together: less padding
        for rows in batches(order, batch_size):
            out[list(rows)] = self._encode_texts([texts[row] for row in rows])
        return out

    def _encode_texts(self, texts: list[str]) -> Vectors:
        return self._vectors(self._text.encode, texts)

    def _encode_pictures(self, prepared: tuple[Any, ...]) -> Vectors:
        vectors = self._vectors(self._image.encode, prepared)
        if vectors.shape[1] != self.width:
            raise ModelMismatch(
                f"{self.asked.name}: the image tower makes {vectors.shape[1]}-wide vectors, the text tower "
                f"{self.width}-wide ones. Name the image tower that the text tower was trained for."
            )
        return vectors

    @torch.inference_mode()
    def _vectors(self, encode: Callable[[Any], Tensor], items: Any) -> Vectors:
        vectors: Vectors = l2_normalize(encode(items).float(), dim=-1).cpu().numpy()  # (n, D)
        return vectors

    def _stack(self, parts: Iterator[Vectors]) -> Vectors:
        return np.concatenate(list(chain([np.empty((0, self.width), np.float32)], parts)))
