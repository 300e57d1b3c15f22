"""The precision of each label of `araclip tag --labels everyday`, and the list itself.

    python benchmarks/labels.py --held SET … --learned SET … [--cache DIR] [--write]

Protocol: each picture of the sets gets the probabilities of all candidates (label_candidates.txt), among which they
compete, and a label is right where its English name, or another word of its line, is a word of the picture's label or
English captions. A label that a set does not name counts as wrong, also where it can be seen. For each label the lowest
of CUTS is sought at which at least TARGET of its hits are right, on the pictures held out of all training; where fewer
than LEAST_HITS hits are held out, on all pictures, those that the model was trained on among them. Labels that reach
TARGET nowhere only compete. `--write` writes src/araclip/text/data/labels.txt.

At the end, what the choice itself gains is taken out: cuts are chosen on one half of the pictures, and precision is
measured on the held-out pictures of the other half.
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip import AraCLIP
from araclip.evaluation.zeroshot import label_probabilities, readable_vectors
from araclip.text.labels import Label, parse_labels

HERE = Path(__file__).parent
LIST = HERE.parent / "src" / "araclip" / "text" / "data" / "labels.txt"
CUTS, TARGET, LEAST_HITS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), 0.8, 5

Bools = NDArray[np.bool_]


def candidates(path: Path) -> tuple[list[Label], list[set[str]]]:
    """The labels, and for each the English words by which it is right; * stands for those of its whole group."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    labels = list(parse_labels("\n".join(";".join(line.split(";")[:2]) for line in lines), path.name))
    also = [line.split(";")[2] if line.count(";") > 1 else "" for line in lines if not line.startswith("[")]
    assert len(also) == len(labels), "a name comes twice"
    words = [
        {
            one if one == "*" else " ".join(re.findall(r"[\w'-]+", one.lower()))
            for one in (label.english, *more.strip().split(", "))
        }
        for label, more in zip(labels, also, strict=True)
    ]
    groups: dict[str, set[str]] = {}
    for label, own in zip(labels, words, strict=True):
        groups.setdefault(label.group, set()).update(own)
    return labels, [
        (groups[label.group] if "*" in own else own) - {"*", ""} for label, own in zip(labels, words, strict=True)
    ]


def phrases(text: str) -> set[str]:
    """The words of a text, and its groups of up to four words, with and without the plural's ending of the last."""
    words = re.findall(r"[\w'-]+", text.lower())
    found = {" ".join(words[at : at + length]) for at in range(len(words)) for length in range(1, 5)}
    return found | {phrase.removesuffix("s") for phrase in found} | {phrase.removesuffix("es") for phrase in found}


def encoded(
    folder: Path, model: AraCLIP, words: list[set[str]], cache: Path | None
) -> tuple[list[Path], NDArray[np.float32], Bools]:
    """A set's pictures, their vectors (N, D), and which labels are right for each (N, C)."""
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = {folder / row["image"]: " . ".join([row.get("label", ""), *row.get("caption_en", ())]) for row in rows}
    file = cache / f"{folder.name}-{model.fingerprint}.npz" if cache else None
    if file and file.exists():
        with np.load(file) as stored:
            kept, vectors = [Path(name) for name in stored["paths"]], stored["vectors"]
    else:
        kept, vectors = readable_vectors(model, list(texts), print)
        if file:
            np.savez(file, paths=[str(path) for path in kept], vectors=vectors)
    said = [phrases(texts[path]) for path in kept]
    return (
        kept,
        vectors,
        np.array([[not own.isdisjoint(each) for own in words] for each in said], bool).reshape(-1, len(words)),
    )


def chosen(
    shares: NDArray[np.float32], right: Bools, held: Bools, least: int
) -> dict[int, tuple[float, int, int, int]]:
    """Column of each label that reaches TARGET → its cut, right hits and hits, and how many of these are held out."""
    found = {}
    for column in range(shares.shape[1]):
        for cut in CUTS:
            hits = shares[:, column] >= cut
            fair = hits & held
            counted = fair if fair.sum() >= least else hits
            good = (int((each & right[:, column]).sum()) for each in (counted, fair))
            n, n_fair = int(counted.sum()), int(fair.sum())
            if n >= least and next(good) >= TARGET * n and next(good) >= TARGET * n_fair:
                found[column] = (cut, int((counted & right[:, column]).sum()), n, n_fair)
                break
    return found


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--held", type=Path, nargs="+", required=True, help="sets that nothing was trained on")
parser.add_argument("--learned", type=Path, nargs="*", default=[], help="sets that the model may have learned from")
parser.add_argument("--cache", type=Path, help="a folder that keeps the pictures' vectors")
parser.add_argument("--model", default="araclip-mini")
parser.add_argument("--write", action="store_true", help="write the list")
args = parser.parse_args()

model = AraCLIP.load(args.model)
labels, words = candidates(HERE / "label_candidates.txt")
parts = [encoded(folder, model, words, args.cache) for folder in args.held + args.learned]
pictures = [path for part in parts for path in part[0]]
vectors, right = (np.concatenate([part[place] for part in parts]) for place in (1, 2))
held = np.arange(len(pictures)) < sum(len(part[0]) for part in parts[: len(args.held)])
names = [label.arabic for label in labels]
shares = label_probabilities(model, pictures, names, other=True, image_vectors=vectors)[:, :-1]  # (N, C)
found = chosen(shares, right, held, LEAST_HITS)

lines = []
for group in dict.fromkeys(label.group for label in labels):
    inside = [column for column in found if labels[column].group == group]
    if inside:
        lines += ["", f"[{group}; {labels[inside[0]].group_english}]"]
    for column in inside:
        cut, good, n, n_fair = found[column]
        lines.append(f"{labels[column].arabic}; {labels[column].english}; {cut}  # {good / n:.2f} of {n}")
        seen = "held out" if n_fair >= LEAST_HITS else f"{n_fair} held out"
        print(f"{good / n:.2f} of {n:4} hits ({seen}) from {cut}: {labels[column].english}")

half = np.random.default_rng(0).random(len(shares)) < 0.5
good = hits = 0
for fit in (half, ~half):
    for column, (cut, *_) in chosen(shares[fit], right[fit], held[fit], 3).items():
        counted = ~fit & held & (shares[:, column] >= cut)
        hits, good = hits + int(counted.sum()), good + int((counted & right[:, column]).sum())
print(f"{model.label}: {len(found)} of {len(labels)} labels reach {TARGET}")
print(f"{int(held.sum()):,} pictures held out of {len(held):,}")
print(f"chosen on one half, measured on the other: {good / hits:.3f} of {hits:,} hits")
written = sum((held & (shares[:, column] >= found[column][0])).sum() for column in found) / held.sum()
print(f"{written:.2f} labels for each held-out picture")
if args.write:
    idle = [label.arabic for column, label in enumerate(labels) if column not in found]
    head = f"""# Everyday labels of `araclip tag`, written by benchmarks/labels.py for {model.label}.
# Arabic; English; the least probability at which four of five hits were right # measured precision of how many hits.
# Written for this project from general knowledge. Apache-2.0, as the code."""
    tail = [
        "",
        "# What the model does not know well enough competes with the labels above, and is never written.",
        "[-]",
    ]
    LIST.write_text("\n".join([head, *lines, *tail, *idle]) + "\n", encoding="utf-8")
