"""AraCLIP on ONNX Runtime: text and pictures in, unit vectors out. No torch."""

import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib import import_module
from itertools import chain, islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip import model_folder
from araclip.errors import InputError, ModelMismatch
from araclip.images import decode_ahead
from araclip.text.normalization import normalize

if TYPE_CHECKING:
    import onnxruntime
    from tokenizers import Tokenizer

T = TypeVar("T")
Vectors = NDArray[np.float32]
Picture = str | PathLike[str] | Image.Image

TEXT_BATCH = 32  # larger batches gain nothing on a CPU and pad short texts to long ones
IMAGE_BATCH = 16
PEERS = "araclip.peers.loading"  # by name: it needs torch, and stands below training, which stands below this room


class Encoder(Protocol):
    """What text and pictures are encoded with: our own models on ONNX Runtime, and those of others on PyTorch."""

    @property
    def width(self) -> int:
        """D, the length of a vector."""

    @property
    def label(self) -> str:
        """Name and fingerprint, as messages and results show it: araclip-mini@3f2a91bc04de."""

    @property
    def license(self) -> str | None:
        """Of the weights; None where it is not known."""

    def encode_text(self, texts: Iterable[str], *, batch_size: int = TEXT_BATCH) -> Vectors:
        """Texts → (n, D) float32 of unit length, in the order given."""

    def encode_image(self, pictures: Iterable[Picture], *, batch_size: int = IMAGE_BATCH) -> Vectors:
        """Paths or PIL pictures → (n, D) float32 of unit length, in the order given."""


class AraCLIP:
    """A dual encoder: Arabic or English text, and pictures, in one space.

    >>> model = AraCLIP.load()
    >>> scores = model.encode_text(["قطة"]) @ model.encode_image(["cat.jpg", "dog.jpg"]).T   # (1, 2) cosines

    Graphs are opened when first needed, so a text query never pays for the image tower. Instances may be shared
    between threads.
    """

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        self.folder = folder
        self.config = model_folder.read_config(folder)
        self.threads = threads or usable_cores()

    @classmethod
    def load(
        cls, name_or_path: str | Path = model_folder.DEFAULT_MODEL, *, threads: int | None = None, device: str = "cpu"
    ) -> Encoder:
        """Load a model of ours, or any that docs/peers.md lists (extra `peers`).

        Args:
            name_or_path: a bundled model's name or a model folder, and nothing is downloaded; or a peer's name, such as
                "m-clip-b16plus"; a kind and a place, such as "open_clip:ViT-B-32/laion2b_s34b_b79k" or
                "transformers:google/siglip-base-patch16-256-multilingual"; or a folder in a published layout.
            threads: of ONNX Runtime, and for decoding pictures; by default the cores this process may use.
            device: PyTorch's, for peers, such as "cuda"; ONNX graphs run on the CPU.

        Raises:
            ModelNotFound: no such name or folder, or a library cannot load what lies there.
            ModelMismatch: the model's parts contradict each other (graphs and tokenizer are checked when first used).
            InputError: a peer, and what it needs is not installed.
        """
        if model_folder.is_ours(name_or_path):
            return cls(model_folder.find(name_or_path), threads=threads)
        peer: Encoder | None = import_module(PEERS).load(name_or_path, threads or usable_cores(), device)
        return peer or cls(model_folder.find(name_or_path), threads=threads)

    @property
    def label(self) -> str:
        """Name and fingerprint, as messages and results show it."""
        return self.config.label

    @property
    def license(self) -> str:
        """Of the weights."""
        return self.config.license

    @property
    def width(self) -> int:
        """D, the length of a vector."""
        return self.config.width

    def encode_text(self, texts: Iterable[str], *, batch_size: int = TEXT_BATCH) -> Vectors:
        """Texts → (n, D) float32 of unit length, in the order given.

        Each text passes `arabic.normalize`; tokens past `config.text.max_tokens` are cut. An iterator is read as it
        is needed, never as a whole.

        Raises:
            InputError: `texts` is one string rather than several, or holds something that is not a string.
        """
        groups = batches(checked_texts(texts), batch_size * 16)  # enough texts at once to put like lengths together
        return self._stack(self._encode_texts(group, batch_size) for group in groups)

    def encode_image(self, pictures: Iterable[Picture], *, batch_size: int = IMAGE_BATCH) -> Vectors:
        """Paths or PIL pictures → (n, D) float32 of unit length, in the order given.

        Files are decoded by threads a few batches ahead of the network; an iterator is read as it is needed.

        Raises:
            InputError: `pictures` is a single path or picture.
            ImageError: a picture cannot be used; the message names it.
        """
        several = checked_pictures(pictures)

        def pixels() -> Iterator[NDArray[np.uint8]]:
            for _, decoded in decode_ahead(several, self.config.image.size, self.threads):
                if isinstance(decoded, Exception):
                    raise decoded
                yield decoded

        return self._stack(self.encode_pixels(np.stack(group)) for group in batches(pixels(), batch_size))

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> Vectors:
        """(n, S, S, 3) uint8 RGB squares, S = config.image.size → (n, D) float32 of unit length."""
        return _run(self._image_graph, {"pixels": pixels})

    def count_tokens(self, texts: Iterable[str]) -> list[int]:
        """How many tokens of each text the model reads, marks of beginning and end counted."""
        return [len(e.ids) for e in self._tokenizer.encode_batch([normalize(text) for text in checked_texts(texts)])]

    def _encode_texts(self, texts: tuple[str, ...], batch_size: int) -> Vectors:
        encodings = self._tokenizer.encode_batch([normalize(text) for text in texts])
        lengths = np.array([len(e.ids) for e in encodings])
        out = np.empty((len(texts), self.width), np.float32)
        for rows in batches(np.argsort(lengths, kind="stable"), batch_size):  # like lengths together: less padding
            longest = int(lengths[list(rows)].max())
            ids = np.full((len(rows), longest), self.config.text.pad_id, np.int64)
            mask = np.zeros((len(rows), longest), np.int64)
            for i, row in enumerate(rows):
                ids[i, : lengths[row]] = encodings[row].ids
                mask[i, : lengths[row]] = 1
            out[list(rows)] = _run(self._text_graph, {"input_ids": ids, "attention_mask": mask})
        return out

    def _stack(self, parts: Iterator[Vectors]) -> Vectors:
        return np.concatenate(list(chain([np.empty((0, self.width), np.float32)], parts)))

    @cached_property
    def _tokenizer(self) -> "Tokenizer":
        from tokenizers import Tokenizer

        model_folder.check_hash(self.folder, self.config, "tokenizer.json")
        path = self.folder / "tokenizer.json"
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises a bare Exception
            raise ModelMismatch(f"{path} cannot be read by tokenizers ({error}). Export the model again.") from error
        tokenizer.enable_truncation(self.config.text.max_tokens)
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def _text_graph(self) -> "onnxruntime.InferenceSession":
        return self._open("text.onnx", {"input_ids": None, "attention_mask": None})

    @cached_property
    def _image_graph(self) -> "onnxruntime.InferenceSession":
        size = self.config.image.size
        return self._open("image.onnx", {"pixels": [size, size, 3]})

    def _open(self, part: str, inputs: dict[str, list[int] | None]) -> "onnxruntime.InferenceSession":
        import onnxruntime

        path = self.folder / part
        model_folder.check_hash(self.folder, self.config, part)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own tree has no common root
            raise ModelMismatch(
                f"{path} cannot be opened by ONNX Runtime ({error}). Export the model again."
            ) from error
        shapes = {node.name: node.shape for node in session.get_inputs()}
        for name, tail in inputs.items():
            if name not in shapes or (tail is not None and shapes[name][1:] != tail):
                raise ModelMismatch(
                    f"{path} has inputs {shapes}, config.json asks for '{name}' of (batch, {tail or 'tokens'}). "
                    "Export the model again."
                )
        width = session.get_outputs()[0].shape[-1]
        if width != self.width:
            raise ModelMismatch(
                f"{path} makes {width}-wide vectors, config.json says {self.width}. "
                "The two come from different models: copy the folder again."
            )
        return session


def _run(session: "onnxruntime.InferenceSession", inputs: dict[str, NDArray[np.generic]]) -> Vectors:
    vectors: Vectors = session.run(None, inputs)[0]
    return vectors


def checked_texts(texts: Iterable[str]) -> Iterator[str]:
    """The texts one by one.

    Raises:
        InputError: it is one string rather than several, or, once it is reached, something that is not a string.
    """
    if isinstance(texts, str):
        raise InputError("encode_text takes several texts, got one string. Pass [text].")
    return (_text(entry) for entry in texts)


def checked_pictures(pictures: Iterable[Picture]) -> Iterable[Picture]:
    """The pictures as they are.

    Raises:
        InputError: it is a single path or picture.
    """
    if isinstance(pictures, str | PathLike | Image.Image):
        raise InputError("encode_image takes several pictures, got one. Pass [picture].")
    return pictures


def batches(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """Tuples of `size` items, the last one perhaps of fewer; what comes later is not read yet.

    Raises:
        InputError: `size` is below 1.
    """
    # itertools.batched, which Python 3.11 does not have yet
    if size < 1:
        raise InputError(f"batch_size is {size}, expected a positive whole number.")
    remaining = iter(items)
    while batch := tuple(islice(remaining, size)):
        yield batch


def _text(entry: object) -> str:
    if not isinstance(entry, str):
        raise InputError(f"encode_text takes strings, got {type(entry).__name__}: {entry!r:.80}.")
    return entry


def usable_cores() -> int:
    """Cores this process may run on (containers and taskset narrow it below the machine's count)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
