"""Find a model by name, path or object, and encode texts and pictures as unit vectors; AraCLIP needs no PyTorch."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from importlib import import_module
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core.installed_models import installed, pulled_from
from araclip.errors import InputError, ModelNotFound
from araclip.models import checks, devices
from araclip.models import folder as model_folder
from araclip.models.checks import check_device
from araclip.models.encoder_base import (
    Encoder,
    EncoderBase,
    Openable,
    Vectors,
    checked_pixels,
    checked_texts,
    missing_members,
)
from araclip.models.inference import ImageTower, TextTower
from araclip.pictures.images import open_image

__all__ = ["AraCLIP", "Encoder", "ModelLike", "as_encoder", "is_known_peer"]

ModelLike = str | PathLike[str] | Encoder  # a model's name or path, or an encoder

_opening_lock = threading.Lock()  # one lock for all models, since an encoder that holds a lock cannot be pickled
# loads published models; imported only when needed, because it imports this module in turn, by way of `training`
PEERS, REQUESTS = "araclip.peers.loading", "araclip.peers.request"


def as_encoder(model: ModelLike, *, threads: int | None = None, device: str | None = None) -> Encoder:
    """Return the encoder for a model's name or path; return an encoder unchanged. `AraCLIP.load` does the same.

    Functions that take an argument `model` pass it to this function.
    """
    if not isinstance(model, str | PathLike):
        if absent := missing_members(model):
            raise InputError(
                f"a {type(model).__name__} is no model; it lacks {', '.join(absent)} of "
                "`araclip.models.encoder.Encoder`. Pass a name, such as 'araclip-mini', the path of a model folder, or "
                "an encoder."
            )
        return model
    if model_folder.names_model_folder(model):
        return AraCLIP(model, threads=threads, device=device)
    wanted = devices.requested_device(device)
    peer: Encoder | None = import_module(PEERS).load_peer(model, devices.requested_threads(threads), wanted)
    try:
        return peer or AraCLIP(model, threads=threads, device=device)
    except ModelNotFound as error:
        near = import_module(REQUESTS).nearest_names(str(model))
        raise ModelNotFound(f"{error} Did you mean {' or '.join(near)}?" if near else str(error)) from None


def is_known_peer(text: str) -> bool:
    """True if `text`, read from a file and not typed by a person, names a published model that `as_encoder` may load.

    The model must be one that this release knows, or lie in a folder on this machine. None of its code is run; its
    weights may be downloaded.
    """
    known: bool = import_module(REQUESTS).is_known_request(text)
    return known


class AraCLIP(EncoderBase):
    """A dual encoder: Arabic or English text, and pictures, in one space.

    >>> model = AraCLIP.load()
    >>> scores = model.encode_image(["cat.jpg", "dog.jpg"]) @ model.encode_text("قطة")   # (2,) cosines

    Graphs are opened when first needed, so a text query never loads the image tower. A folder with content that this
    user has not used before is first checked, and tried in a process with limits of memory and time
    (`araclip.models.checks`). Each text passes `araclip.normalize`; tokens past `config.text.max_tokens` are cut off.
    Threads may share an instance.

    Args:
        name_or_path: the name of a bundled or pulled model, or the path of a model folder. `AraCLIP.load` also takes
            published models of other projects.
        threads: number of threads that run graphs, and that decode pictures; by default the cores this process may use.
        device: the device that runs the graphs, see `araclip.models.devices`; by default $ARACLIP_DEVICE or the CPU.
    """

    def __init__(
        self,
        name_or_path: str | PathLike[str] = model_folder.DEFAULT_MODEL,
        *,
        threads: int | None = None,
        device: str | None = None,
    ) -> None:
        self.device = devices.graph_device(device)
        self.folder = model_folder.find(name_or_path).absolute()  # valid in any working folder
        self.config = model_folder.read_config(self.folder)
        self.name, self.license, self.image_size = self.config.name, self.config.license, self.config.image.size
        self.threads = devices.requested_threads(threads)
        self._few_texts = False
        self.image_transform = self.config.image.transform

    def __repr__(self) -> str:
        return f"<AraCLIP {self.label}: {self.width}-wide vectors, {self.image_size} × {self.image_size} pixels>"

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes that pickle stores, without the open graphs; a copy opens the graphs again itself."""
        return {name: value for name, value in vars(self).items() if name not in ("_text_tower", "_image_tower")}

    @property
    def fingerprint(self) -> str:
        return self.config.fingerprint

    @property
    def width(self) -> int:
        return self.config.width

    @property
    def origin(self) -> str:
        """The text with which `load` finds this model again on this machine: a name, or the folder's absolute path."""
        folder = self.folder.absolute()
        return next((name for name, one in installed().items() if one == folder), str(folder))

    @property
    def matryoshka(self) -> tuple[int, ...]:
        """Widths to which a vector can be cut: its first numbers, normalised again, are a good vector too."""
        return self.config.matryoshka

    @property
    def source(self) -> str:
        """The arguments with which `araclip pull` makes this model again elsewhere; empty if it was not pulled."""
        return pulled_from(self.folder.absolute())

    @staticmethod
    def load(
        model: ModelLike = model_folder.DEFAULT_MODEL, *, threads: int | None = None, device: str | None = None
    ) -> Encoder:
        """Load a model: one of araclip's, or a published model that docs/peers.md lists; see `as_encoder`.

        Args:
            model: the name of a bundled or pulled model, or the path of a model folder, without any download. With
                the extra `peers` also the name of a peer (a published model), such as "m-clip-b16plus"; KIND:LOCATION,
                such as "open_clip:ViT-B-32/laion2b_s34b_b79k" or
                "transformers:google/siglip-base-patch16-256-multilingual"; or a folder in a published layout, see
                docs/peers.md. Any object with the members of `Encoder` is returned unchanged.
            threads: number of threads that run graphs, and that decode pictures; by default the cores this process may
                use.
            device: "cpu", "cuda", "openvino" or "auto", see `araclip.models.devices`; for peers a device of PyTorch,
                such as "mps"; by default $ARACLIP_DEVICE or the CPU. An encoder keeps its device.

        Raises:
            ModelNotFound: no model has this name or path, or a library cannot load the model.
            ModelMismatch: the model's files contradict each other (graphs and tokenizer are checked when first used).
            InputError: `model` is neither a name, a path nor an encoder; the packages of a peer are not installed; the
                device is not there (the message lists the devices that are), or gives other vectors than the CPU; or
                `threads` is wrong.
        """
        return as_encoder(model, threads=threads, device=device)

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> Vectors:
        """Encode (n, S, S, 3) uint8 RGB pixels, S = `image_size`, as (n, D) float32 vectors of unit length."""
        with _opening_lock:
            tower = self._image_tower
        return tower.encode(checked_pixels(pixels, self.image_size))

    def count_tokens(self, texts: Iterable[str]) -> list[int]:
        """Return how many tokens of each text the model reads, special tokens included."""
        return [len(e.ids) for e in self._text.tokenizer.encode(tuple(checked_texts(texts)))]

    def _encode_texts(self, texts: tuple[str, ...], batch_size: int) -> Vectors:
        return self._text.encode(texts, batch_size)

    def _prepare(self, picture: Openable) -> NDArray[np.uint8]:
        return self.image_transform.pixels(open_image(picture, self.image_size))  # (height, width, 3)

    def _encode_pictures(self, pictures: tuple[Any, ...]) -> Vectors:
        return self.encode_pixels(np.stack(pictures))

    def open_text_tower(self) -> None:
        """Begin to open the text tower in a thread, so that the caller can do something else meanwhile.

        This is for a process that encodes few texts and ends. `encode_text` waits for the tower; if opening it fails,
        `encode_text` raises the error.
        """
        self._few_texts = True

        def open_tower() -> None:
            with suppress(Exception):
                _ = self._text

        threading.Thread(target=open_tower, name="open-text-tower").start()

    @property
    def _text(self) -> TextTower:
        with _opening_lock:  # from Python 3.12 on, `cached_property` has no lock: two threads could open two towers
            return self._text_tower

    @cached_property
    def _text_tower(self) -> TextTower:
        checks.check_tower(self.folder, self.config, "text")
        tower = TextTower(self.folder, self.config, self.threads, self.device, widen=not self._few_texts)
        check_device(self.folder, self.config, tower, self.device, self.threads)
        return tower

    @cached_property
    def _image_tower(self) -> ImageTower:
        checks.check_tower(self.folder, self.config, "image")
        tower = ImageTower(self.folder, self.config, self.threads, self.device)
        check_device(self.folder, self.config, tower, self.device, self.threads)
        return tower
