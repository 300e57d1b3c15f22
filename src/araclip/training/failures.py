"""Turns whatever a library raises for a damaged or hostile file into one of AraCLIP's errors, which names the file."""

from collections.abc import Iterator
from contextlib import contextmanager

from araclip.errors import AraCLIPError, ModelNotFound, first_line

# Errors whose messages say what is wrong. The message of another error (a KeyError) is clear only with its type.
_SPEAKING = (OSError, RuntimeError, ValueError, ImportError)
_PANIC = "PanicException"  # raised by Rust code (tokenizers, safetensors); it derives from BaseException


@contextmanager
def failures(
    what: object, remedy: str, error: type[AraCLIPError] = ModelNotFound, *, cannot: str = "be loaded"
) -> Iterator[None]:
    """Turn whatever a library raises in a `with` block, while it reads a stranger's file, into `error`, in one line.

    AraCLIP's own errors pass unchanged. A library may raise nearly anything for an unforeseen file, so every exception
    is caught; it becomes the cause (`__cause__`) of the new error. The message reads "WHAT cannot be loaded", or "WHAT
    cannot CANNOT", and ends with the `remedy`.
    """
    try:
        yield
    except AraCLIPError:
        raise
    except Exception as found:
        raise not_loaded(what, found, remedy, error, cannot) from found
    except BaseException as found:
        if type(found).__name__ != _PANIC:
            raise
        raise not_loaded(what, found, remedy, error, cannot) from found


def not_loaded(
    what: object,
    found: BaseException,
    remedy: str,
    error: type[AraCLIPError] = ModelNotFound,
    cannot: str = "be loaded",
) -> AraCLIPError:
    """Return the error for a model or file that a library cannot load, with the reason in one line and a remedy."""
    return error(f"{what} cannot {cannot} ({reason(found)}). Remedy: {remedy}.")


def reason(found: BaseException) -> str:
    """Return the message of a library's error, as a line of at most 300 characters.

    The line begins with the error's type if the message alone may not tell what went wrong.
    """
    line = first_line(found)
    if not isinstance(found, _SPEAKING) or isinstance(found, RecursionError | NotImplementedError):
        line = f"{type(found).__name__}: {line}" if line != type(found).__name__ else line
    return f"{line:.300}"
