"""Drawn emoji with their Arabic and English names: nine sets without OpenMoji, which is held out for evaluation.

Drawings come from packages of the npm registry, names and keywords are Unicode CLDR's (Unicode-3.0).
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import resvg_py

from araclip import normalize
from araclip.demo import SKIN_TONES, VARIATION_SELECTOR
from araclip.errors import InputError
from araclip.pictures.images import open_image
from packages import fetched, opened, read
from sets import Row, fingerprint, read_table, write_set

SIZE = 224  # pixels a side, the input of the image tower
KEYWORDS = 4  # a name's share of the captions stays above a fifth
MIN_LETTERS = 3
MAX_SHARED = 5  # "face" or "food" say nothing about which emoji is meant
FLAG = re.compile("^flag-for-(flag-)?")
CLDR = "cldr-annotations-full@48.2.0"


@dataclass(frozen=True)
class Art:
    """One artist's drawings: a package of the npm registry and its licence."""

    package: str
    licence: str


ART: Mapping[str, Art] = {
    "fluent-3d": Art("@lobehub/fluent-emoji-3d@1.1.0", "MIT"),  # Microsoft's Fluent emoji, WebP, 256 pixels
    "noto": Art("@iconify-json/noto@1.2.9", "Apache-2.0"),
    "twemoji": Art("@iconify-json/twemoji@1.2.5", "CC-BY-4.0"),
    "fluent-flat": Art("@iconify-json/fluent-emoji-flat@1.2.6", "MIT"),
    "fluent-lines": Art("@iconify-json/fluent-emoji-high-contrast@1.2.6", "MIT"),  # black on white
    "noto-1": Art("@iconify-json/noto-v1@1.2.5", "Apache-2.0"),  # of another artist than its successor
    "emojione": Art("@iconify-json/emojione@1.2.3", "CC-BY-4.0"),
    "emojione-1": Art("@iconify-json/emojione-v1@1.2.3", "CC-BY-SA-4.0"),
    "fxemoji": Art("@iconify-json/fxemoji@1.2.2", "Apache-2.0"),  # Firefox OS
}


@dataclass(frozen=True)
class Names:
    """Captions of one emoji: its name first, then keywords."""

    english: tuple[str, ...]
    arabic: tuple[str, ...]


def emoji_sets(data: Path, packages: Path, out: Path) -> Iterator[tuple[str, bool]]:
    """Write one picture set an artist under `out`; yields its name and whether it had to be made.

    Args:
        data: holds parallel/cldr_emoji_names.tsv.xz.
        packages: folder for the archives that npm downloads.

    Raises:
        InputError: npm is missing, cannot fetch a package, or a package has changed.
    """
    names = emoji_names(data / "parallel" / "cldr_emoji_names.tsv.xz", fetched(CLDR, packages))
    called = fingerprint([(emoji, own.english, own.arabic) for emoji, own in names.items()])
    for name, art in ART.items():
        archive = fetched(art.package, packages)
        origin = {"package": art.package, "licence": art.licence, "names": called, "size": SIZE}

        def fill(folder: Path, archive: Path = archive, art: Art = art) -> list[Row]:
            drawings = webp_drawings(archive) if "3d" in art.package else vector_drawings(archive, names)
            return draw(drawings, names, art, folder)

        yield name, write_set(out / name, origin, fill)


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def emoji_names(listed: Path, cldr: Path) -> dict[str, Names]:
    """Names of every emoji without skin tone, U+FE0F left out of the keys; keywords where CLDR has them."""
    rows = read_table(listed, 3)
    # The Arabic quotation marks of "Japanese … button" came out as slashes.
    whole = [(plain(emoji), english, arabic.replace("/", "")) for english, arabic, emoji in rows if not _toned(emoji)]
    called = {emoji: (english, arabic) for emoji, english, arabic in whole}
    english = distinct_keywords({e: name for e, (name, _) in called.items()}, _keywords(cldr, "en"))
    arabic = distinct_keywords({e: name for e, (_, name) in called.items()}, _keywords(cldr, "ar"))
    return {emoji: Names(english[emoji], arabic[emoji]) for emoji in called}


def distinct_keywords(names: Mapping[str, str], keywords: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Each emoji's name, followed by up to `KEYWORDS` keywords that few other emoji share.

    A keyword counts when it has at least `MIN_LETTERS` letters, is given to no more than `MAX_SHARED` emoji, and is
    neither the emoji's own name nor another emoji's.
    """
    listed = {e: list(dict.fromkeys(map(normalize, keywords.get(e, ())))) for e in names}
    shared = Counter(word for words in listed.values() for word in words)
    names_in_use = {normalize(name) for name in names.values()}
    out = {}
    for emoji, name in names.items():
        rare = [w for w in listed[emoji] if len(w) >= MIN_LETTERS and shared[w] <= MAX_SHARED]
        usable = [w for w in rare if w not in names_in_use]
        out[emoji] = (normalize(name), *usable[:KEYWORDS])
    return out


def _keywords(cldr: Path, language: str) -> dict[str, list[str]]:
    member = f"package/annotations/{language}/annotations.json"
    entries = json.loads(read(cldr, member))["annotations"]["annotations"]
    return {plain(emoji): entry.get("default", []) for emoji, entry in entries.items()}


def _toned(emoji: str) -> bool:
    return not SKIN_TONES.isdisjoint(emoji)


def plain(emoji: str) -> str:
    """Without U+FE0F, the selector of the coloured form, which the sets use inconsistently."""
    return emoji.replace(VARIATION_SELECTOR, "")


def from_code(code: str) -> str:
    """2764-fe0f-200d-1f525 → ❤‍🔥 in the form of `plain`; flags of Britain's nations have underscores."""
    return plain("".join(chr(int(point, 16)) for point in code.replace("_", "-").split("-")))


# ── drawings ──────────────────────────────────────────────────────────────────────────────────────────────────────


def webp_drawings(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Emoji and WebP file of every picture in the package, in the archive's order: going back unpacks it again."""
    with opened(archive) as package:
        for member in package:
            file = package.extractfile(member) if member.name.endswith(".webp") else None
            if file is not None:
                yield from_code(Path(member.name).stem), file.read()


def vector_drawings(archive: Path, names: Mapping[str, Names]) -> Iterator[tuple[str, str]]:
    """Emoji and SVG of every drawing in an Iconify package with a known code point, or else with a name of CLDR."""
    icons = json.loads(read(archive, "package/icons.json"))
    drawn = {from_code(code): name for code, name in sorted(json.loads(read(archive, "package/chars.json")).items())}
    for emoji, name in (drawn or _by_name(icons, names)).items():
        if (icon := icons["icons"].get(name)) is not None:
            yield emoji, svg_of(icon, icons)


def _by_name(icons: Mapping[str, Any], names: Mapping[str, Names]) -> dict[str, str]:
    """Emoji → icon, by English names; a package calls some by older names, and lists the newer ones as aliases."""
    known = {_letters_and_digits(own.english[0]): emoji for emoji, own in names.items()}
    called = {name: name for name in icons["icons"]}
    called |= {alias: about["parent"] for alias, about in icons.get("aliases", {}).items()}
    found = {known.get(_letters_and_digits(FLAG.sub("flag-", alias))): icon for alias, icon in called.items()}
    return {emoji: icon for emoji, icon in found.items() if emoji is not None}


def _letters_and_digits(name: str) -> str:
    """The letters a to z and digits of a name: "Côte d’Ivoire" and "cote-divoire" are one."""
    letters = unicodedata.normalize("NFKD", name.lower().replace("&", "and"))
    return re.sub("[^a-z0-9]", "", letters)


def svg_of(icon: Mapping[str, Any], icons: Mapping[str, Any]) -> str:
    """A square SVG of an icon's body, centred; a box that the icon lacks is the package's default."""
    left, top, width, height = (
        icon.get(side, icons.get(side, default))
        for side, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    )
    side = max(width, height)
    view = f'viewBox="{left} {top} {width} {height}" width="{side}" height="{side}"'
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {spaces} {view}>{icon['body']}</svg>"


def draw(drawings: Iterator[tuple[str, str | bytes]], names: Mapping[str, Names], art: Art, folder: Path) -> list[Row]:
    """Draw every emoji that has a name as `SIZE`² PNG on white, and list it.

    Raises:
        InputError: no drawing has a name.
    """
    images = folder / "images"
    images.mkdir()
    named = {emoji: drawing for emoji, drawing in drawings if emoji in names}  # one picture an emoji
    if not named:
        raise InputError(f"{art.package} draws no emoji that has a name. Remove its archive and run this again.")
    files = {emoji: images / ("-".join(f"{ord(c):x}" for c in emoji) + ".png") for emoji in named}
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda emoji: draw_one(named[emoji], files[emoji]), named):
            pass
    return [
        {
            "image": f"images/{files[emoji].name}",
            "caption_en": names[emoji].english,
            "caption_ar": names[emoji].arabic,
            "label": names[emoji].english[0],
            "emoji": emoji,
            "license": art.licence,
        }
        for emoji in named
    ]


def draw_one(drawing: str | bytes, file: Path) -> None:
    """Draw an SVG, or another picture that fills a square, as `SIZE`² PNG on white."""
    if isinstance(drawing, str):
        drawing = resvg_py.svg_to_bytes(
            svg_string=drawing, background="white", width=SIZE, height=SIZE, skip_system_fonts=True
        )
    picture = open_image(BytesIO(drawing), name=file.stem)  # transparency laid on white
    if picture.size != (SIZE, SIZE):
        picture = picture.resize((SIZE, SIZE))
    picture.save(file, compress_level=1)  # read many times from the page cache, so speed matters more than size
