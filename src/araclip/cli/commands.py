"""Imports the command that the arguments name, or all, runs it, and prints its errors."""

import io
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from araclip import __version__
from araclip.cli.console import PipeClosed, app, describe_os_error, err, out, print_stopped, print_warnings, say
from araclip.cli.stopping import exit_code
from araclip.core.messages import in_arabic, message
from araclip.errors import AraCLIPError, InputError

# the modules with their commands, in the order in which --help and docs/commands.md list them
MODULES = {
    "indexing": ("index", "watch"),
    "embed": ("embed",),
    "searching": ("search", "similar", "explain"),
    "maintenance": (
        "stats", "verify", "repair", "duplicates", "remove", "hide", "compact", "backup", "restore", "export-gallery",
        "doctor",
    ),
    "serve": ("serve",),
    "demo": ("demo",),
    "train": ("train", "export", "unpack"),
    "evaluating": ("classify", "evaluate"),
    "tagging": ("tag",),
    "models": ("models", "pull", "push"),
}  # fmt: skip

__all__ = ["app", "import_commands", "run"]


def import_commands(named: str = "") -> typer.Typer:
    """Import the module of the named command, so that the app has it; all modules if no command has this name."""
    for module in [module for module, commands in MODULES.items() if named in commands] or MODULES:
        import_module(f"araclip.cli.{module}")
    return app


def _print_version(value: bool) -> None:
    if value:
        out.print(f"araclip {__version__}")
        raise typer.Exit


@app.callback()
def _run_without_command(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        _ask_what_to_do(ctx)


def _ask_what_to_do(ctx: typer.Context) -> None:
    """Ask what to do with the working folder, and do it; without a terminal, print the help and exit with code 2."""
    if not (sys.stdin.isatty() and err.is_terminal):
        typer.echo(ctx.get_help(), nl=False)
        raise typer.Exit(2)
    from araclip.gallery.locations import is_unindexed

    folder = Path.cwd()
    for place, key in enumerate(("menu search", "menu index", "menu serve", "menu help"), 1):
        text = message(key, folder=folder)
        say(f"{place}  {in_arabic(text)} · {text}")
    number = typer.prompt("1–4", type=int, default=1, err=True)
    if number not in range(1, 5):
        raise InputError(f"{number} is none of the choices. Choose 1 to 4.")
    if number == 4:
        typer.echo(ctx.get_help(), nl=False)
    from araclip.cli import indexing, searching, serve

    if number == 3:
        serve.serve()
    if number == 2 or (number == 1 and is_unindexed(folder)):
        indexing.index(folder)
    if number == 1:
        text = message("menu query")
        searching.search([typer.prompt(f"{in_arabic(text)} · {text}", err=True)])


def run() -> None:
    """Run the command that the arguments name; an expected error becomes one line on stderr and exit code 2."""
    for name in ("stdin", "stdout", "stderr"):
        # If the caller has closed a standard stream, open the null device in its place: otherwise the next file that
        # this process opens would get the stream's descriptor.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # escapes Arabic that a legacy code page cannot write
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            import_commands("" if "_ARACLIP_COMPLETE" in os.environ else "".join(sys.argv[1:2]))
            with print_warnings():
                app()
        finally:
            sys.stdout.flush()  # Flush here, because nobody can catch an error of the flush at the interpreter's exit.
    except (BrokenPipeError, PipeClosed, SystemExit) as end:  # the reader closed the pipe, as in `araclip … | head`
        if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
            raise  # while --help is printed, rich turns a closed pipe into exit code 1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # further output goes nowhere
        raise SystemExit(0) from None
    except KeyboardInterrupt:
        print_stopped("")
        raise SystemExit(exit_code()) from None
    except (AraCLIPError, OSError) as error:
        line = describe_os_error(error) if isinstance(error, OSError) else str(error)
        say(f"araclip: {line}", "red")
        raise SystemExit(2) from None
