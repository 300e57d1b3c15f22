"""Exclusion: how many pictures of an excluded thing are left on the first page, and how many right ones are lost.

    python benchmarks/exclusion.py --flickr8k FLICKR8K --cache DIR [--model araclip-mini]

A picture shows a thing when one of its English captions has one of the thing's words (depicted.py), so what nobody
mentioned counts as absent. Queries: «A - B» for every ordered pair of 21 common words of which at least fifteen
pictures show A without B and fifteen show both. Before: B's vector subtracted with weight .5, as in version 0.1; after:
pictures at which B alone has a relevance of the limit or more, or stands so many standard deviations above the
gallery's average for B, are left out, too; last, also those at which something that B stands for (people: a man, a
child …) does. The limits were chosen on 600 pictures of the train split (by name, every
tenth); dev is reported.
"""

import argparse
from itertools import permutations
from pathlib import Path

import numpy as np
from depicted import depicted
from relevance_sets import SHOWN, WORDS, Bench

from araclip import AraCLIP
from araclip.evaluation.sets import read_pictures
from araclip.gallery.query import MINUS, unit_sum
from araclip.gallery.relevance import EXCLUDED, EXCLUDED_DEVIATION, RelevanceScale
from araclip.text.picture_words import kinds_of

PEOPLE = (
    "people|person|man|men|woman|women|boy|boys|girl|girls|child|children|kid|kids|lady|guy|guys|player|players|someone|"
    "baby|toddler|crowd|biker|skier|rider|climber|surfer|swimmer|team|group"
)
THINGS = {
    **WORDS,
    "ناس": PEOPLE,
    "كلاب": "dog|dogs|puppy",
    "أطفال": "child|children|kid|kids|boy|boys|girl|girls|baby|toddler",
}
KINDS = "and what general words stand for (shipped)"
RULES = {  # name → least relevance, least deviation
    "A alone": None,
    "A - B, subtracted only": (1.0, np.inf),
    "relevance .2": (0.2, np.inf),
    "relevance .1": (0.1, np.inf),
    "deviation 1": (1.0, 1.0),
    "relevance .2 or deviation 1.5": (0.2, 1.5),
    "relevance .2 or deviation 1": (EXCLUDED, EXCLUDED_DEVIATION),
    "relevance .2 or deviation .5": (0.2, 0.5),
    KINDS: (EXCLUDED, EXCLUDED_DEVIATION),
}
MIN_PICTURES = 15


def limit_of(term: np.ndarray, rule: tuple[float, float] | None, vectors: np.ndarray, scale: RelevanceScale) -> float:
    """The cosine with an excluded term (D,) from which a rule leaves pictures (N, D) out."""
    if rule is None:
        return np.inf
    cosines = vectors @ term
    outstanding = float(cosines.mean() + rule[1] * cosines.std())
    return min(scale.cosine_at(rule[0], term), outstanding) if rule[0] < 1 else outstanding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flickr8k", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="folder for vectors of pictures")
    parser.add_argument("--model", default="araclip-mini")
    args = parser.parse_args()
    bench = Bench(AraCLIP.load(args.model), args.cache)
    print(
        f"{bench.model.label}; excluded and right: shares of the first ten; left out: of pictures with A and B, and of"
    )
    print("those with A alone\n| pictures | rule | pairs | excluded | right | left out, A and B | left out, A alone |")
    print("|---|---|---|---|---|---|---|")
    for split, step, most in (("train", 10, 600), ("dev", 1, 10**9)):
        rows = sorted(read_pictures(args.flickr8k, ("caption_en",), (), split), key=lambda row: row.path.name)
        rows = rows[::step][:most]
        vectors = bench.pictures(f"{args.flickr8k.name}-{split}{step}", [row.path for row in rows])
        shows = depicted([row.english for row in rows], list(THINGS.values())).T  # (W, N)
        words, scale = bench.texts(list(THINGS)), bench.scale(vectors)
        for name, rule in RULES.items():
            found = []
            for a, b in permutations(range(len(words)), 2):
                right, both = shows[a] & ~shows[b], shows[a] & shows[b]
                if right.sum() < MIN_PICTURES or both.sum() < MIN_PICTURES:
                    continue
                scores = vectors @ (unit_sum(words[[a, b]], [1.0, -MINUS]) if rule else words[a])
                kinds = kinds_of(list(THINGS)[b]) if name == KINDS else ()
                named = [words[b], *(bench.texts(list(kinds)) if kinds else ())]
                dropped = np.any([vectors @ each >= limit_of(each, rule, vectors, scale) for each in named], axis=0)
                first = [row for row in np.argsort(-scores, kind="stable") if not dropped[row]][:SHOWN]
                found.append((shows[b][first].mean(), right[first].mean(), dropped[both].mean(), dropped[right].mean()))
            cells = " | ".join(f"{value:.3f}" for value in np.mean(found, axis=0))
            print(f"| {split} | {name} | {len(found)} | {cells} |")


if __name__ == "__main__":
    main()
