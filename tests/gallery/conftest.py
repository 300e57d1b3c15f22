"""What tests of galleries share."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pictures
from araclip import AraCLIP, Gallery


@pytest.fixture
def gallery(tmp_path: Path, tiny_model: Path) -> Iterator[Gallery]:
    rng = np.random.default_rng(0)
    for i in range(40):
        pictures.solid(tmp_path / "p" / f"{i:02}.png", tuple(rng.integers(0, 256, 3).tolist()))
    with Gallery.open(tmp_path / "g", model=AraCLIP.load(tiny_model, threads=1), create=True) as opened:
        opened.update([tmp_path / "p"])
        yield opened
