"""What tests of recipes share: their modules can be imported, and recipes have araclip-mini's kinds of stages."""

from collections.abc import Iterator

import pytest

import mini_stages


@pytest.fixture
def stages_of_mini() -> Iterator[None]:
    """The kinds of stages that recipes/mini/train.py adds, for one test."""
    with mini_stages.stages_of_mini():
        yield
