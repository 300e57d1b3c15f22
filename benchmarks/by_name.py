"""Recall of pictures by their names, shared by class_names.py and drawings.py."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from araclip import AraCLIP, normalize
from araclip.evaluation.scores import ranks, summary

COLUMNS = ("R@1", "R@5", "R@10", "MRR")


def table(model: AraCLIP, pictures: Sequence[Path], names: dict[str, Sequence[str]]) -> Iterable[str]:
    """Lines of a table, one a language: every name is a query over all pictures; any picture of that name is relevant.

    Args:
        names: language → the name of each picture.
    """
    vectors = model.encode_image(pictures)  # (N, D)
    yield f"{'language':10} {'names':>6} {'pictures':>9} {'sharing':>8}  " + "  ".join(f"{c:>5}" for c in COLUMNS)
    for language, labels in names.items():
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(map(normalize, labels)):
            rows.setdefault(name, []).append(row)
        scores = summary(ranks(model.encode_text(rows), vectors, list(rows.values())))
        sharing = sum(len(own) for own in rows.values() if len(own) > 1)  # pictures that share their name
        counts = f"{len(rows):6,} {len(labels):9,} {sharing:8,}"
        yield f"{language:10} {counts}  " + "  ".join(f"{scores[c]:5.3f}" for c in COLUMNS)
