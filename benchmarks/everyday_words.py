"""Everyday words and names: does a word find the things that it names?

    python benchmarks/everyday_words.py --prepared WORK/data [--model NAME_OR_FOLDER …] [--field held|learned|published]

Data: what `recipes/mini/data.py` prepared; every picture and, with --field held, every word was held out of training.
Protocol: each labelled set is a gallery of its own (its held fifth); a word is a query, a picture is right if its label
is one that the word names; precision of the first ten, or of as many as there are right ones if fewer. `names`: Arabic
names of ImageNet's classes over the held photographs of nips17, any photograph of the class is right. `drawings`:
GCompris' held words over its held drawings. `captions`: the choice split, every caption, any-hit.
`scenes`: the words and phrases of everyday_scenes.tsv over photographs of scenes with two captions or more; a picture
is right if two of its English captions match the line's pattern, wrong if none does, and left out if one does;
precision of the first five, or of as many as are right if fewer. Its list `choice` is asked over the choice split and
openstax_coco-held; its list `dev`, which has other words, over Flickr8k's dev split, whose folder --dev names.
Intervals: bootstrap over queries (captions: over pictures).
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip import AraCLIP, normalize
from araclip.evaluation.scores import interval
from araclip.training.data.noise import is_held

SETS = ("scenes", "scenes15", "clothing", "flowers", "grocery")
FIRST = 10
ON_SCENES = 5
ORIGINS = {
    "published": "the one published Arabic name",
    "learned": "other learned words",
    "held": "words never learned",
}
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Words:
    """Queries, and the labels that each names."""

    texts: list[str]
    labels: list[set[str]]


def rows_of(prepared: Path, name: str) -> list[dict[str, Any]]:
    """Lines of a prepared set."""
    with (prepared / name / "captions.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def words_of(prepared: Path, name: str, rows: Sequence[dict[str, Any]], field: str) -> Words:
    """The words of a set's labels: published names, or others that name at most three of its labels."""
    published: dict[str, set[str]] = {}
    for row in rows:
        published.setdefault(normalize(row["class_ar"]), set()).add(row["label"].lower())
    if field == "published":
        return Words([*published], [*published.values()])
    listing = json.loads((prepared / "names.json").read_text(encoding="utf-8"))
    present = {label for labels in published.values() for label in labels}
    texts, labels = [], []
    for entry in listing["words"]:
        things = [listing["things"][number] for number in entry["classes"]]
        named = {thing.split("/", 1)[1] for thing in things if thing.startswith(f"{name}/")} & present
        of_field = entry.get("held", False) == (field == "held") and entry["text"] not in published
        if of_field and 0 < len(named) <= 3 and any("\u0600" < letter < "\u06ff" for letter in entry["text"]):
            texts.append(entry["text"])
            labels.append(named)
    return Words(texts, labels)


def precision(scores: Vectors, right: NDArray[np.bool_], first: int = FIRST) -> Vectors:
    """(Q, N) scores and what is right → (Q,) part of the `first`, or of as many as are right, that is right."""
    order = np.argsort(-scores, axis=1, kind="stable")
    sorted_right = np.take_along_axis(right, order, axis=1)
    cuts = np.minimum(right.sum(axis=1), first)
    return np.array([row[:cut].mean() for row, cut in zip(sorted_right, cuts, strict=True)], np.float32)


def scene_words(which: str, rows: Sequence[dict[str, Any]]) -> tuple[list[str], NDArray[np.int64]]:
    """The Q words of a list of everyday_scenes.tsv, and how many captions of each picture say so, (Q, N)."""
    lines = Path(__file__).with_name("everyday_scenes.tsv").read_text(encoding="utf-8").splitlines()[1:]
    asked = [(query, pattern) for part, query, pattern in (line.split("\t") for line in lines) if part == which]
    said = []
    for _, pattern in asked:
        say = re.compile(rf"\b(?:{pattern})(?:s|es)?\b", re.IGNORECASE)
        said.append([sum(bool(say.search(text)) for text in row["caption_en"]) for row in rows])
    return [query for query, _ in asked], np.array(said)


def scenes_of(prepared: Path, dev: Path | None) -> tuple[str, list[dict[str, Any]]]:
    """The list of words to ask, and the photographs of scenes to ask it over."""
    if dev:
        return "dev", [{**r, "image": str(dev / r["image"])} for r in rows_of(dev, ".") if r["split"] == "dev"]
    held = rows_of(prepared, "openstax_coco-held")
    return "choice", [*rows_of(prepared, "flickr8k-choice"), *(row for row in held if len(row["caption_en"]) > 1)]


def any_hit(scores: Vectors, right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(Q,) rank of the first right picture, from 1; ties at their expected place."""
    best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
    wrong = np.where(right, -np.inf, scores)
    found: NDArray[np.float64] = 1 + (wrong > best).sum(axis=1) + (wrong == best).sum(axis=1) / 2
    return found


def shown(values: NDArray[Any], owner: Sequence[int] | None = None) -> str:
    """Mean and 95 % interval."""
    low, high = interval(np.asarray(values, np.float64), list(range(len(values))) if owner is None else list(owner))
    return f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}]"


def recalls(found: NDArray[np.float64], owner: Sequence[int] | None = None) -> str:
    """R@1, R@5 and R@10 with their intervals."""
    return "  ".join(f"R@{k} {shown(found <= k, owner)}" for k in (1, 5, 10))


def main() -> None:
    """Print the tables of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepared", type=Path, required=True, help="the folder that recipes/mini/data.py wrote")
    parser.add_argument("--model", action="append", default=[])
    parser.add_argument("--field", action="append", choices=ORIGINS, default=[])
    parser.add_argument("--no-captions", action="store_true", help="leave the choice split out, the longest part")
    parser.add_argument("--dev", type=Path, help="Flickr8k, clean: scenes are its dev split's, which is no choice")
    args = parser.parse_args()
    for name in args.model or ["araclip-mini"]:
        model = AraCLIP.load(name)
        print(f"\n{model.label}")
        galleries = {}
        for chosen in SETS:
            rows = rows_of(args.prepared, f"{chosen}-held")
            galleries[chosen] = (rows, model.encode_image([row["image"] for row in rows]))
        for field in args.field or ["published", "held"]:
            means = []
            for chosen, (rows, vectors) in galleries.items():
                words = words_of(args.prepared, chosen, rows, field)
                if words.texts:
                    right = np.array([[row["label"].lower() in named for row in rows] for named in words.labels])
                    found = precision(model.encode_text(words.texts) @ vectors.T, right)
                    means.append(float(found.mean()))
                    print(f"{ORIGINS[field]:30} {chosen:10} {len(found):4} words  {shown(found)}")
            print(f"{ORIGINS[field]:30} mean of sets {np.mean(means):.3f}")
        for label, folder, field in (("names", "nips17-held", "class_ar"), ("drawings", "gcompris_words-held", None)):
            rows = rows_of(args.prepared, folder)
            named = [(row, row[field] if field else (row["caption_ar"] or [""])[0]) for row in rows]
            own = [normalize(text) for _, text in named if text]
            asked = list(dict.fromkeys(own))
            scores = model.encode_text(asked) @ model.encode_image([row["image"] for row, text in named if text]).T
            right = np.array(asked)[:, None] == np.array(own)
            print(f"{label:30} {len(asked):4} names  {recalls(any_hit(scores, right))}")
        which, rows = scenes_of(args.prepared, args.dev)
        asked, said = scene_words(which, rows)
        unseen = np.array([" " in text and is_held(text) for text in asked])
        scores = model.encode_text(asked) @ model.encode_image([row["image"] for row in rows]).T
        found = precision(np.where(said == 1, -np.inf, scores), said > 1, ON_SCENES)
        for label, chosen in (("", np.ones(len(asked), bool)), (", phrases not learned", unseen)):
            print(f"{f'scenes of {which}{label}':30} {chosen.sum():4} words  {shown(found[chosen])}")
        print("none right:", "، ".join(text for text, part in zip(asked, found, strict=True) if not part))
        if not args.no_captions:
            rows = rows_of(args.prepared, "flickr8k-choice")
            texts = [(text, number) for number, row in enumerate(rows) for text in row["caption_ar"]]
            owner = [number for _, number in texts]
            scores = model.encode_text([text for text, _ in texts]) @ model.encode_image([r["image"] for r in rows]).T
            right = np.arange(len(rows)) == np.array(owner)[:, None]
            print(f"{'captions':30} {len(texts):4} texts  {recalls(any_hit(scores, right), owner)}")


if __name__ == "__main__":
    main()
