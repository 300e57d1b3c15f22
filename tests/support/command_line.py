"""The command line, called inside the test's process."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from araclip import cli


@dataclass
class Ran:
    """What a command has left: its exit code, and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def caller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *first: object, columns: int = 200
) -> Run:
    """A function that calls `araclip`, the words `first` before its own, as in a terminal of so many columns."""
    monkeypatch.setenv("COLUMNS", str(columns))

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["araclip", *map(str, (*first, *arguments))])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(bool(stop.code))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call
