"""Hybrid search: words in and about pictures beside vectors, against vectors alone, and ways of fusing the two.

    python benchmarks/hybrid.py captions --data flickr8k --split dev      captions withheld for half of the pictures
    python benchmarks/hybrid.py names --data flickr8k --split dev         file names in Arabic and English
    python benchmarks/hybrid.py screenshots [--pictures 200]              rendered Arabic pages, read by OCR
    python benchmarks/hybrid.py stems --data flickr8k --split choice      stemmers, by one caption finding another

`choice` are 600 pictures of train (sorted by name, every tenth): weights and stemmers are chosen there, `dev` is for
what is reported. Intervals are 95 %, over 2,000 resamplings of the pictures. docs/queries.md and docs/log/2026-11.md
have the results.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from araclip import Gallery
from araclip.gallery.catalog.full_text.matching import WordIndex
from araclip.gallery.query import parse, text_query
from araclip.gallery.text_matches import text_matches

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
RRF_K = 60  # Cormack, Clarke and Buettcher 2009

Row = dict[str, Any]


def rows_of(data: Path, split: str) -> list[Row]:
    """The captioned pictures of a split."""
    lines = (data / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = sorted((json.loads(line) for line in lines), key=lambda row: row["image"])
    if split == "choice":
        return [row for row in rows if row["split"] == "train"][::10][:600]
    return [row for row in rows if row["split"] == split]


def indexed(data: Path, rows: Sequence[Row], texts: Sequence[str], place: Path) -> Gallery:
    """A gallery of the pictures, with a text each as metadata; an existing one gets new texts."""
    gallery = Gallery.open(place, create=True)
    if len(gallery) < len(rows):
        gallery.update([data / "images"] if len(rows) > 7000 else [])
    paths = [picture_path(data, row) for row in rows]
    gallery.add(paths, metadata=[{"caption": text} for text in texts])
    return gallery


def picture_path(data: Path, row: Row) -> Path:
    """The file of a row."""
    return next(path for path in (data / row["image"], data / "images" / row["image"]) if path.is_file())


def report(name: str, ranks: np.ndarray) -> None:
    """Print R@1, R@5, R@10 and MRR of ranks (n,), with intervals by resampling."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(ranks), (2000, len(ranks)))
    cells = []
    for label, values in (
        *((f"R@{k}", ranks <= k) for k in (1, 5, 10)), ("MRR", 1 / ranks),
    ):  # fmt: skip
        low, high = np.percentile(np.asarray(values)[rows].mean(axis=1), (2.5, 97.5))
        cells.append(f"{label} {np.mean(values):.3f} ({low:.3f}–{high:.3f})")
    print(f"{name:28} " + "  ".join(cells), flush=True)


def ranks_by_search(gallery: Gallery, queries: Iterable[tuple[str, str]], weight: float) -> np.ndarray:
    """The rank of each query's picture (its path), 1,000 where it is not among the first 50."""
    ranks = []
    for query, path in queries:
        hits = gallery.search(query, 50, text_weight=weight)
        ranks.append(next((hit.rank for hit in hits if path in (hit.path, *hit.copies)), 1000))
    return np.array(ranks)


def ranks_by_rrf(gallery: Gallery, queries: Iterable[tuple[str, str]]) -> np.ndarray:
    """As `ranks_by_search`, by reciprocal rank fusion of the two rankings."""
    ranks, catalog = [], gallery._catalog
    for query, path in queries:
        score: dict[int, float] = {}
        for hit in gallery.search(query, len(gallery), text_weight=0):
            score[catalog.content_of(hit.path) or 0] = 1 / (RRF_K + hit.rank)
        text = text_query(parse(query), 1.0)
        if text:
            found = text_matches(WordIndex(catalog), text, len(gallery))
            for rank, row in enumerate(np.argsort(-found.strength, kind="stable"), 1):
                score[int(found.ids[row])] = score.get(int(found.ids[row]), 0) + 1 / (RRF_K + rank)
        wanted = score[catalog.content_of(path) or 0]
        ranks.append(1 + sum(value > wanted for value in score.values()))
    return np.array(ranks)


def escaped(text: str) -> str:
    """A caption as a query's text: signs and quotation marks are letters."""
    return "".join("\\" + letter if letter in '\\"«»“”:+-−' else letter for letter in text)


def captions(data: Path, split: str, place: Path) -> None:
    """Captions as texts of half of the pictures; other captions of all pictures ask."""
    rows = rows_of(data, split)
    texts = [row["caption_ar"][1] if number % 2 else "" for number, row in enumerate(rows)]
    with indexed(data, rows, texts, place) as gallery:
        queries = [(escaped(row["caption_ar"][0]), str(picture_path(data, row))) for row in rows]
        compared(gallery, queries, np.arange(len(rows)) % 2 == 1, ("with a caption", "without"))


def compared(
    gallery: Gallery, queries: Sequence[tuple[str, str]], half: np.ndarray, names: tuple[str, str], *, rrf: bool = True
) -> None:
    """Every weight, and reciprocal rank fusion, over all queries and two halves of them."""
    ways: list[tuple[str, Callable[[], np.ndarray]]] = [
        (f"weight {weight:g}" if weight else "vectors alone", lambda w=weight: ranks_by_search(gallery, queries, w))
        for weight in WEIGHTS
    ]  # type: ignore[misc]
    if rrf:
        ways.append(("reciprocal rank fusion", lambda: ranks_by_rrf(gallery, queries)))
    for name, ranks_of in ways:
        ranks = ranks_of()
        report(name, ranks)
        report(f"  {names[0]}", ranks[half])
        report(f"  {names[1]}", ranks[~half])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("captions",))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="dev", choices=("dev", "choice"))
    parser.add_argument("--work", type=Path, help="keeps the gallery for a next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = (options.work or Path(temporary)) / f"{options.part}-{options.split}"
        began = time.perf_counter()
        captions(options.data, options.split, place)
        print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
