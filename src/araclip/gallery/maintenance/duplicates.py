"""Find groups of duplicates from hashes and vectors.

- exact: the same bytes under several paths; a video counts once, whatever the number of its scenes.
- near: the same picture scaled, recompressed or saved in another format: perceptual hashes at most NEAR bits apart
  (`gallery.near_hashes`), and then the pictures themselves, opened and compared (`pictures.same_picture`), since
  screenshots of one layout have near hashes whatever their text. Vectors are not compared: halving a picture's size
  changes its vector more than its hash.
- semantic: other pictures of the same scene: vectors with a cosine of at least ALIKE, and hashes that are not near.

For near and semantic, scenes of videos are left out, because a scene is not a file that could be deleted.

Thresholds: benchmarks/duplicates.py, docs/log/2026-11.md.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.core.files import openable
from araclip.errors import InputError
from araclip.gallery.index.exact import common_positions
from araclip.gallery.near_hashes import NEAR, Hashes, near_pairs
from araclip.gallery.results import Group
from araclip.models.vectors import Ids
from araclip.pictures.same_picture import is_copy, open_grey
from araclip.pictures.video.scenes import file_of, scene_of

KINDS = ("exact", "near", "semantic")
ALIKE = 0.9
COMPARED = 1 << 23  # cosines computed at once; they take 32 MB
MOST_COMPARED = 16  # pictures with which a picture is compared, so that a thousand screenshots take minutes, not hours
KEPT_OPEN = 64  # opened pictures kept for the next comparison; they take 16 MB

FileFacts = tuple[str, int, int]  # path, size in bytes, number of pixels


def scene_pairs(vectors: NDArray[np.float32], hashes: Hashes) -> Iterator[tuple[int, int]]:
    """Yield pairs of rows (first < second) whose vectors (n, D) are alike, but whose perceptual hashes (n,) are not.

    The pairs connect all such rows, but not every pair is yielded: of a thousand pictures of one scene, each is paired
    with the first only.
    """
    labels = np.arange(len(vectors))  # rows with equal labels are already connected by pairs, and need no other pair
    size = max(1, COMPARED // max(len(vectors), 1))
    for start in range(0, len(vectors), size):
        cosines = vectors[start : start + size] @ vectors.T  # (rows in the block, all rows)
        for row in range(start, min(start + size, len(vectors))):
            others = np.flatnonzero(cosines[row - start, row + 1 :] >= ALIKE) + row + 1
            if not len(others):
                continue
            near = (np.bitwise_count(hashes[others] ^ hashes[row]) <= NEAR) & (hashes[others] != 0)
            others = others[~near] if hashes[row] else others
            for other in others[labels[others] != labels[row]].tolist():
                yield row, other
            labels[others] = labels[row]


def connected_rows(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the connected components of the rows 0 … count - 1 that have two or more rows.

    The rows of a component are in order; components are ordered by their first row.
    """
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for first, second in pairs:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    components: dict[int, list[int]] = {}
    for row in range(count):
        components.setdefault(root(row), []).append(row)
    return [rows for rows in components.values() if len(rows) > 1]


def find_duplicates(
    files: Mapping[int, list[FileFacts]],
    hashes: Callable[[], tuple[Ids, Hashes]],
    vectors: Callable[[], tuple[Ids, NDArray[np.floating[Any]]]],
    kinds: Collection[str],
) -> list[Group]:
    """Return the groups of duplicates of the wanted kinds.

    Args:
        files: the files of each picture (path, size in bytes, number of pixels), by its id.
        hashes, vectors: functions that return ids (n,) in ascending order with their perceptual hashes (n,), or with
            their vectors (n, D). They are called only if needed. A picture that is added or removed between the two
            calls is left out.
        kinds: any of "exact", "near", "semantic" (see the module).

    Raises:
        InputError: an unknown kind.
    """
    choices = f"Choose among {', '.join(KINDS)}."
    is_list = isinstance(kinds, Collection) and not isinstance(kinds, str | bytes)
    if not is_list or not all(isinstance(kind, str) for kind in kinds):
        raise InputError(f'kinds of duplicates are given as a list such as ["near"], got {kinds!r:.80}. {choices}')
    if unknown := set(kinds) - set(KINDS):
        raise InputError(f"unknown kind of duplicates '{min(unknown)}'. {choices}")
    pictures = {content: copies for content, copies in files.items() if scene_of(copies[0][0]) is None}
    result: list[Group] = []
    if "exact" in kinds:
        # the files of each video; a set, because every scene of a video gives the same files
        videos = {
            tuple((file_of(path), size, pixels) for path, size, pixels in copies)
            for copies in files.values()
            if scene_of(copies[0][0])
        }
        same = (*pictures.values(), *map(list, sorted(videos)))
        result = [_to_group("exact", copies) for copies in same if len(copies) > 1]
    if {"near", "semantic"}.isdisjoint(kinds):
        return result
    files = pictures
    there = np.array(sorted(files), np.int64)
    ids, phashes = hashes()
    ids, phashes = ids[here := common_positions(ids, there)], phashes[here]
    first_files = [files[int(each)][0] for each in ids]
    if "near" in kinds:
        result += _compare_near(first_files, phashes)
    if "semantic" in kinds:
        vector_ids, stored = vectors()
        rows_of = common_positions(ids, vector_ids)
        compared = stored[common_positions(vector_ids, ids)].astype(np.float32)
        alike = scene_pairs(compared, phashes[rows_of])
        together = ((int(rows_of[one]), int(rows_of[other])) for one, other in alike)
        result += [
            _to_group("semantic", [first_files[row] for row in rows]) for rows in connected_rows(len(ids), together)
        ]
    return result


def _compare_near(files: Sequence[FileFacts], hashes: Hashes) -> Iterator[Group]:
    """Open the files (n,) with near perceptual hashes (n,), and yield groups of copies of one picture.

    Each picture is compared with the largest of each group so far, the groups with the nearest hashes first. Where one
    of the two cannot be opened, near hashes are enough, and the group names the picture in `uncompared`.
    """
    opened = lru_cache(KEPT_OPEN)(lambda path: open_grey(openable(path)))
    for rows in connected_rows(len(files), near_pairs(hashes)):
        groups: dict[int, list[int]] = {}  # the row of each group's largest picture → all of the group's rows
        uncompared = set()
        for row in sorted(rows, key=lambda row: _rank(files[row])):
            largest = np.fromiter(groups, np.int64)
            apart = np.bitwise_count(hashes[largest] ^ hashes[row])
            for choice in np.argsort(apart, kind="stable")[:MOST_COMPARED].tolist():
                one, other = opened(files[int(largest[choice])][0]), opened(files[row][0])
                if (one is None or other is None) and apart[choice] <= NEAR:
                    uncompared.add(files[row][0])
                elif one is None or other is None or not is_copy(one, other):
                    continue
                groups[int(largest[choice])].append(row)
                break
            else:
                groups[row] = [row]
        for copies in groups.values():
            if len(copies) > 1:
                yield _to_group("near", [files[row] for row in copies], uncompared)


def distinct_files(copies: Iterable[FileFacts]) -> list[FileFacts]:
    """Return the files (path, bytes, pixels) of a picture that are on the disk, each file once.

    Further names (links) of the same file are left out: they take no disk space, and deleting the file itself because
    of a link would lose the picture. The first name that is not a symbolic link is returned.
    """
    found: dict[object, FileFacts] = {}
    for copy in copies:
        path = openable(file_of(copy[0]))
        try:
            about = os.stat(path)  # noqa: PTH116  (names that are not UTF-8 stay text)
        except OSError:
            if os.path.lexists(path):  # keep a broken link, but leave out a file that is gone
                found[path] = copy
            continue
        # a file is recognised by device and inode, or by its path if the file system has no inodes
        file = (about.st_dev, about.st_ino) if about.st_ino else path
        if file not in found or (_is_link(found[file][0]) and not _is_link(copy[0])):
            found[file] = copy
    return list(found.values())


def _is_link(path: str) -> bool:
    return os.path.islink(openable(file_of(path)))  # noqa: PTH114  (as above)


def _rank(file: FileFacts) -> tuple[int, int, bytes]:
    """Return a key that sorts a group's files: the one with most pixels first, then the one with most bytes."""
    return -file[2], -file[1], os.fsencode(file[0])


def _to_group(kind: str, files: list[FileFacts], uncompared: Collection[str] = ()) -> Group:
    paths = [path for path, _, _ in sorted(files, key=_rank)]
    spare = sum(size for path, size, _ in files if path != paths[0] and path not in uncompared)
    return Group(kind, tuple(paths), spare, tuple(path for path in paths if path in uncompared))
