"""Texts for distillation, the student's and the teacher's: sources of parallel text, mixed by weight into batches.

The stream has no state. A batch is a function of seed, step and size, so a resumed run draws the same rows.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from araclip import bounded_json
from araclip.errors import DataError, RecipeError
from araclip.text.normalization import normalize
from araclip.training.data.limits import SLOTS, Chance, Positive, Rows, Template, has_slot
from araclip.training.data.noise import noisy
from araclip.training.data.pairs import Pair, fingerprint, read_pairs
from araclip.training.data.sampling import InterleavedSampler
from araclip.training.data.word_forms import in_dialect, with_english

__all__ = ["DIRECTIONS", "Mixture", "Pair", "Row", "Source", "fingerprint", "noisy", "read_pairs", "read_templates"]

Direction = Literal["en-ar", "en-en", "ar-ar"]  # the language of the teacher's text, then of the student's
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)


@dataclass(frozen=True)
class Source:
    """One file of pairs and how it enters the mixture.

    Attributes:
        path: a file that `read_pairs` reads; its "train" rows are used.
        weight: its part of each batch, relative to the other sources' weights.
        rows: use only so many pairs, evenly spread over the file; None for all.
        direction: "en-ar": the teacher reads English, the student Arabic. "en-en": both English. "ar-ar": both Arabic,
            for a teacher that knows it; the file needs no English column.
        noise: the chance that an Arabic student text passes `noisy`.
        dialects: the chance that an Arabic student text is put into a dialect's words, see `word_forms`.
        mixed: the chance that one word of an Arabic student text is English.
        templates: a JSON list of texts with a slot, {} or {c}, for files of short labels: half of the rows put
            the label into one of them, half have the bare label, as queries do. They are in the student's language.
        teacher_template: put around the English label when `templates` is set, as English CLIPs expect labels; one
            for all, so that each label costs one teacher vector. "{}" is the bare label.
    """

    path: Path
    weight: Positive = 1.0
    rows: Rows | None = None
    direction: Direction = "en-ar"
    noise: Chance = 0.0
    dialects: Chance = 0.0
    mixed: Chance = 0.0
    templates: Path | None = None
    teacher_template: Template = "a photo of a {}."


@dataclass(frozen=True)
class Row:
    """One text of a batch: `text` goes to the student, `english` to the teacher (Arabic in direction "ar-ar")."""

    text: str
    english: str
    source: str


class Mixture:
    """An endless stream of batches from several sources.

    Shares are exact, see `InterleavedSampler`. Within one epoch of a source, each of its distinct pairs comes once, in
    an order of that epoch; noise and templates are drawn anew each time.

    >>> mixture = Mixture([Source(Path("captions.tsv.xz"), weight=3, noise=0.3), Source(Path("names.tsv.xz"))], seed=1)
    >>> rows = mixture.batch(step=0, size=128)   # 96 captions, 32 names

    Args:
        sources: at least one.
        seed: of orders, noise and templates.

    Raises:
        RecipeError: no source, a weight that is not positive or too small for one row in 10,000, an unknown direction,
            a chance outside 0…1.
        DataError: a file cannot be used, or has fewer pairs than `rows` asks for.
    """

    def __init__(self, sources: Sequence[Source], seed: int) -> None:
        self.sources = tuple(sources)
        self.seed = seed
        for source in self.sources:
            _check(source)
        self._pairs = [_distinct_pairs(source) for source in self.sources]
        self._sampler = InterleavedSampler(self.sizes, [source.weight for source in self.sources], seed)
        self._templates = [read_templates(s.templates) if s.templates else () for s in self.sources]

    def batch(self, step: int, size: int) -> list[Row]:
        """Rows of slots step · size to (step + 1) · size; the same for the same seed, sources, step and size."""
        return [self._row(slot) for slot in range(step * size, (step + 1) * size)]

    @property
    def sizes(self) -> list[int]:
        """Distinct pairs of each source: the rows of one of its epochs."""
        return [len(pairs) for pairs in self._pairs]

    @property
    def shares(self) -> list[float]:
        """Part of each source in the stream, 0…1, in sum 1."""
        return self._sampler.shares

    @property
    def fingerprint(self) -> str:
        """Changes with any pair that can be drawn, not with weights, noise or templates."""
        return fingerprint(pair for pairs in self._pairs for pair in pairs)

    @property
    def templates_fingerprint(self) -> str:
        """Changes with any template."""
        return hashlib.sha256(repr(self._templates).encode()).hexdigest()[:12]

    def teacher_texts(self, rows: int | None = None) -> list[str]:
        """Every distinct text that a teacher has to encode: the rows' `english`, of the first `rows` or of all."""
        if rows is not None and rows < sum(self.sizes):
            return list(dict.fromkeys(self._row(slot).english for slot in range(rows)))
        return list(
            dict.fromkeys(
                self._teacher_text(source, pair)
                for source, pairs in zip(self.sources, self._pairs, strict=True)
                for pair in pairs
            )
        )

    def _row(self, slot: int) -> Row:
        which, index, earlier = self._sampler.draw(slot)
        source, pair = self.sources[which], self._pairs[which][index]
        rng = random.Random(f"{self.seed} {which} {earlier}")
        text = pair.english if source.direction == "en-en" else pair.arabic
        if self._templates[which] and rng.random() < 0.5:
            text = _fill(rng.choice(self._templates[which]), text)
        if source.direction != "en-en":
            for chance, change in ((source.dialects, in_dialect), (source.mixed, with_english), (source.noise, noisy)):
                if chance and rng.random() < chance:
                    text = change(text, rng)
        return Row(text, self._teacher_text(source, pair), pair.source)

    def _teacher_text(self, source: Source, pair: Pair) -> str:
        if source.direction == "ar-ar":
            return pair.arabic
        return _fill(source.teacher_template, pair.english) if source.templates else pair.english


def read_templates(path: Path) -> tuple[str, ...]:
    """The templates of a JSON list, each with one slot, {} or {c}.

    Raises:
        DataError: no such file, no list of texts, or a text without exactly one slot; its number is named.
    """
    try:
        templates = bounded_json.read(path, error=DataError)
    except DataError as error:
        fault = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise DataError(f"{path} cannot be read as JSON ({fault}). Expected a list of texts with a slot.") from None
    if not isinstance(templates, list) or not templates:
        raise DataError(f"{path} holds no list of templates. Expected a list such as {['صورة {}']}.")
    for number, template in enumerate(templates, 1):
        if not isinstance(template, str) or not has_slot(template):
            raise DataError(f"{path}, template {number}: {template!r:.60}, expected a text with one {{}} or {{c}}.")
    return tuple(templates)


def _fill(template: str, label: str) -> str:
    for slot in SLOTS:
        template = template.replace(slot, label)
    return normalize(template)


def _check(source: Source) -> None:
    if source.direction not in DIRECTIONS:
        raise RecipeError(
            f"source {source.path}: direction is '{source.direction}', known are {', '.join(DIRECTIONS)}. "
            "The first half is what the teacher reads, the second what the student reads."
        )
    for name in ("noise", "dialects", "mixed"):
        if not 0 <= (chance := getattr(source, name)) <= 1:
            raise RecipeError(f"source {source.path}: {name} is {chance}, expected a chance from 0 to 1.")
    if source.rows is not None and source.rows < 1:
        raise RecipeError(f"source {source.path}: rows is {source.rows}, expected 1 or more, or none for all.")
    if not has_slot(source.teacher_template):
        raise RecipeError(f"source {source.path}: teacher_template {source.teacher_template!r} needs one slot {{}}.")


def _distinct_pairs(source: Source) -> list[Pair]:
    # A pair that a file holds twice, with another source or license, comes once an epoch.
    read = read_pairs(source.path, arabic_only=source.direction == "ar-ar")
    pairs = list({(pair.english, pair.arabic): pair for pair in read}.values())
    if source.rows is None:
        return pairs
    if source.rows > len(pairs):
        raise DataError(f"{source.path} has {len(pairs)} distinct pairs, rows asks for {source.rows}. Ask for fewer.")
    return [pairs[i * len(pairs) // source.rows] for i in range(source.rows)]
