"""Progress bars, on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from araclip.core.display import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID


@contextmanager
def progress(title: str, console: "Console | None" = None) -> "Iterator[Callable[[float, int], None]]":
    """Give a `with` block a function `show(done, total)` that draws a progress bar; the first call makes the bar."""
    with bars(console) as show:
        yield partial(show, title)


@contextmanager
def progress_if_watched(title: str) -> "Iterator[Callable[[float, int], None]]":
    """Draw a progress bar like `progress`, but only on a terminal or in a notebook; elsewhere `show` does nothing."""
    if sys.stderr.isatty() or "ipykernel" in sys.modules:
        with progress(title) as show:
            yield show
    else:
        yield lambda done, total: None


@contextmanager
def bars(console: "Console | None" = None) -> "Iterator[Callable[[str, float, int], None]]":
    """Give a `with` block a function `show(title, done, total)` that draws a progress bar for each title.

    A title's bar appears at the first call with that title.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    drawn = Progress(*columns, console=console or Console(stderr=True, emoji=False))
    tasks: dict[str, TaskID] = {}

    def show(title: str, done: float, total: int) -> None:
        if title not in tasks:
            tasks[title] = drawn.add_task(shown(title), total=total)
        # Drawing starts only when `show` is first called: a request that is refused before that call draws no bar.
        drawn.start()
        drawn.update(tasks[title], completed=done, total=total)

    try:
        yield show
    finally:
        if drawn.live.is_started:
            drawn.stop()
