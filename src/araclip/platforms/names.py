"""Names of files where systems differ: letters that are one name, and paths that are too long for Windows."""

import contextlib
import ntpath
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

from araclip.platforms import system

LONG = 248  # letters: of a folder's path on Windows without the setting for longer ones; a file's may have 260
_LONG_PATH = "\\\\?\\"
_LONG_SHARE = "\\\\?\\UNC"


def openable(path: str) -> str:
    r"""The path as it has to be opened: on Windows a long one with the prefix \\?\, elsewhere as it is."""
    if not system.windows() or len(path) < LONG or path.startswith(_LONG_PATH) or not ntpath.isabs(path):
        return path
    plain = ntpath.normpath(path)  # such a path is not looked at: no /, no .. may be in it
    return _LONG_SHARE + plain[1:] if plain.startswith("\\\\") else _LONG_PATH + plain


def lexists(path: str) -> bool:
    """Whether something has this path, a link that leads nowhere too."""
    return os.path.lexists(openable(path))


def as_stored(path: Path) -> Path:
    """An absolute path with the spelling that its folders list, so that one picture has one path.

    On macOS and Windows «Photos» and «photos» are one folder. macOS takes «أ» composed (U+0623) and decomposed (U+0627
    U+0654) for one letter; disks that come from there hold both, and a keyboard types the first. Elsewhere a path that
    exists stays as it is, and of one that does not, names in the other composition are taken.
    """
    fold = _folded if system.folds_names() else _composed
    if fold is _composed and lexists(str(path)):
        return path
    found = Path(path.anchor)
    for count, part in enumerate(path.parts[1:], 2):
        name = _listed(found, part, fold)
        if name is None:
            return found.joinpath(*path.parts[count - 1 :])
        found /= name
    return found


def _listed(folder: Path, name: str, fold: Callable[[str], str]) -> str | None:
    """The entry of a folder that a name means; None if there is none, or several, or the folder cannot be read."""
    names: list[str] = []
    with contextlib.suppress(OSError):
        names = os.listdir(openable(str(folder)))  # noqa: PTH208  (names that are not UTF-8 stay text)
    if name in names:
        return name
    alike = [each for each in names if fold(each) == fold(name)]
    return alike[0] if len(alike) == 1 else None


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    return _composed(name).casefold()
