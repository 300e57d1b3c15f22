"""Does a picture look as if there were text in it? Milliseconds, so that OCR reads only those that do. Pure.

Letters are strokes of one colour on another: along a row, strong changes follow each other closely, and they do so in
many neighbouring cells of a row, a line of text. Measured by benchmarks/hybrid.py detector: docs/log/2026-11.md.
"""

import numpy as np
from numpy.typing import NDArray

SIDE = 640  # pixels of the longer side that is looked at
CELL = 16
STRONG = 48  # of 255: the change from one pixel to the next but one at the edge of a stroke
TRANSITIONS = 0.09  # of a cell's pixels, at least: strokes
CROWDED = 0.62  # at most: hatching and noise change everywhere
RUN = 4  # cells side by side make a line
CELLS = 12  # in lines, from which on a picture has text


def text_cells(grey: NDArray[np.uint8]) -> int:
    """The number of cells of a grey picture (H, W) that stand in lines of text."""
    height, width = (side - side % CELL for side in grey.shape)
    if not height or width < RUN * CELL:
        return 0
    pixels = grey[:height, :width].astype(np.int16)
    change = np.zeros(pixels.shape, bool)
    change[:, 1:-1] = np.abs(pixels[:, 2:] - pixels[:, :-2]) > STRONG
    cells = (height // CELL, CELL, width // CELL, CELL)
    share = change.reshape(cells).mean(axis=(1, 3))  # (rows, columns)
    tiles = pixels.reshape(cells)
    low, high = tiles.min(axis=(1, 3)), tiles.max(axis=(1, 3))
    middle = (low + high)[:, None, :, None] / 2
    spread = np.maximum(high - low, 1)[:, None, :, None]
    between = (np.abs(tiles - middle) < spread / 6).mean(axis=(1, 3))  # neither ink nor paper: few, between strokes
    letters = (share > TRANSITIONS) & (share < CROWDED) & (high - low > 2 * STRONG) & (between < 0.22)
    padded = np.pad(letters, ((0, 0), (1, 1)))
    starts = np.argwhere(padded[:, 1:] & ~padded[:, :-1])
    ends = np.argwhere(~padded[:, 1:] & padded[:, :-1])
    runs = ends[:, 1] - starts[:, 1]
    return int(runs[runs >= RUN].sum())


def looks_like_text(grey: NDArray[np.uint8]) -> bool:
    """Whether OCR should read a grey picture (H, W), its longer side about SIDE pixels."""
    return text_cells(grey) >= CELLS
