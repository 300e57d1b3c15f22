"""All errors that AraCLIP raises on purpose. They have one base class, so that `except AraCLIPError` is enough.

AraCLIPError
├── InputError              a request cannot be carried out: empty query, no such folder, k out of range
│   ├── ArgumentError       arguments for which other libraries raise ValueError; a subclass of it
│   └── EmptyFolder         a folder to index holds no pictures
├── ImageError              one picture cannot be used; an indexing run skips it
│   ├── UnsupportedFormat   not one of the formats on the allow-list
│   ├── ImageTooLarge       takes more pixels, memory or time than is allowed
│   └── UnreadableImage     damaged, cut short, or not a picture at all
├── ModelError              a model folder cannot be used
│   ├── ModelNotFound       no bundled model and no folder of that name
│   ├── ModelMismatch       files of the folder, or config and graph, contradict each other or could do harm
│   └── InvalidVectors      a model's vectors are not finite, not of unit length, or not one for each input
├── GalleryError            a gallery on disk cannot be used
│   ├── GalleryNotFound     nothing was indexed there yet
│   ├── WidthMismatch       the gallery was made by another model
│   ├── GalleryLocked       another process is writing it
│   ├── GalleryCorrupt      the catalogue file is damaged
│   ├── NewerGallery        made by a later release; this one could damage it
│   └── GalleryUnreachable  the server of a remote gallery does not answer
├── BulkError               a bulk run cannot start or go on; shards stay
│   ├── SourceError         a source, or some of its pictures, cannot be read now: network, rights
│   └── ShardMismatch       the folder holds shards of another model
├── OcrFailed               OCR of a picture was given up; the picture is indexed without its text
├── ServerError             a server refused a request of `araclip.client`, or cannot be reached
└── TrainingError           a training run cannot start or continue; what it has written stays usable
    ├── RecipeError         the recipe names something unknown or asks for the impossible
    ├── DataError           a row, file or split of the training data cannot be used; the line is named
    ├── TeacherMismatch     cached teacher vectors were made by another teacher, or in another format
    ├── RunMismatch         the run folder belongs to another recipe or other data
    ├── LossDiverged        the loss became NaN or infinite; the last checkpoint is intact
    ├── OutOfMemory         a step did not fit; the message says what to make smaller
    └── ExportRejected      vectors of an exported graph differ too much from the trained model's

Each message says what, where, both sides where two disagree, and what to do next. docs/errors.md has a paragraph on
each class.
"""

import re
from typing import ClassVar

_SEQUENCE = re.compile(  # escape sequences of terminals (ECMA-48): colours, cursor, titles, links, single commands
    r"(\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, for our own message; the error's type if it has no text.

    Terminals' escape sequences, such as the colours of PyTorch's exporter, are removed.
    """
    lines = _SEQUENCE.sub("", str(error)).splitlines()
    return next(filter(None, (_CONTROL.sub(" ", line).strip() for line in lines)), type(error).__name__)


class AraCLIPError(Exception):
    """Base class of AraCLIP's own errors; errors of the operating system stay OSError.

    `page` is the address, in the repository, of the documentation of the class.
    """

    page: ClassVar[str] = "docs/errors.md#aracliperror"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.page = f"docs/errors.md#{cls.__name__.lower()}"


class InputError(AraCLIPError):
    """A request cannot be carried out as it was made, such as an empty query or a folder that does not exist."""


class ArgumentError(InputError, ValueError):
    """An argument is invalid. This is a ValueError, too, as users of similar functions in other libraries expect."""


class EmptyFolder(InputError):
    """The source to index (a folder, list …) holds no pictures. `unread`: kind → number of unreadable files."""

    def __init__(self, message: str, *, unread: dict[str, int] | None = None) -> None:
        super().__init__(message)
        self.unread = unread or {}


class ImageError(AraCLIPError):
    """One picture cannot be used."""


class UnsupportedFormat(ImageError):
    """The file is not a picture of an allowed format."""


class ImageTooLarge(ImageError):
    """The picture has more pixels, or takes more memory or time, than is allowed."""


class UnreadableImage(ImageError):
    """The picture is damaged, cut short or cannot be opened."""


def image_error(name: object) -> type[ImageError]:
    """Return the class of ImageError that a decoding process has named; UnreadableImage if there is no such class."""
    named = globals().get(str(name))
    return named if isinstance(named, type) and issubclass(named, ImageError) else UnreadableImage


class OcrFailed(AraCLIPError):
    """OCR of a picture was given up: it took too long or too much memory, or made the program fail."""


class ModelError(AraCLIPError):
    """A model folder cannot be used: it is missing, damaged, or makes bad vectors."""


class ModelNotFound(ModelError):
    """The name is neither a bundled model's nor a model folder's."""


class ModelMismatch(ModelError):
    """Parts of a model folder contradict each other."""


class InvalidVectors(ModelError):
    """A model makes vectors that are not finite, not of unit length, or not one for each input."""


class GalleryError(AraCLIPError):
    """A gallery cannot be used."""


class GalleryNotFound(GalleryError):
    """There is no gallery at this location."""


class WidthMismatch(GalleryError):
    """The gallery's vectors were made by another model, or the model cannot give the width that is asked for."""


class GalleryLocked(GalleryError):
    """Another process is writing this gallery."""


class GalleryCorrupt(GalleryError):
    """The catalogue file is damaged."""


class NewerGallery(GalleryError):
    """The gallery was written by a later release."""


class GalleryUnreachable(GalleryError):
    """The server of a remote gallery does not answer."""


class BulkError(AraCLIPError):
    """Bulk embedding cannot start or go on; shards stay."""


class SourceError(BulkError):
    """A source, or some of its pictures, cannot be read now, because of the network or of permissions."""


class ShardMismatch(BulkError):
    """The folder holds shards of another model."""


class ServerError(AraCLIPError):
    """A server refused a request, or cannot be reached.

    `status` is the HTTP status of the refusal, `retry_after` the seconds after which the server asks to try again. Each
    is None if the server has not told it.
    """

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class TrainingError(AraCLIPError):
    """A training run cannot start or go on."""


class RecipeError(TrainingError):
    """The recipe names something unknown or asks for the impossible."""


class DataError(TrainingError):
    """Training data cannot be used."""


class TeacherMismatch(TrainingError):
    """Cached teacher vectors belong to another teacher, or are stored in another format."""


class RunMismatch(TrainingError):
    """The run folder was begun with another recipe or other data."""


class LossDiverged(TrainingError):
    """The loss became NaN or infinite."""


class OutOfMemory(TrainingError):
    """A training step did not fit into memory."""


class ExportRejected(TrainingError):
    """An exported graph does not reproduce the trained model."""
