"""The writer's lock of a gallery in a folder: one process at a time changes it, the others wait for their turn.

A run that ingests pictures holds it for each commit only, and decodes and encodes without it, so that any number of
`araclip index`, watchers and servers write one gallery side by side. Re-embedding, repairing and compacting hold it to
their end.
"""

import logging
from contextlib import AbstractContextManager
from pathlib import Path

from araclip.core import atomic

PATIENCE_S = 60.0  # a commit takes less than a second; what takes longer than this is worth an error that names it

log = logging.getLogger("araclip")


def writer_lock(folder: Path, *, patience: float | None = None) -> AbstractContextManager[None]:
    """Hold the lock of the gallery in `folder` for the length of a `with` block.

    Args:
        patience: seconds to wait for other processes, PATIENCE_S by default; a warning is logged after two seconds.

    Raises:
        GalleryLocked: another process holds it for longer.
        OSError: the folder cannot be written.
    """
    patience = PATIENCE_S if patience is None else patience
    return atomic.single_writer(folder / "lock", patience=patience, waiting=log.warning)
