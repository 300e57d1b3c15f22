"""Signals that ask a process to stop. Imports nothing that takes time: commands install them first."""

import signal

HANGUP = getattr(signal, "SIGHUP", None)  # a terminal that is closed; Windows has none
BREAK = getattr(signal, "SIGBREAK", None)  # Ctrl-Break, and a console that is closed; Windows only


def stopping() -> tuple[signal.Signals, ...]:
    """The signals of this system that end a command in an orderly way: Ctrl-C, and requests of other programs."""
    return tuple(each for each in (signal.SIGINT, signal.SIGTERM, HANGUP, BREAK) if each is not None)
