"""Tell whether two pictures with near perceptual hashes are copies of one, by comparing them cell by cell.

The hash sees the layout of a picture only, so two receipts of one shop have near hashes. Here both pictures are
laid over each other at the size of the smaller one, and each cell with strong contrast must look alike in both: the
words of another text do not. What is compared is the pattern of each cell, not its brightness.

Thresholds: benchmarks/duplicates.py.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from araclip.errors import ImageError
from araclip.pictures.formats import Openable
from araclip.pictures.images import open_image

SIDE = 512  # most pixels a side that are compared
SMALLEST = 64  # smaller pictures are enlarged to this side, so that they have some cells
CELL = 16  # side of a cell, in pixels
CONTRAST = 24  # least standard deviation of a cell's grey levels, in either picture; noise of compression has less
ALIKE = 0.3  # correlation of two cells below which they differ
MOST_DIFFERENT = 4  # cells that may differ; JPEG at quality 20 changes none, another word on the page some five
_NOISE = 4.0  # variance that is added to the cells' own
_LEAST_SEEN = 0.8  # share of a picture's width and height that a cropped copy must have kept

Greys = NDArray[np.float32]
Box = tuple[float, float, float, float]  # left, top, right, bottom


def open_grey(source: Openable) -> Image.Image | None:
    """Open a picture in grey, squashed to at most SIDE pixels a side; None if it is away or cannot be read."""
    try:
        grey = open_image(source, SIDE).convert("L")
    except (ImageError, OSError):
        return None
    return grey.resize((min(grey.width, SIDE), min(grey.height, SIDE)), Image.Resampling.LANCZOS)


def is_copy(one: Image.Image, other: Image.Image) -> bool:
    """True if the grey picture `other` is `one`, perhaps scaled, recompressed, brightened or slightly cropped."""
    return count_different(one, other) <= MOST_DIFFERENT


def count_different(one: Image.Image, other: Image.Image) -> int:
    """Return how many cells of two grey pictures differ, where `other` may be a slightly cropped copy of `one`."""
    size = (_side(one.width, other.width), _side(one.height, other.height))
    target = _pixels(other, size)
    count = _count_cells(_pixels(one, size), target)
    if count > MOST_DIFFERENT and (box := _find_part(one, other, size)):
        count = min(count, _count_cells(_pixels(one, size, box), target))
    return count


def _side(one: int, other: int) -> int:
    return max(SMALLEST, min(one, other))


def _pixels(grey: Image.Image, size: tuple[int, int], box: Box | None = None) -> Greys:
    """Return a grey picture, or the part of it in `box`, at another size, as (height, width) float32."""
    return np.asarray(grey.resize(size, Image.Resampling.BICUBIC, box=box), np.float32)


def _count_cells(one: Greys, other: Greys) -> int:
    """Return how many cells have strong contrast in one of two pictures of one size, and different patterns."""
    first, second = (_to_cells(each) for each in (one, other))
    spread = first.std(axis=1), second.std(axis=1)
    correlation = (first * second).mean(axis=1) / (spread[0] * spread[1] + _NOISE)
    return int(np.count_nonzero((np.maximum(*spread) >= CONTRAST) & (correlation < ALIKE)))


def _to_cells(pixels: Greys) -> Greys:
    """Cut a picture into cells, (cells, pixels of a cell), with the mean of each cell taken off."""
    down, across = (side // CELL for side in pixels.shape)
    cut = pixels[: down * CELL, : across * CELL].reshape(down, CELL, across, CELL)
    cells = cut.swapaxes(1, 2).reshape(-1, CELL * CELL)
    centred: Greys = cells - cells.mean(axis=1, keepdims=True)
    return centred


def _find_part(whole: Image.Image, part: Image.Image, size: tuple[int, int]) -> Box | None:
    """Return the box of `whole` that `part` shows, if it is a slightly cropped copy; None if the box would be small.

    The box is found by least squares (Lucas and Kanade 1981), first on small pictures: each round moves the four edges,
    and changes contrast and brightness, so that the pictures differ least.
    """
    box: Box = (0, 0, *whole.size)
    for (width, height), rounds in (((max(size[0] // 4, CELL), max(size[1] // 4, CELL)), 6), (size, 3)):
        target = _pixels(part, (width, height)).ravel()
        x, y = (np.arange(width) + 0.5) / width, ((np.arange(height) + 0.5) / height)[:, None]
        for _ in range(rounds):
            seen = _pixels(whole, (width, height), box)
            down, right = np.gradient(seen)
            moves = (right * (1 - x), down * (1 - y), right * x, down * y, seen, np.ones_like(seen))
            slopes = np.stack([each.ravel() for each in moves]).astype(np.float64)  # (6, pixels)
            found = np.linalg.lstsq(slopes @ slopes.T, slopes @ target, rcond=None)[0]
            gain = found[4] if abs(found[4]) > 0.1 else 1.0
            scale = np.array([box[2] - box[0], box[3] - box[1]] * 2) / ([width, height] * 2)
            edges = np.array(box) + found[:4] / gain * scale
            left, top, right_edge, bottom = edges.clip(0, [*whole.size, *whole.size]).tolist()
            if right_edge - left < _LEAST_SEEN * whole.width or bottom - top < _LEAST_SEEN * whole.height:
                return None
            box = (left, top, right_edge, bottom)
    return box
