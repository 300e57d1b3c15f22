"""Where the pictures of a set lie: below its own folder, or below another one that its user names, and nowhere else.

A list of captions may come from a stranger. The pictures that it names end up in reports and in models, so a path that
leads out of the set, by its form or through a symbolic link, is refused.
"""

import os
from pathlib import Path

from araclip.errors import InputError

MAX_NAME = 4096  # bytes of a path, as the system allows


class PictureFiles:
    """Resolves the names in a set's list.

    Args:
        folders: in which a name is looked up, in this order; a name that is nowhere is in the first.
        roots: below which a picture must lie, by default the folders. Symbolic links count as what they lead to.
        remedy: ends the message about a picture that lies elsewhere.
    """

    def __init__(self, *folders: Path, roots: tuple[Path, ...] = (), remedy: str = "") -> None:
        self.folders = folders
        self.roots = [os.path.realpath(root) for root in roots or folders]
        self.remedy = remedy or "Move it there, or name the folder that holds it (--images, in a recipe `images`)."
        self._real: dict[str, str] = {}  # of parents, which many pictures share

    def path(self, name: str, where: str) -> Path:
        """The file of a picture's name; it need not exist.

        Args:
            where: file and line of the name, for messages.

        Raises:
            InputError: the name is no file's, or leads out of the set.
        """
        if "\0" in name or not _is_encodable(name):
            raise InputError(f"{where}: {name!r:.80} cannot be a file's name. Correct it.")
        candidates = [folder / name for folder in self.folders]
        found = next((path for path in candidates if path.is_file()), candidates[0])
        if not self._is_inside(found):
            raise InputError(f"{where}: the picture {name!r:.200} lies outside of {self.roots[0]}. {self.remedy}")
        return found

    def _is_inside(self, path: Path) -> bool:
        parent = str(path.parent)
        if parent not in self._real:
            self._real[parent] = os.path.realpath(parent)
        real = os.path.join(self._real[parent], path.name)  # noqa: PTH118  (of the real parent; normalised below)
        if path.name == ".." or path.is_symlink():
            real = os.path.realpath(path)
        return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in self.roots)


def _is_encodable(name: str) -> bool:
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return len(encoded) <= MAX_NAME and all(len(part) <= 255 for part in encoded.split(b"/"))
