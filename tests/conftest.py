"""What every test shares: no network, repeatable property tests, one real and tiny model."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tiny import write_tiny_model

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and a console that finds it when made never asks again

settings.register_profile("araclip", derandomize=True, deadline=None)  # a slow machine is no failure
settings.load_profile("araclip")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that finds red, green and blue pictures in two languages. Read only: copy it to break it."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
