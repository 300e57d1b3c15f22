"""Finds the town at coordinates, and the place that a query names, in any of its spellings. Pure.

The table text/data/places.txt.xz has the towns of GeoNames with their regions and countries (recipes/places.py). A
place is written «القاهرة، مصر · Cairo, Egypt»: the names of town, region and country in Arabic, then in English.
"""

import lzma
import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from araclip.text.folders import Placed
from araclip.text.folding import FoldedWords, fold, folded_words
from araclip.text.interpretation import Interpreter
from araclip.text.negation import begin_of_denial
from araclip.text.picture_words import PICTURE_WORDS
from araclip.text.script import is_arabic
from araclip.text.word_lists import read_folded

EARTH_M = 6_371_008.8  # mean radius of the Earth in metres
# Up to AT metres from a town's edge a picture gets the town's name, up to NEAR metres only the region's.
AT, NEAR = 40_000, 200_000
_ROUNDED = 2  # decimals to which degrees are rounded, about a km, so that pictures side by side share one look-up
BETWEEN = " · "  # written between the Arabic and the English name of a place
EITHER = " | "  # written between two places in a filter: pictures in either are wanted
_NAMES = re.compile(r"\s*[,،·]\s*")
_WORDS = re.compile(r"[^\W_]+")
_ARTICLE = "ال"


@dataclass(frozen=True, slots=True)
class Area:
    """A region or a country: its names in Arabic and in English, the usual one first."""

    arabic: tuple[str, ...]
    english: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Town(Area):
    """A town: its middle in degrees, its radius in metres, and the areas around it, the smallest first."""

    latitude: float
    longitude: float
    reach: float
    areas: tuple[Area, ...]

    def label(self, *, whole: bool = True) -> str:
        """Return the Arabic names of town (if `whole`), region and country, then the English names.

        If a town has no Arabic name, its English name stands among the Arabic names as well as the English names.
        """
        lines = (self, *self.areas) if whole else self.areas
        arabic = {name_key(each.arabic[0]): each.arabic[0] for each in reversed(lines) if each.arabic}
        if whole and not self.arabic:
            arabic[name_key(self.english[0])] = self.english[0]
        english = {name_key(each.english[0]): each.english[0] for each in reversed(lines) if each.english}
        parts = "، ".join(reversed(arabic.values())), ", ".join(reversed(english.values()))
        return BETWEEN.join(filter(None, parts))


@cache
def _lines() -> list[str]:
    """The lines of the table: a country, its regions, and after each region its towns."""
    packed = files("araclip.text").joinpath("data", "places.txt.xz").read_bytes()
    return lzma.decompress(packed).decode().splitlines()[1:]


@cache
def _towns_by_cell() -> dict[tuple[int, int], list[Town]]:
    """Return (whole degree of latitude, whole degree of longitude) → the towns there."""
    cells = defaultdict[tuple[int, int], list[Town]](list)
    country = region = Area((), ())
    for line in _lines():
        *numbers, arabic, english = line.split("\t")
        names = tuple(filter(None, arabic.split("|"))), tuple(filter(None, english.split("|")))
        if not numbers:
            country = Area(*names)
        elif len(numbers) == 1:
            region = Area(*names)
        else:
            latitude, longitude, thousands = map(float, numbers[2:])
            town = Town(*names, latitude, longitude, reach_of(thousands * 1000), (region, country))
            cells[math.floor(latitude), math.floor(longitude)].append(town)
    return cells


def reach_of(people: float) -> float:
    """Return the radius in metres of a town with this number of people: 5 km for a million."""
    return max(1000.0, math.pow(people, 0.6) * 1.25)


def distance(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Compute the metres between two places given in degrees, along a great circle (haversine formula)."""
    north, south = math.radians(latitude), math.radians(to_latitude)
    half = math.sin((south - north) / 2) ** 2
    half += math.cos(north) * math.cos(south) * math.sin(math.radians(to_longitude - longitude) / 2) ** 2
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(half)))


def place_at(latitude: float | None, longitude: float | None) -> str | None:
    """Return the place at coordinates in degrees.

    Inside of several towns, the place is the town whose middle is nearest, relative to the town's size. At more than
    AT metres from a town's edge, the place is the town's region and country only. None is returned at more than NEAR
    metres from any town, without coordinates, and for coordinates that no GPS gives (0° 0°, 91°, NaN).
    """
    if latitude is None or longitude is None or latitude == longitude == 0:
        return None
    if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):  # NaN is refused, too
        return None
    return _place_near(round(latitude, _ROUNDED), round(longitude, _ROUNDED))


@lru_cache(1 << 14)
def _place_near(latitude: float, longitude: float) -> str | None:
    inside, best, beyond = math.inf, None, math.inf
    for town in _towns_around(latitude, longitude):
        away = distance(latitude, longitude, town.latitude, town.longitude)
        if away <= town.reach and away / town.reach < inside:
            inside, best, beyond = away / town.reach, town, 0.0
        elif inside == math.inf and away - town.reach < beyond:
            best, beyond = town, away - town.reach
    if best is None or beyond > NEAR:
        return None
    return best.label(whole=beyond <= AT) or None


def _towns_around(latitude: float, longitude: float) -> Iterator[Town]:
    """Yield all towns up to NEAR metres away, and some that are farther."""
    table, rows = _towns_by_cell(), math.ceil(NEAR / 111_000)
    columns = min(180, math.ceil(rows / max(math.cos(math.radians(latitude)), 0.01)))
    for row in range(math.floor(latitude) - rows, math.floor(latitude) + rows + 1):
        for column in range(math.floor(longitude) - columns, math.floor(longitude) + columns + 1):
            yield from table.get((row, (column + 180) % 360 - 180), ())


# ------------------------------------------------------------------ how places are spelled


@lru_cache(1 << 12)
def name_key(name: str) -> str:
    """Return a key that is the same for all spellings of a name: الإسكندرية, اسكندريه; بور سعيد, بورسعيد; São, Sao."""
    return "".join(_name_words(name))


def _name_words(name: str) -> list[str]:
    """Return the words of a name, spelling variants made equal, without accents and the Arabic article."""
    if not (name.isascii() or is_arabic(name)):
        name = "".join(each for each in unicodedata.normalize("NFD", name) if not unicodedata.combining(each))
    found = _WORDS.findall(name.lower() if name.isascii() else fold(name))
    return [each.removeprefix(_ARTICLE) if len(each) > len(_ARTICLE) + 1 else each for each in found]


def names_in_place(place: str) -> list[str]:
    """Return the names in a place: its spot, town, region and country, in each language."""
    return [name for name in _NAMES.split(place) if name_key(name)]


def place_tokens(place: str) -> frozenset[str]:
    """Return a place's tokens: each word of its names, and each whole name as "=" and its key (`name_key`)."""
    return frozenset((*_name_words(place), *("=" + name_key(name) for name in names_in_place(place))))


@lru_cache(64)
def wanted_tokens(text: str) -> tuple[frozenset[str], ...]:
    """Return sets of tokens (`place_tokens`): a text means the places that have all tokens of one of these sets.

    Several places stand between bars («القاهرة | دبي»). The name of a town, region or country, in Arabic or English and
    any spelling, means all places of exactly this name: York is not New York. If the text is no such name, a place must
    have all of its words.
    """
    return tuple(each for part in text.split(EITHER.strip()) if name_key(part) for each in _wanted_tokens_of_part(part))


def _wanted_tokens_of_part(text: str) -> tuple[frozenset[str], ...]:
    """Return the sets of tokens that mean the single place `text`, see `wanted_tokens`."""
    key = name_key(text)
    if not (same := _areas_by_key().get(key)):
        return (frozenset(_name_words(text)),)
    usual = {name_key(name) for each in same for name in (each.english[:1] or each.arabic[:1])}
    return tuple(frozenset(("=" + name,)) for name in sorted({key, *usual}))


@cache
def _areas_by_key() -> dict[str, list[Area]]:
    """Return key of a name → the countries, regions and towns of this name."""
    found = defaultdict[str, list[Area]](list)
    towns = [town for cell in _towns_by_cell().values() for town in cell]
    for each in (*dict.fromkeys(area for town in towns for area in town.areas), *towns):
        for name in each.arabic + each.english:
            found[name_key(name)].append(each)
    return found


@lru_cache(4)  # cached, because a server asks again after each change of its gallery
def names_by_key(places: tuple[str, ...]) -> Mapping[str, str]:
    """Return key (`name_key`) → name for each name in `places`, texts such as «القاهرة، مصر · Cairo, Egypt».

    Other names of these towns, regions and countries have keys, too, which lead to the usual name. But if two places
    have the same usual name, the key of another name leads to this other name itself.
    """
    written = {name for place in places for name in names_in_place(place)}
    found = {name_key(name): name for name in sorted(written)}
    others = []  # (True for a town, False for a region or country; its names)
    for line in _lines() if written else ():
        *numbers, arabic, english = line.split("\t")
        names = tuple(filter(None, arabic.split("|"))), tuple(filter(None, english.split("|")))
        if written.issuperset((*names[0][:1], *names[1][:1])):
            others.append((len(numbers) > 1, names))
    usual = Counter(first for pair in {(names[0][:1], names[1][:1]) for _, names in others} for first in pair)
    # regions and countries first: if a town has the same name, the name means the region or country
    for _, names in sorted(others, key=lambda other: other[0]):
        for same in names:
            # two places share the usual name «عمان» (Oman, Amman): then «سلطنة عمان» is not replaced by the usual name
            shared = usual[same[:1]] > 1
            found |= {name_key(name): name if shared else same[0] for name in same if name_key(name) not in found}
    return found


# ------------------------------------------------------------------ places in queries

_BEFORE, _CITY = read_folded("places: before"), read_folded("places: city")
_THINGS, _LOCATIVE = read_folded("places: things"), _BEFORE - {"of"}
_AFTER = read_folded("places: after")
_COMMON, _ONLY_IN = read_folded("places: common"), read_folded("places: only after in")
_IN = "ب"  # "in", written together with the next word: بدبي, in Dubai
_AND, _AND_ATTACHED = read_folded("negation: and") - {"w", "wala", "nor"}, "و"
LARGE = 3000  # radius in metres of a town of 430,000 people; the name of a larger town always means the town
FREQUENT = 3  # a word that captions use this often means a thing, not a place, unless it is known as a name
MOST_WORDS = 5  # limit: words of a place's name
MOST_LETTERS = 80  # no further place is added to a filter with so many letters: the limit is 200


def split_place(text: str, known: Mapping[str, str], interpreter: Interpreter) -> Placed:
    """Separate the place that a text names from the rest; `known` are the names of the gallery's places by their keys.

    - After a word for a town («مدينة العين», the city of Al Ain), any known name is a place.
    - After a word such as "flag of", no name is a place.
    - After a negation or «خارج» (outside), a place is only named as `words`: no filter can leave it out.
    - A common word is no place. Some words are places only after "in" («في صور», in Tyre), as is the name of a small
      town that a dialect uses for a thing («شط», a beach).
    - Any other name of several words is a place.
    - A single Arabic word is a place if it is known as a name, or if no caption uses it; after "in" or a word for
      "picture" also if captions use it less than FREQUENT times.
    - A single word in Latin letters is a place after "in" or a word for "picture", if it is the whole text, or if it is
      no English word.
    """
    if not known:
        return Placed(text)
    found = folded_words(text)
    folds, count = found.folded, len(found.folded)
    # denied: the last place that the text excludes («ليست في القاهرة», not in Cairo); end: index of the word behind it
    denied, end = "", 0
    owner = False  # true after a word such as "flag": the next name says whose flag, not where the picture was taken
    for at in range(count):
        owner = folds[at] in _THINGS or (owner and folds[at] not in _LOCATIVE)
        for width in range(min(MOST_WORDS, count - at), 0, -1):
            whole = found.part(at, at + width)
            attached = whole.startswith(_IN) and name_key(whole) not in known
            attached = attached and (
                whole.startswith(_IN + _ARTICLE) or not interpreter.vocabulary.count(found.part(at, at + 1))
            )
            name = whole.removeprefix(_IN) if attached else whole
            lead = _IN if attached else folds[at - 1] if at else ""
            if (
                (owner and not attached)
                or name_key(name) not in known
                or not _means_place(name, width, lead, count == width, interpreter)
                or at < end
                or _is_in_longer_name(found, at, at + width)
            ):
                continue
            first = at
            while first and folds[first - 1] in _BEFORE | _CITY and not attached:
                first -= 1
            if first and folds[first - 1] in _AFTER:
                continue
            named, last = known[name_key(name)], at + width
            while len(named) < MOST_LETTERS and (more := _next_place(found, last, name, known, interpreter)):
                last, name, between = more
                named += between + known[name_key(name)]
                if between != EITHER:  # «طرابلس لبنان» (Tripoli, Lebanon) is one place, with the words of both names
                    break
            if begin_of_denial(folds[:at], outside=True) is None:
                return Placed(found.without(first, last), found.part(first, last), (named,))
            denied, end = found.part(at, last), last
    return Placed(text, denied)


def _next_place(
    found: FoldedWords, at: int, before: str, known: Mapping[str, str], interpreter: Interpreter
) -> tuple[int, str, str] | None:
    """Read from word `at` on what follows the place `before`.

    It is another place («ودبي», and Dubai), or the area around `before` («طرابلس لبنان», Tripoli in Lebanon).
    Return (index of the word after the name, the name as typed, what to write between the two names), or None.
    """
    count = len(found.folded)
    apart = at < count and found.folded[at] in _AND
    begin = at + apart
    for width in range(min(MOST_WORDS, count - begin), 0, -1):
        whole = found.part(begin, begin + width)
        attached = not apart and whole.startswith(_AND_ATTACHED) and name_key(whole) not in known
        name = whole.removeprefix(_AND_ATTACHED) if attached else whole
        lead = "" if fold(name) in _ONLY_IN else _IN  # «وصور» is "and pictures", not "and Tyre"
        if name_key(name) not in known or not _means_place(name, width, lead, False, interpreter):
            continue
        towns, around = (_areas_by_key().get(name_key(each), ()) for each in (before, name))
        if apart or attached:
            return begin + width, name, EITHER
        if any(area in around for town in towns if isinstance(town, Town) for area in town.areas):
            return begin + width, name, "، "
        if found.begins_after_stop(begin):
            return begin + width, name, EITHER
    return None


def _is_in_longer_name(found: FoldedWords, first: int, end: int) -> bool:
    """True if the words, with a word before or after them, name another place: «سلطنة عمان» is Oman, not Amman.

    A town inside the same place is no other place: "New York" in "New York City".
    """
    around = ((first - 1, end), (first, end + 1))
    longer = [found.part(*each) for each in around if each[0] >= 0 and each[1] <= len(found.folded)]
    named, areas = _areas_by_key(), set(_areas_by_key().get(name_key(found.part(first, end)), ()))
    others = filter(None, (named.get(name_key(each)) for each in longer))
    return any(not any(isinstance(one, Town) and areas.intersection(one.areas) for one in places) for places in others)


def _means_place(name: str, width: int, lead: str, alone: bool, interpreter: Interpreter) -> bool:
    """True if the `name` of a place, `width` words of a query, means the place here.

    `lead` is the word before the name ("in", "picture", …), "" if there is none; `alone`: the name is the whole query.
    """
    if lead in _CITY:
        return True
    folded_name, is_in = fold(name), lead in _BEFORE or lead == _IN
    if folded_name in _COMMON or folded_name.isdigit():
        return False
    if width > 1:
        return True
    known_name = interpreter.is_name(name)
    count = 0 if known_name else interpreter.vocabulary.count(name)
    # many names of small towns are also a dialect's words for things: سحاب (clouds), شط (a beach)
    if folded_name in _ONLY_IN or (not known_name and interpreter.lexicon.find(name) and _is_small(name)):
        return is_in
    if not is_arabic(name):
        return is_in or alone or lead in PICTURE_WORDS or not interpreter.is_english(name)
    return count < FREQUENT and (is_in or lead in PICTURE_WORDS or not count)


def _is_small(name: str) -> bool:
    """True if only small towns have this name: no country, no region, no large town."""
    return all(isinstance(each, Town) and each.reach < LARGE for each in _areas_by_key().get(name_key(name), ()))
