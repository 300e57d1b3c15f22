"""Back up a gallery in a folder, and restore it. A backup is a copy of the catalogue; everything else is derived.

A backup replaces an earlier backup only if nothing is lost by that: the folder holds nothing but a gallery's own files,
and its last commit belongs to the history of the gallery that is copied. Restoring deletes nothing: the gallery that
was there before is moved aside.
"""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from araclip.core import atomic
from araclip.core.display import counted
from araclip.errors import AraCLIPError, GalleryError, GalleryNotFound, InputError
from araclip.gallery.catalog import schema
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.connection import translate_errors
from araclip.gallery.catalog.schema import FILE_NAME, GALLERY_FILE, is_gallery, replaced_name
from araclip.gallery.catalog.writer_lock import writer_lock


@dataclass(frozen=True)
class Replaced:
    """The gallery that a restored backup would replace.

    `pictures` is the number of its pictures; None if the gallery cannot be read. `missing` counts its paths that the
    backup lacks. `last` is the time in UTC at which its newest picture was added; "" if there is none.
    """

    pictures: int | None = None
    missing: int = 0
    last: str = ""

    def __str__(self) -> str:
        if self.pictures is None:
            return "a gallery that cannot be read"
        lacks = f", {self.missing:,} of its paths not in the backup" if self.missing else ""
        return f"a gallery of {counted(self.pictures, 'picture')}{lacks}, the last added {self.last or 'never'}"


def write_backup(catalog: Catalog, folder: Path) -> int:
    """Copy the last commit of a catalogue into a folder; return the number of pictures. See `Gallery.backup`."""
    if folder.resolve() == catalog.folder.resolve():
        raise InputError(f"{folder} is the gallery itself. Choose another folder for its backup.")
    if folder.exists():
        _check_own_files(folder)
        _check_is_earlier_state(folder, catalog)

    return _replace_folder(folder, catalog, lambda: _check_is_earlier_state(folder, catalog))


def restore_backup(backup: Path, folder: Path) -> Path | None:
    """Put a backup in the place of the gallery at `folder`, or into a new folder.

    Returns:
        The folder to which the earlier gallery was moved; None if there was none.

    Raises:
        GalleryNotFound, GalleryCorrupt, NewerGallery: the backup cannot be used.
        InputError: `backup` and `folder` are the same, or `folder` holds files that are not a gallery's.
        GalleryLocked: a process is writing the gallery at `folder`.
        OSError: the disk is full or read-only; backup and gallery stay as they are.
    """
    if folder.resolve() == backup.resolve():
        raise InputError(f"{folder} is the backup itself. Name the gallery to restore with --gallery.")
    if not is_gallery(backup):
        raise GalleryNotFound(f"no backup at {backup}. Name the folder that `araclip backup` has written.")
    folder = folder.resolve()  # if `folder` is a link, the gallery that it leads to is moved aside, not the link
    aside: Path | None = None
    if folder.exists():
        _check_own_files(folder)
        if is_gallery(folder):
            with writer_lock(folder, patience=0.0):
                names = (replaced_name(folder, number) for number in count(1))
                aside = next(name for name in names if not name.exists())
    with closing(Catalog.open(backup, None)) as catalog:
        _replace_folder(folder, catalog, lambda: folder.rename(aside) if aside else None)
    return aside


def describe_replaced(backup: Path, folder: Path) -> Replaced | None:
    """Describe the gallery that restoring a backup at `folder` would replace; None if there is none."""
    if not is_gallery(folder):
        return None
    with closing(Catalog.open(backup, None)) as catalog:
        known = set(catalog.files())
    try:
        with closing(Catalog.open(folder, None)) as now:
            ((last,),) = now.rows("SELECT ifnull(max(added), '') FROM contents")
            return Replaced(now.counts()[1], sum(path not in known for path in now.files()), last)
    except (AraCLIPError, OSError):
        return Replaced()


def _replace_folder(folder: Path, catalog: Catalog, before: Callable[[], object]) -> int:
    """Replace a folder by a copy of a catalogue; return the number of pictures in the copy.

    `before` is called when the copy is complete, before it takes the folder's place.
    """
    pictures: list[int] = []

    def fill(temporary: Path) -> None:
        catalog.copy_to(temporary / FILE_NAME)
        # The copy has no record of its last commit yet (see `catalog.seal`), so opening it checks the whole file.
        with closing(Catalog.open(temporary, None)) as copy:
            pictures.append(copy.counts()[1])
        before()

    folder.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_folder(folder, fill, flush=False)  # no flush is needed: SQLite has already flushed the file
    return pictures[0]


def _check_own_files(folder: Path) -> None:
    """Raise InputError if a folder holds anything but a gallery's own files."""
    entries = list(folder.iterdir()) if folder.is_dir() else []
    others = [each for each in entries if not GALLERY_FILE.fullmatch(each.name) or each.is_dir()]
    if others or not folder.is_dir() or (entries and not is_gallery(folder)):
        named = f" ({others[0].name})" if others else ""
        raise InputError(f"{folder} holds other files{named}. Choose a new folder, or that of an earlier backup.")


def _check_is_earlier_state(folder: Path, catalog: Catalog) -> None:
    """Raise InputError unless the gallery in `folder`, if there is one, is an earlier state of `catalog`.

    Only then does replacing it lose nothing.
    """
    if not is_gallery(folder):
        return
    try:
        with (
            writer_lock(folder, patience=0.0),
            closing(schema.connect(folder / FILE_NAME)) as database,
            translate_errors(folder / FILE_NAME),
        ):
            about: dict[str, str] = dict(
                database.execute("SELECT key, value FROM meta WHERE key IN ('birth', 'generation')")
            )
    except (GalleryError, OSError) as error:
        raise InputError(
            f"{folder} holds a gallery that cannot be read ({error}), so it cannot be told to be an earlier backup of "
            f"{catalog.folder}. Choose a new folder."
        ) from error
    same = about.get("birth", "") in ("", catalog.meta("birth"))
    if same and catalog.has_commit(about.get("generation", "")):
        return
    if repaired := catalog.meta("repaired"):
        raise InputError(
            f"{folder} cannot be told to be an earlier backup of {catalog.folder}, which was repaired on "
            f"{repaired[:10]}: its history could not be read completely, or {folder} was written since it was copied. "
            f"Rename {folder}, which stays as it is, or choose a new folder; later backups replace the new one."
        )
    if not same:
        raise InputError(
            f"{folder} is no earlier backup of {catalog.folder}, but another gallery, or one that was made anew since. "
            "Choose a new folder."
        )
    raise InputError(
        f"{folder} has changes that {catalog.folder} lacks: it was written since it was copied, or "
        f"{catalog.folder} is the older copy. Choose a new folder; `araclip restore` puts a backup at the place of "
        "a gallery."
    )
