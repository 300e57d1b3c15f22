"""Recall on drawings that any clone can make (extra `demo`): every 16th of OpenMoji's, asked by its Arabic name."""

from pathlib import Path

from araclip import demo, normalize
from araclip.evaluation.scores import ranks, summary
from araclip.models.encoder import Encoder

EVERY = 16  # of 1,914: 120 drawings, two seconds on two cores


def recall_on_drawings(model: Encoder, folder: Path) -> dict[str, float]:
    """R@1, R@5, R@10 and MRR, Arabic name → drawing; drawings of one name all count. `folder` receives the pictures."""
    drawings = [sample for sample in demo.available(folder) if sample.emoji][::EVERY]
    for sample in drawings:
        demo.make(sample)
    rows: dict[str, list[int]] = {}
    for row, sample in enumerate(drawings):
        rows.setdefault(normalize(sample.arabic), []).append(row)
    pictures = model.encode_image([sample.path for sample in drawings])  # (N, D)
    return summary(ranks(model.encode_text(list(rows)), pictures, list(rows.values())))
