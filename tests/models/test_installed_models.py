"""Models by name: bundled ones, pulled ones, and who goes first."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from araclip import AraCLIP, Gallery
from araclip.core.installed_models import installed, pulled
from araclip.models.folder import DEFAULT_MODEL


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of pulled models, of a user who has none."""
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "models"


def test_a_pulled_model_is_found_by_its_name(tiny_model: Path, home: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, home / "reds")
    assert list(pulled()) == ["reds"]
    with Gallery.open(tmp_path / "gallery", model="reds", create=True) as gallery:
        assert gallery.model.fingerprint == AraCLIP(tiny_model).fingerprint


def test_name_of_peer_means_pulled_folder_and_needs_no_pytorch(tiny_model: Path, home: Path) -> None:
    shutil.copytree(tiny_model, home / "siglip2-b16-256")
    assert AraCLIP.load("siglip2-b16-256").width == 8


def test_a_bundled_name_means_the_bundled_model(tiny_model: Path, home: Path) -> None:
    shutil.copytree(tiny_model, home / DEFAULT_MODEL)
    assert pulled() == {}
    assert AraCLIP.load(DEFAULT_MODEL).width == 512


def test_a_pulled_name_goes_before_a_folder_of_that_name_here(
    tiny_model: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model, home / "reds")
    (tmp_path / "reds").mkdir()
    monkeypatch.chdir(tmp_path)
    assert np.allclose(np.linalg.norm(AraCLIP.load("reds").encode_text("red")), 1, atol=1e-6)


def test_what_was_not_finished_is_no_model(home: Path) -> None:
    (home / ".reds.half").mkdir(parents=True)
    (home / "empty").mkdir()
    (home / "note.txt").write_text("mine")
    assert list(installed()) == [DEFAULT_MODEL]
