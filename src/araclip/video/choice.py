"""Which of a video's key frames are its scenes. Pure.

A key frame begins a scene when it differs enough from the last one chosen. Frames that show nothing (black, white, a
fade) are left out while there are others. Where too many differ, the difference asked for is raised until they fit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SIDE = 32  # pixels of the scaled-down frames that are compared
DIFFERENT = 24.0  # grey levels of 255, mean over pixels and colours; see docs/log/2026-11.md
PLAIN = 6.0  # standard deviation of the pixels of a frame that shows nothing, in grey levels

Small = NDArray[np.uint8]  # (SIDE, SIDE, 3)


def difference(one: Small, other: Small) -> float:
    """The mean difference of two scaled-down frames, 0 to 255."""
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def is_plain(frame: Small) -> bool:
    """Whether a frame shows one colour only."""
    return float(frame.reshape(-1, 3).std(axis=0).max()) < PLAIN


def chosen(frames: Sequence[Small], most: int) -> list[int]:
    """The indexes of the frames that begin a scene, at most `most`, in order; at least one if there are any."""
    worth = [number for number, frame in enumerate(frames) if not is_plain(frame)] or list(range(len(frames)))
    low = high = DIFFERENT
    if len(_different(frames, worth, low)) > most:
        high = 256.0  # more than any difference: one frame is left
        while high - low > 0.5:  # towards the least difference that leaves no more than `most`
            middle = (low + high) / 2
            low, high = (middle, high) if len(_different(frames, worth, middle)) > most else (low, middle)
    return _different(frames, worth, high)


def _different(frames: Sequence[Small], among: Sequence[int], least: float) -> list[int]:
    """Those of the frames that differ at least so much from the one picked before them."""
    picked: list[int] = []
    for number in among:
        if not picked or difference(frames[number], frames[picked[-1]]) >= least:
            picked.append(number)
    return picked
