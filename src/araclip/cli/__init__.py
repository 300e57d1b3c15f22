"""The command line: each command parses its arguments, calls one function, and prints the result."""

from typing import Any

from araclip.cli import stopping


def main() -> None:
    """Run the command line.

    An expected error becomes one line on stderr and exit code 2. Ctrl-C, SIGTERM and SIGHUP end a command with one
    line, and exit code 130, 143 and 129.
    """
    with stopping.raise_on_signals():
        # These imports take a third of a second; Ctrl-C during them must not print a traceback.
        from araclip.cli.commands import run

        run()


def __getattr__(name: str) -> Any:
    if name == "app":
        from araclip.cli.commands import import_commands

        return import_commands()
    raise AttributeError(f"module 'araclip.cli' has no attribute {name!r}. It has: app, main.")
