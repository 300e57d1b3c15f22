"""How often a name finds its picture: emoji names and OpenMoji's drawings, ImageNet's class names and photographs.

    python benchmarks/names.py drawings [--model araclip-mini]   # extra demo; draws the pictures where needed
    python benchmarks/names.py classes --data DATA --held WORK/data/nips17-held/captions.jsonl [--model araclip-mini]
        [--among WORK/data/nips17-train/captions.jsonl]
    python benchmarks/names.py probabilities --data DATA --held WORK/data/nips17-held/captions.jsonl

Protocol: every name that occurs is a query, without a prompt, over all pictures; any picture of that name is relevant
(مزارع is a farmer and a man who is one). Ties at their expected rank. For a model trained on OpenMoji, such as
araclip-mini 1, `drawings` measures memorisation, not generalisation. The photographs are held out of all training:
`recipes/mini/data.py` writes the list, every fourth picture of DATA's more/nips17_ccby (CC BY 2.0), which no recipe
trains on; araclip-mini 1, older than the list, was trained on them. With --among the other three quarters are
candidates as well, but for the learned pictures of the class that is asked.

`probabilities`: each of these photographs is classified among its own class and 2, 9 or all others, drawn at random 20
times. Prints the accuracy of the best label, and for each scale its mean probability (calibrated where the two agree)
and the mean negative log-likelihood of the right label. "Other": each photograph twice, with its class among the labels
and without; how often P(other) says so rightly (cut .5), and its expected calibration error. OTHER was fitted in the
same way on the three quarters of nips17 that are not held out.
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
from araclip.evaluation.zeroshot import SCALE, class_vectors, none_of
from araclip.gallery.reference_queries import EVERYDAY

COLUMNS = ("R@1", "R@5", "R@10", "MRR")
SCALES = (10.0, 20.0, SCALE, 50.0, 100.0)
DRAWS = 20


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


def probabilities(model: AraCLIP, data: Path, held: Path) -> None:
    """How sure `araclip classify` may be, for several scales of the cosines, and of the label "other"."""
    pictures, arabic, _ = listed(data, held)
    rng, names = np.random.default_rng(0), sorted(set(arabic))
    own = np.array([names.index(name) for name in arabic])
    vectors = model.encode_image(pictures)  # (N, D)
    cosines = vectors @ class_vectors(model, names).T  # (N, C)
    everyday = vectors @ model.encode_text(list(EVERYDAY)).T  # (N, E)
    print(
        f"{model.label}, {len(own)} photographs, {len(names)} classes; scale: mean probability, negative log-likelihood"
    )
    for count in (3, 10, len(names)):
        drawn = []
        for picture, right in enumerate(own.tolist()):
            others = np.delete(np.arange(len(names)), right)
            draws = [rng.choice(others, count - 1, replace=False) for _ in range(DRAWS if count < len(names) else 1)]
            drawn += [cosines[picture, [right, *wrong]] for wrong in draws]
        chosen = np.stack(drawn).astype(np.float64)  # (n, count), the right one first
        cells = []
        for scale in SCALES:
            odds = np.exp(scale * (chosen - chosen.max(axis=1, keepdims=True)))
            probabilities = odds / odds.sum(axis=1, keepdims=True)
            cells.append(f"{scale:g}: {probabilities.max(axis=1).mean():.3f} {-np.log(probabilities[:, 0]).mean():.2f}")
        print(f"{count:3} labels, right {(chosen.argmax(axis=1) == 0).mean():.3f} | " + " | ".join(cells))

    print("labels; share of P(other) on the right side of .5; its expected calibration error")
    for count in (3, 10, 50):
        none, absent = [], []
        for picture, right in enumerate(own.tolist()):
            others = np.delete(np.arange(len(names)), right)
            for present in (0, 1):
                chosen = [right] * present + rng.choice(others, count - present, replace=False).tolist()
                none.append(none_of(cosines[[picture]][:, chosen], everyday[[picture]])[0])
                absent.append(not present)
        shares, truth = np.array(none), np.array(absent)
        bins = np.minimum((shares * 10).astype(int), 9)
        error = sum(
            (bins == b).mean() * abs(shares[bins == b].mean() - truth[bins == b].mean()) for b in np.unique(bins)
        )
        print(f"{count:3} {((shares > 0.5) == truth).mean():.3f} {error:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("drawings", "classes", "probabilities"))
    parser.add_argument("--pictures", type=Path, default=data_home() / "demo" / "pictures", help="the drawings' folder")
    parser.add_argument("--data", type=Path, help="the folder that holds more/nips17_ccby")
    parser.add_argument("--held", type=Path, help="captions.jsonl of the test pictures")
    parser.add_argument("--among", type=Path, help="captions.jsonl of further candidates")
    parser.add_argument("--model", default="araclip-mini")
    args = parser.parse_args()
    model = AraCLIP.load(args.model)
    if args.what == "drawings":
        drawings(model, args.pictures)
    elif not (args.data and args.held):
        parser.error(f"{args.what} needs --data and --held")
    elif args.what == "classes":
        classes(model, args.data, args.held, args.among)
    else:
        probabilities(model, args.data, args.held)


if __name__ == "__main__":
    main()
