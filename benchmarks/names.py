"""How often a name finds its picture: emoji names and OpenMoji's drawings, ImageNet's class names and photographs.

    python benchmarks/names.py drawings [--model araclip-mini]   # extra demo; draws the pictures where needed
    python benchmarks/names.py classes --data DATA --held WORK/data/nips17-held/captions.jsonl [--model araclip-mini]
        [--among WORK/data/nips17-train/captions.jsonl]

Protocol: every name that occurs is a query, without a prompt, over all pictures; any picture of that name is relevant
(مزارع is a farmer and a man who is one). Ties at their expected rank. For a model trained on OpenMoji, such as
araclip-mini 1, `drawings` measures memorisation, not generalisation. The photographs are held out of all training:
`recipes/mini/data.py` writes the list, every fourth picture of DATA's more/nips17_ccby (CC BY 2.0), which no recipe
trains on; araclip-mini 1, older than the list, was trained on them. With --among the other three quarters are
candidates as well, but for the learned pictures of the class that is asked.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from everyday_words import any_hit

from araclip import AraCLIP, normalize
from araclip.core.paths import data_home
from araclip.demo import sample_pictures
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


def drawings(model: AraCLIP, folder: Path) -> None:
    """OpenMoji's drawings by the names of their emoji."""
    import emoji

    samples = [sample for sample in sample_pictures(folder, lambda done, total: None) if sample.emoji]
    names = {
        "arabic": [sample.arabic for sample in samples],
        "english": [emoji.EMOJI_DATA[sample.emoji]["en"].strip(":").replace("_", " ") for sample in samples],
    }
    print(f"{model.config.label}, OpenMoji drawings by name")
    print(*table(model, [sample.path for sample in samples], names), sep="\n")


def listed(data: Path, listing: Path) -> tuple[list[Path], list[str], list[str]]:
    """The photographs of a list, and the Arabic and English name of each."""
    rows = [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()]
    files = [data / "more" / "nips17_ccby" / "images" / Path(row["image"]).name for row in rows]
    return files, [normalize(row["class_ar"]) for row in rows], [row["label"] for row in rows]


def classes(model: AraCLIP, data: Path, held: Path, among: Path | None) -> None:
    """Photographs by the names of their classes, also among further candidates."""
    pictures, arabic, english = listed(data, held)
    print(f"{model.config.label}, photographs of ImageNet's classes by name")
    print(*table(model, pictures, {"arabic": arabic, "english": english}), sep="\n")
    if among:
        more, more_arabic, _ = listed(data, among)
        asked, names = [*dict.fromkeys(arabic)], np.array(arabic + more_arabic)
        scores = model.encode_text(asked) @ model.encode_image([*pictures, *more]).T
        same, ours = np.array(asked)[:, None] == names, np.arange(len(names)) < len(pictures)
        found = any_hit(np.where(same & ~ours, -np.inf, scores), same & ours)
        shares = "  ".join(f"R@{k} {np.mean(found <= k):.3f}" for k in (1, 5, 10))
        print(f"arabic, {len(asked)} names among {len(names):,} pictures: {shares}  MRR {np.mean(1 / found):.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("drawings", "classes"))
    parser.add_argument("--pictures", type=Path, default=data_home() / "demo" / "pictures", help="the drawings' folder")
    parser.add_argument("--data", type=Path, help="the folder that holds more/nips17_ccby")
    parser.add_argument("--held", type=Path, help="captions.jsonl of the test pictures")
    parser.add_argument("--among", type=Path, help="captions.jsonl of further candidates")
    parser.add_argument("--model", default="araclip-mini")
    args = parser.parse_args()
    model = AraCLIP.load(args.model)
    if args.what == "drawings":
        drawings(model, args.pictures)
    elif args.data and args.held:
        classes(model, args.data, args.held, args.among)
    else:
        parser.error("classes needs --data and --held")


if __name__ == "__main__":
    main()
