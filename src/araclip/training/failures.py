"""What libraries raise for a damaged or hostile file, as one error of ours that names the file."""

from collections.abc import Iterator
from contextlib import contextmanager

from araclip.errors import AraCLIPError, ModelNotFound, first_line

# Their messages say what is wrong; those of others, such as a KeyError's, only together with their type.
_SPEAKING = (OSError, RuntimeError, ValueError, ImportError)
_PANIC = "PanicException"  # of Rust code, as in tokenizers and safetensors; it derives from BaseException


@contextmanager
def failures(
    what: object, remedy: str, error: type[AraCLIPError] = ModelNotFound, *, cannot: str = "be loaded"
) -> Iterator[None]:
    """For a `with` block in which a library reads a stranger's file: whatever it raises becomes `error`, in one line.

    Errors of ours pass as they are. A library may raise nearly anything for a file that nobody foresaw, so nothing
    is left out; what it raised is the cause of ours. The message says that `what` cannot be loaded, or what `cannot`
    says, and ends with the `remedy`.
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
    """The error for a model or file that a library cannot load, with its reason in one line and a remedy."""
    return error(f"{what} cannot {cannot} ({reason(found)}). Remedy: {remedy}.")


def reason(found: BaseException) -> str:
    """What a library's error says, in one line of at most 300 characters."""
    line = first_line(found)
    if not isinstance(found, _SPEAKING) or isinstance(found, RecursionError | NotImplementedError):
        line = f"{type(found).__name__}: {line}" if line != type(found).__name__ else line
    return f"{line:.300}"
