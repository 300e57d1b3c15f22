"""Synchronise a gallery with folders: ingest new and changed files, remove files that are gone."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from araclip.core.display import counted
from araclip.core.files import lexists, openable
from araclip.core.paths import is_below
from araclip.errors import EmptyFolder, ImageError, InputError
from araclip.gallery.catalog.records import File, read_metadata
from araclip.gallery.catalog.sql_store import JOINED
from araclip.gallery.catalog.store import Store
from araclip.gallery.ingest.intake import Intake, Turn
from araclip.gallery.ingest.scan import Walk, may_come_back, unread_line, why_unreadable
from araclip.gallery.ingest.sidecars import pictures_beside, synchronise
from araclip.gallery.ingest.videos import VideoIntake, merge_scenes, scene_paths, stored_paths
from araclip.gallery.results import Update
from araclip.models.encoder import Encoder
from araclip.pictures.formats import ALWAYS
from araclip.pictures.video.formats import is_video
from araclip.pictures.video.scenes import file_of

FilesProgress = Callable[[float, int], None]  # called with (files done, files found)
Skip = Callable[[str], None]


def update(
    catalog: Store, model: Encoder, roots: list[Path], progress: FilesProgress, skip: Skip, turn: Turn,
    scenes: int | None = None,
) -> Update:  # fmt: skip
    """Synchronise `catalog` with the folders `roots`; see `BaseGallery.update`."""
    catalog.hidden_pictures.begin_run()
    catalog.derive(turn)
    stored = catalog.files()
    walk, known = Walk(), merge_scenes(stored)
    found: dict[str, File] = {}
    for root in roots:
        here = {file.path: file for file in walk.pictures(root)}
        if not here:
            raise _no_pictures_error(root, sum(is_below(path, str(root)) for path in known), walk)
        found |= here
    drives = catalog.drives()
    inside = tuple(os.path.join(root, "") for root in roots)  # noqa: PTH118  (ends with the separator)
    ours = {drive for drive in drives if drive.startswith(inside)}
    walk.note_unmounted(ours)
    current = (drives - ours) | walk.drives | (ours & walk.unreadable.keys())
    if current != drives:
        with turn():
            catalog.remember_drives(current)
    known_inside = {path: file for path, file in known.items() if path.startswith(inside)}
    return _reconcile(
        catalog, model, found, known_inside, walk, catalog.paths_lacking_facts(), progress, skip, turn, stored, scenes
    )


def update_at(
    catalog: Store, model: Encoder, roots: list[Path], paths: Iterable[str], skip: Skip, turn: Turn,
    scenes: int | None = None,
) -> Update | None:  # fmt: skip
    """Synchronise `catalog` with `paths` only; return None if all of `roots` must be walked instead."""
    catalog.hidden_pictures.begin_run()
    walk, changed = Walk(), set(paths)
    changed |= pictures_beside(changed)
    found, stored = dict[str, File](), dict[str, File]()
    for path in sorted(changed):
        root = next((str(root) for root in roots if is_below(path, str(root))), None)
        if root is None or Path(path).parent.resolve() != Path(path).parent or Path(path).is_symlink():
            # all roots must be walked: `path` is a root, or a link leads to it, so that one file may have several paths
            return None
        if any(part.startswith(".") for part in Path(path).relative_to(root).parts):
            continue
        found |= {file.path: file for file in walk.at(path)}
        stored |= catalog.files(path)
    known = merge_scenes(stored)
    walk.note_unmounted(catalog.drives())
    if known and not found and len(known) == catalog.counts()[0]:
        # All roots must be walked, since this update would empty the gallery, perhaps only because a drive is
        # unplugged.
        return None
    if any(not lexists(str(root)) for root in roots) or walk.drives or walk.links:
        return None
    # a video that was found may be one that was moved, so load the paths of all scenes to recognise it
    if any(map(is_video, found)):
        stored = catalog.files()
    return _reconcile(
        catalog, model, found, known, walk, set(), lambda done, total: None, skip, turn, stored, scenes, few=True
    )


def _reconcile(
    catalog: Store,
    model: Encoder,
    found: dict[str, File],
    known: dict[str, File],
    walk: Walk,
    incomplete: set[str],
    progress: FilesProgress,
    skip: Skip,
    turn: Turn,
    stored: dict[str, File],
    scenes: int | None,
    *,
    few: bool = False,
) -> Update:
    """Ingest the `found` files that are not indexed or have changed, and remove indexed files that were not found.

    Args:
        known: the indexed files; a video counts as one file.
        stored: the indexed files; each scene of a video has a path.
        incomplete: paths to read again although their files did not change.
        few: True if few files are concerned: each of them is then looked up in the gallery by itself.
    """
    report = Update(unread=dict(walk.unread))

    def report_skipped(line: str) -> None:
        report.skipped.append(line)
        skip(line)

    incomplete = {file_of(path) for path in incomplete}
    changed = [file for file in found.values() if known.get(file.path) != file or file.path in incomplete]
    changed.sort(key=lambda file: is_video(file.path))  # pictures first, because they are quick
    pictures = [file for file in changed if not is_video(file.path)]
    report.unchanged = len(found) - len(changed)
    for path, reason in walk.unreadable.items():
        report_skipped(f"{path}: cannot be read ({reason}). What was indexed there is kept.")
    for line in walk.special.values():
        report_skipped(line)
    gone = [
        path
        for path in known
        if path not in found
        and walk.unreadable.keys().isdisjoint((path, *map(str, Path(path).parents)))
        and not may_come_back(path)
    ]
    progress(report.unchanged, len(found))

    def handle_refusal(number: int, error: OSError | ImageError) -> None:
        path = changed[number].path
        if isinstance(error, FileNotFoundError):  # vanished since the folders were listed: counts as gone
            gone.append(path)
        elif isinstance(error, ImageError) and path in known and _changed_since_walk(changed[number]):
            report_skipped(f"{error} It is still being written; what was indexed there is kept.")
        elif isinstance(error, ImageError):
            gone.append(path)
            report_skipped(str(error))
        else:
            report_skipped(unreadable_line(path, error))

    of_videos = scene_paths(stored)
    sql = f"SELECT hash, metadata FROM {JOINED} WHERE path = ? AND metadata <> '{{}}'"
    described = {  # path with metadata → its picture's hash, its file and the metadata, before this update
        path: (digest, stored[path], read_metadata(about))
        for file in changed
        for path in of_videos.get(file.path, [file.path])
        if path in stored
        for digest, about in catalog.rows(sql, (os.fsencode(path),))
    }
    intake = Intake(catalog, model, turn, few=few)
    intake.ingest(pictures, handle_refusal, lambda done: progress(report.unchanged + done, len(found)))
    begun = report.unchanged + len(pictures)
    videos = VideoIntake(catalog, model, turn, stored, scenes)
    videos.ingest(
        changed[len(pictures) :],
        lambda number, error: handle_refusal(len(pictures) + number, error),
        lambda done: progress(begun + done, len(found)),
    )
    report.added = intake.committed + videos.committed
    report.removed = len(known.keys() & set(gone))
    if gone or changed:
        with turn(), catalog.writing():
            _move_metadata(catalog, described, {file.path for file in changed})
            catalog.give_metadata_back()
            damaged = found.keys() & set(gone)
            catalog.hold_metadata(path for file in damaged for path in of_videos.get(file, [file]))
            # Do not remove a file that another process has indexed since the folders were listed: it exists again.
            indexed = {path: stored_paths(catalog, path) for path in gone if path in known}
            catalog.remove_files(
                [p for path, here in indexed.items() if merge_scenes(here).get(path) == known[path] for p in here]
            )
    catalog.remove_loose(turn)
    of_videos |= videos.scenes
    beside = {file: walk.sidecars[file] for file in found if file in walk.sidecars}
    at = [path for file in found for path in of_videos.get(file, [file])]
    beside |= {path: files for file, files in walk.sidecars.items() for path in of_videos.get(file, ())}
    synchronise(catalog, beside, at, turn, skip, few=few)
    return _count(report, catalog)


def _count(report: Update, catalog: Store) -> Update:
    """Complete the report of an update with what the gallery has after it."""
    report.files, report.pictures = catalog.counts()
    report.hidden = len(set(catalog.hidden_pictures.edits.values()))
    return report


def _move_metadata(
    catalog: Store, described: Mapping[str, tuple[bytes, File, Mapping[str, Any]]], changed: Collection[str]
) -> None:
    """Give a renamed file the metadata of its old path, if another file has taken the old path.

    The file at the old path then loses this metadata. `described` maps each path to its picture's hash, its file (size,
    time) and its metadata before this update. A path in `changed` with the same picture, size and time is the new path
    of that file.
    """
    moved = {
        new: (old, about)
        for old, (digest, file, about) in described.items()
        if (content := catalog.content(digest)) is not None and catalog.content_of(old) not in (None, content)
        for new in catalog.known_paths(content)
        if file_of(new) in changed and replace(catalog.files(new)[new], path=old) == file
    }
    no_metadata: Mapping[str, Any] = {}
    cleared = [(old, no_metadata) for old, _ in moved.values()]
    for path, about in [*cleared, *((new, about) for new, (_, about) in moved.items())]:
        content = catalog.content_of(path)
        if content is not None and not (about and catalog.metadata_of(path)):
            catalog.put_file(catalog.files(path)[path], content, about)


def _changed_since_walk(file: File) -> bool:
    """True if a file has changed since its folder was listed: it is still being written, and only looks damaged."""
    try:
        return File.of(file.path, os.stat(openable(file.path))) != file  # noqa: PTH116  (names that are not UTF-8)
    except OSError:
        return False


def unreadable_line(path: str, error: OSError) -> str:
    """Return the line to report for a file that cannot be read now."""
    return f"{path}: cannot be read ({why_unreadable(error)}). What was indexed there is kept."


def _no_pictures_error(root: Path, indexed: int, walk: Walk) -> InputError:
    failed = (each for each in walk.unreadable.items() if each[0] == str(root) or is_below(each[0], str(root)))
    refused = next((f" {path} cannot be read ({why})." for path, why in failed), "")
    if indexed:
        return InputError(
            f"no pictures left in {root}, where {counted(indexed, 'was', 'were')} indexed."
            f"{refused or ' Is a drive unplugged?'} They stay indexed, and are found again when they are back."
        )
    if refused:
        return InputError(f"no pictures that can be read in {root}.{refused}")
    others = f" {unread_line(walk.unread)}" if walk.unread else ""
    return EmptyFolder(
        f"no pictures in {root}.{others} AraCLIP reads {', '.join(ALWAYS)} files; hidden files and folders are left "
        "out.",
        unread=dict(walk.unread),
    )
