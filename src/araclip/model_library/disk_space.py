"""Whether a disk has the space that something takes, asked before it begins."""

import shutil
from pathlib import Path

from araclip.errors import InputError

SPARE = 200_000_000  # bytes that stay free, so that other programs go on


def check_space(place: Path, needed: int, what: str) -> None:
    """Refuse what the disk at a place, which need not exist yet, has no room for.

    Raises:
        InputError: fewer than `needed` bytes are free there; both numbers are named.
    """
    there = place.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if needed and free < needed + SPARE:
        raise InputError(
            f"{what} takes {needed / 1e6:,.0f} MB at {place}, where {free / 1e6:,.0f} MB are free. Free some space, or "
            "choose another disk (--out, $ARACLIP_DATA; for downloads $HF_HOME)."
        )
