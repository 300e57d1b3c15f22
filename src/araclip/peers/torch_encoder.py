"""Wraps a published dual encoder on PyTorch as an Encoder, and finds the devices that PyTorch has on this machine."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import InputError, ModelMismatch
from araclip.models.devices import AUTO, CPU, CUDA, OPENVINO, device_error
from araclip.models.encoder_base import IMAGE_BATCH, EncoderBase, Openable, Vectors, batches, checked_pixels
from araclip.peers.request import Request, text_of_request
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.images import open_image
from araclip.text.normalization import without_surrogates
from araclip.training.failures import failures
from araclip.training.model import preprocessing
from araclip.training.teachers.text_encoders import Inputs, TextEncoder, fingerprint

MPS = "mps"


def torch_device(named: str) -> str:
    """Return the PyTorch device `named` ("auto": the first GPU, else the CPU); InputError if this machine lacks it."""
    gpus = [CUDA, *(f"{CUDA}:{number}" for number in range(torch.cuda.device_count()))]
    here = [CPU, *(gpus if torch.cuda.is_available() else ()), *([MPS] if torch.backends.mps.is_available() else ())]
    if named == AUTO:
        return here[1] if len(here) > 1 else CPU
    if named not in here:
        remedy = f"Name one of these, or '{AUTO}'."
        if named.startswith(OPENVINO):
            remedy = "This model runs on PyTorch. Make a model folder of it first: `araclip pull`."
        raise device_error(named, here, remedy)
    return named


_PREPARE_REMEDY = "its preprocessing settings must be those of its image tower: copy the folder again"
_ENCODE_REMEDY = "tokenizer, settings and weights must belong together: copy the folder again"


@dataclass(frozen=True)
class ImageTower:
    """An image tower, and how pictures are prepared for it.

    prepare: turns an upright RGB picture into an input of `encode`; called in several threads.
    encode: turns n inputs into vectors (n, D).
    inputs: turns one picture into the network's input tensors; None: `prepare` already returns them.
    settings: the library's settings that `prepare` follows: transformers' image processor or open_clip's table.
    transform: how `prepare` makes squares, if our own code does that; None: `settings` say how.
    """

    model: Any
    prepare: Callable[[Image.Image], Any]
    encode: Callable[[Sequence[Any]], Tensor]
    inputs: Callable[[Image.Image], Inputs] | None = None
    settings: Any = None
    transform: ImageTransform | None = None

    def side(self) -> int | None:
        """Return the side, in pixels, of the network's square input; None if the input is not a square of one size."""
        inputs = (self.inputs or self.prepare)(Image.new("RGB", (96, 64)))
        shapes = [value.shape for value in inputs.values() if isinstance(value, Tensor)]
        return next((int(s[-1]) for s in shapes if len(s) == 4 and s[-1] == s[-2]), None)


def make_image_tower(
    model: Any, prepare: Callable[[Image.Image], Inputs], features: Callable[[Inputs], Tensor], device: str,
    settings: Any = None,
) -> ImageTower:  # fmt: skip
    """Make an ImageTower from `prepare` (picture → batch of one) and `features` (batch → (n, D)).

    `settings` are the library's settings that `prepare` follows.
    """

    def encode(prepared: Sequence[Inputs]) -> Tensor:
        return features({name: torch.cat([inputs[name] for inputs in prepared]).to(device) for name in prepared[0]})

    return ImageTower(model, prepare, encode, settings=settings)


def make_preparer(processor: Any) -> Callable[[Image.Image], Inputs]:
    """Return a function that prepares a picture by an image processor of transformers."""
    return lambda picture: dict(processor(images=picture, return_tensors="pt"))


class TorchEncoder(EncoderBase):
    """Encodes texts and pictures into one space; each tower prepares its input as its own library does.

    Texts are not normalised first: only our models were trained on the output of `araclip.normalize`.
    Instances may be shared between threads.
    """

    def __init__(self, request: Request, text: TextEncoder, image: ImageTower) -> None:
        self.request, self.text, self.image = request, text, image
        self.name, self.license, self.threads = request.name, request.license, request.threads
        for model in (text.model, image.model):
            model.eval().requires_grad_(False).to(request.device)

    def __repr__(self) -> str:  # without width and fingerprint, which take long to compute
        return f"<TorchEncoder {self.name}: {self.request.kind}:{self.request.location} on {self.request.device}>"

    @property
    def origin(self) -> str:
        """What `AraCLIP.load` takes to load this model again on this machine: a name, or a kind and a location."""
        return text_of_request(self.request)

    @cached_property
    def width(self) -> int:
        return int(self._unit_vectors(self._text_features, ["a photo of a cat"]).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hex digits: a hash of the weights, the token ids of sample texts, and the way pictures are resized.

        A layer's setting that does not show in its weights, such as the activation function, is not in the hash.
        """
        parts = {"": self.text.model}
        if self.image.model not in list(self.text.model.modules()):
            parts["image "] = self.image.model
        state = {start + name: value for start, part in parts.items() for name, value in part.state_dict().items()}
        with failures(self.name, _ENCODE_REMEDY, ModelMismatch, cannot="encode"):
            digest = fingerprint(self.text.kind, state, self.text.tokens)[:12]
        ours = self.image.transform is not None and self.image.transform.reducing_gap is None
        # The way of resizing is not hashed if the model's own library squashes pictures to a square, so that the
        # fingerprints that galleries have stored for such models stay valid.
        if self.image_transform.distorts and not ours:
            return digest
        offset = "" if self.image_transform.crop_offset == "half-even" else f" {self.image_transform.crop_offset}"
        return hashlib.sha256(f"{digest} {self.image_transform}{offset}".encode()).hexdigest()[:12]

    @cached_property
    def image_transform(self) -> ImageTransform:
        """How galleries turn pictures into the squares that `encode_pixels` takes.

        If the model's own library makes squares of the input size, galleries make squares in the same way. Otherwise
        galleries squash each picture to a square.
        """
        if self.image.transform is not None:
            return self.image.transform
        settings, squash = self.image.settings, ImageTransform(self._input_side() or 1)
        read = preprocessing.of_open_clip if isinstance(settings, Mapping) else preprocessing.of_transformers
        try:
            transform = read(self.name, settings) if settings is not None else None
        except (ModelMismatch, InputError):
            transform = None
        if transform is None or transform.size != squash.size:
            return squash
        gap = None if transform.resize == "shortest" else 2.0
        return ImageTransform(transform.size, transform.resize, transform.interpolation, gap, transform.crop_offset)

    @cached_property
    def image_size(self) -> int:
        """S, the side of the squares that `encode_pixels` takes: the input size of the image tower."""
        size = self._input_side()
        if size is None:
            raise InputError(f"{self.name} takes pictures of several sizes, a gallery needs one. Use another model.")
        return size

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> Vectors:
        """Encode squares of RGB pixels, (n, S, S, 3) uint8 with S = `image_size`, as vectors (n, D) of unit length.

        Galleries make these squares with `image_transform`.
        """
        squares = checked_pixels(pixels, self.image_size)
        groups = batches((self._prepare_image(Image.fromarray(square)) for square in squares), IMAGE_BATCH)
        return self._concatenate(self._encode_pictures(group) for group in groups)

    def _input_side(self) -> int | None:
        with failures(self.name, _PREPARE_REMEDY, ModelMismatch, cannot="prepare pictures"):
            return self.image.side()

    def _prepare(self, picture: Openable) -> Any:
        return self._prepare_image(open_image(picture))

    def _prepare_image(self, picture: Image.Image) -> Any:
        with failures(self.name, _PREPARE_REMEDY, ModelMismatch, cannot="prepare pictures"):
            return self.image.prepare(picture)

    def _text_features(self, texts: list[str]) -> Tensor:
        return self.text.encode(texts, self.request.device)

    def _encode_texts(self, texts: tuple[str, ...], batch_size: int) -> Vectors:
        texts = tuple(map(without_surrogates, texts))
        out = np.empty((len(texts), self.width), np.float32)
        # batches of texts of similar length need less padding
        order = np.argsort([len(text) for text in texts], kind="stable")
        for rows in batches(order, batch_size):
            out[list(rows)] = self._unit_vectors(self._text_features, [texts[row] for row in rows])
        return out

    def _encode_pictures(self, pictures: tuple[Any, ...]) -> Vectors:
        vectors = self._unit_vectors(self.image.encode, pictures)
        if vectors.shape[1] != self.width:
            raise ModelMismatch(
                f"{self.name}: the image tower makes {vectors.shape[1]}-wide vectors, the text tower "
                f"{self.width}-wide ones. Name the image tower that the text tower was trained for."
            )
        return vectors

    @torch.inference_mode()
    def _unit_vectors(self, encode: Callable[[Any], Tensor], items: Any) -> Vectors:
        with failures(self.name, _ENCODE_REMEDY, ModelMismatch, cannot="encode"):
            vectors: Vectors = l2_normalize(encode(items).float(), dim=-1).cpu().numpy()  # one row for each input
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ModelMismatch(
                f"{self.name} makes vectors of shape {vectors.shape} that are not all numbers: its weights are "
                "damaged, or those of another model. Copy the folder again."
            )
        return vectors
