"""Sixty everyday queries over a folder of one's own pictures, as a page to look at: is the first row what was asked?

    python benchmarks/everyday_queries.py GALLERY --out PAGE.html [--queries FILE]

Each query with its first seven hits, near-duplicates behind the best one as in the terminal, their
relevance, and whether «no picture fits» is said. The judgement is the reader's; docs/log/2026-11.md states one.
"""

import argparse
from html import escape
from pathlib import Path

from araclip import Gallery
from araclip.gallery.results import fits_nothing

QUERIES = Path(__file__).with_name("everyday_queries.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gallery")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--queries", type=Path, default=QUERIES)
    args = parser.parse_args()
    queries = args.queries.read_text(encoding="utf-8").split("\n")
    parts, none = [], 0
    with Gallery.open(args.gallery) as gallery:
        for number, query in enumerate(filter(None, queries), 1):
            hits = gallery.search(query, 7, collapse=True)
            told = fits_nothing([hit.relevance for hit in hits])
            none += told
            parts.append(
                f"<h3 dir=auto>{number}. {escape(query)}{' — no picture fits' * told}</h3>{hits._repr_html_()}"
            )
    args.out.write_text("<!doctype html><meta charset=utf-8>" + "".join(parts), encoding="utf-8")
    print(f"{len(parts)} queries, {none} told that no picture fits: {args.out}")


if __name__ == "__main__":
    main()
