"""The frozen first blocks of a convolutional tower, computed once for every picture and stored on disk.

Their output for a view of a picture is a feature map; a training step crops a window out of it instead of cropping the
picture. So the early blocks, which see most of the pixels and take most of the time, never run again.
"""

import copy
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from araclip import atomic
from araclip.errors import DataError, ImageError
from araclip.pictures.images import map_ahead, open_image
from araclip.training.data.augmentation import views
from araclip.training.data.picture_contents import contents_hash
from araclip.training.foreign.failures import failures
from araclip.training.onnx_writer import write_graph

BATCH = 16  # pictures a call of the graph
Log = Callable[[str], None]


class FrozenFeatures(nn.Module):
    """uint8 pixels (B, S, S, 3) → normalised → the output of the shared blocks, or of a whole tower.

    Args:
        shared: takes normalised (B, 3, S, S).
        mean, std: what the tower was trained with, for values from 0 to 1.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shared: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.shared = shared
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        maps: Tensor = self.shared((pixels.permute(0, 3, 1, 2).to(torch.float32) / 255.0 - self.mean) / self.std)
        return maps


class FrozenFeaturesGraph:
    """Frozen blocks on ONNX Runtime, a sixth of PyTorch's time on processors without AVX-512; built when needed.

    Args:
        size: S, pixels a side of the pictures.
    """

    def __init__(self, frozen: FrozenFeatures, size: int) -> None:
        self.size = size
        self._frozen = copy.deepcopy(frozen).cpu().eval()

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any weight."""
        digest = hashlib.sha256()
        for name, tensor in self._frozen.state_dict().items():
            digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @cached_property
    def session(self) -> onnxruntime.InferenceSession:
        """pixels (B, S, S, 3) uint8 → maps (B, C, h, w) float32."""
        pixels = torch.zeros((2, self.size, self.size, 3), dtype=torch.uint8)
        batch = {"pixels": {0: torch.export.Dim("batch", min=1, max=4096)}}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frozen.onnx"
            write_graph(self._frozen, (pixels,), path, batch, "maps")
            return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])


def cached_maps(
    frozen: FrozenFeaturesGraph, pictures: Sequence[Path], views_each: int, folder: Path, log: Log
) -> NDArray[np.float16]:
    """(N, V, h, w, C) float16, memory-mapped from a file in `folder` that is computed once.

    The file's name is the hash of the frozen weights and size, the pictures' names and contents, and `views_each`:
    where any of these changes, it is computed anew.

    Raises:
        DataError: a picture cannot be read; all such are named.
    """
    folder.mkdir(parents=True, exist_ok=True)
    atomic.sweep(folder)  # what a killed run left is some gigabytes
    path = folder / f"maps-{_key(frozen, pictures, views_each)}.npy"
    if not path.exists():
        _check_readable(pictures, frozen.size)
        atomic.write(path, lambda part: _compute(frozen, pictures, views_each, part, log))
    with failures(path, "delete it, and start the same command again", DataError, cannot="be read"):
        cached: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return cached


def _compute(frozen: FrozenFeaturesGraph, pictures: Sequence[Path], views_each: int, path: Path, log: Log) -> None:
    def decode(picture: Path) -> NDArray[np.uint8]:
        return views(open_image(picture, frozen.size), frozen.size, views_each, _seed(picture))

    session = frozen.session  # before a thread decodes: PyTorch's exporter and `open_image` filter warnings
    decoded = map_ahead(decode, pictures, 1)
    with path.open("wb") as file:  # written, not mapped: on a full disk a mapped file kills the process
        for start in range(0, len(pictures), BATCH):
            pixels = [squares for _, squares in islice(decoded, BATCH)]  # of (V, S, S, 3)
            maps = session.run(None, {"pixels": np.concatenate(pixels)})[0].transpose(0, 2, 3, 1)  # (B·V, h, w, C)
            if not start:
                shape = (len(pictures), views_each, *maps.shape[1:])
                about = {"descr": "<f2", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(file, about)
            file.write(maps.astype("<f2").tobytes())
            if start and start % (100 * BATCH) == 0:
                log(f"first blocks computed for {start:,} of {len(pictures):,} pictures")


def _check_readable(pictures: Sequence[Path], size: int) -> None:
    def fault(path: Path) -> str | None:
        try:
            open_image(path, size)
        except ImageError as error:
            return str(error)
        return None

    faults = [found for _, found in map_ahead(fault, pictures, torch.get_num_threads()) if found]
    if faults:
        shown = "\n".join(faults[:20])
        raise DataError(f"{len(faults)} pictures cannot be read. Remove them from their captions.jsonl:\n{shown}")


def _seed(picture: Path) -> int:
    return int.from_bytes(hashlib.sha256(picture.name.encode()).digest()[:4])


def _key(frozen: FrozenFeaturesGraph, pictures: Sequence[Path], views_each: int) -> str:
    names = [picture.name for picture in pictures]  # a name is the seed of its views
    about = f"{frozen.fingerprint} {frozen.size} {views_each} {names} {contents_hash(pictures)}"
    return hashlib.sha256(about.encode()).hexdigest()[:16]


class FeatureMaps:
    """Cached maps of many pictures, one file a picture folder, so that any mixture of folders can use it.

    Args, Raises: as for `cached_maps`.
    """

    def __init__(
        self, frozen: FrozenFeaturesGraph, pictures: Sequence[Path], views_each: int, folder: Path, log: Log
    ) -> None:
        groups: dict[Path, dict[Path, int]] = {}  # of each folder its pictures, once also where two sets have them
        for picture in pictures:
            group = groups.setdefault(picture.parent, {})
            group.setdefault(picture, len(group))
        maps = {parent: cached_maps(frozen, list(group), views_each, folder, log) for parent, group in groups.items()}
        self._rows = [(maps[picture.parent], groups[picture.parent][picture]) for picture in pictures]

    @property
    def side(self) -> int:
        """h and w of a map."""
        return int(self._rows[0][0].shape[2])

    def __getitem__(self, row: int) -> NDArray[np.float16]:
        """(V, h, w, C): the views of one picture."""
        maps, position = self._rows[row]
        found: NDArray[np.float16] = maps[position]
        return found

    def whole(self, rows: Sequence[int], view: int = 0) -> Tensor:
        """A view of each row, the picture as it is or (1) recoloured and mirrored: (B, C, h, w), channels last."""
        return _as_tensor([self[row][view] for row in rows])

    def windows(self, rows: Sequence[int], window: int, rng: Sequence[np.random.Generator]) -> Tensor:
        """One random view and window of each row: (B, C, window, window) float32, in channels-last order.

        Args:
            window: at most `side`.
            rng: one for each row.
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
