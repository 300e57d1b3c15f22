"""The writer's lock of a gallery in a folder: only one process at a time changes the gallery, the others wait.

A run that ingests pictures holds the lock only during each commit, not while it decodes and encodes. So any number of
`araclip index` runs, watchers and servers can write to one gallery side by side. Re-embedding, repairing and compacting
hold the lock until they end.
"""

import logging
from contextlib import AbstractContextManager
from pathlib import Path

from araclip.core import atomic

PATIENCE_S = 60.0  # seconds to wait for another writer before an error is raised; a commit takes less than a second

log = logging.getLogger("araclip")


def writer_lock(folder: Path, *, patience: float | None = None) -> AbstractContextManager[None]:
    """Hold the lock of the gallery in `folder` for the length of a `with` block.

    Args:
        patience: seconds to wait for other processes, PATIENCE_S by default; a warning is logged after two seconds.

    Raises:
        GalleryLocked: another process holds the lock for longer than `patience`.
        OSError: the folder cannot be written.
    """
    patience = PATIENCE_S if patience is None else patience
    return atomic.single_writer(folder / "lock", patience=patience, waiting=log.warning)
