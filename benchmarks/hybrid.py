"""Hybrid search: words in and about pictures beside vectors, against vectors alone, and ways of fusing the two.

    python benchmarks/hybrid.py captions --data flickr8k [--split choice]    captions withheld for half of the pictures
    python benchmarks/hybrid.py names --data flickr8k                        file names in Arabic and English
    python benchmarks/hybrid.py screenshots --text lines.tsv.xz              rendered Arabic pages, read by OCR
    python benchmarks/hybrid.py detector --data DATA --text lines.tsv.xz     which pictures look like text, and its time

`dev` is for what is reported. `choice` are 600 pictures of train (sorted by name, every tenth), on which the weight was
chosen with araclip-mini 5, which was trained on them; araclip-mini 6 was not. Intervals are 95 %, over 2,000
resamplings of the queries. docs/texts.md and docs/log/2026-11.md have the results.
"""

import argparse
import itertools
import json
import lzma
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from araclip import Gallery
from araclip.gallery import ranking as fusion
from araclip.gallery.catalog.word_index import WordIndex
from araclip.gallery.ingest.ocr import _for_text_detector
from araclip.gallery.text_matches import TextQuery, text_matches
from araclip.pictures.ocr.detector import CELLS, text_cells
from araclip.text.words import asked_words, words

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.5)
RRF_K = 60  # Cormack, Clarke and Buettcher 2009
PAGES = 200
NONE = 10**6  # the rank of a picture that is not among the hits

Row = dict[str, Any]


FONTS = (
    "/usr/share/fonts/truetype/vazirmatn/Vazirmatn-Regular.ttf",
    "/usr/share/fonts/truetype/vazirmatn-variable/Vazirmatn[wght].ttf",
    "/usr/share/fonts/truetype/noto/NotoNaskhArabic-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansArabic-Regular.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
SIZE = (720, 1280)  # a phone's, at half of its pixels
THEMES = (("#ffffff", "#111111", "#e8f5e9"), ("#f2f2f7", "#1c1c1e", "#ffffff"), ("#121b22", "#e9edef", "#1f2c34"))


@dataclass(frozen=True)
class Screenshot:
    """A picture, the lines in it, and three of its words as a query."""

    picture: Image.Image
    lines: tuple[str, ...]
    query: str


def sentences(path: Path) -> list[str]:
    """Arabic lines of a tab-separated file, 20 to 60 letters each, one script only."""
    raw = path.read_bytes()
    text = (lzma.decompress(raw) if path.suffix == ".xz" else raw).decode()
    lines = [line.split("\t")[-1].strip() for line in text.splitlines()]
    latin = re.compile("[A-Za-z]")
    return [line for line in lines if 20 <= len(line) <= 60 and not latin.search(line)]


def screenshots(lines: Sequence[str], count: int, seed: int = 0) -> list[Screenshot]:
    """Pages with lines of their own; a query is three words of three letters and more, from anywhere on its page."""
    draw = random.Random(seed)
    fonts = [path for path in FONTS if Path(path).is_file()]
    if not fonts:
        raise SystemExit(f"none of these fonts is here: {', '.join(FONTS)}")
    pages = []
    for number in range(count):
        some = tuple(draw.sample(list(lines), draw.randint(6, 12)))
        font = ImageFont.truetype(fonts[number % len(fonts)], draw.choice((22, 26, 30, 36)))
        known = [word.folded for line in some for word in asked_words(line) if len(word.folded) > 3]
        pages.append(
            Screenshot(_page(some, font, THEMES[number % 3], number % 4), some, " ".join(draw.sample(known, 3)))
        )
    return pages


def _page(lines: Sequence[str], font: ImageFont.FreeTypeFont, theme: tuple[str, str, str], kind: int) -> Image.Image:
    paper, ink, box = theme
    page = Image.new("RGB", SIZE, paper)
    draw = ImageDraw.Draw(page)
    top, right = 90, SIZE[0] - 40
    draw.rectangle((0, 0, SIZE[0], 60), fill=box)
    draw.text((right, 14), "9:41", font=font, fill=ink, anchor="ra")
    for number, line in enumerate(lines):
        for part in _wrapped(line, font, SIZE[0] - (200 if kind == 0 else 90)):
            height = font.size * 1.7
            if top + height > SIZE[1] - 20:
                return page
            shift = 100 * (number % 2) if kind == 0 else 0
            if kind in (0, 3):
                width = draw.textlength(part, font=font, direction="rtl", language="ar")
                draw.rounded_rectangle(
                    (right - shift - width - 20, top - 4, right - shift + 14, top + height - 6), 12, fill=box
                )
            draw.text((right - shift, top), part, font=font, fill=ink, anchor="ra", direction="rtl", language="ar")
            top += int(height)
        top += {0: 18, 1: 6, 2: 24, 3: 30}[kind]
        if kind == 1:
            draw.line((40, top - 6, right, top - 6), fill=ink)
    return page


def _wrapped(line: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    parts: list[str] = [""]
    for word in line.split():
        longer = f"{parts[-1]} {word}".strip()
        if font.getlength(longer, direction="rtl") <= width or not parts[-1]:
            parts[-1] = longer
        else:
            parts.append(word)
    return parts


def share_read(read: str, lines: Sequence[str]) -> float:
    """The share of the words in `lines` that OCR has read, by their stems."""
    seen = {word.stem for word in words(read)}
    wanted = [word.stem for line in lines for word in words(line)]
    return sum(stem in seen for stem in wanted) / len(wanted)


def rows_of(data: Path, split: str) -> list[Row]:
    """The captioned pictures of a split, with their files."""
    lines = (data / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = sorted((json.loads(line) for line in lines), key=lambda row: row["image"])
    some = [row for row in rows if row["split"] == ("train" if split == "choice" else split)]
    some = some[::10][:600] if split == "choice" else some
    for row in some:
        row["path"] = next(path for path in (data / row["image"], data / "images" / row["image"]) if path.is_file())
    return some


def report(name: str, ranks: Any) -> None:
    """Print R@1, R@5, R@10 and MRR of ranks (n,), with intervals by resampling."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(ranks), (2000, len(ranks)))
    cells = []
    for label, values in (("R@1", ranks <= 1), ("R@5", ranks <= 5), ("R@10", ranks <= 10), ("MRR", 1 / ranks)):
        low, high = np.percentile(np.asarray(values, float)[drawn].mean(axis=1), (2.5, 97.5))
        cells.append(f"{label} {np.mean(values):.3f} ({low:.3f}–{high:.3f})")
    print(f"{name:24} " + "  ".join(cells), flush=True)


class Ranking:
    """Ranks of the wanted pictures of queries, by the parts that a search is made of."""

    def __init__(self, gallery: Gallery, queries: Sequence[str], wanted: Sequence[str]) -> None:
        catalog = gallery._catalog
        self.ids, stored = catalog.vectors()
        vectors = stored.astype(np.float32)
        asked = gallery.model.encode_text(list(queries))  # (Q, D)
        self.scores = asked @ vectors.T  # (Q, n)
        self.wanted = np.searchsorted(self.ids, [catalog.content_of(path) or 0 for path in wanted])
        scale = gallery._reader.latest().scale
        self.relevance = self.scores.copy()
        if scale:
            of_query = (np.vectorize(scale.relevance(query), otypes=[float]) for query in asked)
            self.relevance = np.array([found(row) for found, row in zip(of_query, self.scores, strict=True)])
            best = self.scores.max(axis=1, keepdims=True)
            lower = fusion.DOUBT * (best - (asked @ vectors.mean(axis=0))[:, None])
            of_query = (np.vectorize(scale.relevance(query), otypes=[float]) for query in asked)
            self.lowered = np.array([found(row) for found, row in zip(of_query, self.scores - lower, strict=True)])
        self.surely = np.zeros_like(self.scores)
        self.meaning = [scale.meaning(query) if scale else 1.0 for query in asked]
        self.average = asked @ vectors.mean(axis=0)
        self.strength = np.zeros_like(self.scores)
        index = WordIndex(catalog)
        described = index.with_description(self.ids.tolist(), in_arabic=True)
        self.described = np.array([content in described for content in self.ids.tolist()])
        for number, query in enumerate(queries):
            if text := TextQuery.of([query], [], 1.0):
                found = text_matches(index, text, len(self.ids))
                self.strength[number, np.searchsorted(self.ids, found.ids)] = found.strength
                self.surely[number, np.searchsorted(self.ids, found.ids)] = found.relevance()

    def _ranks(self, values: Any) -> Any:
        own = values[np.arange(len(values)), self.wanted][:, None]
        return 1 + (values > own).sum(axis=1)

    def by_relevance(self, weight: float) -> Any:
        """As `araclip search --text-weight` orders them, then by their value."""
        lowered = self.strength.any(axis=1)[:, None] & self.described
        relevance = np.where(lowered, self.lowered, self.relevance).clip(1e-9, 1 - 1e-9)
        odds = np.log(relevance / (1 - relevance)) + fusion.LIFT_ODDS * weight * self.strength
        surely = np.maximum(1 / (1 + np.exp(-odds)), np.minimum(weight * self.surely, 1))
        return self._ranks(surely + 1e-6 * self.values(weight))

    def by_value(self, weight: float) -> Any:
        """As where relevance is not known, in a gallery of a few pictures."""
        return self._ranks(self.values(weight))

    def values(self, weight: float) -> Any:
        best = self.scores.max(axis=1)
        place = np.clip((self.scores - self.average[:, None]) / (best - self.average)[:, None], 0, 1)
        values = np.array(self.meaning)[:, None] * place + 1e-6 * self.scores  # ties of 0 by cosine
        answered = self.strength.any(axis=1) * np.array(self.meaning)  # where texts answer at all
        values -= fusion.DOUBT * min(weight, 1) * answered[:, None] * self.described
        return values + fusion.LIFT * weight * self.strength

    def by_reciprocal_ranks(self) -> Any:
        """Reciprocal rank fusion of both orders."""
        by_vector = np.argsort(np.argsort(-self.scores, axis=1), axis=1) + 1
        by_text = np.argsort(np.argsort(-self.strength, axis=1, kind="stable"), axis=1) + 1
        return self._ranks(1 / (RRF_K + by_vector) + (self.strength > 0) / (RRF_K + by_text))


def compare(ranking: Ranking, groups: dict[str, Any]) -> None:
    """Every weight and reciprocal rank fusion, over all queries and each group of them."""
    ways: list[tuple[str, Callable[[], Any]]] = [
        (f"weight {weight:g}" if weight else "vectors alone", lambda w=weight: ranking.by_value(w))  # type: ignore[misc]
        for weight in WEIGHTS
    ]
    ways += [(f"by relevance, weight {weight:g}", lambda w=weight: ranking.by_relevance(w)) for weight in (0.5, 1, 2)]  # type: ignore[misc]
    for name, ranks_of in [*ways, ("reciprocal rank fusion", ranking.by_reciprocal_ranks)]:
        ranks = ranks_of()
        report(name, ranks)
        for group, members in groups.items():
            report(f"  {group}", ranks[members])


def captions(data: Path, split: str, place: Path) -> None:
    """Second captions as texts of every other picture; first captions of all pictures ask."""
    rows = rows_of(data, split)
    texts = [{"caption": row["caption_ar"][1]} if number % 2 else {} for number, row in enumerate(rows)]
    with Gallery.open(place, create=True) as gallery:
        gallery.add([row["path"] for row in rows], metadata=texts)
        queries, wanted = [row["caption_ar"][0] for row in rows], [str(row["path"]) for row in rows]
        with_caption = np.arange(len(rows)) % 2 == 1
        ranking = Ranking(gallery, queries, wanted)
        compare(ranking, {"with a caption": with_caption, "withheld": ~with_caption})


def names(data: Path, split: str, place: Path) -> None:
    """Files named by four words of their second caption, in Arabic and English in turn; first captions ask."""
    rows = rows_of(data, split)
    folder = place / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    wanted, queries = [], []
    for number, row in enumerate(rows):
        language = ("caption_ar", "caption_en")[number % 2]
        words = "".join(c if c.isalnum() else " " for c in row[language][1]).split()[:4]
        written = ("_".join(words), "-".join(words), "".join(word.capitalize() for word in words))
        path = folder / f"{written[number % 3 if number % 2 else 0]} {number}.jpg"
        if not path.is_symlink():
            path.symlink_to(row["path"])
        wanted.append(str(path))
        queries.append(row[language][0])
    with Gallery.open(place / "gallery", create=True) as gallery:
        gallery.update([folder])
        arabic = np.arange(len(rows)) % 2 == 0
        compare(Ranking(gallery, queries, wanted), {"Arabic": arabic, "English": ~arabic})


def pages(text: Path, data: Path | None, place: Path) -> None:
    """Screenshots among photographs, asked for by three of their words."""
    folder = place / "pages"
    folder.mkdir(parents=True, exist_ok=True)
    made = screenshots(sentences(text), PAGES)
    for number, page in enumerate(made):
        page.picture.save(folder / f"{number}.png")
    with Gallery.open(place / "gallery", create=True) as gallery:
        gallery.update([folder])
        if data:
            gallery.add([row["path"] for row in rows_of(data, "dev")])
        began = time.perf_counter()
        reading = gallery.ocr(skip=print)
        took = time.perf_counter() - began
        print(f"OCR: {reading.read} with text, {reading.without} without, in {took:.0f} s; {len(gallery)} pictures")
        catalog = gallery._catalog
        ids = [catalog.content_of(str(folder / f"{number}.png")) or 0 for number in range(PAGES)]
        seen = dict(catalog.rows("SELECT content, ifnull(ocr, '') FROM texts"))
        read = [share_read(seen[content], page.lines) for content, page in zip(ids, made, strict=True)]
        print(f"share of the words that was read: mean {np.mean(read):.3f}, lowest {min(read):.3f}")
        for weight in (0.0, 1.0):
            ranks = []
            for number, page in enumerate(made):
                hits = gallery.search(page.query, 20, text_weight=weight)
                own = str(folder / f"{number}.png")
                ranks.append(next((hit.rank for hit in hits if own in (hit.path, *hit.copies)), NONE))
            report(f"weight {weight:g}" if weight else "vectors alone", np.array(ranks))


def detector(data: Path, text: Path, place: Path) -> None:
    """Share of pictures that look like text, and the time of opening them and of looking."""
    place.mkdir(parents=True, exist_ok=True)
    shots = []
    for number, page in enumerate(screenshots(sentences(text), 100)):
        shots.append(place / f"{number}.png")
        page.picture.save(shots[-1])
    sets: Iterator[tuple[str, list[Path]]] = itertools.chain(
        [("screenshots", shots)],
        (
            (folder.name, sorted((folder / "images").iterdir())[::5][:200])
            for folder in sorted((data / "more").iterdir())
        ),
        [("flickr8k", [row["path"] for row in rows_of(data / "flickr8k", "choice")][:300])],
    )
    for name, paths in sets:
        began = time.process_time()
        cells = np.array([text_cells(_for_text_detector(str(path))) for path in paths])
        took = (time.process_time() - began) / len(paths) * 1e3
        shares = "  ".join(f"≥{most} {np.mean(cells >= most):.3f}" for most in (4, 8, CELLS, 20, 40))
        print(f"{name:20} {len(paths):4} pictures  {took:5.1f} ms  cells {shares}", flush=True)


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("captions", "names", "screenshots", "detector"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--split", default="dev", choices=("dev", "choice"))
    parser.add_argument("--work", type=Path, help="keeps the gallery for a next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = (options.work or Path(temporary)) / f"{options.part}-{options.split}"
        if options.part in ("captions", "names"):
            {"captions": captions, "names": names}[options.part](options.data, options.split, place)
        elif options.part == "screenshots":
            pages(options.text, options.data, place)
        else:
            detector(options.data, options.text, place)


if __name__ == "__main__":
    main()
