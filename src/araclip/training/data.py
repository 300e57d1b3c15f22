"""Parallel text for distillation: `*.tsv.xz` with a header line (`en`, `ar`, optional split column)."""

import lzma
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from araclip.arabic import normalize


@dataclass(frozen=True)
class Pair:
    """One row of parallel text."""

    english: str
    arabic: str
    source: str


def read_pairs(path: Path) -> Iterator[Pair]:
    """Training rows of one parallel file; rows marked `dev` are left out."""
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        header = next(lines).rstrip("\n").split("\t")
        split = next((i for i, name in enumerate(header) if name.endswith("split")), None)
        for line in lines:
            cells = line.rstrip("\n").split("\t")
            if len(cells) < len(header) or (split is not None and cells[split] != "train"):
                continue
            english, arabic = normalize(cells[0]), normalize(cells[1])
            if english and arabic:
                yield Pair(english, arabic, path.name.removesuffix(".tsv.xz"))


_ALEF_FORMS = str.maketrans("أإآ", "ااا")


def noisy(text: str, dice: random.Random) -> str:
    """Text as people type it: hamza dropped, ta marbuta and ha or alef maqsura and ya confused, a letter slipped."""
    if dice.random() < 0.5:
        text = text.translate(_ALEF_FORMS)
    words = text.split(" ")
    for i, word in enumerate(words):
        if dice.random() < 0.3 and len(word) > 2:
            words[i] = word[:-1] + {"ة": "ه", "ى": "ي", "ي": "ى"}.get(word[-1], word[-1])
        elif dice.random() < 0.05 and len(word) > 4:
            at = dice.randrange(1, len(word) - 1)
            words[i] = word[:at] + dice.choice(["", word[at] * 2]) + word[at + 1 :]
    return " ".join(words)
