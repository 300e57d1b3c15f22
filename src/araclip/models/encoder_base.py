"""Defines what an encoder must offer (`Encoder`), and a base class that checks, reads and encodes inputs in batches."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO, TextIOBase
from itertools import chain, islice
from os import PathLike
from typing import Any, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip.core.processes import usable_cores
from araclip.errors import InputError
from araclip.models.vectors import Vector, Vectors, checked_vectors
from araclip.pictures.formats import Openable

__all__ = [
    "IMAGE_BATCH", "MAX_LETTERS", "TEXT_BATCH", "Encoder", "EncoderBase", "Openable", "Picture", "Vector", "Vectors",
    "batches", "checked_pictures", "checked_pixels", "checked_texts", "is_one_picture", "missing_members", "picture_of",
    "pixel_vectors", "text_vectors", "usable_cores",
]  # fmt: skip

T = TypeVar("T")
Picture = Openable | bytes | NDArray[np.uint8]  # bytes are an encoded file; an array is (height, width, 3), RGB

TEXT_BATCH = 32  # texts in a batch; larger batches are no faster on a CPU and pad short texts to long ones
IMAGE_BATCH = 16  # number of pictures that are encoded at once
BATCH_DIMENSIONS = 4  # number of axes of an array of several pictures: (pictures, height, width, 3)
MAX_LETTERS = 16_384  # limit: characters read of a text: 32 for each token of the longest context in docs/peers.md


class Encoder(Protocol):
    """The members of a model that encodes texts and pictures, also for galleries: `AraCLIP`, the published models in
    `araclip.peers`, or a class of your own."""

    @property
    def name(self) -> str:
        """The name of the model, such as araclip-mini."""

    @property
    def fingerprint(self) -> str:
        """Hex digits that differ between models whose vectors may differ; a gallery refuses other models."""

    @property
    def label(self) -> str:
        """Name and fingerprint, as messages and results show it: araclip-mini@3f2a91bc04de."""

    @property
    def license(self) -> str | None:
        """The licence of the weights; None if it is not known."""

    @property
    def width(self) -> int:
        """D, how many numbers a vector has."""

    @property
    def image_size(self) -> int:
        """S, the side in pixels of the squares that `encode_pixels` takes."""

    @property
    def threads(self) -> int:
        """The number of threads that decode pictures."""

    @overload
    def encode_text(self, texts: str, *, batch_size: int = TEXT_BATCH) -> Vector: ...
    @overload
    def encode_text(self, texts: Iterable[str], *, batch_size: int = TEXT_BATCH) -> Vectors: ...
    def encode_text(self, texts: str | Iterable[str], *, batch_size: int = TEXT_BATCH) -> Vectors:
        """Encode a text as a (D,) float32 vector of unit length, or several texts as (n, D), in the order given."""

    @overload
    def encode_image(self, pictures: Picture, *, batch_size: int = IMAGE_BATCH) -> Vector: ...
    @overload
    def encode_image(self, pictures: Iterable[Picture], *, batch_size: int = IMAGE_BATCH) -> Vectors: ...
    def encode_image(self, pictures: Picture | Iterable[Picture], *, batch_size: int = IMAGE_BATCH) -> Vectors:
        """Encode a picture as a (D,) float32 vector of unit length, or several as (n, D), in the order given."""

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> Vectors:
        """Encode (n, S, S, 3) uint8 RGB squares, made by `image_transform.transform_of`, as (n, D) unit vectors."""


def text_vectors(model: Encoder, texts: Sequence[str]) -> Vectors:
    """Encode n texts with any encoder, as galleries do, and check that the result is (n, D) unit vectors."""
    return checked_vectors(model.encode_text(texts), len(texts), model)


def pixel_vectors(model: Encoder, pixels: NDArray[np.uint8]) -> Vectors:
    """Encode (n, S, S, 3) uint8 pixels as galleries do, and check that the result is (n, D) unit vectors."""
    return checked_vectors(model.encode_pixels(pixels), len(pixels), model)


def missing_members(model: object) -> list[str]:
    """Return the names of the members of `Encoder` that an object lacks, without evaluating any (some are costly)."""
    present = {*dir(type(model)), *getattr(model, "__dict__", {})}
    return sorted(name for name in vars(Encoder) if not name.startswith("_") and name not in present)


class EncoderBase(ABC):
    """Reads inputs lazily and encodes them in batches; a subclass encodes one batch.

    A subclass adds the members of `Encoder` that this class lacks. Instances may be shared between threads.
    """

    name: str
    threads: int

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Twelve hex digits that differ between two models whose vectors may differ."""

    @property
    @abstractmethod
    def width(self) -> int:
        """D, how many numbers a vector has."""

    @property
    def label(self) -> str:
        """Name and fingerprint, as messages and results show them: araclip-mini@3f2a91bc04de."""
        return f"{self.name}@{self.fingerprint}"

    @abstractmethod
    def _encode_texts(self, texts: tuple[str, ...], batch_size: int) -> Vectors:
        """Encode n texts as (n, D) vectors, at most `batch_size` texts at once."""

    @abstractmethod
    def _prepare(self, picture: Openable) -> Any:
        """Turn one picture into the image tower's input; several threads call this."""

    @abstractmethod
    def _encode_pictures(self, pictures: tuple[Any, ...]) -> Vectors:
        """Encode n results of `_prepare` as (n, D) vectors."""

    @overload
    def encode_text(self, texts: str, *, batch_size: int = TEXT_BATCH) -> Vector: ...
    @overload
    def encode_text(self, texts: Iterable[str], *, batch_size: int = TEXT_BATCH) -> Vectors: ...
    def encode_text(self, texts: str | Iterable[str], *, batch_size: int = TEXT_BATCH) -> Vectors:
        """Encode a text as a (D,) float32 vector of unit length, or several texts as (n, D), in the order given.

        Texts are cut at the model's token limit and at MAX_LETTERS characters. An iterator is read bit by bit, as its
        texts are needed.

        Raises:
            InputError: `texts` is, or holds, something that is not a string.
            InvalidVectors: the model did not return one vector of unit length for each text.
        """
        many = _check_batch_size(batch_size) * 16  # how many texts are sorted by length at once, then cut into batches
        groups = batches(checked_texts(texts), many)
        vectors = self._concatenate(
            checked_vectors(self._encode_texts(group, batch_size), len(group), self) for group in groups
        )
        return vectors[0] if isinstance(texts, str) else vectors

    @overload
    def encode_image(self, pictures: Picture, *, batch_size: int = IMAGE_BATCH) -> Vector: ...
    @overload
    def encode_image(self, pictures: Iterable[Picture], *, batch_size: int = IMAGE_BATCH) -> Vectors: ...
    def encode_image(self, pictures: Picture | Iterable[Picture], *, batch_size: int = IMAGE_BATCH) -> Vectors:
        """Encode a picture as a (D,) float32 vector of unit length, or several pictures as (n, D), in the order given.

        A picture is a path, encoded bytes, a PIL image, a binary file object or an array (H, W, 3) of uint8, RGB; an
        array (n, H, W, 3) holds n pictures. Files are decoded by threads a few batches ahead of the network, and an
        iterator is read as it is needed.

        Raises:
            InputError: `pictures` is, or holds, something that is no picture, or an array of another shape or type.
            ImageError: a picture cannot be used; the message names it.
            ModelMismatch: the two towers of a published model make vectors of different widths.
            InvalidVectors: the model did not return one vector of unit length for each picture.
        """
        from araclip.pictures.images import map_ahead

        decoded = (prepared for _, prepared in map_ahead(self._prepare, checked_pictures(pictures), self.threads))
        vectors = self._concatenate(
            checked_vectors(self._encode_pictures(group), len(group), self) for group in batches(decoded, batch_size)
        )
        return vectors[0] if is_one_picture(pictures) else vectors

    def _concatenate(self, parts: Iterator[Vectors]) -> Vectors:
        return np.concatenate(list(chain([np.empty((0, self.width), np.float32)], parts)))


def checked_texts(texts: str | Iterable[str]) -> Iterator[str]:
    """Yield the texts one by one, each cut at MAX_LETTERS characters; a single string is one text."""
    if isinstance(texts, str):
        return iter((_check_text(texts),))
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise InputError(f"encode_text takes a string or several, got {_describe(texts)}.")
    return (_check_text(entry) for entry in texts)


def is_one_picture(pictures: object) -> bool:
    """True if the argument stands for a single picture, even an invalid one, and not for several pictures."""
    if isinstance(pictures, np.ndarray):
        # an array of texts (dtype U) or of objects (O) holds several paths
        return pictures.ndim != BATCH_DIMENSIONS and pictures.dtype.kind not in "UO"
    return isinstance(pictures, str | bytes | PathLike | Image.Image) or hasattr(pictures, "read")


def checked_pictures(pictures: Picture | Iterable[Picture]) -> Iterator[Openable]:
    """Yield each picture in a form that `images.open_image` takes (see `picture_of`).

    The argument may be a single picture.

    Raises:
        InputError: the argument, or one of its entries, is no picture.
    """
    if is_one_picture(pictures):
        return iter((picture_of(pictures),))
    if not isinstance(pictures, Iterable):
        raise _no_picture_error(pictures)
    return (picture_of(entry) for entry in pictures)


def picture_of(entry: object) -> Openable:
    """Convert an array to a PIL image, and bytes to a file object, for `images.open_image`; return others unchanged.

    Raises:
        InputError: `entry` is no picture.
    """
    if isinstance(entry, np.ndarray):
        if entry.dtype != np.uint8 or entry.ndim != 3 or entry.shape[2] != 3 or 0 in entry.shape:
            raise InputError(
                f"an array of shape {entry.shape} and type {entry.dtype} is no picture; expected (height, width, 3) of "
                "uint8, RGB from 0 to 255. Convert it, or pass a PIL image."
            )
        return Image.fromarray(entry)
    if isinstance(entry, bytes):
        return BytesIO(entry)
    readable = hasattr(entry, "read") and not isinstance(entry, TextIOBase)
    if readable or isinstance(entry, str | PathLike | Image.Image):
        return entry  # type: ignore[return-value]  # mypy cannot see what `read` returns
    raise _no_picture_error(entry)


def checked_pixels(pixels: object, size: int) -> NDArray[np.uint8]:
    """Return pixels unchanged if they are a (n, S, S, 3) uint8 array, where S is `size`; else raise InputError."""
    if isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8 and pixels.shape[1:] == (size, size, 3):
        return pixels
    found = f"{pixels.shape} of {pixels.dtype}" if isinstance(pixels, np.ndarray) else _describe(pixels)
    raise InputError(
        f"encode_pixels takes an array (n, {size}, {size}, 3) of uint8, got {found}. "
        "Pictures of any size go to encode_image."
    )


def batches(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Yield tuples of `size` items (the last may have fewer). Items of later tuples are not read in advance."""
    # the same as itertools.batched, which Python 3.11 lacks
    remaining, size = iter(items), _check_batch_size(size)
    while batch := tuple(islice(remaining, size)):
        yield batch


def _check_batch_size(size: int) -> int:
    if size < 1:
        raise InputError(f"batch_size is {size}, expected a positive whole number.")
    return size


def _check_text(entry: object) -> str:
    if not isinstance(entry, str):
        raise InputError(f"encode_text takes strings, got {_describe(entry)}.")
    return entry[:MAX_LETTERS]


def _no_picture_error(entry: object) -> InputError:
    remedy = "Open the file with the mode 'rb'" if isinstance(entry, TextIOBase) else "Pass a path, bytes or an array"
    return InputError(f"encode_image takes pictures, got {_describe(entry)}. {remedy}.")


def _describe(entry: object) -> str:
    return f"{type(entry).__name__}: {entry!r:.80}"
