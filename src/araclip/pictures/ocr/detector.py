"""Tell in milliseconds whether a picture seems to contain text, so that OCR, which is slow, reads only such pictures.

Letters are strokes of one colour on another. The picture is divided into square cells. In a cell with letters, strong
changes of brightness follow each other closely along the rows of pixels; a line of text is several such cells side by
side. Pure. Measured by `benchmarks/hybrid.py detector` (docs/log/2026-11.md).
"""

import numpy as np
from numpy.typing import NDArray

SIDE = 640  # a picture is examined for text after it is reduced to about this many pixels on its longer side
CELL = 16  # side in pixels of a square cell of the picture
STRONG = 48  # grey levels, of 255: pixels two apart that differ by more are at the edge of a stroke
TRANSITIONS = 0.09  # least share of strong changes among the pixels of a cell with letters
CROWDED = 0.62  # with this share of strong changes or more, a cell has no letters, but hatching or noise
RUN = 4  # this many cells with letters side by side, or more, are a line
CELLS = 12  # a picture has text if at least this many cells are in lines


def text_cells(grey: NDArray[np.uint8]) -> int:
    """Count the square cells of a grey picture (H, W) that seem to hold a part of a line of text."""
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
    # the share of pixels between dark and bright, which is low in a cell with letters
    between = (np.abs(tiles - middle) < spread / 6).mean(axis=(1, 3))
    letters = (share > TRANSITIONS) & (share < CROWDED) & (high - low > 2 * STRONG) & (between < 0.22)
    padded = np.pad(letters, ((0, 0), (1, 1)))
    starts = np.argwhere(padded[:, 1:] & ~padded[:, :-1])
    ends = np.argwhere(~padded[:, 1:] & padded[:, :-1])
    runs = ends[:, 1] - starts[:, 1]
    return int(runs[runs >= RUN].sum())


def looks_like_text(grey: NDArray[np.uint8]) -> bool:
    """True if OCR should read a grey picture (H, W); its longer side has about SIDE pixels."""
    return text_cells(grey) >= CELLS
