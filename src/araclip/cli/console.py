"""The typer app, and what all commands share: consoles, output for programs, errors and progress bars.

Untrusted names (of files, models, captions, keys of a recipe) are printed through `shown`, in errors as well.
"""

import errno
import inspect
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from inspect import cleandoc
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from araclip.cli.stopping import exit_code
from araclip.core.display import json_shown, shown
from araclip.errors import InputError
from araclip.models.devices import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable


PANELS = {  # heading in --help → the commands below it
    "Find": ("search", "similar", "explain", "serve", "demo"),
    "Fill a gallery": ("index", "watch", "embed"),
    "Keep a gallery": (
        "stats", "verify", "repair", "duplicates", "remove", "hide", "compact", "backup", "restore", "export-gallery",
        "doctor",
    ),
    "Use and measure models": ("models", "pull", "push", "classify", "tag", "evaluate"),
    "Train models": ("train", "export", "unpack"),
}  # fmt: skip
_PANEL_OF = {name: panel for panel, names in PANELS.items() for name in names}


def _hide_flag_types(command: Any) -> None:
    """Keep typer from writing <bool> beside every flag of a command, --help among them."""
    get_params = command.get_params

    def get_params_without_types(context: Any) -> list[Any]:
        found: list[Any] = get_params(context)
        for option in found:
            if getattr(option, "is_flag", False):
                option.metavar = ""
        return found

    command.get_params = get_params_without_types


class _CommandGroup(TyperGroup):
    """Typer's command group; its errors are safe to print, and it prints a line when a command is stopped."""

    def __init__(self, *, commands: Any = None, **options: Any) -> None:
        super().__init__(commands=commands, **options)
        _hide_flag_types(self)
        for command in self.commands.values():
            names = {name for parameter in command.params for name in parameter.opts}
            if "--model" in names and "--device" not in names:
                command.params.append(_device_option())
            _refuse_empty_paths(command)
            command.rich_help_panel = _PANEL_OF.get(command.name or "")  # type: ignore[attr-defined]
            _hide_flag_types(command)
            if command.help:  # join the lines of a docstring: --help breaks lines itself
                command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", cleandoc(command.help))

    def make_context(self, *args: Any, **options: Any) -> Any:
        with _escape_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: Any) -> Any:
        try:
            with _escape_errors():
                return super().invoke(ctx)
        except BrokenPipeError:
            raise PipeClosed from None
        except (KeyboardInterrupt, typer.Abort) as stopped:
            # While typer waits for an answer, it raises Abort if the input ends, and also if Ctrl-C is pressed.
            if isinstance(stopped, typer.Abort) and not isinstance(stopped.__context__, KeyboardInterrupt):
                raise
            # End the command here: typer would print nothing and give all signals the same exit code.
            print_stopped("")
            raise typer.Exit(exit_code()) from None


@contextmanager
def _escape_errors() -> Iterator[None]:
    """In a `with` block, escape the untrusted text that typer quotes in its errors, such as a wrong argument."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "message"):
            error.message = shown(str(error.message))
        raise


app = typer.Typer(
    cls=_CommandGroup,
    help="Type Arabic, find pictures. اكتب بالعربية واعثر على صورك.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class PipeClosed(Exception):
    """The reader of the output is gone. This is no BrokenPipeError, because on a BrokenPipeError typer exits with 1."""


class _PlainConsole(Console):
    """A console that leaves texts as they are: rich would replace the :cat: in a path by an emoji."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, emoji=False)

    def on_broken_pipe(self) -> None:
        raise PipeClosed


out, err = _PlainConsole(), _PlainConsole(stderr=True)


@contextmanager
def stoppable(how_to_resume: "str | Callable[[], str]") -> "Iterator[None]":
    """In a `with` block, end the command on Ctrl-C, SIGTERM …: print "Stopped." and how to resume.

    `how_to_resume` is a text or a function that returns the text. `stopping.exit_code` gives the exit code.
    """
    try:
        yield
    except KeyboardInterrupt:
        print_stopped(how_to_resume if isinstance(how_to_resume, str) else how_to_resume())
        raise typer.Exit(exit_code()) from None


def print_stopped(how_to_resume: str) -> None:
    """Print the line that says a command was stopped, and how to go on."""
    say(f"Stopped. {how_to_resume}".rstrip())


@contextmanager
def print_warnings() -> Iterator[None]:
    """Print the warnings that araclip logs during a `with` block, one line each."""
    handler = _WarningPrinter(logging.WARNING)
    log = logging.getLogger("araclip")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


class _WarningPrinter(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), "yellow")


class ShownFormatter(logging.Formatter):
    """Formats log records without control characters; the lines of a traceback stay separate."""

    def format(self, record: logging.LogRecord) -> str:
        return "\n".join(map(shown, super().format(record).split("\n")))


def describe_os_error(error: OSError) -> str:
    """Return the message to print for a system error: its path or paths, the reason, and the remedy if known."""
    if error.strerror is None:
        return str(error)
    places = [str(place) for place in (error.filename, error.filename2) if place is not None]
    place, remedy = " and ".join(places) or "a file or the output", _REMEDIES.get(error.errno or 0, "")
    return f"{place}: {error.strerror}. {remedy}".rstrip()


_REMEDIES = {
    errno.EACCES: "Check the permissions of the file and its folder, or choose another place.",
    errno.EPERM: "Check the owner of the file and its folder, or choose another place.",
    errno.EROFS: "The disk is read-only. Choose another place.",
    errno.ENOSPC: "Free some disk space, then run the command again.",
    errno.EDQUOT: "Your quota of this disk is used up. Free some space, then run the command again.",
    errno.EFBIG: "Raise the limit of file sizes (ulimit -f), then run the command again.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path: a part of it is a file, not a folder.",
    errno.EISDIR: "Name a file, not a folder.",
    errno.EEXIST: "Choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), then run the command again.",
    errno.EIO: "The disk cannot be read or written. Check its cable and its health.",
}


def progress(title: str) -> "AbstractContextManager[Callable[[float, int], None]]":
    """Give a `with` block a function `show(done, total)` that draws a progress bar; the first call makes the bar."""
    from araclip.core import progress as drawing

    return drawing.progress(title, err)


def bars() -> "AbstractContextManager[Callable[[str, float, int], None]]":
    """Give a `with` block a function `show(title, done, total)` that draws a progress bar for each title."""
    from araclip.core import progress as drawing

    return drawing.bars(err)


def refuse_idle(options: Mapping[str, object], why: str) -> None:
    """Raise InputError if options were given that have no effect here, because the user expects an effect.

    Args:
        options: option → a value that is true if the option was given.
        why: the end of the message, after “OPTION has no effect”, such as "without --remove".
    """
    idle = [name for name, value in options.items() if value]
    if idle:
        has, them = ("has", "it") if len(idle) == 1 else ("have", "them")
        raise InputError(f"{' and '.join(idle)} {has} no effect {why}. Leave {them} out.")


def duration(seconds: float) -> str:
    """Return a length of time as a person says it: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def print_json(value: object) -> None:
    """Write a value to stdout as one line of JSON; `json_shown` says what is escaped."""
    write_line(json_shown(json.dumps(value, ensure_ascii=False)))


def say(line: str, style: str | None = None) -> None:
    """Print one line to stderr for people, control characters escaped; only the terminal itself may wrap it."""
    err.print(shown(line), soft_wrap=True, markup=False, style=style)


def say_dimly(line: str) -> None:
    """Print a dimmed line to stderr; used to say what a long command does now."""
    say(line, "dim")


def write_line(line: str) -> None:
    """Write a line to stdout. A program gets the exact bytes; a terminal gets no control characters."""
    text = shown(line) if sys.stdout.isatty() else line
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape") + b"\n")


def _set_device(context: typer.Context, device: str | None) -> None:
    """Set $ARACLIP_DEVICE while the command runs, for this process and its children; None changes nothing."""
    if not device:
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = device
    context.call_on_close(lambda: os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before}))


def _device_option() -> Any:
    app = typer.Typer(add_completion=False)

    @app.command()
    def any_command(
        device: Annotated[
            str | None,
            typer.Option(
                "--device",
                metavar="NAME",
                expose_value=False,
                callback=_set_device,
                help=f"Where the model runs: cpu, cuda, openvino or auto; by default ${VARIABLE}, or the CPU.",
            ),
        ] = None,
    ) -> None:
        pass

    return next(parameter for parameter in typer.main.get_command(app).params if "--device" in parameter.opts)


def _refuse_empty_paths(command: Any) -> None:
    """Let a command refuse an empty path, which `Path` would take for the working folder."""

    def consume_checked(parameter: Any, consume: Any, ctx: Any, options: Any) -> Any:
        value, source = consume(ctx, options)
        if "" in (value if isinstance(value, list | tuple) else [value]):
            raise typer.BadParameter(
                "the path is empty. Name a file or a folder; the working folder is «.».", ctx=ctx, param=parameter
            )
        return value, source

    annotated = inspect.signature(command.callback).parameters
    for parameter in command.params:
        if parameter.name in annotated and "pathlib.Path" in str(annotated[parameter.name].annotation):
            parameter.consume_value = partial(consume_checked, parameter, parameter.consume_value)
