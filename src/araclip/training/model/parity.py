"""Whether the ONNX graphs of a model folder give the vectors of an AraCLIPModel, on synthetic inputs.

`araclip export` checks the float32 graphs that it wrote, and unpacking a folder checks the model that it rebuilt.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize as l2_normalize

from araclip.encoder import AraCLIP
from araclip.encoder_base import Vectors
from araclip.errors import ExportRejected, InputError, first_line
from araclip.training.model.processing import AraCLIPProcessor

LEAST_COSINE = 0.999  # between the float32 graph and PyTorch; rounding alone stays above .999999
LEAST_IN_INT8 = 0.9  # of a graph whose products are computed in int8; weights of something else are near 0
LENGTHS = 24  # probe texts in each of three scripts, from one word to more than the model takes
CHUNK = 8  # probe texts that pass the PyTorch model at once
LARGE = 384  # pixels a side: from here on a third of the probe pictures is enough, each takes seconds
TOGETHER = 1_000_000  # pixels that pass a graph at once: attention needs memory for each pair of patches

_ARABIC = ("قطة", "سوداء", "تنام", "على", "طاولة", "قُرْبَ", "النافذة", "و", "كلبٌ", "يركض", "في", "حديقة", "بيت", "كبير")
_ENGLISH = (
    "a",
    "dog",
    "runs",
    "over",
    "the",
    "Green",
    "grass",
    "behind",
    "children",
    "playing",
    "football",
    "at",
    "12",
)
_PICTURES = ("black", "white", "red", "gradient", "checkers", *(f"shapes {i}" for i in range(8)),
             *(f"noise {i}" for i in range(4)), *(f"dark {i}" for i in range(3)))  # fmt: skip


@dataclass(frozen=True)
class Probes:
    """Synthetic inputs and their vectors by the PyTorch model.

    texts: 72 Arabic, English and mixed ones of one word to more than `max_tokens`. squares: (n, S, S, 3) uint8, n = 20,
    or 7 large ones. pictures: their names. text_vectors, image_vectors: (72, D) and (n, D), rows of unit length.
    """

    texts: list[str]
    squares: NDArray[np.uint8]
    text_vectors: Vectors
    image_vectors: Vectors
    pictures: Sequence[str] = _PICTURES


@dataclass(frozen=True)
class Closeness:
    """Cosines (n,) of one graph's vectors to PyTorch's, and the names of the n probes."""

    graph: str
    cosines: NDArray[np.float32]
    inputs: Sequence[str]

    @property
    def least(self) -> float:
        """NaN where any is."""
        return float(self.cosines.min())

    @property
    def mean(self) -> float:
        """Over the probes."""
        return float(self.cosines.mean())

    @property
    def worst(self) -> str:
        """The probe with the least cosine."""
        return self.inputs[int(np.argmin(self.cosines))]  # NumPy's argmin puts NaN first


def probes(model: Any, processor: AraCLIPProcessor, size: int, *, every: int = 1) -> Probes:
    """Texts and pictures of `size`, with the vectors that an AraCLIPModel and its processor give for them.

    Pictures come as squares already, so that the processor only scales their values.

    Args:
        every: of the texts and pictures, take every so manieth alone.

    Raises:
        InputError: the processor makes no (3, size, size) pixels of a square.
    """
    step = every if size < LARGE else max(every, 3)
    texts, squares = probe_texts(model.config.max_tokens)[::every], probe_squares(size)[::step]
    model.eval()
    with torch.inference_mode():
        chunks = [processor(text=texts[i : i + CHUNK], return_tensors="pt") for i in range(0, len(texts), CHUNK)]
        text = torch.cat([model.get_text_features(**chunk).pooler_output for chunk in chunks])  # (72, D)
        alone = [_pixels(processor, square) for square in np.split(squares, len(squares))]
        image = torch.cat([model.get_image_features(pixels).pooler_output for pixels in alone])  # (n, D)
    unit_text, unit_image = l2_normalize(text, dim=-1).numpy(), l2_normalize(image, dim=-1).numpy()
    return Probes(texts, squares, unit_text, unit_image, _PICTURES[::step])


def probe_texts(max_tokens: int) -> list[str]:
    """72 texts: Arabic (some with tashkeel), English and both mixed, from one word to more than `max_tokens` words."""
    both = [word for pair in zip(_ARABIC, _ENGLISH, strict=False) for word in pair] + ["🐈", "٣", "ڤ", "jeans؟"]
    lengths = np.linspace(1, max_tokens + 4, LENGTHS).round().astype(int)
    return [
        " ".join(words[(start + i) % len(words)] for i in range(length))
        for words in (_ARABIC, _ENGLISH, both)
        for start, length in enumerate(lengths)
    ]


def probe_squares(size: int) -> NDArray[np.uint8]:
    """(20, size, size, 3): flat colours, a gradient, checkers, smooth shapes and noise, bright and dark."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, size, dtype=np.float32)
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))

    def drawn(name: str) -> NDArray[np.float32]:
        flat = {"black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0)}
        if name in flat:
            return np.broadcast_to(np.array(flat[name], np.float32), (size, size, 3))
        if name == "gradient":
            return np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], ramp[::-1, None]), axis=-1)
        if name == "checkers":
            field = ((columns // 8 + rows // 8) % 2 * 255).astype(np.float32)
            return np.repeat(field[..., None], 3, axis=-1)
        if name.startswith("shapes"):
            coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
            return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), np.float32)
        bound = 256 if name.startswith("noise") else 40
        return rng.integers(0, bound, (size, size, 3)).astype(np.float32)

    return np.stack([drawn(name) for name in _PICTURES]).astype(np.uint8)


def closeness(exported: AraCLIP, probes: Probes) -> tuple[Closeness, Closeness]:
    """How close the vectors of a model folder, of text and pictures, come to those of PyTorch.

    Each probe is encoded alone and among others; the worse cosine counts.

    Raises:
        ExportRejected: a graph cannot be run.
    """
    texts, squares = probes.texts, probes.squares
    some = pictures_at_once(squares.shape[1])
    groups = [squares[start : start + some] for start in range(0, len(squares), some)]
    text = _cosines(
        "text.onnx",
        probes.text_vectors,
        lambda: exported.encode_text(texts, batch_size=1),
        lambda: exported.encode_text(texts, batch_size=len(texts)),
    )
    image = _cosines(
        "image.onnx",
        probes.image_vectors,
        lambda: np.concatenate([exported.encode_pixels(square) for square in np.split(squares, len(squares))]),
        lambda: np.concatenate([exported.encode_pixels(group) for group in groups]),
    )
    return Closeness("text.onnx", text, texts), Closeness("image.onnx", image, probes.pictures)


def pictures_at_once(size: int) -> int:
    """How many pictures of a side pass a graph together, so that memory stays in bounds."""
    return max(2, TOGETHER // size**2)


def check_parity(graphs: Sequence[Closeness], least: float = LEAST_COSINE) -> None:
    """Refuse graphs that are not the trained model.

    Raises:
        ExportRejected: the least cosine of a graph is below `least`; the graph and its worst input are named.
    """
    for graph in graphs:
        if not graph.least >= least:  # NaN is refused too
            raise ExportRejected(
                f"{graph.graph} is not the trained model: on the probe '{graph.worst:.60}' its graph has "
                f"cosine {graph.least:.4f} to PyTorch, {least} is the least. The tracing, the tokenizer or "
                "the scaling of pixels went wrong; try another torch or transformers release, and report the tower."
            )


def _pixels(processor: AraCLIPProcessor, squares: NDArray[np.uint8]) -> torch.Tensor:
    """(b, S, S, 3) uint8 → (b, 3, S, S), scaled by the processor."""
    own = processor.image_processor
    unchanged = {name: False for name in ("do_resize", "do_center_crop") if hasattr(own, name)}
    images = [Image.fromarray(square) for square in squares]
    pixels: torch.Tensor = processor(images=images, return_tensors="pt", images_kwargs=unchanged)["pixel_values"]
    expected = (len(squares), 3, *squares.shape[1:3])
    if tuple(pixels.shape) != expected:
        raise InputError(
            f"{type(own).__name__} makes pixel_values of shape {tuple(pixels.shape)} from squares, the model folder "
            f"knows {expected} only. Train with an image processor that squashes pictures to a square."
        )
    return pixels


def _cosines(graph: str, expected: Vectors, *ways: Callable[[], Vectors]) -> NDArray[np.float32]:
    try:
        found = [way() for way in ways]
    except Exception as error:  # ONNX Runtime's errors have no common root
        raise ExportRejected(f"{graph} cannot be run on the probes ({first_line(error)}). Report the tower.") from error
    each = np.stack([(vectors * expected).sum(axis=1) for vectors in found])  # (ways, n)
    worse: NDArray[np.float32] = each.min(axis=0)  # NaN where any is
    return worse
