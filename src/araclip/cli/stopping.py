"""Ctrl-C, SIGTERM, SIGHUP and on Windows Ctrl-Break: each ends a command in the same orderly way.

Imports only modules that load fast.
"""

import atexit
import gc
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from araclip.core.processes import stop_signals

# Only these handlers of signals are replaced by ours. A signal that is ignored (SIG_IGN, set by nohup and by a shell's
# background jobs) stays ignored.
_DEFAULT_HANDLERS = (signal.SIG_DFL, signal.default_int_handler)
_IMPORT_MACHINERY = "<frozen importlib._bootstrap>"
_last_signal = signal.SIGINT


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread on Ctrl-C, SIGTERM, SIGHUP and Ctrl-Break, in a `with` block.

    During an import, the process ends at once instead, because a C library might replace or lose the exception. No data
    is lost, since writes are transactions. While the interpreter exits, which takes a third of a second, only Ctrl-C
    still has an effect, because the work of the command is done.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in stop_signals()}
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        global _last_signal  # noqa: PLW0603  (a handler has no other way to tell)
        _last_signal = signal.Signals(number)
        # a forked child ends at once, as it would without this handler
        if os.getpid() != owner and number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if _is_importing(frame):
            os.write(2, b"Stopped.\n")
            os._exit(exit_code())
        raise KeyboardInterrupt

    for number, handler in before.items():
        if handler in _DEFAULT_HANDLERS:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler in _DEFAULT_HANDLERS:
                signal.signal(number, handler)
        if before:
            atexit.register(_ignore_signals_at_exit, owner)


def _ignore_signals_at_exit(owner: int) -> None:
    """Ignore all stop signals except Ctrl-C; called when the interpreter exits, before other exit functions.

    The command is done. Ctrl-C still ends the process, in case it hangs. `owner` is the id of the command's process; in
    a process forked from it, signals stay as they are.
    """
    gc.freeze()  # skips the last garbage collection, which takes a fifth of a second
    if os.getpid() != owner:
        return
    for number in stop_signals():
        # At exit, Python replaces its own handlers by SIG_DFL, so that a signal would kill the process; SIG_IGN stays.
        if signal.getsignal(number) in _DEFAULT_HANDLERS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGINT else signal.SIG_IGN)


def exit_code() -> int:
    """Return the exit code after KeyboardInterrupt: 128 plus the number of the signal; 130 after Ctrl-C."""
    return 128 + _last_signal


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORT_MACHINERY:
            return True
        frame = frame.f_back
    return False
