"""Why indexing has stopped, as a word that a client puts into its reader's language.

The message itself names paths and stays in the server's log: whoever may only read pictures need not know them.
"""

import errno
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from araclip.errors import GalleryCorrupt, ModelError, WidthMismatch

Cause = Literal["full", "denied", "missing", "damaged", "model", "killed", "other"]
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def cause_of(error: Exception, folders: Sequence[str]) -> Cause:
    """The cause of an error of the process that indexes these folders.

    "full": the disk; "denied": no permission; "missing": a folder is gone; "damaged": the gallery's file; "model": it
    cannot be opened, or is not the gallery's.
    """
    if isinstance(error, OSError) and error.errno in _FULL:
        return "full"
    if isinstance(error, OSError) and error.errno in _DENIED:
        return "denied"
    if isinstance(error, GalleryCorrupt):
        return "damaged"
    if isinstance(error, ModelError | WidthMismatch):
        return "model"
    return "other" if all(Path(folder).is_dir() for folder in folders) else "missing"
