"""Dev recall while training, whatever form the list of captions has."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from araclip.training.recipe.stages import DevSet
from araclip.training.stages.dev_recall import CaptionDev, Dev
from toy_training import write_lines

PICTURES = 4


@pytest.fixture(params=["a line a picture", "a line a caption"])
def dev(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Four pictures with three captions each in both languages, whose first word is the picture's number."""
    lines = []
    for number in range(PICTURES):
        (tmp_path / f"{number}.png").touch()
        captions = [(f"{number} صورة {which}", f"{number} picture {which}") for which in range(3)]
        if request.param == "a line a picture":
            captions_ar, captions_en = map(list, zip(*captions, strict=True))
            lines.append({"image": f"{number}.png", "caption_ar": captions_ar, "caption_en": captions_en})
        else:
            lines += [{"image": f"{number}.png", "caption_ar": ar, "caption_en": en} for ar, en in captions]
    write_lines(tmp_path, lines)
    return tmp_path


def numbers(texts: Sequence[str]) -> torch.Tensor:
    return torch.eye(PICTURES)[[int(text.split()[0]) for text in texts]]


def files(paths: Sequence[Path]) -> torch.Tensor:
    return torch.eye(PICTURES)[[int(path.stem) for path in paths]]


@pytest.mark.parametrize(("per_picture", "queries"), [(1, 4), (2, 8), (None, 12)])
def test_a_picture_stands_once_in_the_gallery_with_so_many_of_its_captions_as_queries(
    dev: Path, per_picture: int | None, queries: int
) -> None:
    found = Dev(DevSet(dev, None, per_picture=per_picture))
    assert [path.name for path in found.paths] == ["0.png", "1.png", "2.png", "3.png"]
    assert len(found.texts) == queries
    assert found.recall(numbers, files) == {"R@1": 1.0, "R@5": 1.0, "R@10": 1.0, "MRR": 1.0}


def test_without_pictures_their_english_captions_stand_for_them(dev: Path) -> None:
    found = CaptionDev(DevSet(dev, None))
    assert (len(found.queries), len(found.gallery)) == (PICTURES, 3 * PICTURES)
    assert found.recall(numbers)["R@1"] == 1.0
