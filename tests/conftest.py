"""What every test shares: no network, repeatable property tests, one real and tiny model."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tiny import write_tiny_model

if TYPE_CHECKING:
    from qdrant_engine import Engine

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and a console that finds it when made never asks again

settings.register_profile("araclip", derandomize=True, deadline=None)  # a slow machine is no failure
settings.load_profile("araclip")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that finds red, green and blue pictures in two languages. Read only: copy it to break it."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Engine":
    """Qdrant's engine, not yet on the network; whoever asks it in vain tries again at once."""
    from araclip.gallery.remote import connection
    from qdrant_engine import Engine

    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(connection, "PAUSE", 0.001)
    return Engine(tmp_path / "engine")


@pytest.fixture
def address(engine: "Engine") -> Iterator[str]:
    """Where a gallery can be on that engine, behind a real socket."""
    from qdrant_engine import serving

    with serving(engine) as port:
        yield f"qdrant://127.0.0.1:{port}/pictures"
