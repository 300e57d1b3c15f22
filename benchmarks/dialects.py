"""Accuracy of the marker words of `evaluation.breakdown` on sentences of known dialect.

    python benchmarks/dialects.py FILE [FILE …]

Each FILE is a table (.tsv, or .tsv.xz) with a header line, the Arabic text in column `ar` and, where there are several,
the dialect in column `dialect`. A file without that column is a single group.
"""

import argparse
import lzma
from collections import Counter, defaultdict
from pathlib import Path

from araclip.evaluation.breakdown import MARKERS, NO_MARKER, dialect_of

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
args = parser.parse_args()

counts_of: dict[str, Counter[str]] = defaultdict(Counter)
for path in args.files:
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as lines:
        header = next(lines).rstrip("\n").split("\t")
        for line in lines:
            row = dict(zip(header, line.rstrip("\n").split("\t"), strict=False))
            counts_of[f"{path.name.partition('.')[0]} {row.get('dialect', '')}".strip()][dialect_of(row["ar"])] += 1
columns = (*MARKERS, NO_MARKER)
print(f"{'':28}{'sentences':>10}", *(f"{column:>24}" for column in columns))
for group, counts in counts_of.items():
    total = counts.total()
    print(f"{group:28}{total:10,}", *(f"{counts[column] / total:24.1%}" for column in columns))
