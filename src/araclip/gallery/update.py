"""Bringing a gallery in step with folders: what is new or changed is taken in, what vanished is forgotten."""

import os
from collections.abc import Callable
from pathlib import Path

from araclip.encoder import AraCLIP
from araclip.errors import ImageError, InputError
from araclip.gallery.catalog import File
from araclip.gallery.intake import Intake
from araclip.gallery.results import Update
from araclip.gallery.scan import Walk
from araclip.gallery.store import Store
from araclip.images import FORMATS

Progress = Callable[[int, int], None]
Skip = Callable[[str], None]


def update(catalog: Store, model: AraCLIP, roots: list[Path], progress: Progress, skip: Skip) -> Update:
    """Bring `catalog` in step with the folders `roots`; see `Gallery.update`."""
    report = Update()

    def skipped(line: str) -> None:
        report.skipped.append(line)
        skip(line)

    walk, known = Walk(), catalog.files()
    found: dict[str, File] = {}
    for root in roots:
        here = {file.path: file for file in walk.pictures(root)}
        if not here:
            raise _nothing_in(root, sum(below(path, str(root)) for path in known))
        found |= here
    unread = catalog.unread()
    changed = [file for file in found.values() if known.get(file.path) != file or file.path in unread]
    report.unchanged = len(found) - len(changed)
    for place, reason in walk.unreadable.items():
        skipped(f"{place}: cannot be read ({reason}). What was indexed there is kept.")
    gone = [
        path
        for path in known
        if path not in found
        and any(below(path, str(root)) for root in roots)
        and not any(path == place or below(path, place) for place in walk.unreadable)
    ]
    progress(report.unchanged, len(found))

    def refused(number: int, error: OSError | ImageError) -> None:
        path = changed[number].path
        if isinstance(error, FileNotFoundError):  # vanished since the walk: as if it had not been met
            gone.append(path)
        elif isinstance(error, ImageError):
            gone.append(path)
            skipped(str(error))
        else:
            skipped(unreadable(path, error))

    intake = Intake(catalog, model)
    intake.take(changed, refused, lambda done: progress(report.unchanged + done, len(found)))
    report.added = intake.taken
    report.removed = len(known.keys() & set(gone))
    if gone or changed:
        with catalog.writing():
            catalog.remove_files(gone)
    _, report.pictures = catalog.counts()
    return report


def below(path: str, folder: str) -> bool:
    """Whether a path lies in a folder or deeper; both are absolute."""
    return path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)


def unreadable(path: str, error: OSError) -> str:
    """The line for a file that cannot be read now."""
    return f"{path}: cannot be read ({error.strerror or error}). Check its permissions."


def _nothing_in(root: Path, indexed: int) -> InputError:
    if indexed:
        return InputError(
            f"no pictures left in {root}, where {indexed:,} were indexed. Is a drive unplugged? They are kept, and "
            "found again when they are back."
        )
    return InputError(
        f"no pictures in {root}. AraCLIP reads {', '.join(FORMATS)} files; hidden files and folders are left out."
    )
