"""The kinds of stages that recipes/mini/train.py adds, for the length of a `with` block."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "recipes" / "mini"))


@contextmanager
def stages_of_mini() -> Iterator[None]:
    """Let recipes have araclip-mini's kinds of stages; afterwards `araclip train` refuses these again."""
    import train
    from araclip.training.recipe import stages
    from araclip.training.stages import dispatch

    tables = (stages.KINDS, dispatch.RUN)
    before = [dict(table) for table in tables]
    train.add_stages()
    try:
        yield
    finally:
        for table, own in zip(tables, before, strict=True):
            table.clear()
            table.update(own)  # type: ignore[arg-type]
