"""Read captions: titles, descriptions and keywords embedded in a picture (EXIF, IPTC, XMP, PNG), or in a file beside it
(.txt, .json). They come from strangers, so their size is bounded.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from PIL import ExifTags, Image, ImageFile, IptcImagePlugin

from araclip.core import bounded_json
from araclip.pictures.metadata import embedded_properties, xmp_captions

MAX_LETTERS = 4_000  # limit: letters of all captions of a picture; 99 % of captions have fewer than 500
SIDECAR_BYTES = 64_000  # limit: bytes that are read of a side-car, a file beside a picture
_IPTC_FIELDS = ((2, 5), (2, 105), (2, 120), (2, 25))  # IPTC fields: object name, headline, caption, keywords
_WINDOWS_TAGS = ("XPTitle", "XPSubject", "XPComment", "XPKeywords")  # EXIF tags of Windows Explorer, in UTF-16
_PNG_KEYS = ("Title", "Description", "Caption", "Comment", "Keywords", "Subject")  # PNG text keys; case does not matter
_JSON_KEYS = frozenset({
    "title", "headline", "description", "caption", "captions", "alt", "alt_text", "text", "keywords", "tags", "labels",
    "people", "name",
})  # fmt: skip
_SPACE = re.compile(r"\s+")


def embedded_caption(image: Image.Image) -> str:
    """Return the titles, descriptions and keywords in an opened picture, a line each; empty if there are none."""
    found: list[str] = []
    for texts in (_exif_texts, _iptc_texts, _xmp_texts, _png_texts):
        try:
            found += texts(image)
        except Exception:  # Pillow may raise any error on a damaged block; such a block is ignored
            continue
    return join_captions(found)


def join_captions(texts: Iterable[str]) -> str:
    """Join captions, each once and on a separate line, to at most MAX_LETTERS letters."""
    lines = (_SPACE.sub(" ", text[: 4 * MAX_LETTERS].replace("\0", " ")).strip() for text in texts)
    whole = "\n".join(dict.fromkeys(line for line in lines if line))[:MAX_LETTERS]
    return whole.encode("utf-8", "replace").decode()  # lone surrogates, which cannot be stored, become ?


def _exif_texts(image: Image.Image) -> Iterator[str]:
    exif = image.getexif()
    if isinstance(description := exif.get(ExifTags.Base.ImageDescription), str):
        yield _repair_utf8(description)
    for name in _WINDOWS_TAGS:
        value = exif.get(ExifTags.Base[name])
        if value is not None:
            yield bytes(value[: 8 * MAX_LETTERS]).decode("utf-16-le", "ignore")
    comment = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    if isinstance(comment, bytes):
        kind, text = comment[:8], comment[8 : 8 * MAX_LETTERS]
        if kind.startswith(b"UNICODE"):
            order = "utf-16-be" if exif.endian == ">" else "utf-16-le"
            yield text.decode(order, "ignore")
        elif kind.startswith(b"ASCII"):
            yield _decode(text)


def _iptc_texts(image: Image.Image) -> Iterator[str]:
    about = IptcImagePlugin.getiptcinfo(image) if isinstance(image, ImageFile.ImageFile) else None
    for key in _IPTC_FIELDS:
        value = (about or {}).get(key, b"")
        for each in value if isinstance(value, list) else [value]:
            yield _decode(bytes(each))


def _xmp_texts(image: Image.Image) -> Iterator[str]:
    yield from xmp_captions(embedded_properties(image.info))


def _png_texts(image: Image.Image) -> Iterator[str]:
    wanted = {name.lower() for name in _PNG_KEYS}
    for key, value in image.info.items():
        if isinstance(key, str) and key.lower() in wanted:
            # a JPEG's or GIF's comment is bytes; a comment that only names the program which wrote the file is left out
            if isinstance(value, bytes) and not value.startswith((b"Created by OpenJPEG", b"CREATOR: gd-jpeg")):
                yield _decode(value)
            elif isinstance(value, str):
                yield _repair_utf8(value)


def _repair_utf8(text: str) -> str:
    """Restore a text that was written as UTF-8 but read as Latin-1; return other texts unchanged."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except ValueError:
        return text


def _decode(raw: bytes) -> str:
    """Decode bytes as UTF-8, or as Latin-1 if they are no UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


# ------------------------------------------------------------------ files beside a picture

# The name of a side-car is the picture's name, with or without its
# suffix, and one of these endings, in letters of any case.
SIDECAR_ENDINGS = (".txt", ".json", ".supplemental-metadata.json", ".xmp")


def group_sidecars(names: Iterable[str]) -> Mapping[str, list[str]]:
    """Group the side-cars among the names in a folder by what precedes their ending.

    In a group, the names are in order of SIDECAR_ENDINGS, and IMG.xmp comes before IMG.XMP. Other names are left out.
    """
    grouped: dict[str, list[str]] = defaultdict(list)
    possible = sorted((name for name in names if name.lower().endswith(SIDECAR_ENDINGS)), reverse=True)
    for ending in SIDECAR_ENDINGS:
        for name in possible:
            if name.lower().endswith(ending):
                grouped[name[: -len(ending)]].append(name)
    return grouped


def sidecars_of(name: str, grouped: Mapping[str, list[str]]) -> list[str]:
    """Return the side-cars of a picture, from what `group_sidecars` returned."""
    stem = os.path.splitext(name)[0]  # noqa: PTH122  (a name need not be UTF-8)
    return [*grouped.get(name, ()), *grouped.get(stem, ())]


def sidecar_caption(data: bytes, name: str) -> str:
    """Return the caption in a side-car: its text, or in a .json the texts under _JSON_KEYS.

    Raises:
        InputError: the JSON is malformed, too large or too deep; the message begins with the file's `name`.
    """
    if not name.lower().endswith(".json"):
        encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = data[:SIDECAR_BYTES].decode(encoding, "replace")
        # mostly undecodable bytes, so the text is not UTF-8 or UTF-16: decode it as Arabic Windows writes it
        if 2 * text.count("\ufffd") > sum(not letter.isascii() for letter in text):
            text = data[:SIDECAR_BYTES].decode("cp1256")
        return join_captions(text.splitlines())
    about = bounded_json.parse(data, name, max_bytes=SIDECAR_BYTES, max_nodes=5_000, kind=dict, lone_surrogates=True)
    return join_captions(_texts_under_known_keys(about))


def _texts_under_known_keys(value: Any, *, known: bool = False) -> Iterator[str]:
    """Yield all texts in a JSON value that stand under one of _JSON_KEYS, the keys of Google Takeout, COCO, gallery-dl.

    `known`: true if the value itself stands under such a key.
    """
    if isinstance(value, str):
        if known:
            yield value
    elif isinstance(value, list):
        for member in value:
            yield from _texts_under_known_keys(member, known=known)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from _texts_under_known_keys(member, known=key.lower() in _JSON_KEYS)
