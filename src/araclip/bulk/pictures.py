"""The pictures of a shard's parts, one by one: files here and elsewhere, members of tars, rows of parquet files.

A picture inside a file of many has the path of that file, a slash, and its name there; nothing is extracted to a disk.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath

from araclip.bulk import parquet_pictures
from araclip.bulk.parts import PARQUET, TAR, Part
from araclip.bulk.places import is_url, opened, read_bytes
from araclip.core.bounded_tar import MAX_MEMBER, member_files, sample_of
from araclip.errors import AraCLIPError, ImageTooLarge, InputError, UnreadableImage
from araclip.gallery.catalog.records import File
from araclip.gallery.ingest.intake import PictureBytes, Source
from araclip.pictures.captions import SIDECAR_BYTES, joined, sidecar_caption
from araclip.pictures.formats import SUFFIXES
from araclip.pictures.limits import ByteBudget

AHEAD_BYTES = 150_000_000  # of members that are read and not decoded yet
MAX_NAME = 1000  # characters of a member's name that are kept
MAX_CAPTIONS = 16  # of a sample in a tar; a data set has one or two, and a name may come again and again

Refused = Callable[[str, str], None]  # a path, and why it is left out


@dataclass
class Waiting:
    """A picture to decode: what `read_source` takes, or a file elsewhere; a caption beside it; and its share of memory.

    Attributes:
        has_file: whether `file.path` is a file of its own that a gallery on the same machine can open.
    """

    file: File
    source: Source | None  # None: a file elsewhere
    caption: str = ""
    has_file: bool = False
    held: AbstractContextManager[object] | None = None

    def fetched(self) -> Source:
        """The source, read from elsewhere if need be.

        Raises:
            SourceError: it cannot be read now. UnreadableImage: it is gone. ImageTooLarge: it is too large.
        """
        if self.source is not None:
            return self.source
        data = read_bytes(self.file.path, MAX_MEMBER + 1)
        if data is None:
            raise UnreadableImage(f"{self.file.path}: no such file. It may have been moved; check the path.")
        if len(data) > MAX_MEMBER:
            limit = f"the limit is {MAX_MEMBER / 1e6:.0f} MB"
            raise ImageTooLarge(f"{self.file.path}: more than that; {limit}. Save a smaller copy.")
        return PictureBytes(File(self.file.path, len(data), 0), data)

    def release(self) -> None:
        """Give back the share of memory, and forget the bytes."""
        self.source = None
        if self.held is not None:
            self.held.__exit__(None, None, None)
            self.held = None


def pictures_of(parts: Sequence[Part], refused: Refused) -> Iterator[Waiting]:
    """The pictures of some parts, in order; what is damaged is told by `refused` and left out.

    Raises:
        SourceError: a file cannot be read now, so that nothing can be said about what is in it.
    """
    budget = ByteBudget(AHEAD_BYTES)
    for part in parts:
        if part.kind == TAR:
            yield from _of_tar(part, refused, budget)
        elif part.kind == PARQUET:
            yield from _of_group(part, refused, budget)
        elif is_url(part.place):
            yield Waiting(File(part.place, part.size, 0), None)
        else:
            file = File(part.place, part.size, part.mtime_ns)
            yield Waiting(file, file, has_file=True)


def _of_tar(part: Part, refused: Refused, budget: ByteBudget) -> Iterator[Waiting]:
    """The pictures of a tar; texts whose name differs in the suffix alone are captions (WebDataset's samples)."""
    sample: list[Waiting] = []
    captions: list[str] = []
    key = ""

    def finished() -> Iterator[Waiting]:
        for each in sample:
            each.caption = joined(captions)
            yield each
        sample.clear()
        captions.clear()

    try:
        with opened(part.place) as stream:
            for member in member_files(stream, part.place, part.size or 1 << 62):
                name = member.name
                mine, suffix = sample_of(name)
                if not mine:
                    continue
                if mine != key:
                    yield from finished()
                    key = mine
                path = inside(part.place, name)
                if f".{suffix.lower().rpartition('.')[2]}" in SUFFIXES:
                    yield from finished()  # no second one waits: the first holds memory that this one may need
                    held = _held(budget, member.size)
                    data = member.read()
                    source = PictureBytes(File(path, len(data), 0), data)
                    sample.append(Waiting(source.file, source, held=held))
                elif suffix.lower() in ("txt", "json", "caption") and len(captions) < MAX_CAPTIONS:
                    captions.append(_caption(member.read(SIDECAR_BYTES + 1), path, refused))
            yield from finished()
    except InputError as error:  # damaged: the rest of it is lost
        yield from finished()
        refused(part.place, str(error))


def _caption(data: bytes, path: str, refused: Refused) -> str:
    try:
        return sidecar_caption(data, path)
    except AraCLIPError as error:
        refused(path, f"no caption was read ({error})")
        return ""


def _of_group(part: Part, refused: Refused, budget: ByteBudget) -> Iterator[Waiting]:
    try:
        for number, row in enumerate(parquet_pictures.rows_of(part.place, part.group), part.start):
            name, data, caption, why = row
            suffix = PurePosixPath(name).name
            path = inside(part.place, f"{number:08}{'-' if suffix else ''}{suffix}")
            if data is None or not data:
                refused(path, why)
                continue
            held = _held(budget, len(data))
            source = PictureBytes(File(path, len(data), 0), data)
            yield Waiting(source.file, source, caption, held=held)
    except InputError as error:
        refused(part.place, str(error))


def _held(budget: ByteBudget, size: int) -> AbstractContextManager[object]:
    stack = ExitStack()
    stack.enter_context(budget.hold(size))
    return stack


def inside(place: str, name: str) -> str:
    """The path of what a file of many holds under a name, which cannot lead out of that file."""
    safe = [piece for piece in name.replace("\0", "").replace("\\", "/").split("/") if piece not in ("", ".", "..")]
    return f"{place}/{'/'.join(safe)[:MAX_NAME] or 'unnamed'}"
