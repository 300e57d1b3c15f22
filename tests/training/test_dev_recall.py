"""Dev recall while training, whatever form the list of captions has."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from araclip.training.recipe.stages import Captions, DevSet, Finetune
from araclip.training.stages.dev_recall import CaptionDev, Dev, protocol
from command_line import caller
from toy_training import RECIPE, write_lines

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
def test_a_picture_stands_once_with_many_captions_as_queries(dev: Path, per_picture: int | None, queries: int) -> None:
    found = Dev(DevSet(dev, None, per_picture=per_picture))
    assert [path.name for path in found.paths] == ["0.png", "1.png", "2.png", "3.png"]
    assert len(found.texts) == queries
    assert found.recall(numbers, files) == {"R@1": 1.0, "R@5": 1.0, "R@10": 1.0, "MRR": 1.0}


def test_without_pictures_their_english_captions_stand_for_them(dev: Path) -> None:
    found = CaptionDev(DevSet(dev, None))
    assert (len(found.queries), len(found.gallery)) == (PICTURES, 3 * PICTURES)
    assert found.recall(numbers)["R@1"] == 1.0


def test_the_command_says_how_many_captions_searched(
    world: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = world / "protocol.toml"
    path.write_text(RECIPE.format(world=world), encoding="utf-8")
    ran = caller(monkeypatch, capsys, "train")("all", path, "--runs", runs, "--set", "stages=['teacher']")
    said = "teacher: 12 queries (the first caption of each picture: caption_en) among 12 pictures (shapes, dev)"
    assert ran.code == 0
    assert said in ran.out.splitlines()


def test_a_protocol_names_its_captions(dev: Path) -> None:
    every = Finetune(dev=DevSet(dev, None, ("caption_en", "caption_ar"), None))
    fields = "caption_en, caption_ar"
    assert protocol(every) == f"24 queries (every caption of each picture: {fields}) among 4 pictures ({dev.name})"
    two = Captions(dev=DevSet(dev, None, per_picture=2))
    which = "the first 2 captions of each picture: caption_ar"
    assert protocol(two) == f"8 queries ({which}) among 4 mean English captions ({dev.name})"
    (dev / "captions.jsonl").unlink()
    assert protocol(two) == protocol(every) == protocol(Finetune()) == ""
