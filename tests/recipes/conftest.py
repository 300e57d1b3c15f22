"""What tests of recipes share: their modules can be imported, and recipes have araclip-mini's kinds of stages."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "recipes" / "mini"))


@pytest.fixture
def stages_of_mini(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kinds of stages that recipes/mini/train.py adds, for one test."""
    import train
    from araclip.training.recipe import stages
    from araclip.training.stages import dispatch

    for table in (stages.KINDS, dispatch.RUN):
        for kind in ("ensemble", "average", "distill_images", "query_bank", "names"):
            monkeypatch.setitem(table, kind, None)  # taken out again after the test
    train.add_stages()
