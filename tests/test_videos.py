"""Videos in a gallery: one picture a scene, found with its time; moved, changed, deleted, damaged and hostile ones."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import ImageError, InputError
from araclip.gallery.results import Hit

pytest.importorskip("av")

from videos import BLUE, video


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> AraCLIP:
    return AraCLIP.load(tiny_model, threads=2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture and a video of three scenes, red, green and blue. Read only: see `folder`."""
    root = tmp_path_factory.mktemp("clips")
    video(root / "رحلة.mp4", title="رحلة إلى البحر", creation_time="2023-05-17T18:30:00")
    pictures.solid(root / "red.png", pictures.RED)
    return root


@pytest.fixture
def folder(clips: Path, tmp_path: Path) -> Path:
    return shutil.copytree(clips, tmp_path / "clips")


@pytest.fixture
def gallery(tmp_path: Path, model: AraCLIP, folder: Path) -> Iterator[Gallery]:
    """It holds `folder`."""
    with Gallery.open(tmp_path / "gallery", model=model, create=True) as opened:
        opened.update([folder])
        yield opened


def moment(hit: Hit) -> tuple[str, float | None]:
    return Path(hit.file).name, hit.time


def test_a_query_finds_the_scene_that_shows_it_with_its_time(gallery: Gallery, folder: Path) -> None:
    assert moment(gallery.search("أخضر", 1)[0]) == ("رحلة.mp4", 2.0)
    assert moment(gallery.search("blue", 1)[0]) == ("رحلة.mp4", 4.0)
    assert gallery.search("blue", 1)[0].file == str(folder / "رحلة.mp4")
    assert [hit.time for hit in gallery.search("red", where="format=PNG")] == [None]


def test_a_video_is_one_hit_at_its_best_scene_unless_every_scene_is_asked_for(gallery: Gallery) -> None:
    assert [moment(hit) for hit in gallery.search("blue")] == [("رحلة.mp4", 4.0), ("red.png", None)]
    pages = [gallery.search("blue", 1, offset=at) for at in range(3)]
    assert [moment(hit) for page in pages for hit in page] == [("رحلة.mp4", 4.0), ("red.png", None)]
