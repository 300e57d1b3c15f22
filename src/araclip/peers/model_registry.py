"""Lists the published models that AraCLIP is compared with: name, location, size, licence and published recall.

Widths and resolutions are those in open_clip's configurations or in the checkpoints. Sizes are of the loaded weights,
both towers in float32. Licences are those on the pages of the weights. None stands for a value that is not known.

Recall on Arabic is as published, with its protocol and source; none of it was measured by this project. Two protocols
use the same 3,600 pictures of Crossmodal-3600 with different queries, so their figures cannot be compared: English
SigLIP has a recall of 0.06 % under one protocol and 22 % under the other.
"""

import re
from dataclasses import dataclass

FIRST_CAPTION = "XM3600-ar, first caption"
ALL_CAPTIONS = "XM3600-ar, all 7,367 captions"
PROTOCOLS = {
    FIRST_CAPTION: "Crossmodal-3600: 3,600 pictures, the first Arabic caption of each asked (CLIP_benchmark)",
    ALL_CAPTIONS: "Crossmodal-3600: 3,600 pictures, all 7,367 Arabic captions asked (Babel-ImageNet; MTEB)",
}
CLIP_BENCHMARK = "the model's page; https://github.com/LAION-AI/CLIP_benchmark"
IMMICH = "https://github.com/immich-app/immich/blob/main/docs/docs/features/searching.md (mean of R@1, R@5 and R@10)"
BABEL = "https://github.com/gregor-ge/Babel-ImageNet, results/retrieval/xm3600"
MTEB = "https://github.com/embeddings-benchmark/results"


@dataclass(frozen=True)
class PublishedRecall:
    """Published text → picture recall in percent: at 1, 5 and 10 (`at`; None if not published), and their `mean`."""

    protocol: str
    mean: float
    at: tuple[float, float, float] | None
    source: str


def _recall_at(protocol: str, r1: float, r5: float, r10: float, source: str) -> PublishedRecall:
    return PublishedRecall(protocol, round((r1 + r5 + r10) / 3, 1), (r1, r5, r10), source)


def _mean_recall(mean: float) -> PublishedRecall:
    return PublishedRecall(FIRST_CAPTION, mean, None, IMMICH)


_FIRST_CAPTION_RECALL: dict[str, PublishedRecall] = {
    "nllb-siglip-mrl-large": _recall_at(FIRST_CAPTION, 58.4, 83.1, 90.5, CLIP_BENCHMARK),
    "nllb-siglip-mrl-base": _recall_at(FIRST_CAPTION, 53.6, 80.3, 88.2, CLIP_BENCHMARK),
    "xlm-roberta-large-vit-h-14": _recall_at(FIRST_CAPTION, 46.1, 72.3, 81.2, CLIP_BENCHMARK),
    "siglip-i18n-b16-256": _recall_at(FIRST_CAPTION, 42.9, 70.3, 79.2, CLIP_BENCHMARK),
    "nllb-clip-large-siglip": _mean_recall(76.44),
    "nllb-clip-base-siglip": _mean_recall(73.19),
    "xlm-roberta-base-vit-b-32": _mean_recall(59.66),
    "siglip2-b32-256": _mean_recall(60.70),
    "siglip2-b16-224": _mean_recall(61.71),
    "siglip2-l16-256": _mean_recall(66.89),
    "siglip2-l16-384": _mean_recall(68.25),
    "siglip2-l16-512": _mean_recall(68.35),
    "siglip2-so400m-14-224": _mean_recall(68.23),
    "siglip2-so400m-256": _mean_recall(68.64),
    "siglip2-so400m-384": _mean_recall(69.31),
    "siglip2-so400m-512": _mean_recall(69.29),
    "siglip2-gopt-256": _mean_recall(67.28),
    "siglip2-gopt-384": _mean_recall(67.56),
}
# most of these figures were published with Babel-ImageNet; benchmarks/published_recall.json holds them
_ALL_CAPTIONS_RECALL: dict[str, PublishedRecall] = {
    "nllb-clip-large-siglip": _recall_at(ALL_CAPTIONS, 55.0, 80.5, 87.7, BABEL),
    "nllb-clip-base-siglip": _recall_at(ALL_CAPTIONS, 53.0, 78.6, 86.8, BABEL),
    "m-clip-b16plus": _recall_at(ALL_CAPTIONS, 51.1, 78.3, 86.2, BABEL),
    "m-clip-l14": _recall_at(ALL_CAPTIONS, 38.9, 64.9, 74.8, BABEL),
    "m-clip-b32": _recall_at(ALL_CAPTIONS, 34.3, 60.9, 71.5, BABEL),
    "xlm-roberta-large-vit-h-14": _recall_at(ALL_CAPTIONS, 47.7, 73.7, 82.2, BABEL),
    "siglip-i18n-b16-256": _recall_at(ALL_CAPTIONS, 45.1, 71.3, 80.1, BABEL),
    "altclip-m9": _recall_at(ALL_CAPTIONS, 43.6, 69.6, 78.9, BABEL),
    "xlm-roberta-base-vit-b-32": _recall_at(ALL_CAPTIONS, 39.3, 66.3, 76.3, BABEL),
    "siglip-multilingual-b16-256": _recall_at(ALL_CAPTIONS, 44.7, 71.4, 79.5, MTEB),
}


ARACLIP_PAPER = "Al-Barham et al. 2024, https://aclanthology.org/2024.arabicnlp-1.9"
MCLIP_PAPER = "Carlsson et al. 2022, https://aclanthology.org/2022.lrec-1.739"
ALTCLIP_PAPER = "Chen et al. 2022, https://arxiv.org/abs/2211.06679"
NLLB_PAPER = "Visheratin 2023, https://arxiv.org/abs/2309.01859"
SIGLIP_PAPER = "Zhai et al. 2023, https://arxiv.org/abs/2303.15343"
SIGLIP2_PAPER = "Tschannen et al. 2025, https://arxiv.org/abs/2502.14786"
METACLIP2_PAPER = "Chuang et al. 2025, https://arxiv.org/abs/2507.22062"
MEXMA_PAGE = "Visheratin 2025, https://huggingface.co/visheratin/mexma-siglip2"
SBERT_PAPER = "Reimers and Gurevych 2020, https://arxiv.org/abs/2004.09813"
XLMR_PAGE = "LAION, https://huggingface.co/laion/{}"


@dataclass(frozen=True)
class Peer:
    """One published model.

    name: what `AraCLIP.load` and --model take. kind, location: how and from where the model is loaded, see
    docs/peers.md. hub_id: repository of the weights. width: numbers in a vector. resolution: side of the input pictures
    in pixels. megabytes: size of the loaded weights. source: paper or page. image: location of the image tower, if the
    weights at `location` are a text tower alone.
    """

    name: str
    kind: str
    location: str
    hub_id: str
    width: int | None
    resolution: int | None
    license: str | None
    megabytes: int | None
    source: str
    image: str | None = None

    @property
    def recall(self) -> tuple[PublishedRecall, ...]:
        """Return the published recalls on Arabic, at most one for each of PROTOCOLS; empty if none was found."""
        return tuple(table[self.name] for table in (_FIRST_CAPTION_RECALL, _ALL_CAPTIONS_RECALL) if self.name in table)

    @property
    def spec(self) -> str:
        """KIND:LOCATION as one text; `AraCLIP.load` loads the model by this text as well as by its name."""
        return f"{self.kind}:{self.location}"


def _mclip_peer(name: str, location: str, width: int, size: int, megabytes: int, image: str) -> Peer:
    hub_id = f"M-CLIP/{location}"
    return Peer(name, "m-clip", hub_id, hub_id, width, size, None, megabytes, MCLIP_PAPER, image)


def _open_clip_peer(
    name: str, location: str, hub_id: str, width: int, size: int, license: str | None, megabytes: int, source: str
) -> Peer:
    return Peer(name, "open_clip", location, hub_id, width, size, license, megabytes, source)


def _siglip2_peer(name: str, location: str, width: int, size: int, megabytes: int) -> Peer:
    hub_id = f"timm/{location}"
    return _open_clip_peer(name, f"{location}/webli", hub_id, width, size, _GOOGLE_LICENSE, megabytes, SIGLIP2_PAPER)


def _metaclip2_peer(name: str, location: str, width: int, megabytes: int) -> Peer:
    hub_id = f"facebook/metaclip-2-{location}"
    return Peer(name, "transformers", hub_id, hub_id, width, 224, _NON_COMMERCIAL, megabytes, METACLIP2_PAPER)


def _altclip_peer(name: str, location: str, width: int, license: str | None, megabytes: int) -> Peer:
    return Peer(name, "altclip", f"BAAI/{location}", f"BAAI/{location}", width, 224, license, megabytes, ALTCLIP_PAPER)


_XLMR_B = "CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k"
_XLMR_H = "CLIP-ViT-H-14-frozen-xlm-roberta-large-laion5B-s13B-b90k"
_SBERT = "sentence-transformers/clip-ViT-B-32"
_NON_COMMERCIAL, _GOOGLE_LICENSE = "CC-BY-NC-4.0", "Apache-2.0"
_SIGLIP512 = "ViT-B-16-SigLIP-512/webli"
_VIT_L = "ViT-L-14-quickgelu/openai"  # OpenAI trained with QuickGELU; with another activation, vectors differ a little
_VIT_B = "ViT-B-32-quickgelu/openai"

PEERS = (
    Peer(
        "araclip-published", "araclip", "Arabic-Clip/araclip", "Arabic-Clip/araclip",
        768, 512, None, 915, ARACLIP_PAPER,
    ),
    Peer(
        "araclip-published-text", "araclip",
        "Arabic-Clip-Archive/bert-base-arabertv2-ViT-B-16-SigLIP-512-epoch-155-trained-2M",
        "Arabic-Clip-Archive/bert-base-arabertv2-ViT-B-16-SigLIP-512-epoch-155-trained-2M",
        768, 512, None, 915, ARACLIP_PAPER, _SIGLIP512,
    ),
    _mclip_peer("m-clip-b16plus", "XLM-Roberta-Large-Vit-B-16Plus", 640, 240, 2711, "ViT-B-16-plus-240/laion400m_e32"),
    _mclip_peer("m-clip-l14", "XLM-Roberta-Large-Vit-L-14", 768, 224, 3459, _VIT_L),
    _mclip_peer("m-clip-b32", "XLM-Roberta-Large-Vit-B-32", 512, 224, 2593, _VIT_B),
    _mclip_peer("m-clip-labse-l14", "LABSE-Vit-L-14", 768, 224, 3102, _VIT_L),
    _altclip_peer("altclip", "AltCLIP", 768, "CreativeML-OpenRAIL-M", 3460),
    _altclip_peer("altclip-m9", "AltCLIP-m9", 768, "CreativeML-OpenRAIL-M", 3460),
    _altclip_peer("altclip-m18", "AltCLIP-m18", 1024, None, 4780),
    _open_clip_peer(
        "nllb-clip-base-siglip", "nllb-clip-base-siglip/v1", "visheratin/nllb-clip-base-siglip",
        768, 384, _NON_COMMERCIAL, 2030, NLLB_PAPER,
    ),
    _open_clip_peer(
        "nllb-clip-large-siglip", "nllb-clip-large-siglip/v1", "visheratin/nllb-clip-large-siglip",
        1152, 384, _NON_COMMERCIAL, 4780, NLLB_PAPER,
    ),
    _open_clip_peer(
        "nllb-siglip-mrl-base", "nllb-clip-base-siglip/mrl", "visheratin/nllb-siglip-mrl-base",
        768, 384, _NON_COMMERCIAL, 2030, NLLB_PAPER,
    ),
    _open_clip_peer(
        "nllb-siglip-mrl-large", "nllb-clip-large-siglip/mrl", "visheratin/nllb-siglip-mrl-large",
        1152, 384, _NON_COMMERCIAL, 4780, NLLB_PAPER,
    ),
    _open_clip_peer(
        "xlm-roberta-base-vit-b-32", "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", f"laion/{_XLMR_B}",
        512, 224, "MIT", 1464, XLMR_PAGE.format(_XLMR_B),
    ),
    _open_clip_peer(
        "xlm-roberta-large-vit-h-14", "xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k", f"laion/{_XLMR_H}",
        1024, 224, "MIT", 4772, XLMR_PAGE.format(_XLMR_H),
    ),
    _open_clip_peer(
        "siglip-i18n-b16-256", "ViT-B-16-SigLIP-i18n-256/webli", "timm/ViT-B-16-SigLIP-i18n-256",
        768, 256, _GOOGLE_LICENSE, 1483, SIGLIP_PAPER,
    ),
    _open_clip_peer(
        "siglip-i18n-so400m-256", "ViT-SO400M-16-SigLIP-i18n-256/webli", "timm/ViT-SO400M-16-SigLIP-i18n-256",
        1152, 256, _GOOGLE_LICENSE, 4510, SIGLIP_PAPER,
    ),
    _siglip2_peer("siglip2-b32-256", "ViT-B-32-SigLIP2-256", 768, 256, 1507),
    _siglip2_peer("siglip2-b16-224", "ViT-B-16-SigLIP2", 768, 224, 1501),
    _siglip2_peer("siglip2-b16-256", "ViT-B-16-SigLIP2-256", 768, 256, 1501),
    _siglip2_peer("siglip2-b16-512", "ViT-B-16-SigLIP2-512", 768, 512, 1503),
    _siglip2_peer("siglip2-l16-256", "ViT-L-16-SigLIP2-256", 1024, 256, 3526),
    _siglip2_peer("siglip2-l16-384", "ViT-L-16-SigLIP2-384", 1024, 384, 3527),
    _siglip2_peer("siglip2-l16-512", "ViT-L-16-SigLIP2-512", 1024, 512, 3529),
    _siglip2_peer("siglip2-so400m-14-224", "ViT-SO400M-14-SigLIP2", 1152, 224, 4542),
    _siglip2_peer("siglip2-so400m-256", "ViT-SO400M-16-SigLIP2-256", 1152, 256, 4543),
    _siglip2_peer("siglip2-so400m-384", "ViT-SO400M-16-SigLIP2-384", 1152, 384, 4544),
    _siglip2_peer("siglip2-so400m-512", "ViT-SO400M-16-SigLIP2-512", 1152, 512, 4546),
    _siglip2_peer("siglip2-gopt-256", "ViT-gopt-16-SigLIP2-256", 1536, 256, 7486),
    _siglip2_peer("siglip2-gopt-384", "ViT-gopt-16-SigLIP2-384", 1536, 384, 7488),
    Peer(
        "mexma-siglip2", "mexma", "visheratin/mexma-siglip2", "visheratin/mexma-siglip2",
        1152, 512, "MIT", 3955, MEXMA_PAGE,
    ),
    _metaclip2_peer("metaclip2-mt5-s16", "mt5-worldwide-s16", 384, 557),
    _metaclip2_peer("metaclip2-mt5-m16", "mt5-worldwide-m16", 512, 818),  # megabytes computed from the configuration
    _metaclip2_peer("metaclip2-mt5-b32", "mt5-worldwide-b32", 512, 1016),
    _metaclip2_peer("metaclip2-s16", "worldwide-s16", 384, 1558),  # megabytes computed from the configuration
    _metaclip2_peer("metaclip2-m16", "worldwide-m16", 512, 2152),  # megabytes computed from the configuration
    _metaclip2_peer("metaclip2-b32", "worldwide-b32", 512, 2350),
    _metaclip2_peer("metaclip2-b16", "worldwide-b16", 512, 2344),
    _metaclip2_peer("metaclip2-l14", "worldwide-l14", 768, 4328),
    _open_clip_peer(
        "metaclip2-h14-224", "ViT-H-14-worldwide-quickgelu/metaclip2_worldwide",
        "timm/vit_huge_patch14_clip_224.metaclip2_worldwide", 1024, 224, _NON_COMMERCIAL, 7435, METACLIP2_PAPER,
    ),
    _open_clip_peer(
        "metaclip2-h14-378", "ViT-H-14-worldwide-378/metaclip2_worldwide",
        "timm/vit_huge_patch14_clip_378.metaclip2_worldwide", 1024, 378, _NON_COMMERCIAL, 7438, METACLIP2_PAPER,
    ),
    Peer(
        "siglip-multilingual-b16-256", "transformers", "google/siglip-base-patch16-256-multilingual",
        "google/siglip-base-patch16-256-multilingual", 768, 256, _GOOGLE_LICENSE, 1483, SIGLIP_PAPER,
    ),
    Peer(
        "clip-vit-b-32-multilingual", "sentence-transformers", f"{_SBERT}-multilingual-v1", f"{_SBERT}-multilingual-v1",
        512, 224, "Apache-2.0", 892, SBERT_PAPER, _SBERT,
    ),
)  # fmt: skip
BY_NAME = {peer.name: peer for peer in PEERS}


def find_peer(text: str) -> Peer | None:
    """Return the published model of this name or hub id; None if the registry has none."""
    return BY_NAME.get(text) or next((peer for peer in PEERS if peer.hub_id == text), None)


def forbids_commerce(license: str | None) -> bool:
    """True if the name of a licence says that commercial use is forbidden (CC BY-NC, non-commercial)."""
    words = re.split(r"[^a-z]+", (license or "").lower())
    return "nc" in words or "noncommercial" in words or ("non" in words and "commercial" in words)


def image_tower_of(kind: str, location: str) -> str | None:
    """Return the location of the image tower that belongs to a text tower; None if unknown.

    `location` is the hub id of the text tower, or a folder with the same name as the repository on the hub.
    """
    name = location.rstrip("/").rpartition("/")[2]
    alike = (peer for peer in PEERS if peer.kind == kind and peer.hub_id.rpartition("/")[2] == name)
    return next((peer.image for peer in alike), None)
