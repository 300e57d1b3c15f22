"""Recall on Arabic that was published for the models of the registry, with its protocol and source.

Two protocols ask the same 3,600 pictures of Crossmodal-3600 different questions, so their figures cannot be compared:
English SigLIP finds 0.06 % by the one and 22 % by the other. None of these figures was measured by this project.
"""

from dataclasses import dataclass

FIRST_CAPTION = "XM3600-ar, first caption"
ALL_CAPTIONS = "XM3600-ar, all 7,367 captions"
PROTOCOLS = {
    FIRST_CAPTION: "Crossmodal-3600: 3,600 pictures, the first Arabic caption of each asked (CLIP_benchmark)",
    ALL_CAPTIONS: "Crossmodal-3600: 3,600 pictures, all 7,367 Arabic captions asked (MTEB, XM3600T2IRetrieval)",
}
CLIP_BENCHMARK = "the model's page; https://github.com/LAION-AI/CLIP_benchmark"
IMMICH = "https://github.com/immich-app/immich/blob/main/docs/docs/features/searching.md (mean of R@1, R@5 and R@10)"
MTEB = "https://github.com/embeddings-benchmark/results"


@dataclass(frozen=True)
class PublishedRecall:
    """Text → picture recall in percent: at 1, 5 and 10, or the mean of the three alone where no more was published."""

    protocol: str
    mean: float
    at: tuple[float, float, float] | None
    source: str


def _at(protocol: str, r1: float, r5: float, r10: float, source: str) -> PublishedRecall:
    return PublishedRecall(protocol, round((r1 + r5 + r10) / 3, 1), (r1, r5, r10), source)


def _mean(mean: float) -> PublishedRecall:
    return PublishedRecall(FIRST_CAPTION, mean, None, IMMICH)


_FIRST: dict[str, PublishedRecall] = {
    "nllb-siglip-mrl-large": _at(FIRST_CAPTION, 58.4, 83.1, 90.5, CLIP_BENCHMARK),
    "nllb-siglip-mrl-base": _at(FIRST_CAPTION, 53.6, 80.3, 88.2, CLIP_BENCHMARK),
    "xlm-roberta-large-vit-h-14": _at(FIRST_CAPTION, 46.1, 72.3, 81.2, CLIP_BENCHMARK),
    "siglip-i18n-b16-256": _at(FIRST_CAPTION, 42.9, 70.3, 79.2, CLIP_BENCHMARK),
    "nllb-clip-large-siglip": _mean(76.44),
    "nllb-clip-base-siglip": _mean(73.19),
    "xlm-roberta-base-vit-b-32": _mean(59.66),
    "siglip2-b32-256": _mean(60.70),
    "siglip2-b16-224": _mean(61.71),
    "siglip2-l16-256": _mean(66.89),
    "siglip2-l16-384": _mean(68.25),
    "siglip2-l16-512": _mean(68.35),
    "siglip2-so400m-384": _mean(69.31),
}
_ALL: dict[str, PublishedRecall] = {
    "nllb-clip-large-siglip": _at(ALL_CAPTIONS, 55.0, 80.5, 87.7, MTEB),
    "nllb-clip-base-siglip": _at(ALL_CAPTIONS, 53.0, 78.6, 86.8, MTEB),
    "m-clip-b16plus": _at(ALL_CAPTIONS, 51.1, 78.3, 86.2, MTEB),
    "xlm-roberta-large-vit-h-14": _at(ALL_CAPTIONS, 47.7, 73.7, 82.2, MTEB),
    "siglip-multilingual-b16-256": _at(ALL_CAPTIONS, 45.1, 71.3, 80.1, MTEB),
    "siglip-i18n-b16-256": _at(ALL_CAPTIONS, 44.7, 71.4, 79.5, MTEB),
    "altclip-m9": _at(ALL_CAPTIONS, 43.6, 69.6, 78.9, MTEB),
    "xlm-roberta-base-vit-b-32": _at(ALL_CAPTIONS, 39.3, 66.3, 76.3, MTEB),
}


def published_recall(name: str) -> tuple[PublishedRecall, ...]:
    """What was found for a model of the registry, at most one figure a protocol; nothing where none was found."""
    return tuple(table[name] for table in (_FIRST, _ALL) if name in table)
