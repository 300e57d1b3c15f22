"""The terminal: the app that commands hang on, where they print, and bars."""

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
def stoppable(how_to_go_on: "str | Callable[[], str]") -> "Iterator[None]":
    """Ctrl-C inside ends the command with a line that says what is done and how to go on, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt:
        line = how_to_go_on if isinstance(how_to_go_on, str) else how_to_go_on()
        err.print(f"Stopped. {shown(line)}", soft_wrap=True, markup=False)
        raise typer.Exit(130) from None


@contextmanager
def progress(title: str) -> "Iterator[Callable[[int, int], None]]":
    """A bar that appears with the first call of what it yields, `show(done, total)`."""
    with bars() as show:
        yield partial(show, title)


@contextmanager
def bars() -> "Iterator[Callable[[str, int, int], None]]":
    """Bars below each other, each appearing with the first call of what this yields, `show(title, done, total)`."""
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    drawn = Progress(*columns, console=err)
    tasks: dict[str, TaskID] = {}

    def show(title: str, done: int, total: int) -> None:
        if title not in tasks:
            tasks[title] = drawn.add_task(shown(title), total=total)
        drawn.start()  # not before there is something to show: a refused command prints its one line and no bar
        drawn.update(tasks[title], completed=done, total=total)

    try:
        yield show
    finally:
        if drawn.live.is_started:
            drawn.stop()


def as_json_text(value: object) -> str:
    """One line of JSON, whatever bytes a path in it holds."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a path that is not UTF-8: escaped, it survives the round trip through json.loads
        return json.dumps(value)
    return text


def write_line(line: str) -> None:
    """A line of output for programs, as it is."""
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")
