"""The named classes of the recipe's stage `names`, and words for the text tower: what things are called.

Writes names.npz (a classifier of ImageNet's classes, by softmax, and of the labelled sets', each by itself), names.json
(its classes' words in both languages; those that are held out are marked, they are for measuring), and words.tsv (the
same words as parallel text: what the teacher reads, and what the student reads).
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from araclip import normalize
from araclip.core import atomic
from araclip.text.folding import fold
from araclip.training.data.noise import is_held
from features import FeatureCache, Floats, classifier
from sets import Row, fingerprint, read_rows, read_table
from wordnet import nouns
from words import Thing, Word, imagenet_things, label_things, lexicon_words, words_of

LABELLED = (
    *("scenes", "scenes15", "clothing", "flowers", "grocery", "sports100"),
    *("caltech101_full", "clothing_full", "houses", "ikea", "trash"),  # of recipes/mini/more.py
)
OTHER_THINGS = (
    "nips17-train",
    "more/pascal_sentences",
)  # pictures that show none of the labelled sets' classes, mostly
DICTIONARIES = ("arabic_wordnet.tsv.xz", "freedict_eng_ara.tsv.xz")
OTHERS = 400  # words of each dictionary that name no class


def write_names(data: Path, out: Path, cache: FeatureCache, packages: Path) -> str:
    """Write the three files below `out`, whose picture sets are there already; returns a line of output.

    Args:
        packages: folder of npm's archives, for WordNet.

    Raises:
        InputError: a picture cannot be read, or npm could not fetch WordNet.
    """
    noun = nouns(packages)
    rows = {name: [row for _, row in read_rows(out / f"{name}-train") if "label" in row] for name in LABELLED}
    things = imagenet_things(data, noun)
    classes: dict[str, range] = {}
    for name in LABELLED:
        start = len(things)
        things += label_things(name, rows[name], noun)
        classes[name] = range(start, len(things))
    tables = [data / "parallel" / name for name in DICTIONARIES]
    words = words_of(things, noun, tables)
    others = other_words(words, tables)
    origin = fingerprint([[(w.text, w.things, w.held) for w in words], others, [len(of) for of in rows.values()], 1])
    arrays, listing = out / "names.npz", out / "names.json"
    if not (arrays.is_file() and listing.is_file() and json.loads(listing.read_text("utf-8"))["origin"] == origin):
        weight, bias, exclusive = _classifier(out, rows, things, classes, cache)
        named = {
            "exclusive": exclusive, "others": others, "origin": origin, "things": [thing.name for thing in things],
            "words": [_entry(text, numbers, held) for text, (numbers, held) in merged(words).items()],
        }  # fmt: skip

        def fill(part: Path) -> None:
            with part.open("wb") as file:
                np.savez(file, weight=weight, bias=bias)

        atomic.write(arrays, fill)
        atomic.write_text(out / "words.tsv", pairs_of(words, things))
        atomic.write_text(listing, json.dumps(named, ensure_ascii=False) + "\n")
    held = sum(word.held for word in words)
    return f"{len(things):,} classes, {len(words):,} words, {held} of them held out"


def merged(words: Sequence[Word]) -> dict[str, tuple[list[int], bool]]:
    """Each text once, with all things that it names; held where any of its origins holds it out."""
    numbers: dict[str, set[int]] = defaultdict(set)
    held: dict[str, bool] = defaultdict(bool)
    for word in words:
        numbers[word.text].update(word.things)
        held[word.text] |= word.held
    return {text: (sorted(found), held[text]) for text, found in numbers.items()}


def other_words(words: Sequence[Word], tables: Sequence[Path]) -> list[str]:
    """Words that name no thing, but for a fifth: the package's («رجل», «أحمر») and dictionaries', evenly spread."""
    known = {fold(word.text) for word in words}
    found = [text for text, _, _ in lexicon_words() if fold(text) not in known]
    for table in tables:
        rows = read_table(table, 2)
        for row in rows[:: max(1, len(rows) // OTHERS)]:
            found += [text for text in map(normalize, row) if fold(text) not in known and text.count(" ") < 2]
    return [text for text in dict.fromkeys(found) if text and not is_held(text)]


def pairs_of(words: Sequence[Word], things: Sequence[Thing]) -> str:
    """A table of words that name one thing or two: an English name of the thing, and the word."""
    lines = ["en\tar\n"]
    for word in words:
        if not word.held and len(word.things) <= 2 and not word.text.isascii():
            lines += [f"{things[number].english[0]}\t{word.text}\n" for number in word.things]
    return "".join(dict.fromkeys(lines))


def _classifier(
    out: Path,
    rows: Mapping[str, Sequence[Row]],
    things: Sequence[Thing],
    classes: dict[str, range],
    cache: FeatureCache,
) -> tuple[Floats, Floats, int]:
    weight, bias = classifier()
    number = {thing.name: place - len(bias) for place, thing in enumerate(things)}
    sets = {}
    for name, listed in rows.items():
        features = cache.of(f"{name}-train", [Path(row["image"]) for row in listed])
        sets[name] = Labelled(features, [number[f"{name}/{row['label'].lower()}"] for row in listed])
    for folder in OTHER_THINGS:
        files = [Path(row["image"]) for _, row in read_rows(out / folder)]
        sets[folder] = Labelled(cache.of(Path(folder).name, files), [-1] * len(files))
    probe = {name: range(found.start - len(bias), found.stop - len(bias)) for name, found in classes.items()}
    own_weight, own_bias = fit_probe(sets, probe)
    return np.concatenate([weight, own_weight]), np.concatenate([bias, own_bias]), len(bias)


def _entry(text: str, numbers: list[int], held: bool) -> dict[str, object]:
    return {"text": text, "classes": numbers, **({"held": True} if held else {})}


# ------------------------------------------------------------------ the classifier of the labelled sets' classes

ELSEWHERE = 0.1  # weight of "no" for pictures of other sets: a street may be in any of them
STEPS, BATCH, RATE = 400, 512, 3e-3
DECAY = 1e-2


@dataclass(frozen=True)
class Labelled:
    """Pictures of one set: (N, W) features, and the class of each among all sets' classes; -1: of none of them."""

    features: Floats
    classes: Sequence[int]


def fit_probe(sets: Mapping[str, Labelled], classes: Mapping[str, range], seed: int = 0) -> tuple[Floats, Floats]:
    """One logistic regression a class, all at once: weight (C, W) and bias (C,).

    A picture tells for certain which of its own set's classes it shows; of other sets' classes it probably shows none.

    Args:
        sets: name → its pictures. classes: name → its classes; a set without is one of other things.
    """
    count = sum(map(len, classes.values()))
    inputs = torch.from_numpy(np.concatenate([found.features for found in sets.values()]))
    targets, weights = torch.zeros(len(inputs), count), torch.full((len(inputs), count), ELSEWHERE)
    start = 0
    for name, found in sets.items():
        stop, own = start + len(found.features), classes.get(name)
        if own:
            weights[start:stop, own.start : own.stop] = 1.0
        for row, number in enumerate(found.classes, start):
            if number >= 0:
                targets[row, number] = 1.0
        start = stop
    balance = targets.mean(dim=0).clamp_min(1e-6)
    return _logistic(inputs, targets, weights, torch.log(balance / (1 - balance)), seed)


@torch.enable_grad()
def _logistic(inputs: Tensor, targets: Tensor, weights: Tensor, prior: Tensor, seed: int) -> tuple[Floats, Floats]:
    random = torch.Generator().manual_seed(seed)
    centre, spread = inputs.mean(dim=0), inputs.std(dim=0) + 1e-3
    scaled = (inputs - centre) / spread
    weight = torch.zeros(targets.shape[1], inputs.shape[1], requires_grad=True)
    bias = prior.clone().requires_grad_(True)
    groups: list[dict[str, Any]] = [{"params": [weight], "weight_decay": DECAY}, {"params": [bias]}]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(scaled), (BATCH,), generator=random)
        loss = (
            cross_entropy(scaled[rows] @ weight.T + bias, targets[rows], weight=weights[rows], reduction="sum") / BATCH
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    unscaled = (weight / spread).detach()
    return unscaled.numpy(), (bias.detach() - unscaled @ centre).numpy()
