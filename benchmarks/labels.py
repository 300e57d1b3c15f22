"""The precision of each label of `araclip tag --labels everyday`, and the list itself.

    python benchmarks/labels.py --held SET … --learned SET … --everyday SET … --report SET …
        [--cache DIR] [--list FILE] [--write]

Protocol: each picture of the sets gets the probabilities of all candidates (label_candidates.txt), among which they
compete, and a label is right where its English name, or another word of its line, is a word of the picture's label or
English captions. A label that a set does not name counts as wrong, also where it can be seen, unless somebody looked:
judged_labels.jsonl says of single pictures whether a label is right. A label is written from the lowest of CUTS on
which passes two tests. On labelled pictures at least LABELLED of its hits are right: on those held out of all training,
or, where fewer than LEAST_HITS hits are held out, on all. On everyday scenes, where most things are rarer than in
labelled sets, TARGET of its hits are right, with DOUBT hits of an average label added; a label that none of these
scenes gets is written from UNSEEN on, if TARGET of its hits on labelled pictures are right. Labels that pass nowhere
only compete. `--write` writes src/araclip/text/data/labels.txt.

A set may be written SET:SPLIT. Every other picture of a set that is both everyday and reported serves each purpose. At
the end, what the choice itself gains is taken out: cuts are chosen on nine tenths of the pictures, and precision is
measured on the last tenth; and the list (or that of `--list`) is measured on the reported pictures, of which all labels
that were looked at are counted.
"""

import argparse
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip import AraCLIP
from araclip.evaluation.zeroshot import label_probabilities, readable_vectors
from araclip.text.labels import Label, parse_labels

HERE = Path(__file__).parent
LIST = HERE.parent / "src" / "araclip" / "text" / "data" / "labels.txt"
JUDGED = HERE / "judged_labels.jsonl"
CUTS, TARGET, LEAST_HITS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95), 0.9, 5
LABELLED = 0.8  # share of right hits on labelled pictures, which do not name all that they show
DOUBT, UNSEEN = 4, 0.9  # of 1, 2 and 4, and of .7 and .9, those with most right hits on the last tenths

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
    source: str, model: AraCLIP, labels: list[Label], words: list[set[str]], cache: Path | None
) -> tuple[list[str], NDArray[np.float32], Bools, Bools]:
    """A set's pictures, as SET/FILE, their vectors (N, D), which labels are right for each (N, C), and which were
    looked at (N, C)."""
    place, _, split = source.partition(":")
    folder = Path(place)
    rows = [json.loads(line) for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if split in ("", row.get("split"))]
    texts = {folder / row["image"]: " . ".join([row.get("label", ""), *row.get("caption_en", ())]) for row in rows}
    file = cache / f"{folder.name}{split}-{model.fingerprint}.npz" if cache else None
    if file and file.exists():
        with np.load(file) as stored:
            kept, vectors = [Path(name) for name in stored["paths"]], stored["vectors"]
    else:
        kept, vectors = readable_vectors(model, list(texts), print)
        if file:
            np.savez(file, paths=[str(path) for path in kept], vectors=vectors)
    said = [phrases(texts[path]) for path in kept]
    right = np.array([[not own.isdisjoint(each) for own in words] for each in said], bool).reshape(-1, len(words))
    names, looked = [f"{folder.name}/{path.name}" for path in kept], np.zeros_like(right)
    row_of, column_of = ({name: at for at, name in enumerate(some)} for some in (names, [x.arabic for x in labels]))
    for line in JUDGED.read_text(encoding="utf-8").splitlines():
        judged = json.loads(line)
        if judged["image"] in row_of:
            at = row_of[judged["image"]], column_of[judged["label"]]
            right[at], looked[at] = judged["right"], True
    return names, vectors, right, looked


@dataclass(frozen=True)
class Pictures:
    """Pictures with the probabilities of the candidates (N, C), which of these are right, and which were looked at.

    `held`: which pictures are held out of all training; `everyday`: which show everyday scenes.
    """

    shares: NDArray[np.float32]
    right: Bools
    looked: Bools
    held: Bools
    everyday: Bools

    def __getitem__(self, rows: NDArray[Any]) -> "Pictures":
        return Pictures(*(getattr(self, each.name)[rows] for each in fields(self)))


def chosen(pictures: Pictures, least: int) -> dict[int, tuple[float, int, int, int]]:
    """Column of each label that passes → its cut, right hits and hits on labelled pictures, and how many are held out.

    These are hits from the lowest cut that passes on labelled pictures. The average label that stands for doubt is
    right as often as all that pass on labelled pictures are on everyday ones.
    """
    known, scenes = pictures[~pictures.everyday], pictures[pictures.everyday]

    def first(column: int, share: float) -> tuple[float, int, int, int] | None:
        """The lowest cut from which this share of a label's hits on labelled pictures is right, with their numbers."""
        for cut in CUTS:
            hits = known.shares[:, column] >= cut
            fair = hits & known.held
            counted = fair if fair.sum() >= least else hits
            good, good_fair = (int((each & known.right[:, column]).sum()) for each in (counted, fair))
            n, n_fair = int(counted.sum()), int(fair.sum())
            if n >= least and good >= share * n and good_fair >= share * n_fair:
                return cut, good, n, n_fair
        return None

    def seen(column: int, cut: float) -> NDArray[np.int64]:
        """Hits on everyday scenes, and right ones."""
        hits = scenes.shares[:, column] >= cut
        return np.array([hits.sum(), (hits & scenes.right[:, column]).sum()])

    passed = {column: at for column in range(known.shares.shape[1]) if (at := first(column, LABELLED))}
    total = sum((seen(column, at[0]) for column, at in passed.items()), np.zeros(2))
    average = total[1] / max(total[0], 1)
    found = {}
    for column, (least_cut, *counts) in passed.items():
        sure = first(column, TARGET)
        for cut in (each for each in CUTS if each >= least_cut):
            n, good = seen(column, cut)
            unseen = sure and cut >= max(UNSEEN, sure[0])
            if (good + DOUBT * average >= TARGET * (n + DOUBT)) if n else unseen:
                found[column] = (cut, *counts)
                break
    return found


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--held", nargs="+", required=True, help="sets that nothing was trained on")
parser.add_argument("--learned", nargs="*", default=[], help="sets that the model may have learned from")
parser.add_argument("--everyday", nargs="+", required=True, help="sets with captions of everyday scenes")
parser.add_argument("--report", nargs="+", required=True, help="sets with captions that no cut is chosen on")
parser.add_argument("--list", type=Path, default=LIST, help="the list that is measured on the reported sets")
parser.add_argument("--cache", type=Path, help="a folder that keeps the pictures' vectors")
parser.add_argument("--model", default="araclip-mini")
parser.add_argument("--write", action="store_true", help="write the list")
args = parser.parse_args()

model = AraCLIP.load(args.model)
labels, words = candidates(HERE / "label_candidates.txt")
names = [label.arabic for label in labels]


def read(sources: list[str], kind: str) -> Pictures:
    """The pictures of some sets; of a set that is both everyday and reported, the half that this purpose takes."""
    parts = []
    for source in sources:
        found = encoded(source, model, labels, words, args.cache)
        both = source in args.everyday and source in args.report
        rows = np.arange(len(found[0]))[int(both and kind == "report") :: 2 if both else 1]
        parts.append([np.asarray(each)[rows] for each in found])
    pictures, vectors, right, looked = (np.concatenate(each) for each in zip(*parts, strict=True))
    paths = [Path(name) for name in pictures]
    shares = label_probabilities(model, paths, names, other=True, image_vectors=vectors)[:, :-1]  # (N, C)
    return Pictures(shares, right, looked, *(np.full(len(paths), kind == each) for each in ("held", "everyday")))


def joined(parts: list[Pictures]) -> Pictures:
    """The pictures of all parts, in order."""
    return Pictures(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Pictures)))


fitted = joined([read(some, kind) for kind in ("held", "learned", "everyday") if (some := getattr(args, kind))])
found = chosen(fitted, LEAST_HITS)

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

fold = np.random.default_rng(0).integers(0, 10, len(fitted.shares))
totals = np.zeros((2, 2), int)  # hits and right hits, on labelled pictures held out and on everyday scenes
for last in range(10):
    tenth = fitted[fold == last]
    for column, (cut, *_) in chosen(fitted[fold != last], LEAST_HITS).items():
        hits = tenth.shares[:, column] >= cut
        for row, kind in enumerate((tenth.held, tenth.everyday)):
            totals[row] += (hits & kind).sum(), (hits & kind & tenth.right[:, column]).sum()
held = fitted.held
print(f"{model.label}: {len(found)} of {len(labels)} labels reach {TARGET}")
print(f"{held.sum():,} labelled pictures held out, {fitted.everyday.sum():,} everyday scenes, {len(held):,} in all")
for name, (hits, good) in zip(("labelled", "everyday"), totals.tolist(), strict=True):
    print(f"chosen on nine tenths, measured on the last, {name}: {good / hits:.3f} of {hits:,} hits")
written = sum((held & (fitted.shares[:, column] >= found[column][0])).sum() for column in found) / held.sum()
print(f"{written:.2f} labels for each held-out picture")
if args.write:
    idle = [label.arabic for column, label in enumerate(labels) if column not in found]
    head = f"""# Everyday labels of `araclip tag`, written by benchmarks/labels.py for {model.label}.
# Arabic; English; the least probability at which it is written # precision among how many hits on labelled pictures.
# Written for this project from general knowledge. Apache-2.0, as the code."""
    tail = [
        "",
        "# What the model does not know well enough competes with the labels above, and is never written.",
        "[-]",
    ]
    LIST.write_text("\n".join([head, *lines, *tail, *idle]) + "\n", encoding="utf-8")

reported = read(args.report, "report")
cuts = {label.arabic: label.least for label in parse_labels(args.list.read_text(encoding="utf-8"), args.list.name)}
cut_of = np.array([cuts.get(name) or 2.0 for name in names])
hits = reported.shares >= cut_of
looked = hits & reported.looked
good = [(some & reported.right).sum() for some in (looked, hits)]
print(f"{args.list.name}: {hits.sum()} labels for {len(hits):,} reported pictures, {good[1]} right by words or looks")
print(f"looked at: {looked.sum()}, right: {good[0] / max(looked.sum(), 1):.3f}")
