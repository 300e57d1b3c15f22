"""Evaluation of relevance: does it separate queries with an answer from those without?

    python benchmarks/relevance.py --data FLICKR8K_FOLDER [--model araclip-mini] [--split dev]

Two galleries, the even and the odd half of the pictures: constants are chosen on the first, reported on the second.
Kinds of queries: every Arabic caption of a half with its picture in the gallery, and the same caption with that
picture removed; common words, whose pictures are in the gallery; things that Flickr8k does not show; and nonsense
(random letters, digits and punctuation, not those that the package ships).

A query is answered when its best hit reaches relevance 0.5. "Right" hits of a word are pictures with the word in an
English caption.
"""

import argparse
import random
import string
from pathlib import Path

import numpy as np
from depicted import COMMON, depicted

from araclip import AraCLIP
from araclip.evaluation.datasets import read_pictures
from araclip.gallery import relevance
from araclip.gallery.reference_queries import EVERYDAY, nonsense_queries

WORDS = {
    **COMMON,
    "شجرة": "tree|trees",
    "سيارة": "car|cars|truck",
    "ملعب": "field|court|stadium",
    "جدار": "wall",
    "مقعد": "bench|seat|chair",
}
NOT_SHOWN = """معادلة تفاضلية من الدرجة الثانية، قانون الضريبة على القيمة المضافة، كيفية تثبيت نظام التشغيل،
سعر صرف الدولار اليوم،
إعراب الجملة الاسمية، تاريخ الدولة العباسية، مجرة درب التبانة، خلية تحت المجهر، محرك صاروخ فضائي، وصفة الكبسة باللحم،
طبق سوشي ياباني، غواصة نووية، جراحة القلب المفتوح، لوحة مفاتيح حاسوب، زرافة في السافانا، ديناصور، بركان ثائر،
فنجان قهوة تركية، قلم رصاص ودفتر، مسجد بمئذنتين، أهرامات الجيزة، غسالة ملابس، دب الباندا يأكل الخيزران، سمكة قرش،
خريطة العالم، شهادة تخرج، مخطط كهربائي، فاتورة كهرباء، جواز سفر، صورة أشعة للصدر""".replace("\n", " ").split("، ")


def nonsense(count: int) -> list[str]:
    draw = random.Random(7)
    arabic = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"

    def word(letters: str) -> str:
        return "".join(draw.choice(letters) for _ in range(draw.randint(3, 10)))

    kinds = (
        lambda: word(arabic),
        lambda: f"{word(arabic)} {word(arabic)}",
        lambda: word(string.ascii_lowercase),
        lambda: word(string.digits),
        lambda: word("!؟.،#@*"),
    )
    return [kinds[i % len(kinds)]() for i in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="araclip-mini")
    parser.add_argument("--split", default="dev")
    arguments = parser.parse_args()
    model = AraCLIP.load(arguments.model)
    rows = read_pictures(arguments.data, ("caption_en",), ("caption_ar",), arguments.split)
    vectors = model.encode_image([row.path for row in rows])
    captions = model.encode_text([text for row in rows for text in row.arabic])
    owners = np.array([i for i, row in enumerate(rows) for _ in row.arabic])
    reference = relevance.ReferenceVectors(model.encode_text(list(EVERYDAY)), model.encode_text(nonsense_queries()))
    fixed = {
        "words": model.encode_text(list(WORDS)),
        "not shown": model.encode_text(NOT_SHOWN),
        "nonsense": model.encode_text(nonsense(300)),
    }
    print(f"{model.config.label} on {arguments.data.name} {arguments.split}, {len(rows) // 2} pictures a half")
    for name, start in (("choosing", 0), ("reported", 1)):
        gallery = vectors[start::2]
        scale = relevance.relevance_scale(gallery, reference)
        assert scale is not None
        mine = owners % 2 == start
        sets = {"captions": captions[mine], **fixed}
        meanings = {kind: np.array([scale.meaning(query) for query in queries]) for kind, queries in sets.items()}
        spreads = {kind: scale.relative_spread(queries) for kind, queries in sets.items()}
        print(f"\n{name} half: share of queries answered, by cut (shipped: {relevance.MIDPOINT})")
        print("| cut | " + " | ".join(spreads) + " |\n|---" * 1 + "|---" * len(spreads) + "|")
        for cut in (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5):
            print(f"| {cut} | " + " | ".join(f"{(way >= cut).mean():.3f}" for way in spreads.values()) + " |")
        yes = np.concatenate([meanings["captions"], meanings["words"]])
        for other in ("nonsense", "not shown"):
            no = meanings[other]
            recall, false = (yes >= relevance.WEAK).mean(), (no >= relevance.WEAK).mean()
            precision = recall / (recall + false)  # as if each were half of the queries
            print(f"answered, the rest against {other}: precision {precision:.3f}, recall {recall:.3f}")
        removed(gallery, captions[mine], owners[mine] // 2, scale)
        tail([row.english for row in rows[start::2]], gallery, fixed["words"])


def removed(gallery: np.ndarray, queries: np.ndarray, own: np.ndarray, scale: relevance.RelevanceScale) -> None:
    """The same captions with their picture in the gallery and without, by each statistic that was tried."""
    present = queries @ gallery.T
    missing = present.copy()
    missing[np.arange(len(queries)), own] = -1
    meaning = np.array([scale.meaning(query) for query in queries])
    average, spread = present.mean(1), present.std(1)
    tries = {
        "relevance (the query's meaning)": (meaning, meaning),
        "raw cosine of the best": (present.max(1), missing.max(1)),
        "best, in deviations of the query's scores": tuple((s.max(1) - average) / spread for s in (present, missing)),
        "best less the tenth": tuple(s.max(1) - np.sort(s, 1)[:, -10] for s in (present, missing)),
        "best less an average query's": tuple((s - scale.queries @ gallery.T).max(1) for s in (present, missing)),
    }  # fmt: skip
    print("captions, picture in the gallery against removed: AUC; at the best cut precision, recall")
    for name, (yes, no) in tries.items():
        both = np.sort(np.concatenate([yes, no]))
        below = np.searchsorted(np.sort(no), yes, "left") + np.searchsorted(np.sort(no), yes, "right")
        cut = max(both[:: len(both) // 200], key=lambda c: (yes >= c).mean() - (no >= c).mean())
        hit, false = (yes >= cut).mean(), (no >= cut).mean()
        print(f"  {name}: {below.mean() / 2 / len(no):.3f}; {hit / max(hit + false, 1e-9):.3f}, {hit:.3f}")


def tail(english: list[tuple[str, ...]], gallery: np.ndarray, words: np.ndarray) -> None:
    right = depicted(english, list(WORDS.values())).T  # (W, n)
    scores = words @ gallery.T
    average = scores.mean(1, keepdims=True)
    position = (scores - average) / (scores.max(1, keepdims=True) - average)
    print("hits of words by the position of their score between the average picture and the best: share that is right")
    for low, high in ((0.8, 1.01), (0.7, 0.8), (0.6, 0.7), (0.5, 0.6), (0.4, 0.5), (0.3, 0.4), (0.2, 0.3), (0.0, 0.2)):
        inside = (position >= low) & (position < high)
        print(f"  {low}–{min(high, 1.0)}: {right[inside].mean():.2f} ({inside.sum(1).mean():.0f} a query)")
    print(f"  all pictures: {right.mean():.2f}")


if __name__ == "__main__":
    main()
