"""Reads lists of labels for `araclip tag`: the bundled text/data/labels.txt, or a user's own list in the same form.

    [حيوانات; animals]
    قطة; cat; 0.4  # of 69 pictures .81 are right

A line has one label: its Arabic name, its English name, and the least probability at which a picture gets it. The last
two may be left out, and what follows # is a remark. A line in brackets names the group of the labels below it. Labels
below the group [-] only compete with the others: no picture gets them. docs/commands.md describes the form for users.
"""

import os
import re
from dataclasses import dataclass
from importlib.resources import files

from araclip.core.files import open_regular
from araclip.core.paths import user_path
from araclip.errors import InputError
from araclip.text.normalization import normalize

BUNDLED = "everyday"
MAX_BYTES = 1_000_000
_COMPETES_ONLY = "-"


@dataclass(frozen=True)
class Label:
    """One label for pictures, as a line of a list of labels gives it, with its group ("" if it has none).

    `least` is the probability from which on a picture gets the label; None if the line names no probability.
    """

    arabic: str
    english: str = ""
    group: str = ""
    group_english: str = ""
    least: float | None = None

    @property
    def competes_only(self) -> bool:
        """True if the label only competes with other labels: a picture never gets it."""
        return self.group == _COMPETES_ONLY


def read_labels(source: str | os.PathLike[str]) -> tuple[Label, ...]:
    """Read the labels of a file, or the bundled ones if `source` is "everyday".

    Raises:
        InputError: the file cannot be read or is too large, a line has another form, or there are fewer than two
            labels.
    """
    if str(source) == BUNDLED:
        return parse_labels(files("araclip.text").joinpath("data", "labels.txt").read_text(encoding="utf-8"), BUNDLED)
    try:
        with open_regular(user_path(source)) as file:  # refuses a pipe, which would be waited for
            read = file.read(MAX_BYTES + 1)
        text = read.decode("utf-8-sig") if len(read) <= MAX_BYTES else ""
    except (OSError, ValueError) as error:
        raise InputError(f"{source}: cannot be read as UTF-8 text ({error}). Write one label a line.") from None
    if len(read) > MAX_BYTES:
        raise InputError(f"{source}: more than {MAX_BYTES:,} bytes. A list of labels has one a line.")
    return parse_labels(text, str(source))


def parse_labels(text: str, name: str) -> tuple[Label, ...]:
    """Parse a list of labels. If two lines have the same Arabic name, the first line counts.

    Args:
        name: the file's name, for messages.

    Raises:
        InputError: as for `read_labels`.
    """
    group, found = [""], dict[str, Label]()
    for number, whole in enumerate(text.splitlines(), 1):
        line = whole.partition("#")[0]
        if not line.strip():
            continue
        heading = re.fullmatch(r"\s*\[(.+)\]\s*", line)
        parts = [normalize(part) for part in re.split("[;؛]", heading[1] if heading else line)]
        if not parts[0] or any("|" in part for part in parts) or len(parts) > (2 if heading else 3):
            form = "[GROUP; GROUP IN ENGLISH]" if heading else "ARABIC; ENGLISH; LEAST PROBABILITY"
            raise InputError(f"{name}, line {number}: «{line.strip():.60}» is not written {form}, without |.")
        if heading:
            group = parts
            continue
        try:
            least = float(parts[2]) if parts[2:] else None
        except ValueError:
            least = -1
        if least is not None and not 0 < least <= 1:
            raise InputError(f"{name}, line {number}: «{parts[2]:.60}» is no probability. Write one such as 0.4.")
        english = parts[1] if parts[1:] else ""
        found.setdefault(parts[0], Label(parts[0], english, group[0], group[1] if group[1:] else "", least))
    if len(found) < 2:
        raise InputError(f"{name} has {len(found)} labels. Write at least two, one a line, so that one can be chosen.")
    return tuple(found.values())
