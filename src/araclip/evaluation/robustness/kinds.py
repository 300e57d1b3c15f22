"""The kinds of robustness: how a caption is rewritten, by name, in the order of the table. Deterministic."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from araclip.errors import InputError
from araclip.evaluation.robustness import rewriting, spelling
from araclip.evaluation.robustness.lexicon import DIALECTS

SPELLING, DIALECT, LATIN = "spelling", "dialect", "Latin letters"
HELD_OUT = "held-out words"


@dataclass(frozen=True)
class Kind:
    """A way to rewrite a caption; `rewrite` takes the text and a generator that depends on the text, kind and seed."""

    name: str
    group: str
    rewrite: Callable[[str, random.Random], str]

    def __call__(self, text: str, seed: int = 0) -> str:
        """The text rewritten: the same for the same text and seed, on every machine."""
        drawn = hashlib.sha256(f"{seed}\t{self.name}\t{text}".encode(errors="surrogatepass")).digest()
        return self.rewrite(text, random.Random(int.from_bytes(drawn[:8])))


def _dialect(name: str, only_held_out: bool) -> Kind:
    label = f"{name}, {HELD_OUT}" if only_held_out else name
    return Kind(label, DIALECT, lambda text, _: rewriting.in_dialect(text, name, only_held_out=only_held_out))


KINDS = (
    Kind("without hamza", SPELLING, lambda text, _: spelling.without_hamza(text)),
    Kind("ه for ة", SPELLING, lambda text, _: spelling.ha_for_ta_marbuta(text)),
    Kind("ى for ي", SPELLING, lambda text, _: spelling.alef_maqsura_for_ya(text)),
    Kind("joined words", SPELLING, spelling.joined_words),
    Kind("split word", SPELLING, spelling.split_word),
    Kind("repeated letter", SPELLING, spelling.repeated_letter),
    Kind("one typo", SPELLING, spelling.typo),
    Kind("without tashkeel", SPELLING, lambda text, _: spelling.without_tashkeel(text)),
    Kind("with tashkeel", SPELLING, spelling.with_tashkeel),
    Kind("Persian letters", SPELLING, lambda text, _: spelling.persian_letters(text)),
    *(_dialect(name, False) for name in DIALECTS),
    *(_dialect(name, True) for name in DIALECTS),
    Kind("Arabizi", LATIN, rewriting.in_latin_letters),
    Kind(
        f"Arabizi, {HELD_OUT}",
        LATIN,
        lambda text, draw: rewriting.in_latin_letters(text, draw, only_held_out=True),
    ),
)


def kinds_by_name(names: Sequence[str]) -> tuple[Kind, ...]:
    """The kinds of these names or groups; all if none is named.

    Raises:
        InputError: an unknown name.
    """
    known = {kind.name for kind in KINDS} | {kind.group for kind in KINDS}
    for name in names:
        if name not in known:
            raise InputError(f"no kind of robustness is called '{name}'. Known are {', '.join(sorted(known))}.")
    return tuple(kind for kind in KINDS if not names or kind.name in names or kind.group in names)
