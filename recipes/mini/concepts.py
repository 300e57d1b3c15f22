"""ImageNet's thousand classes as concepts: mean pooled features, reconstructed from a classifier's weights.

A linear classifier trained to the end weighs the pooled features much as linear discriminant analysis would,
w_c ≈ Σ⁻¹(μ_c − μ) (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 4.3). Solved for
the means, μ_c ≈ μ + s·Σ(w_c − w̄): each class's mean feature without any of its pictures. Σ is that of all kinds of
photographs, whose largest variances exceed those within a class; a power below 1 shrinks them: Σᵖ, with s and p fitted.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from timm.data import ImageNetInfo

from araclip import normalize
from araclip.core import atomic
from araclip.errors import InputError
from features import FeatureCache, Floats, classifier
from sets import Row, fingerprint, read_rows, read_table

CLASSES = 1000
SUNGLASSES = 836  # classes 836 and 837 share the one name of the published list, which has it once
RELATIVE = {"التي", "الذي"}
POWERS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 1.0)
PHOTOGRAPHS = (  # below --out: nothing held is among them
    "flickr8k-train",
    "more/flickr30k_subset",
    "more/coco_subset",
    "more/pascal_sentences",
    "caltech101-train",
    "sports100-train",
)
PER_SET = 1000  # so that no set dominates μ and Σ, and features take minutes


@dataclass(frozen=True)
class Concepts:
    """Mean feature of each class, and the parameters of the fit.

    Attributes:
        features: (C, W) float32, not negative, as pooled ReLU6 outputs are.
        scale, power: s and p, fitted to real class means.
        explained: share of the variance of the real class means that the fit explains.
    """

    features: Floats
    scale: float
    power: float
    explained: float


def invert_discriminants(
    weights: Floats, photographs: Floats, real_means: Mapping[int, Floats], counts: Mapping[int, int]
) -> Concepts:
    """Class means μ + s·Σᵖ(w_c − w̄), with s and p that fit the known real means best.

    Args:
        weights: (C, W) of the classifier.
        photographs: (N, W) pooled features of any photographs, for Σ.
        real_means: class → (W,) mean feature of some pictures of it. counts: of how many; they weigh the fit.
            μ is the mean of all of these pictures.
    """
    classes = list(real_means)
    share = np.array([[counts[c]] for c in classes], np.float64)  # (K, 1)
    known = np.stack([real_means[c] for c in classes]).astype(np.float64)  # (K, W)
    mean = (share * known).sum(0) / share.sum()
    variances, axes = np.linalg.eigh(np.cov(photographs, rowvar=False))  # (W,), (W, W)
    apart = (weights - weights.mean(0)) @ axes  # (C, W)

    def fit(power: float) -> Concepts:
        directions = (apart * np.maximum(variances, 0) ** power) @ axes.T  # (C, W)
        fitted, targets = directions[classes], known - mean
        scale = float((share * fitted * targets).sum() / (share * fitted * fitted).sum())  # least squares
        features = np.maximum(mean + scale * directions, 0)
        left = (share * (features[classes] - known) ** 2).sum()
        return Concepts(features.astype(np.float32), scale, power, float(1 - left / (share * targets**2).sum()))

    return max(map(fit, POWERS), key=lambda concepts: concepts.explained)


def nearest(features: Floats, means: Floats) -> NDArray[np.int64]:
    """(N,) the mean of highest cosine to each feature, both taken from the centre of the means."""
    centre = means.mean(0)
    directions = (means - centre) / np.linalg.norm(means - centre, axis=1, keepdims=True)
    nearest_mean: NDArray[np.int64] = ((features - centre) @ directions.T).argmax(1)
    return nearest_mean


def class_means(features: Floats, labels: Sequence[int]) -> tuple[dict[int, Floats], dict[int, int]]:
    """Mean feature and number of pictures of each class that occurs among the (N,) labels."""
    rows = np.asarray(labels)
    counts = dict(Counter(labels))
    return {c: features[rows == c].mean(0) for c in counts}, counts


# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def synsets() -> list[str]:
    """WordNet ids of the 1,000 classes in their standard order."""
    return list(ImageNetInfo("imagenet-1k").label_names())


def class_names(listed: Path) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """English and Arabic names of each class, the published one first.

    English ones are followed by WordNet's, unless two classes share them (crane); Arabic ones by their alternatives
    (a أو b) and the forms without article, as people type them.

    Raises:
        InputError: the list does not have 999 rows.
    """
    rows = [(normalize(name), normalize(arabic.rstrip("\\"))) for name, arabic in read_table(listed, 2)]
    if len(rows) != CLASSES - 1:
        raise InputError(f"{listed} has {len(rows)} classes, not {CLASSES - 1}. Get the project's data anew.")
    rows.insert(SUNGLASSES, rows[SUNGLASSES])
    info = ImageNetInfo("imagenet-1k")
    lemmas = [[normalize(x) for x in info.index_to_description(i).split(", ")] for i in range(CLASSES)]
    shared = Counter(lemma.lower() for words in lemmas for lemma in set(words))
    english, arabic = [], []
    for (name, arabic_name), words in zip(rows, lemmas, strict=True):
        own = [word for word in words if shared[word.lower()] == 1 and word.lower() != name.lower()]
        english.append((name, *dict.fromkeys(own)))
        arabic.append(name_variants(arabic_name))
    return english, arabic


def name_variants(name: str) -> tuple[str, ...]:
    """المنارة أو الفنار → itself, المنارة, الفنار, منارة, فنار; each once."""
    choices = name.split(" أو ")
    return tuple(dict.fromkeys([name, *choices, *map(without_article, choices)]))


def without_article(name: str) -> str:
    """القرش الأبيض → قرش أبيض.

    A name whose first word has no article keeps all of them (سمك التنش), and so does one with a relative clause
    (الزلاجة التي تجرها الكلاب), whose meaning would change.
    """
    words = name.split()
    if not words or not _has_article(words[0]) or RELATIVE & set(words):
        return name
    return " ".join(word[2:] if _has_article(word) else word for word in words)


def _has_article(word: str) -> bool:
    return word.startswith("ال") and len(word) > 4


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────


def write_concepts(data: Path, train: Sequence[Row], held: Sequence[Row], cache: FeatureCache, out: Path) -> str:
    """Write out/concepts.npz and out/concepts.json.

    The first holds features (1000, 1280) float32 and the classifier's weight and bias, the second names and how well
    the features fit.

    Args:
        train, held: pictures with `image`, `wnid` and `label`; the fit uses the first, the report the second.

    Returns:
        The report; where the files exist already, that of the run that made them.

    Raises:
        InputError: a class name disagrees with the label of a picture of that class, so the order is wrong.
    """
    english, arabic = class_names(data / "parallel" / "imagenet_classnames.tsv.xz")
    order = {synset: index for index, synset in enumerate(synsets())}
    check_order(english, order, [*train, *held])
    sets = {name: spread(training_rows(out / name), PER_SET) for name in PHOTOGRAPHS}
    origin = {
        "names": fingerprint([english, arabic]),
        "pictures": {name: len(rows) for name, rows in sets.items()} | {"fitted": len(train), "held out": len(held)},
        "powers": POWERS,
    }
    arrays, listing = out / "concepts.npz", out / "concepts.json"
    if arrays.is_file() and listing.is_file():
        written = json.loads(listing.read_text(encoding="utf-8"))
        if written["origin"] == json.loads(json.dumps(origin)):  # after the same conversion to JSON
            return str(written["report"])
    photographs = [cache.of(Path(name).name, paths(rows)) for name, rows in sets.items()]
    fitted, unseen = cache.of("nips17-train", paths(train)), cache.of("nips17-held", paths(held))
    real_means, counts = class_means(fitted, [order[row["wnid"]] for row in train])
    weights, bias = classifier()
    concepts = invert_discriminants(weights, np.concatenate([*photographs, fitted]), real_means, counts)
    truth = np.array([order[row["wnid"]] for row in held])
    own = float(((unseen @ weights.T + bias).argmax(1) == truth).mean())
    ours = float((nearest(unseen, concepts.features) == truth).mean())
    report = (
        f"{len(held)} held-out pictures: top-1 of the nearest reconstructed mean {ours:.3f}, of the classifier itself "
        f"{own:.3f}; s {concepts.scale:.3g}, p {concepts.power}, explains {concepts.explained:.3f} of the "
        f"spread of {len(real_means)} real means"
    )
    named = {"names_en": english, "names_ar": arabic, "origin": origin, "report": report}

    def fill(part: Path) -> None:
        with part.open("wb") as file:
            np.savez(file, features=concepts.features, weight=weights, bias=bias)

    atomic.write(arrays, fill)
    atomic.write_text(listing, json.dumps(named, ensure_ascii=False, indent=1) + "\n")
    return report


def check_order(english: Sequence[tuple[str, ...]], order: Mapping[str, int], pictures: Sequence[Row]) -> None:
    """Raises InputError where a picture's label is not the name of its WordNet id."""
    for row in pictures:
        name = english[order[row["wnid"]]][0]
        if name != row["label"]:
            raise InputError(
                f"{row['image']} is labelled {row['label']!r} ({row['wnid']}), but class {order[row['wnid']]} is "
                f"called {name!r}. The list of class names is in another order; get the project's data anew."
            )


def training_rows(folder: Path) -> list[Row]:
    """Lines of a set that are not of another split."""
    return [row for _, row in read_rows(folder) if row.get("split", "train") == "train"]


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """At most `count` rows, evenly spread."""
    if len(rows) <= count:
        return list(rows)
    return [rows[i] for i in np.linspace(0, len(rows) - 1, count).astype(int)]


def paths(rows: Sequence[Row]) -> list[Path]:
    """The picture files of some rows."""
    return [Path(row["image"]) for row in rows]
