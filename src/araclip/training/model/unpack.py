"""Rebuilds the AraCLIPModel from which a model folder's ONNX graphs were exported, so that it can be trained further.

Each graph holds the model's configuration and the places of its weights, see `tower_graphs.write_origin`. Quantised
weights keep their rounded values, so the rebuilt model gives the same vectors as the folder. This is checked; a graph
that computes in int8 may differ by its rounding.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import transformers
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip import __version__ as araclip_version
from araclip.core.display import shown
from araclip.errors import AraCLIPError, ExportRejected, InputError, ModelMismatch, first_line
from araclip.models import checks
from araclip.models import folder as model_folder
from araclip.models.checks import has_passed, record_pass
from araclip.models.encoder import AraCLIP
from araclip.models.encoder_base import Vectors
from araclip.models.folder import NOT_STATED, ModelConfig
from araclip.training.model.configuration import AraCLIPConfig
from araclip.training.model.processing import AraCLIPProcessor

BLOCK = 32  # numbers of a row that share one scale, in a table stored in four bits
# Keys of a graph's metadata, which say what was done to its weights.
PRODUCTS_KEY = "araclip.int8_products"  # metadata: nodes computed in int8 → [source, matrix, whether it is transposed]
ORIGIN_KEY = "araclip"  # configuration and weights' places of the PyTorch model, see `tower_graphs.write_origin`
# metadata: the names of the first convolution's weight and bias, and how far `static.take_bytes` shifted its input
SHIFT_KEY = "araclip.first_shift"

Arrays = dict[str, NDArray[Any]]


def wide_weights(model: Any) -> Arrays:
    """Return a graph's weights in training precision, under the names from before they were stored in fewer bits."""
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    noted = {entry.key: entry.value for entry in model.metadata_props}
    for name in [*weights]:
        if name.endswith("_int8"):
            whole = name.removesuffix("_int8")
            weights[whole] = weights.pop(name).astype(np.float32) * weights.pop(f"{whole}_scale")
        elif name.endswith("_int4"):
            whole = name.removesuffix("_int4")
            weights[whole] = from_four_bits(weights.pop(name), weights.pop(f"{whole}_scale"))
        elif name.endswith("_half"):
            weights[name.removesuffix("_half")] = weights.pop(name).astype(np.float32)
        elif name.endswith("_quantized") and weights[name].ndim in (1, 4):
            # static-int8 stored a convolution's weight (O, I, h, w), bias (O,) or a constant: make float32 of it again
            whole, values = name.removesuffix("_quantized"), weights[name].astype(np.float32)
            scale = np.asarray(weights.get(f"{whole}_scale", weights.get(f"{name}_scale")))
            zero = np.asarray(weights.get(f"{whole}_zero_point", 0), np.float32)
            each = (-1,) + (1,) * (values.ndim - 1)
            weights[whole] = (values - zero.reshape(each)) * scale.reshape(each)
    for product, (source, matrix, turned) in json.loads(noted.get(PRODUCTS_KEY, "{}")).items():
        wide = weights[f"{product}_steps"] * weights[f"{product}_scale"]  # (K, N)
        # Smoothing had multiplied each row of the matrix with a factor, by which the input's channel is divided.
        if (inverse := weights.get(f"{source}_smoothing")) is not None:
            wide = wide * inverse[:, None]
        weights[matrix] = wide.T if turned else wide
    if SHIFT_KEY in noted:
        weight, bias, shift = json.loads(noted[SHIFT_KEY])
        weights[bias] = weights[bias] - np.float32(shift) * weights[weight].sum(axis=(1, 2, 3))
    return weights


def from_four_bits(bytes_: NDArray[np.uint8], scale: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return a float32 table (V, H) of V rows from the four-bit values and scales that `narrowing.packed` made."""
    steps = np.concatenate([bytes_ & 15, bytes_ >> 4], axis=1).astype(np.float32) - 8
    return steps * np.repeat(scale.astype(np.float32), BLOCK, axis=1)


LEAST_COSINE = 0.999  # least cosine of the float32 graph's vector to PyTorch's; rounding alone stays above .999999
LEAST_IN_INT8 = 0.9  # least cosine between a graph that computes in int8 and PyTorch; wrong weights give cosines near 0
LENGTHS = 24  # test texts of each kind (Arabic, English, mixed), from one word to more than the model takes
CHUNK = 8  # test texts that pass the PyTorch model at once
# pixels a side: if test pictures are this large or larger, only a third of them is used, as each takes seconds
LARGE = 384
TOGETHER = 1_000_000  # pixels that pass a graph at once; attention needs memory for each pair of patches

_ARABIC = ("قطة", "سوداء", "تنام", "على", "طاولة", "قُرْبَ", "النافذة", "و", "كلبٌ", "يركض", "في", "حديقة", "بيت", "كبير")
_ENGLISH = ("a", "dog", "runs", "over", "the", "Green", "grass", "behind", "children", "playing", "football", "at",
            "12")  # fmt: skip
_PICTURES = ("black", "white", "red", "gradient", "checkers", *(f"shapes {i}" for i in range(8)),
             *(f"noise {i}" for i in range(4)), *(f"dark {i}" for i in range(3)))  # fmt: skip


@dataclass(frozen=True)
class Probes:
    """Synthetic texts and pictures, and the vectors that the PyTorch model gives them.

    texts: 72 Arabic, English and mixed texts, of one word to more than `max_tokens`. squares: pictures (n, S, S, 3)
    uint8, n = 20, or 7 if they are large. pictures: the pictures' names. text_vectors, image_vectors: (72, D) and
    (n, D), rows of unit length. There are fewer of all if only every `every`th item is used, see `probes`.
    """

    texts: list[str]
    squares: NDArray[np.uint8]
    text_vectors: Vectors
    image_vectors: Vectors
    pictures: Sequence[str] = _PICTURES


@dataclass(frozen=True)
class Closeness:
    """The cosines (n,) between one graph's vectors and PyTorch's, and the names of the n test items (probes)."""

    graph: str
    cosines: NDArray[np.float32]
    inputs: Sequence[str]

    @property
    def least(self) -> float:
        """The least cosine between the graph's vectors and PyTorch's; NaN if any cosine is NaN."""
        return float(self.cosines.min())

    @property
    def mean(self) -> float:
        """The mean cosine between the graph's vectors and PyTorch's."""
        return float(self.cosines.mean())

    @property
    def worst(self) -> str:
        """The name of the test text or picture (probe) with the least cosine."""
        return self.inputs[int(np.argmin(self.cosines))]  # NumPy's argmin puts NaN first


def probes(model: Any, processor: AraCLIPProcessor, size: int, *, every: int = 1) -> Probes:
    """Make probes: test texts and pictures of `size`, with the vectors that an AraCLIPModel and its processor give.

    Pictures are squares already, so the processor only scales their values. Only every `every`th test item is used.
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
    """Return 72 texts, Arabic (some with tashkeel), English and mixed, of one word to more than `max_tokens` words."""
    both = [word for pair in zip(_ARABIC, _ENGLISH, strict=False) for word in pair] + ["🐈", "٣", "ڤ", "jeans؟"]
    lengths = np.linspace(1, max_tokens + 4, LENGTHS).round().astype(int)
    return [
        " ".join(words[(start + i) % len(words)] for i in range(length))
        for words in (_ARABIC, _ENGLISH, both)
        for start, length in enumerate(lengths)
    ]


def probe_squares(size: int) -> NDArray[np.uint8]:
    """Make twenty test pictures (20, size, size, 3): flat, gradient, checkers, smooth shapes, bright and dark noise."""
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
    """Compare a model folder's vectors with PyTorch's: return the cosines of the text graph and of the image graph.

    Each probe (test item) is encoded alone and together with others; the lower of the two cosines counts.
    """
    texts, squares = probes.texts, probes.squares
    some = pictures_at_once(squares.shape[1])
    groups = [squares[start : start + some] for start in range(0, len(squares), some)]
    text = _cosines_to_graph(
        "text.onnx",
        probes.text_vectors,
        lambda: exported.encode_text(texts, batch_size=1),
        lambda: exported.encode_text(texts, batch_size=len(texts)),
    )
    image = _cosines_to_graph(
        "image.onnx",
        probes.image_vectors,
        lambda: np.concatenate([exported.encode_pixels(square) for square in np.split(squares, len(squares))]),
        lambda: np.concatenate([exported.encode_pixels(group) for group in groups]),
    )
    return Closeness("text.onnx", text, texts), Closeness("image.onnx", image, probes.pictures)


def pictures_at_once(size: int) -> int:
    """Return how many pictures with this side pass a graph together, so that memory stays in bounds."""
    return max(2, TOGETHER // size**2)


def check_parity(graphs: Sequence[Closeness], least: float = LEAST_COSINE) -> None:
    """Raise ExportRejected if a graph's vector of a test item has a cosine below `least` to PyTorch's."""
    for graph in graphs:
        if not graph.least >= least:  # written so that NaN is refused, too
            raise ExportRejected(
                f"{graph.graph} is not the trained model: on the probe '{graph.worst:.60}' its graph has "
                f"cosine {graph.least:.4f} to PyTorch, {least} is the least. The tracing, the tokenizer or "
                "the scaling of pixels went wrong; try another torch or transformers release, and report the tower."
            )


def _pixels(processor: AraCLIPProcessor, squares: NDArray[np.uint8]) -> torch.Tensor:
    """Scale squares with the processor: (b, S, S, 3) uint8 → (b, 3, S, S); raise InputError if it resizes them."""
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


def _cosines_to_graph(graph: str, expected: Vectors, *ways: Callable[[], Vectors]) -> NDArray[np.float32]:
    try:
        found = [way() for way in ways]
    except Exception as error:  # any error: ONNX Runtime's have no common base class
        raise ExportRejected(f"{graph} cannot be run on the probes ({first_line(error)}). Report the tower.") from error
    each = np.stack([(vectors * expected).sum(axis=1) for vectors in found])  # (ways, n)
    worse: NDArray[np.float32] = each.min(axis=0)  # `min` gives NaN if any of an item's cosines is NaN
    return worse


CHECKS = 1  # version of the unpacking: if it is raised, folders that were compared before are compared again
EVERY = 4  # a rebuilt model is compared on every fourth test item; an export, which must check tracing too, on all


@torch.inference_mode(False)  # gradients are needed even if the caller is in inference mode, see `_missing_weights`
@torch.enable_grad()
def model_of_graphs(build: Callable[[AraCLIPConfig], Any], folder: Path) -> Any:
    """Rebuild the AraCLIPModel that a model folder was exported from, in float32 and eval mode.

    `build` is the class AraCLIPModel, passed because that class's `from_pretrained` calls this function.

    Raises:
        ModelMismatch: the folder holds another kind of model or is damaged, or the rebuilt model gives other vectors.
    """
    exported = AraCLIP(folder)
    check_trained_here(exported.config, exported.folder)
    for part in exported.config.files:
        model_folder.check_hash(exported.folder, exported.config, part)
    checks.check_model_folder(exported.folder)
    graphs = {part: onnx.load(str(exported.folder / part)) for part in ("text.onnx", "image.onnx")}
    origins = {part: _read_origin(exported, part, graph) for part, graph in graphs.items()}
    config = AraCLIPConfig.from_dict(origins["text.onnx"]["config"])
    # Licence and training data are kept, so that a later export states them, too.
    if not exported.config.license.startswith(NOT_STATED):
        config.license, config.training_data = exported.config.license, list(exported.config.training_data)
    model = build(config).eval()
    weights: dict[str, Tensor] = {}
    size = exported.config.image.size
    merged = _norms_after_convolutions(model, size)
    for part, graph in graphs.items():
        weights |= _weights_of_graph(model, wide_weights(graph), origins[part]["moved"], merged)
    model.load_state_dict(weights, strict=False)
    # The comparison below depends on the libraries, the folder's files, and how texts and pictures are prepared.
    prepared = [exported.config.text.max_tokens, exported.config.text.pad_id, size]
    libraries = [araclip_version, torch.__version__, transformers.__version__]
    known = ["unpack", CHECKS, *libraries, exported.config.files, prepared]
    if has_passed(known):  # this folder has passed the comparison below before
        return model
    if lost := _missing_weights(model, weights, size):
        raise ModelMismatch(
            f"{exported.folder}: {lost[0]} was folded away when the graphs were written, and {len(lost) - 1} more of "
            "the model's weights. Start from the saved AraCLIPModel."
        )
    try:
        expected = probes(model, AraCLIPProcessor.from_pretrained(folder), size, every=EVERY)
        for graph in closeness(exported, expected):
            in_int8 = exported.config.in_int8(graph.graph.removesuffix(".onnx"))
            check_parity([graph], LEAST_IN_INT8 if in_int8 else LEAST_COSINE)
    except AraCLIPError as error:
        raise ModelMismatch(f"{exported.folder}: the graphs do not give back their model ({error})") from error
    record_pass(known, f"{exported.label} as AraCLIPModel")
    return model


def check_trained_here(config: ModelConfig, folder: Path) -> None:
    """Raise ModelMismatch for a folder that `araclip pull` made from another model, which is no AraCLIPModel."""
    if config.source is not None:
        theirs = shown(str(config.source.get("id", "another model")))
        raise ModelMismatch(
            f"{folder} holds the graphs of {theirs}, not those of an AraCLIPModel, so it cannot become one. Use it "
            "with AraCLIP.load, which needs no PyTorch; to train, start from the published weights "
            "(AraCLIPModel.from_towers)."
        )


def _read_origin(exported: AraCLIP, part: str, graph: Any) -> dict[str, Any]:
    found = next((entry.value for entry in graph.metadata_props if entry.key == ORIGIN_KEY), None)
    if found is None:
        raise ModelMismatch(
            f"{exported.folder / part} does not say what model it was made of: an older release exported it, or "
            "another program. Use it with AraCLIP.load; to train, export the model again, or start from the saved "
            "AraCLIPModel."
        )
    origin: dict[str, Any] = json.loads(found)
    return origin


def _weights_of_graph(
    model: nn.Module,
    graph_weights: Mapping[str, NDArray[Any]],
    moved: Mapping[str, tuple[str, bool]],
    merged: Mapping[str, str],
) -> dict[str, Tensor]:
    """Return the model's weights that one graph holds.

    `moved` maps a weight to its name in the graph and whether it is transposed there (see `write_origin`); `merged`
    maps a convolution to the BatchNorm that the exporter merged into it.
    """
    weights: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        source, transposed = moved.get(name, (f"model.{name}", False))
        if (values := graph_weights.get(source)) is not None:
            array = values.reshape(weight.shape[::-1] if transposed else weight.shape)
            weights[name] = torch.tensor(array.T if transposed else array)
    for convolution, norm in merged.items():
        if (bias := graph_weights.get(f"model.{convolution}.weight_bias")) is not None:
            own: Any = model.get_submodule(norm)
            only_add(own, torch.tensor(bias))
            weights |= {f"{norm}.{name}": tensor for name, tensor in own.state_dict().items()}
    return weights


@torch.no_grad()
def only_add(norm: Any, bias: torch.Tensor) -> None:
    """Make a BatchNorm only add `bias` (channels,), because the convolution before it already contains its scale."""
    norm.weight.fill_(1.0)
    norm.bias.copy_(bias)
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)


def _missing_weights(model: Any, found: Collection[str], size: int) -> list[str]:
    """Return the names of weights that `found` lacks and on which vectors depend; they depend on no mask token, say."""
    text = model.get_text_features(torch.zeros((1, 2), dtype=torch.long)).pooler_output
    image = model.get_image_features(torch.zeros(1, 3, size, size)).pooler_output
    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(text.sum() + image.sum(), parameters, allow_unused=True)
    return [name for name, gradient in zip(names, gradients, strict=True) if gradient is not None and name not in found]


def _norms_after_convolutions(model: Any, size: int) -> dict[str, str]:
    """Return convolution → the BatchNorm that reads its output; PyTorch's exporter merges the two into one layer."""
    producer: dict[int, str] = {}
    pairs: dict[str, str] = {}
    outputs = []  # keeps all outputs alive: the id of a freed tensor could be that of a later one

    names = {module: name for name, module in model.named_modules()}

    def after_convolution(module: nn.Module, inputs: Any, output: Tensor) -> None:
        producer[id(output)] = names[module]
        outputs.append(output)

    def before_norm(module: nn.Module, inputs: Any) -> None:
        if (convolution := producer.get(id(inputs[0]))) is not None:
            pairs[convolution] = names[module]

    hooks = []
    for module in names:
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(after_convolution))
        elif isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(before_norm))
    with torch.inference_mode():
        model.get_image_features(torch.zeros(1, 3, size, size))
    for hook in hooks:
        hook.remove()
    return pairs
