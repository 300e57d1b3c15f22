"""Drawn emoji with their Arabic and English names: four artists, none of them OpenMoji, which is kept for measuring.

Drawings come out of packages of the npm registry, fetched by npm itself and read in their archives. Names and keywords
are Unicode CLDR's (Unicode-3.0).
"""

import json
import lzma
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import resvg_py
from mini_sets import Row, fingerprint, write_set

from araclip import normalize
from araclip.demo import SKIN_TONES, VARIATION_SELECTOR
from araclip.errors import InputError
from araclip.images import open_image

SIZE = 224  # pixels a side: what the image tower sees
KEYWORDS = 4  # a name's share of the captions stays above a fifth
MIN_LETTERS = 3
MAX_SHARED = 5  # "face" or "food" say nothing about which emoji is meant
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
}


@dataclass(frozen=True)
class Names:
    """What people call one emoji: its name first, then keywords."""

    english: tuple[str, ...]
    arabic: tuple[str, ...]


def emoji_sets(data: Path, packages: Path, out: Path) -> Iterator[tuple[str, bool]]:
    """Write one picture set an artist under `out`; yields its name and whether it had to be made.

    Args:
        data: holds parallel/cldr_emoji_names.tsv.xz.
        packages: keeps the archives that npm fetched.

    Raises:
        InputError: npm is missing, cannot fetch a package, or a package is not what it was.
    """
    names = emoji_names(data / "parallel" / "cldr_emoji_names.tsv.xz", fetched(CLDR, packages))
    called = fingerprint([(emoji, own.english, own.arabic) for emoji, own in names.items()])
    for name, art in ART.items():
        archive = fetched(art.package, packages)
        origin = {"package": art.package, "licence": art.licence, "names": called, "size": SIZE}

        def fill(folder: Path, archive: Path = archive, art: Art = art) -> list[Row]:
            drawings = webp_drawings(archive) if "3d" in art.package else vector_drawings(archive)
            return draw(drawings, names, art, folder)

        yield name, write_set(out / name, origin, fill)


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def emoji_names(listed: Path, cldr: Path) -> dict[str, Names]:
    """Names of every emoji without skin tone, U+FE0F left out of the keys; keywords where CLDR has them."""
    with lzma.open(listed, "rt", encoding="utf-8") as rows:
        next(rows)
        cells = [row.rstrip("\n").split("\t") for row in rows]
    # The Arabic quotation marks of "Japanese … button" came out as slashes.
    whole = [(plain(emoji), english, arabic.replace("/", "")) for english, arabic, emoji in cells if not _toned(emoji)]
    called = {emoji: (english, arabic) for emoji, english, arabic in whole}
    english = told_apart({e: name for e, (name, _) in called.items()}, _keywords(cldr, "en"))
    arabic = told_apart({e: name for e, (_, name) in called.items()}, _keywords(cldr, "ar"))
    return {emoji: Names(english[emoji], arabic[emoji]) for emoji in called}


def told_apart(names: Mapping[str, str], keywords: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Each emoji's name, followed by up to `KEYWORDS` keywords that tell it from most others.

    A keyword counts when it has at least `MIN_LETTERS` letters, is given to no more than `MAX_SHARED` emoji, and is
    neither the emoji's own name nor another emoji's.
    """
    listed = {e: list(dict.fromkeys(map(normalize, keywords.get(e, ())))) for e in names}
    shared = Counter(word for words in listed.values() for word in words)
    taken = {normalize(name) for name in names.values()}
    out = {}
    for emoji, name in names.items():
        apt = [w for w in listed[emoji] if len(w) >= MIN_LETTERS and shared[w] <= MAX_SHARED and w not in taken]
        out[emoji] = (normalize(name), *apt[:KEYWORDS])
    return out


def _keywords(cldr: Path, language: str) -> dict[str, list[str]]:
    member = f"package/annotations/{language}/annotations.json"
    entries = json.loads(_read(cldr, member))["annotations"]["annotations"]
    return {plain(emoji): entry.get("default", []) for emoji, entry in entries.items()}


def _toned(emoji: str) -> bool:
    return not SKIN_TONES.isdisjoint(emoji)


def plain(emoji: str) -> str:
    """Without the selector that asks for the coloured form: the artists disagree on where it belongs."""
    return emoji.replace(VARIATION_SELECTOR, "")


def from_code(code: str) -> str:
    """2764-fe0f-200d-1f525 → ❤‍🔥, as it is looked up; the flags of Britain's nations come with underscores."""
    return plain("".join(chr(int(point, 16)) for point in code.replace("_", "-").split("-")))


# ── drawings ──────────────────────────────────────────────────────────────────────────────────────────────────────


def webp_drawings(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Emoji and WebP file of every picture in the package, in the archive's order (going back means unpacking anew)."""
    with tarfile.open(archive) as package:
        for member in package:
            file = package.extractfile(member) if member.name.endswith(".webp") else None
            if file is not None:
                yield from_code(Path(member.name).stem), file.read()


def vector_drawings(archive: Path) -> Iterator[tuple[str, str]]:
    """Emoji and SVG of every code point that an Iconify package draws."""
    icons = json.loads(_read(archive, "package/icons.json"))
    for code, name in sorted(json.loads(_read(archive, "package/chars.json")).items()):
        if (icon := icons["icons"].get(name)) is not None:
            yield from_code(code), svg_of(icon, icons)


def svg_of(icon: Mapping[str, Any], icons: Mapping[str, Any]) -> str:
    """A whole SVG of an icon's body; what the icon does not say (width, height, left, top) its package does."""
    left, top, width, height = (
        icon.get(side, icons.get(side, default))
        for side, default in (("left", 0), ("top", 0), ("width", 16), ("height", 16))
    )
    view = f'viewBox="{left} {top} {width} {height}" width="{width}" height="{height}"'
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f"<svg {spaces} {view}>{icon['body']}</svg>"


def draw(drawings: Iterator[tuple[str, str | bytes]], names: Mapping[str, Names], art: Art, folder: Path) -> list[Row]:
    """Draw every emoji that has a name as `SIZE`² PNG on white, and list it."""
    images = folder / "images"
    images.mkdir()
    named = {emoji: drawing for emoji, drawing in drawings if emoji in names}  # one picture an emoji
    files = {emoji: images / ("-".join(f"{ord(c):x}" for c in emoji) + ".png") for emoji in named}
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda emoji: _draw(named[emoji], files[emoji]), named):
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


def _draw(drawing: str | bytes, file: Path) -> None:
    if isinstance(drawing, str):
        # A drawing's box need not be square; what is left of the picture's square stays white.
        drawing = resvg_py.svg_to_bytes(
            svg_string=drawing, background="white", width=SIZE, height=SIZE, skip_system_fonts=True
        )
    picture = open_image(BytesIO(drawing), name=file.stem)  # transparency laid on white
    if picture.size != (SIZE, SIZE):
        picture = picture.resize((SIZE, SIZE))
    picture.save(file, compress_level=1)  # read from the page cache many times, so speed counts, not size


# ── packages ──────────────────────────────────────────────────────────────────────────────────────────────────────


def fetched(package: str, folder: Path) -> Path:
    """The archive of `name@version` in `folder`; npm fetches it when it is not there, and runs none of its scripts.

    Raises:
        InputError: npm is not installed, or could not fetch it.
    """
    name, _, version = package.rpartition("@")
    archive = folder / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if archive.is_file():
        return archive
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(
            f"npm is not installed; it fetches the drawings and keywords of emoji (here {package}). Install Node.js "
            f"with npm, or put the package's archive at {archive}."
        )
    part = folder / ".part"  # npm writes in place: what it was killed at must not pass for the archive
    part.mkdir(parents=True, exist_ok=True)
    command = [npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", str(part), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (part / archive.name).is_file():
        raise InputError(
            f"npm could not fetch {package}: {done.stderr.strip() or 'no archive came'}. Check the connection to the "
            f"registry and run this again, or put the package's archive at {archive}."
        )
    return (part / archive.name).rename(archive)


def _read(archive: Path, member: str) -> bytes:
    try:
        with tarfile.open(archive) as package:
            file = package.extractfile(member)
            if file is not None:
                return file.read()
    except (KeyError, tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{archive}: {error}. Remove it and run this again; npm fetches it anew.") from error
    raise InputError(f"{archive}: {member} is no file. Remove it and run this again; npm fetches it anew.")
