"""Rewrites captions as people type them: misspelt, in a dialect, in Latin letters (Arabizi).

The words of dialects and Latin letters are the evaluation's own: neither the interpreter of queries nor training reads
`lexicon.tsv`, so that neither is tested on words that it was given. A third of the words is held out: figures on these
words are reported separately, and must not be used to tune anything (`held_out`). A text that cannot be rewritten comes
back unchanged. Random choices come from a seed.
"""

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from araclip.errors import InputError
from araclip.text.normalization import normalize

DIALECTS = ("Egyptian", "Levantine", "Gulf", "Iraqi", "Moroccan")
ARABIZI = "arabizi"
COLUMNS = ("kind", "standard", ARABIZI, *DIALECTS)
UNCHANGED = "-"
ONE_IN = 3  # one in this many families of words (with the same first consonants) is held out, see `held_out`

# Words of one letter, and the article, that are written together with the next word; the empty prefix comes first.
PREFIXES = ("", "و", "ف", "ب", "ل", "ك", "ال", "وال", "بال", "فال", "كال", "لل", "ولل", "وب", "ول")
_PRESENT_PREFIXES = {  # dialect → what comes before a verb in the present tense: (for "he" and "they", for "she")
    "Egyptian": ("ب", "بت"),
    "Levantine": ("عم ", "عم ت"),
    "Gulf": ("قاعد ", "قاعدة ت"),
    "Iraqi": ("د", "دت"),
    "Moroccan": ("ك", "كت"),
}
_WEAK_LETTERS = re.compile("[اأإآىيوةءئؤ]")


@dataclass(frozen=True)
class Entry:
    """A word of Modern Standard Arabic in the lexicon: its forms in dialects and in Arabizi.

    `forms` maps a dialect to the word used in it, if that differs from the standard word. It maps ARABIZI to the word
    in Latin letters.
    `held_out`: True if figures on this word are reported separately, see the function `held_out`.
    """

    forms: Mapping[str, str]
    held_out: bool


def held_out(word: str) -> bool:
    """True if a word (without article and prefixes) is in the third of all words whose figures are reported separately.

    Words with the same first three consonants are held out together, so that طفل and أطفال are not separated.
    """
    family = _WEAK_LETTERS.sub("", word.split(maxsplit=1)[0])[:3]
    return hashlib.sha256(family.encode()).digest()[0] % ONE_IN == 0


@cache
def lexicon() -> dict[str, Entry]:
    """Return standard form → entry, for every word and every inflection of a verb in `lexicon.tsv`."""
    return read_lexicon(Path(__file__).with_name("lexicon.tsv"))


def read_lexicon(path: Path) -> dict[str, Entry]:
    """Read a table like `lexicon.tsv`; return its entries by standard form. A wrong line is named in an InputError."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("#") or not line.strip() or line.split("\t") == list(COLUMNS):
            continue
        cells = line.split("\t")
        if len(cells) != len(COLUMNS) or cells[0] not in _FORMS_OF_KIND:
            raise InputError(
                f"{path} line {number}: {len(cells)} columns of kind '{cells[0]}', expected {len(COLUMNS)} of kind "
                f"{', '.join(_FORMS_OF_KIND)}. Columns, between tabs: {', '.join(COLUMNS)}."
            )
        standard, words = cells[1], dict(zip(COLUMNS[2:], cells[2:], strict=True))
        for form, written in _FORMS_OF_KIND[cells[0]](standard, words).items():
            entries.setdefault(form, Entry(written, held_out(standard)))
    return entries


def _word_forms(standard: str, words: Mapping[str, str]) -> dict[str, dict[str, str]]:
    return {standard: {name: word for name, word in words.items() if word != UNCHANGED}}


def _verb_forms(standard: str, words: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return each present form of a verb in dialects and in Arabizi: بيلعب, عم يلعب, قاعد يلعب, ديلعب.

    Each standard form is mapped to its forms by dialect or ARABIZI. `words`: the form for "he" by dialect or ARABIZI.
    """
    forms = _present_forms(standard, words[ARABIZI])
    for dialect in DIALECTS:
        he, *rest = words[dialect].split(" ")
        they, she = _PRESENT_PREFIXES[dialect]
        after = "".join(f" {word}" for word in rest)
        plural = he.removesuffix("ى").removesuffix("ي").removesuffix("ا") + "وا"
        for form, written in forms.items():
            verb = they + plural if _is_plural(form, standard) else they + he if form.startswith("ي") else she + he[1:]
            written[dialect] = verb + after
    return forms


def _participle_forms(standard: str, words: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Map the present forms of the verb `standard` to their forms by dialect or ARABIZI.

    The dialects express the verb by an active participle (لابس, لابسة, لابسين). `words` has the form for "he", by
    dialect or ARABIZI.
    """
    forms = _present_forms(standard, words[ARABIZI])
    for dialect in DIALECTS:
        for form, written in forms.items():
            ending = "ين" if _is_plural(form, standard) else "" if form.startswith("ي") else "ة"
            written[dialect] = words[dialect] + ending
    return forms


_FORMS_OF_KIND = {"n": _word_forms, "v": _verb_forms, "p": _participle_forms}


def _present_forms(standard: str, arabizi: str) -> dict[str, dict[str, str]]:
    """Return each present form of a verb, with {ARABIZI: its Arabizi}: يلعب → تلعب, يلعبون, يلعبان, تلعبان, يلعبن …

    `arabizi` is the Arabizi of the form for "he" (yel3ab → tel3ab, yel3abo); UNCHANGED: the forms get no Arabizi.
    """
    short = standard[1:].removesuffix("ي").removesuffix("ى")
    dual = standard[1:].removesuffix("ى") + ("يان" if standard.endswith("ى") else "ان")
    forms = [standard, f"ت{standard[1:]}", f"ي{short}ون", f"ت{short}ون", f"ي{dual}", f"ت{dual}"]
    forms += [f"ي{standard[1:]}ن", f"ت{standard[1:]}ن"]
    if arabizi == UNCHANGED:
        return {form: {} for form in forms}
    verbs = {form: arabizi if form.startswith("ي") else f"t{arabizi[1:]}" for form in forms}
    return {
        form: {ARABIZI: verb.rstrip("i") + "o" if _is_plural(form, standard) else verb} for form, verb in verbs.items()
    }


def _is_plural(form: str, standard: str) -> bool:
    return len(form) > len(standard)


_ARABIC_WORD = re.compile("[\u0621-\u063a\u0641-\u064a\u0671-\u06d3]+")
_ARTICLE = {"ال": "el ", "وال": "w el ", "بال": "bel ", "فال": "fel ", "كال": "kal ", "لل": "lel ", "ولل": "w lel "}
_ARABIZI_PREFIXES = {"": "", "و": "w ", "ف": "f", "ب": "b", "ل": "l", "ك": "k", "وب": "w b", "ول": "w l", **_ARTICLE}

# Two habits of writing Arabic in Latin letters: Egypt's, and that of the Levant and the Gulf. Each caption is written
# in only one of them.
_SHARED = {
    **dict.fromkeys("اأآ", "a"), "إ": "e", "ى": "a", "ة": "a", "ء": "2", "ؤ": "2", "ئ": "2", "ب": "b", "ت": "t",
    "ج": "g", "ح": "7", "خ": "kh", "د": "d", "ذ": "z", "ر": "r", "ز": "z", "س": "s", "ش": "sh", "ص": "s", "ض": "d",
    "ط": "t", "ظ": "z", "ع": "3", "غ": "gh", "ف": "f", "ق": "2", "ك": "k", "ل": "l", "م": "m", "ن": "n", "ه": "h",
    "ث": "s", "پ": "p", "چ": "ch", "ڤ": "v", "گ": "g",
}  # fmt: skip
_HABITS = (_SHARED, {**_SHARED, "ج": "j", "خ": "5", "ق": "q", "ث": "th", "ذ": "th", "ص": "9", "ط": "6", "غ": "3'"})
_OTHER_HABIT = (("kh", "5"), ("gh", "3'"), ("g", "j"))  # (lexicon's letters, letters in the Levant and the Gulf)


def in_dialect(text: str, dialect: str, *, only_held_out: bool = False) -> str:
    """Replace every word that the lexicon has in `dialect`; other words stay.

    Args:
        dialect: one of DIALECTS.
        only_held_out: replace only the third of the words that is kept apart for a separate figure (`held_out`).
    """

    def replace_word(prefix: str, entry: Entry | None, stem: str) -> str:
        word = entry.forms.get(dialect) if entry and (entry.held_out or not only_held_out) else None
        return prefix + (stem if word is None else word)

    return _replace_words(text, replace_word)


def in_latin_letters(text: str, draw: random.Random, *, only_held_out: bool = False) -> str:
    """Write `text` in Arabizi: words of the lexicon as people write them, other words letter by letter, vowels guessed.

    `only_held_out`: rewrite only words that are kept apart for a separate figure (`held_out`); other words stay.
    """
    habit = draw.randrange(len(_HABITS))

    def replace_word(prefix: str, entry: Entry | None, stem: str) -> str:
        if only_held_out and not (entry.held_out if entry else held_out(stem)):
            return prefix + stem
        known = entry.forms.get(ARABIZI) if entry else None
        if known is None:
            known = _transliterate(stem, habit, draw)
        elif habit:
            for usual, other in _OTHER_HABIT:
                known = known.replace(usual, other)
        return _ARABIZI_PREFIXES[prefix] + known

    return _replace_words(text, replace_word)


def _replace_words(text: str, replace_word: Callable[[str, Entry | None, str], str]) -> str:
    """Replace each word, or each pair of words that is one entry of the lexicon, by the result of `replace_word`.

    `replace_word` takes the prefixes written together with the word, its entry (None for an unknown word) and its stem.
    """
    out, at = [], 0
    words = list(_ARABIC_WORD.finditer(text))
    i = 0
    while i < len(words):
        first = words[i]
        if first.start() < at:  # skip a word that was replaced together with the word before it
            i += 1
            continue
        out.append(text[at : first.start()])
        pair = None
        if i + 1 < len(words) and text[first.end() : words[i + 1].start()] == " ":
            pair = _split_known_word(text[first.start() : words[i + 1].end()])
        prefix, entry, stem = pair or _split_known_word(first.group()) or _split_article(first.group())
        out.append(replace_word(prefix, entry, stem))
        at = words[i + 1].end() if pair else first.end()
        i += 1
    return "".join(out) + text[at:]


def _split_known_word(word: str) -> tuple[str, Entry, str] | None:
    """Split a word, or two words with one entry, into a prefix of PREFIXES and a stem that the lexicon has.

    Return the prefix, the stem's entry and the stem as written; None if the lexicon has no such stem.
    """
    words = lexicon()
    for prefix in PREFIXES:
        stem = word[len(prefix) :]
        for known in (stem, stem.removesuffix("ا")):  # «قميصا» is the accusative of «قميص», "shirt"
            if word.startswith(prefix) and (entry := words.get(known)):
                return prefix, entry, stem
    return None


def _split_article(word: str) -> tuple[str, None, str]:
    """Split an article off an unknown word, if three letters or more stay: return prefix, None (no entry) and stem."""
    prefix = next((p for p in _ARTICLE if word.startswith(p) and len(word) >= len(p) + 3), "")
    return prefix, None, word[len(prefix) :]


def _transliterate(word: str, habit: int, draw: random.Random) -> str:
    """Write an Arabic word in Latin letters (Arabizi). `habit` is the row of _HABITS that spells its letters.

    The spelling of a long vowel is drawn at random. A short vowel, which Arabic does not write, is guessed between two
    consonants.
    """
    out, after_consonant = "", False
    for i, letter in enumerate(word):
        if letter in "وي" and i and (after_consonant or i + 1 == len(word)):  # و or ي as a long vowel
            out += draw.choice(("o", "oo", "ou") if letter == "و" else ("i", "ee"))
            after_consonant = False
            continue
        latin = {"و": "w", "ي": "y"}.get(letter) or _HABITS[habit].get(letter, letter)
        is_vowel = latin in ("a", "e")
        if after_consonant and not is_vowel and not (i + 1 == len(word) and i > 1 and draw.random() < 0.3):
            out += draw.choice("aaei")
        out += latin
        after_consonant = not is_vowel
    return out


_LETTER = "\u0621-\u063a\u0641-\u064a\u0671-\u06d3a-zA-Z"
_WORD = re.compile(f"[{_LETTER}]+")
_ARABIC = re.compile("[\u0621-\u063a\u0641-\u064a]")
_WITHOUT_HAMZA = str.maketrans("أإآؤئ", "اااوي")
_PERSIAN = str.maketrans("كيى", "کیی")
_VOWELS = "\u064e\u064f\u0650\u0652"  # vowel marks: fatha (a), damma (u), kasra (i), sukun (no vowel)
# The rows of letters on an Arabic and on an English keyboard.
_KEY_ROWS = ("ضصثقفغعهخحجد", "شسيبلاتنمكط", "ئءؤرىةوزظ", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEARBY = {letter: row[max(i - 1, 0) : i] + row[i + 1 : i + 2] for row in _KEY_ROWS for i, letter in enumerate(row)}


def without_hamza(text: str) -> str:
    """Leave hamzas out: أحمر → احمر, شاطئ → شاطي, سماء → سما."""
    return re.sub(f"(?<=[{_LETTER}])ء(?![{_LETTER}])", "", text.translate(_WITHOUT_HAMZA))


def ha_for_ta_marbuta(text: str) -> str:
    """Replace ة by ه: قطة → قطه."""
    return text.replace("ة", "ه")


def alef_maqsura_for_ya(text: str) -> str:
    """Replace ي at the end of a word by ى, as in Egyptian print: صبي → صبى."""
    return re.sub(f"ي(?![{_LETTER}])", "ى", text)


def persian_letters(text: str) -> str:
    """Replace ك by ک, and ي and ى by ی: letters of a Persian or Urdu keyboard that look like them."""
    return text.translate(_PERSIAN)


def with_tashkeel(text: str, draw: random.Random) -> str:
    """Add a random vowel mark after most letters; a model should ignore the marks."""
    return _ARABIC.sub(lambda letter: letter.group() + (draw.choice(_VOWELS) if draw.random() < 0.7 else ""), text)


def joined_words(text: str, draw: random.Random) -> str:
    """Remove one space between two words."""
    spaces = [at for at, letter in enumerate(text) if letter == " "]
    if not spaces:
        return text
    at = draw.choice(spaces)
    return text[:at] + text[at + 1 :]


def split_word(text: str, draw: random.Random) -> str:
    """Put a space inside one word of four letters or more."""
    word = _draw_word(text, 4, draw)
    if word is None:
        return text
    at = word.start() + draw.randrange(2, len(word.group()) - 1)
    return f"{text[:at]} {text[at:]}"


def repeated_letter(text: str, draw: random.Random) -> str:
    """Write a letter inside or at the end of a word two to four times: جمييل, كللللب."""
    word = _draw_word(text, 3, draw)
    if word is None:
        return text
    at = word.start() + draw.randrange(1, len(word.group()))
    return text[:at] + text[at] * draw.randrange(1, 4) + text[at:]


def typo(text: str, draw: random.Random) -> str:
    """Make a typo in a word of three letters or more: a letter left out, or swapped with the next, or a neighbouring
    key added or taken instead."""
    word = _draw_word(text, 3, draw)
    if word is None:
        return text
    while True:
        at = word.start() + draw.randrange(len(word.group()))
        letter = text[at]
        neighbours = _NEARBY.get(letter.lower(), "") or letter
        change = draw.choice(("left out", "added", "replaced", "swapped"))
        if change == "left out":
            mistyped = text[:at] + text[at + 1 :]
        elif change == "added":
            mistyped = text[: at + 1] + draw.choice(neighbours) + text[at + 1 :]
        elif change == "replaced":
            mistyped = text[:at] + draw.choice(neighbours) + text[at + 1 :]
        else:
            at = min(at, word.end() - 2)
            mistyped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        if mistyped != text:
            return mistyped


def _draw_word(text: str, letters: int, draw: random.Random) -> re.Match[str] | None:
    """Return the match of a random word with at least `letters` letters; None if there is none."""
    words = [word for word in _WORD.finditer(text) if len(word.group()) >= letters]
    return draw.choice(words) if words else None


SPELLING, DIALECT, LATIN = "spelling", "dialect", "Latin letters"
HELD_OUT = "held-out words"


@dataclass(frozen=True)
class Kind:
    """A way to rewrite a caption; `rewrite` takes the text and a random generator seeded by text, kind and seed."""

    name: str
    group: str
    rewrite: Callable[[str, random.Random], str]

    def __call__(self, text: str, seed: int = 0) -> str:
        """Rewrite a text; the same text and seed give the same result on every machine."""
        seed_bytes = hashlib.sha256(f"{seed}\t{self.name}\t{text}".encode(errors="surrogatepass")).digest()
        return self.rewrite(text, random.Random(int.from_bytes(seed_bytes[:8])))


def _dialect_kind(name: str, only_held_out: bool) -> Kind:
    label = f"{name}, {HELD_OUT}" if only_held_out else name
    return Kind(label, DIALECT, lambda text, _: in_dialect(text, name, only_held_out=only_held_out))


KINDS = (
    Kind("without hamza", SPELLING, lambda text, _: without_hamza(text)),
    Kind("ه for ة", SPELLING, lambda text, _: ha_for_ta_marbuta(text)),
    Kind("ى for ي", SPELLING, lambda text, _: alef_maqsura_for_ya(text)),
    Kind("joined words", SPELLING, joined_words),
    Kind("split word", SPELLING, split_word),
    Kind("repeated letter", SPELLING, repeated_letter),
    Kind("one typo", SPELLING, typo),
    Kind("without tashkeel", SPELLING, lambda text, _: normalize(text)),  # the captions of our own sets have none
    Kind("with tashkeel", SPELLING, with_tashkeel),
    Kind("Persian letters", SPELLING, lambda text, _: persian_letters(text)),
    *(_dialect_kind(name, False) for name in DIALECTS),
    *(_dialect_kind(name, True) for name in DIALECTS),
    Kind("Arabizi", LATIN, in_latin_letters),
    Kind(f"Arabizi, {HELD_OUT}", LATIN, lambda text, draw: in_latin_letters(text, draw, only_held_out=True)),
)


def kinds_by_name(names: Sequence[str]) -> tuple[Kind, ...]:
    """Return the kinds of rewriting with these names or in these groups; all kinds if no name is given.

    An unknown name raises InputError.
    """
    known = {kind.name for kind in KINDS} | {kind.group for kind in KINDS}
    for name in names:
        if name not in known:
            raise InputError(f"no kind of robustness is called '{name}'. Known are {', '.join(sorted(known))}.")
    return tuple(kind for kind in KINDS if not names or kind.name in names or kind.group in names)
