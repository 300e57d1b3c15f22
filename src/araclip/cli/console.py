"""The typer app of all commands, their consoles, JSON output and progress bars."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from araclip.display import shown

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app", "as_json_text", "bars", "err", "out", "progress", "shown", "stoppable", "write_line"]

app = typer.Typer(
    help="Type Arabic, find pictures. اكتب بالعربية واعثر على صورك.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out, err = Console(highlight=False), Console(stderr=True, highlight=False)


@contextmanager
def stoppable(how_to_resume: "str | Callable[[], str]") -> "Iterator[None]":
    """On Ctrl-C inside the block, print what is done and how to resume, and exit with code 130."""
    try:
        yield
    except KeyboardInterrupt:
        line = how_to_resume if isinstance(how_to_resume, str) else how_to_resume()
        err.print(f"Stopped. {shown(line)}", soft_wrap=True, markup=False)
        raise typer.Exit(130) from None


@contextmanager
def progress(title: str) -> "Iterator[Callable[[int, int], None]]":
    """A progress bar; yields `show(done, total)`, whose first call makes it appear."""
    with bars() as show:
        yield partial(show, title)


@contextmanager
def bars() -> "Iterator[Callable[[str, int, int], None]]":
    """Progress bars, one for each title; yields `show(title, done, total)`, whose first call makes a bar appear."""
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    drawn = Progress(*columns, console=err)
    tasks: dict[str, TaskID] = {}

    def show(title: str, done: int, total: int) -> None:
        if title not in tasks:
            tasks[title] = drawn.add_task(shown(title), total=total)
        drawn.start()  # only now, so that a refused command prints one line and no bar
        drawn.update(tasks[title], completed=done, total=total)

    try:
        yield show
    finally:
        if drawn.live.is_started:
            drawn.stop()


def as_json_text(value: object) -> str:
    """One line of JSON; ASCII if a path in it is not UTF-8."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a path that is not UTF-8: only its escaped form survives json.loads
        return json.dumps(value)
    return text


def write_line(line: str) -> None:
    """Write a line to stdout unchanged, for programs."""
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
