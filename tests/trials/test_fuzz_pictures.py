"""Some damaged pictures of tests/fuzz, in a child process with limited memory: each is a square or one line."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
from picture_damage import DAMAGES, FORMATS, damaged
from pictures_fuzz import run

from araclip.pictures import formats
from araclip.pictures.limits import PEAK

FILES = 60


def test_the_corpus_covers_every_format_and_is_the_same_again() -> None:
    assert set(FORMATS) == set(formats.FORMATS)
    assert len({what for what, _ in DAMAGES}) == 9
    for kind in FORMATS:
        assert [damaged(kind, number) for number in range(20)] == [damaged(kind, number) for number in range(20)]


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")
@pytest.mark.parametrize("kind", FORMATS)
def test_every_damaged_file_ends_as_a_square_or_as_one_line(kind: str) -> None:
    outcomes = list(run(kind, FILES))
    assert [(each.number, each.damage, each.end) for each in outcomes if each.failed] == []
    assert len(outcomes) == FILES
    assert max(each.peak for each in outcomes) < PEAK
    assert {"opened"} < {each.end for each in outcomes}  # the damage was neither harmless nor total
