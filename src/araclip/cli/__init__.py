"""The command line: a command parses, calls one function, prints."""

import io
import os
import sys
from typing import Annotated

import typer

from araclip import __version__
from araclip.cli import (  # noqa: F401  (importing them adds their commands to the app)
    classify,
    convert,
    evaluate,
    index,
    maintenance,
    search,
    serve,
    train,
)
from araclip.cli.console import app, err, out, shown
from araclip.errors import AraCLIPError


def _version(asked: bool) -> None:
    if asked:
        out.print(f"araclip {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; what AraCLIP raises on purpose becomes one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe in an old code page shows Arabic escaped rather than failing
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # now, and not when the interpreter ends, where nobody could catch what follows
    except BrokenPipeError:  # `araclip search … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be flushed goes nowhere
        raise SystemExit(0) from None
    except (AraCLIPError, OSError) as error:
        err.print(f"araclip: {shown(str(error))}", soft_wrap=True, markup=False, style="red")
        raise SystemExit(2) from None
