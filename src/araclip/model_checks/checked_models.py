"""What was checked before by this user, remembered by its content: an empty check costs as much as a good one."""

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from araclip.core import atomic


def is_remembered(content: Sequence[object]) -> bool:
    """Whether a check of this content was passed; `content` is all that its outcome depends on, as JSON has it."""
    try:
        return _marker(content).is_file()
    except OSError:  # another user's cache
        return False


def remember(content: Sequence[object], label: str) -> None:
    """Remember that a check was passed; `label` is for people who look into the folder."""
    marker = _marker(content)
    with suppress(OSError):  # read-only or full: it is checked again next time
        marker.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(marker, label)


def checked_models() -> Path:
    """The folder that remembers what was checked: $ARACLIP_CHECKED_MODELS, or one in the user's cache directory."""
    named = os.environ.get("ARACLIP_CHECKED_MODELS")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs  # here, since a bundled model needs none

    return platformdirs.user_cache_path("araclip") / "checked-models"


def _marker(content: Sequence[object]) -> Path:
    return checked_models() / hashlib.sha256(json.dumps(content).encode()).hexdigest()
