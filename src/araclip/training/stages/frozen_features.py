"""Computes the output of a convolutional tower's frozen first blocks once, stores it, and trains the upper blocks fast.

The output for a view of a picture is a feature map. A training step cuts a window out of the map instead of cropping
the picture, so the first blocks, which take most of the time, never run again. Three things make the rest faster:

`fuse_batchnorm`: a BatchNorm with fixed statistics is an affine map of each channel, so it is merged into the
convolution before it (Markuš 2018, "Fusing batch normalization and convolution in runtime"; PyTorch's
`fuse_conv_bn_eval`) and separated again after training. Training then takes four fifths of the time.

`narrow_pointwise`: processors with AVX-512 bfloat16 or AMX compute 1 × 1 convolutions, which are matrix products, twice
as fast in bfloat16. Depthwise convolutions are slower in bfloat16.

`quicken_depthwise`: PyTorch takes five to twenty times as long for the gradient of a depthwise convolution's weights as
for its forward pass; another convolution gives the same gradient faster (docs/log/2026-11.md).
"""

import copy
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.nn.grad import conv2d_input
from torch.nn.utils.fusion import fuse_conv_bn_eval

from araclip.core import atomic
from araclip.core.display import Log
from araclip.errors import DataError
from araclip.pictures.images import map_ahead, open_image
from araclip.training.data.pictures import contents_hash, views
from araclip.training.export.graphs import trace_graph
from araclip.training.export.tower_graphs import Scaled
from araclip.training.failures import failures
from araclip.training.model import towers
from araclip.training.model.branches import (
    map_scales,
    set_map_scales,
    split,
    upper_modules,
    with_map_scale,
)
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.unpack import only_add
from araclip.training.recipe.stages import ImageSide
from araclip.training.stages.pixels import EncodedImages, Pixels, check_readable, encoded, eval_batches, projected

BATCH = 16  # pictures that pass the ONNX graph at once


class FrozenFeatures(Scaled):
    """Normalises uint8 pixels (B, S, S, 3) as in the tower's training, and runs the shared blocks or a whole tower."""

    def __init__(self, shared: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(mean, std)
        self.shared = shared

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.shared(self.scaled(pixels))
        return maps


class FrozenFeaturesGraph:
    """Runs frozen blocks on ONNX Runtime, in a sixth of PyTorch's time on processors without AVX-512.

    The graph is built at its first use.
    """

    def __init__(self, frozen: FrozenFeatures, size: int) -> None:
        self.size = size
        self._frozen = copy.deepcopy(frozen).cpu().eval()

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hex digits: a hash of the frozen blocks' weights."""
        return towers.fingerprint(self._frozen)

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """The ONNX Runtime session: pixels (B, S, S, 3) uint8 → maps (B, C, h, w) float32."""
        pixels = torch.zeros((2, self.size, self.size, 3), dtype=torch.uint8)
        batch = {"pixels": {0: torch.export.Dim("batch", min=1, max=4096)}}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frozen.onnx"
            trace_graph(self._frozen, (pixels,), path, batch, "maps")
            return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def cached_maps(
    frozen: FrozenFeaturesGraph, pictures: Sequence[Path], views_each: int, folder: Path, log: Log,
    degradation: float = 0.0,
) -> NDArray[np.float16]:  # fmt: skip
    """Return the frozen blocks' maps of N pictures, (N, V, h, w, C) float16, from a file in `folder`, made if missing.

    `views_each` is V, the number of variants of a picture, and `degradation` the chance that a crop among them is made
    worse (see `views`). The file's name is a hash of these two, the frozen weights, the size, and the pictures' names
    and contents, so that a change of any of them makes a new file. An unreadable picture is a DataError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    atomic.remove_abandoned(folder)  # deletes gigabytes that a killed run may have left
    # only crops are degraded (made worse), and the first two views (variants of a picture) are no crops
    degradation = degradation if views_each > 2 else 0.0
    names = [picture.name for picture in pictures]  # a picture's name seeds its random views
    about = f"{frozen.fingerprint} {frozen.size} {views_each} {names} {contents_hash(pictures)}"
    about += f" {degradation}" if degradation else ""
    path = folder / f"maps-{hashlib.sha256(about.encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        check_readable(pictures, frozen.size)
        atomic.write(path, lambda part: _compute_maps(frozen, pictures, views_each, part, log, degradation))
    with failures(path, "delete it, and start the same command again", DataError, cannot="be read"):
        cached: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return cached


def _compute_maps(
    frozen: FrozenFeaturesGraph, pictures: Sequence[Path], views_each: int, path: Path, log: Log, degradation: float
) -> None:
    def decode(picture: Path) -> NDArray[np.uint8]:
        seed = int.from_bytes(hashlib.sha256(picture.name.encode()).digest()[:4])
        return views(open_image(picture, frozen.size), frozen.size, views_each, seed, degradation)

    # The graph is built before a thread runs `open_image`, since both change Python's warning filters.
    session = frozen.session
    decoded = map_ahead(decode, pictures, 1)
    with path.open("wb") as file:  # a plain file: on a full disk, writing to a memory-mapped file kills the process
        for start in range(0, len(pictures), BATCH):
            pixels = [squares for _, squares in islice(decoded, BATCH)]  # for each picture its views, (V, S, S, 3)
            maps = session.run(None, {"pixels": np.concatenate(pixels)})[0].transpose(0, 2, 3, 1)  # (B·V, h, w, C)
            if not start:
                shape = (len(pictures), views_each, *maps.shape[1:])
                about = {"descr": "<f2", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, about)
            file.write(maps.astype("<f2").tobytes())
            if start and start % (100 * BATCH) == 0:
                log(f"first blocks computed for {start:,} of {len(pictures):,} pictures")


class FeatureMaps:
    """Cached feature maps of many pictures, in one file for each picture folder, so that any mixture can use it."""

    def __init__(
        self, frozen: FrozenFeaturesGraph, pictures: Sequence[Path], views_each: int, folder: Path, log: Log,
        degradation: float = 0.0,
    ) -> None:  # fmt: skip
        groups: dict[Path, dict[Path, int]] = {}  # folder → its pictures, each once, and their rows
        for picture in pictures:
            group = groups.setdefault(picture.parent, {})
            group.setdefault(picture, len(group))
        maps = {
            parent: cached_maps(frozen, list(group), views_each, folder, log, degradation)
            for parent, group in groups.items()
        }
        self._rows = [(maps[picture.parent], groups[picture.parent][picture]) for picture in pictures]

    @property
    def side(self) -> int:
        """The height of a picture's feature map, which is also its width."""
        return int(self._rows[0][0].shape[2])

    def __getitem__(self, row: int) -> NDArray[np.float16]:
        """Return the feature maps of one picture's V views (the picture, its mirror image, crops), (V, h, w, C)."""
        maps, position = self._rows[row]
        found: NDArray[np.float16] = maps[position]
        return found

    def whole(self, rows: Sequence[int], view: int = 0) -> Tensor:
        """Return the whole maps (B, C, h, w) of pictures, or with `view` 1 of their mirrored, recoloured forms."""
        return _as_tensor([self[row][view] for row in rows])

    def windows(self, rows: Sequence[int], window: int, rng: Sequence[np.random.Generator]) -> Tensor:
        """Cut a random square out of a random view's map for each row: (B, C, window, window) float32, channels last.

        `rng` has a random generator for each row.
        """
        slack = self.side - window + 1
        crops = []
        for row, generator in zip(rows, rng, strict=True):
            maps = self[row]
            view, top, left = generator.integers([len(maps), slack, slack])
            crops.append(maps[view, top : top + window, left : left + window])
        return _as_tensor(crops)


def _as_tensor(maps: list[NDArray[np.float16]]) -> Tensor:
    return torch.from_numpy(np.stack(maps).astype(np.float32)).permute(0, 3, 1, 2)


# Class of a block in EfficientNets and MobileNets → timm's names of its convolutions, each with the BatchNorm after it.
# _HEAD has the two names at the end of a network or branch.
_PAIRS = {
    "DepthwiseSeparableConv": (("conv_dw", "bn1"), ("conv_pw", "bn2")),
    "InvertedResidual": (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")),
    "EdgeResidual": (("conv_exp", "bn1"), ("conv_pwl", "bn2")),
    "ConvBnAct": (("conv", "bn1"),),
}
_HEAD = ("conv_head", "bn2")


@dataclass
class Fused:
    """A convolution into which its BatchNorm was fused, and the two original layers."""

    parent: nn.Module
    convolution: str
    norm: str
    plain: nn.Conv2d  # the original convolution, without the BatchNorm
    batch_norm: Any  # nn.BatchNorm2d, or timm's with an activation behind it


def fuse_batchnorm(modules: Iterable[nn.Module]) -> list[Fused]:
    """Fuse the BatchNorms of a timm EfficientNet or MobileNet into the convolutions before them.

    The network then computes what it computed in eval mode. Pass the result to `restore_batchnorm` before saving.
    """
    replaced = []
    for parent in list(modules):
        heads = (_HEAD,) if hasattr(parent, _HEAD[0]) else ()
        for convolution, norm in _PAIRS.get(type(parent).__name__, heads):
            plain, batch_norm = getattr(parent, convolution), getattr(parent, norm)
            if not isinstance(plain, nn.Conv2d) or not isinstance(batch_norm, nn.BatchNorm2d):
                continue
            trainable = plain.weight.requires_grad
            fused = fuse_conv_bn_eval(plain.eval(), batch_norm.eval())
            fused.requires_grad_(trainable)
            setattr(parent, convolution, fused)
            activation = getattr(batch_norm, "act", nn.Identity())
            if hasattr(activation, "inplace"):
                activation.inplace = False  # an activation in place makes autograd store a copy of the input
            setattr(parent, norm, activation)
            replaced.append(Fused(parent, convolution, norm, plain, batch_norm))
    return replaced


@torch.no_grad()
def restore_batchnorm(fused: list[Fused]) -> None:
    """Put the BatchNorms back, so that layers and tensor names are those that timm and transformers expect.

    The network computes the same: the convolution keeps the fused weight, the BatchNorm only adds the bias.
    """
    for layer in fused:
        convolution, norm = getattr(layer.parent, layer.convolution), layer.batch_norm
        layer.plain.weight.copy_(convolution.weight)
        # the whole bias of the fused convolution goes to the BatchNorm, so the convolution's own bias becomes 0
        if layer.plain.bias is not None:
            layer.plain.bias.zero_()
        only_add(norm, convolution.bias)
        setattr(layer.parent, layer.convolution, layer.plain)
        setattr(layer.parent, layer.norm, norm)


# limit: numbers in the maps whose gradient is computed at once, so that maps and gradient fit into the CPU's cache
CACHED = 700_000


def narrow_pointwise(module: nn.Module) -> None:
    """Let the 1 × 1 convolutions of a module compute in bfloat16, in place; their weights stay in float32."""
    for layer in _convolutions(module):
        if layer.kernel_size == (1, 1) and layer.groups == 1:
            layer.forward = partial(_forward_in_bfloat16, layer)  # type: ignore[method-assign]


def quicken_depthwise(module: nn.Module) -> None:
    """Let the depthwise convolutions of a module compute their weights' gradient by a convolution, in place.

    The gradient is the same except for rounding. This is done for float32 on a CPU, without strides and dilation; other
    layers do not change.
    """
    for layer in _convolutions(module):
        depthwise = layer.groups == layer.in_channels == layer.out_channels > 1
        plain = type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and isinstance(layer.padding, tuple)
        # Only plain layers: timm's subclasses pad in their own `forward`, which is replaced here.
        if depthwise and plain and layer.stride == layer.dilation == (1, 1):
            layer.forward = partial(_forward_depthwise, layer)  # type: ignore[method-assign]


def restore_convolutions(module: nn.Module) -> None:
    """Let convolutions compute by PyTorch's own code again: undo `narrow_pointwise` and `quicken_depthwise`."""
    for layer in _convolutions(module):
        vars(layer).pop("forward", None)


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def _forward_in_bfloat16(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    bias = None if layer.bias is None else layer.bias.to(torch.bfloat16)
    weight = layer.weight.to(torch.bfloat16)
    return conv2d(maps.to(torch.bfloat16), weight, bias, layer.stride, layer.padding).to(maps.dtype)


def _forward_depthwise(layer: nn.Conv2d, maps: Tensor) -> Tensor:
    kind = maps.device.type
    if (
        kind != "cpu"
        or not len(maps)  # a branch with a router may get no picture
        or maps.dtype != torch.float32
        or not layer.weight.requires_grad
        or torch.is_autocast_enabled(kind)
    ):
        return nn.Conv2d.forward(layer, maps)
    function: Any = _Depthwise  # typed Any: not all releases of PyTorch type `apply`
    found: Tensor = function.apply(maps, layer.weight, layer.bias, layer.padding)
    return found


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution with a faster gradient: maps (B, C, h, w), weight (C, 1, k, l) → (B, C, h', w')."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.padding = padding
        return conv2d(maps, weight, bias, 1, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        maps, weight = ctx.saved_tensors
        needs_maps, needs_weight, needs_bias, _ = ctx.needs_input_grad
        input_gradient: Any = conv2d_input  # typed Any: PyTorch gives `conv2d_input` no types
        of_maps = of_weight = None
        if needs_maps:
            of_maps = input_gradient(maps.shape, weight, gradient, 1, ctx.padding, 1, len(weight))
        if needs_weight:
            # Each channel's maps (B, C, h, w) are convolved with the channel's gradient (B, C, h', w'), and the results
            # are summed over rows. The channels of several rows are treated as channels of a single picture.
            rows = max(1, CACHED // max(1, maps[0].numel()))
            total: Any = 0
            for some, theirs in zip(torch.split(maps, rows), torch.split(gradient, rows), strict=True):
                channels = some.shape[0] * some.shape[1]
                kernels = theirs.reshape(channels, 1, *theirs.shape[2:])
                found = conv2d(some.reshape(1, channels, *some.shape[2:]), kernels, None, 1, ctx.padding, 1, channels)
                total = total + found.view(*some.shape[:2], *found.shape[2:]).sum(dim=0)
            of_weight = total[:, None]  # (C, 1, k, l)
        return of_maps, of_weight, gradient.sum((0, 2, 3)) if needs_bias else None, None


# ------------------------------------------------------------------ a step's pictures


class BranchImages:
    """Training images for a tower whose lower blocks are frozen: their feature maps are cached.

    The upper blocks learn from windows, which are square parts of these maps.

    The arguments are those of `training_images`.
    """

    def __init__(
        self, model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], side: ImageSide, seed: int, cache: Path,
        log: Log, *, pointwise: bool = False,
    ) -> None:  # fmt: skip
        scales_before = map_scales(model.vision_model)
        if side.map_scale is not None:
            scaled = with_map_scale(model.vision_model, side.frozen_blocks, side.map_scale)
            # `with_map_scale` made the copy on the CPU: move it to the model's device
            model.vision_model = scaled.to(model.logit_scale.device)
            model.config.vision_config = model.vision_model.config
        tower = model.vision_model.requires_grad_(False)
        self._fused = fuse_batchnorm(upper_modules(tower, side.frozen_blocks))
        shared, branch = split(tower, side.frozen_blocks)
        self._shared, self._frozen_blocks = shared, side.frozen_blocks
        self.model, self.seed, self.log, self.cache = model, seed, log, cache
        self._frozen = FrozenFeaturesGraph(FrozenFeatures(shared, pixels.mean, pixels.std), pixels.size)
        self.maps = FeatureMaps(self._frozen, pictures, side.views, self.cache, log, side.degradation)
        # `vectors` takes the training pictures' maps from this dict, if all views that it needs are cached
        self._cached = {tuple(pictures): self.maps} if side.views >= _whole_views(model.config.vision_mirror) else {}
        self.window = max(1, round(side.window * self.maps.side))
        self._branch = _channels_last(branch).requires_grad_(True)
        self.modules: list[nn.Module] = [self._branch]
        self._pointwise = pointwise
        self._keep_frozen_copy(self._branch)
        if side.map_scale is not None:
            set_map_scales(self._initial_branch, scales_before)
        quicken_depthwise(self._branch)
        if pointwise:
            narrow_pointwise(self._branch)

    def inputs(self, rows: Sequence[int], step: int) -> Tensor:
        """Return a square part (a window) of each picture's cached maps, (B, C, w, w), drawn anew for this step."""
        rng = [np.random.default_rng([self.seed, step, row]) for row in rows]
        return self.maps.windows(rows, self.window, rng)

    def encode(self, inputs: Tensor) -> EncodedImages:
        """Return one vector for each picture."""
        return encoded(self.model, self.features(inputs))

    def features(self, inputs: Tensor) -> Tensor:
        """Return the pooled features (B, width) of all branches side by side, as they enter the projection.

        Args:
            inputs: (B, channels, side, side), square parts (windows) of the frozen blocks' feature maps.
        """
        features: Tensor = self._branch(inputs.contiguous(memory_format=torch.channels_last))
        return features

    def _keep_frozen_copy(self, branch: nn.Module) -> None:
        """Keep a frozen copy of a tower's upper part as it is now; `initial_features` computes with it from now on."""
        branch = copy.deepcopy(branch).requires_grad_(False).eval()
        self._initial_branch = _channels_last(branch.to(self.model.logit_scale.device))
        if self._pointwise:
            narrow_pointwise(self._initial_branch)

    def initial_features(self, inputs: Tensor) -> Tensor:
        """Return the features (B, width) that the upper blocks, as they were before the stage, make of `inputs`.

        Each branch resizes the maps by the factor (map scale) that it had before the stage.
        """
        with torch.no_grad():
            features: Tensor = self._initial_branch(inputs.contiguous(memory_format=torch.channels_last))
        return features

    def vectors(self, pictures: Sequence[Path]) -> Tensor:
        """Return vectors (N, D) of any pictures, from whole feature maps, with the current weights.

        With the model's `vision_mirror`, features are averaged with those of the mirror image, which is recoloured here
        (see `views`), so that the vectors are nearly those of the saved model.
        """
        key, mirror, device = tuple(pictures), self.model.config.vision_mirror, self.model.logit_scale.device
        if key not in self._cached:
            self._cached[key] = FeatureMaps(self._frozen, pictures, _whole_views(mirror), self.cache, self.log)
        self.model.eval()
        found = _features_of_whole(self.features, self._cached[key], len(pictures), device, mirror)
        return torch.cat([projected(self.model, features) for features in found])

    def close(self) -> None:
        """Undo the changes that made training faster.

        BatchNorms are separated from the convolutions into which they were fused, and convolutions compute in float32
        by PyTorch's own code again.
        """
        restore_convolutions(self._branch)
        restore_batchnorm(self._fused)
        self._fused = []


@torch.inference_mode()
def whole_features(
    model: AraCLIPModel, pixels: Pixels, pictures: Sequence[Path], blocks: int, views: int, degradation: float,
    cache: Path, log: Log,
) -> Tensor:  # fmt: skip
    """Return the tower's features (N, width) of N whole pictures, from cached maps of the first `blocks` blocks.

    Maps, the output of these blocks, are read from the folder `cache` if an earlier stage stored them with the same
    `views` (variants of each picture: crops …) and `degradation` (chance that a crop is made worse); else computed.
    With the model's `vision_mirror`, features are the mean over a picture and its recoloured mirror image.
    """
    tower, mirror = copy.deepcopy(model.vision_model).eval(), model.config.vision_mirror
    fuse_batchnorm(upper_modules(tower, blocks))
    shared, upper = split(tower, blocks)
    frozen = FrozenFeaturesGraph(FrozenFeatures(shared, pixels.mean, pixels.std), pixels.size)
    maps = FeatureMaps(frozen, pictures, max(views, _whole_views(mirror)), cache, log, degradation)
    return torch.cat([*_features_of_whole(upper, maps, len(pictures), model.logit_scale.device, mirror, log)])


def _whole_views(mirror: bool) -> int:
    """Return how many views of a picture its features need: the picture, and with `mirror` its mirror image."""
    return 2 if mirror else 1


def _features_of_whole(
    upper: Callable[[Tensor], Tensor], maps: FeatureMaps, count: int, device: torch.device, mirror: bool,
    log: Log | None = None,
) -> Iterator[Tensor]:  # fmt: skip
    """Yield by batches the features (B, width) that the upper blocks compute from the maps of `count` whole pictures.

    With `mirror` they are the mean over a picture and its recoloured mirror image.
    """
    for rows in eval_batches(count, log):
        sides = [upper(maps.whole(rows, view).to(device)) for view in range(_whole_views(mirror))]
        yield torch.stack(sides).mean(dim=0)


def _channels_last(module: Any) -> nn.Module:  # typed Any: not all releases of PyTorch type `memory_format`
    moved: nn.Module = module.to(memory_format=torch.channels_last)
    return moved
