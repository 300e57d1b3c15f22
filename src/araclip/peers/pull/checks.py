"""Whether tokenizer and graphs of a pulled model give what its own library gives: ids, and vectors one by one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from tokenizers import Tokenizer

from araclip.errors import ExportRejected, ModelMismatch
from araclip.models.encoder_base import Vectors
from araclip.peers.pull.sources import Source
from araclip.peers.pull.tokens import padded

LEAST_COSINE = 0.9999  # of a float32 graph to PyTorch; rounding alone stays above .999999
LEAST_RESIZED = 0.999  # of pictures that are resized, where the library has no form that does so with Pillow
TEXTS = (
    "قطة جالسة على طاولة", "قِطَّةٌ سوداءُ تنامُ قُربَ النّافذةِ", "كتـــاب", "٣ كلاب و 2 قطط، في بيت؟", "a cat",
    "A Dog's 2 balls, RED & blue!", "قطة black على table 🐈", "🐈‍⬛ 👨‍👩‍👧 ❤️", "ﻻ إله ڤيديو چاي پيتزا",
    "…—«نعم»؛ “yes”", "café naïve", "  two  spaces\tand\na line ", "", "كلب " * 1000, "word " * 1000,
)  # fmt: skip
GRAPH_TEXTS = TEXTS[:9]  # those whose vectors are compared, and one that is cut
_SHAPES = ((1.5, 0.95), (0.6, 1.37), (2.9, 2.1))  # width and height of pictures, in sides of the input


@dataclass(frozen=True)
class Expected:
    """Probes and their vectors by the model's own library; `least_resized`: cosine of pictures that it resizes."""

    texts: tuple[str, ...]
    pictures: tuple[Image.Image, ...]
    text_vectors: Vectors
    image_vectors: Vectors
    least_resized: float


def expected_of(source: Source) -> Expected:
    """The library's vectors of some texts and pictures, each alone."""
    texts, pictures = (*GRAPH_TEXTS, TEXTS[-1]), _pictures(source.image.preprocessing.size)
    encoder = source.reference
    resizes = encoder.image.settings  # open_clip's table: it resizes with Pillow
    on_pillow = isinstance(resizes, dict) or type(resizes).__name__.endswith("Pil")
    return Expected(
        texts, pictures,
        np.stack([encoder.encode_text(text) for text in texts]),
        np.stack([encoder.encode_image(picture) for picture in pictures]),
        LEAST_COSINE if on_pillow else LEAST_RESIZED,
    )  # fmt: skip


def check_ids(source: Source) -> None:
    """Refuse a tokenizer.json whose ids differ from those of the model's own tokenizer.

    Raises:
        ModelMismatch: the text is named, and both.
    """
    text = source.text
    for probe in TEXTS:
        inputs = source.reference.text.tokens([probe])
        theirs = next(inputs[key] for key in ("input_ids", "text") if key in inputs).numpy()[0][: text.max_tokens]
        ours = padded(text.tokenizer, probe, text.max_tokens, text.pad_id)[0][: len(theirs)]
        if text.graph.language is not None:  # the graph puts the language there
            ours, theirs = ours[1:], theirs[1:]
        if len(ours) != len(theirs) or (ours != theirs).any():
            raise ModelMismatch(
                f"{source.request.name}: its tokenizer gives '{probe:.40}' the ids {_ids(theirs)}, tokenizer.json "
                f"{_ids(ours)}. It does something that is not known here; AraCLIP.load takes the model as it is, with "
                "PyTorch."
            )


def check_cut(whole: Tokenizer, cut: Tokenizer, rows: Sequence[int] | Any, probes: Sequence[str]) -> None:
    """Refuse a cut vocabulary that cuts a text in its languages otherwise.

    Raises:
        ModelMismatch: the text is named.
    """
    for probe in probes:
        before, after = whole.encode(probe).ids, [int(rows[id_]) for id_ in cut.encode(probe).ids]
        if before != after:
            raise ModelMismatch(
                f"the cut vocabulary takes '{probe:.40}' apart otherwise than the whole one: {after[:8]} and not "
                f"{before[:8]}. Keep all languages."
            )


def check_vectors(
    found: Vectors, expected: Vectors, probes: Sequence[object], graph: str, least: float = LEAST_COSINE
) -> float:
    """The least cosine of a graph's vectors to the library's.

    Raises:
        ExportRejected: it is below `least`, or no number.
    """
    cosines = (found * expected).sum(axis=1)
    worst = int(np.argmin(cosines))  # NumPy's argmin puts NaN first
    if not cosines[worst] >= least:
        raise ExportRejected(
            f"{graph} is not the published model: on {probes[worst]!r:.60} its vector has cosine {cosines[worst]:.5f} "
            f"to the library's, {least} is the least. Another torch or transformers release may help; report it."
        )
    return float(cosines[worst])


def _pictures(side: int) -> tuple[Image.Image, ...]:
    """A square of the model's side, and pictures of odd sizes: smooth colours with some noise."""
    rng = np.random.default_rng(0)
    made = []
    for width, height in ((side, side), *((int(side * w) + 1, int(side * h)) for w, h in _SHAPES)):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noise = rng.integers(-20, 20, smooth.shape, dtype=np.int16)
        made.append(Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)))
    return tuple(made)


def _ids(ids: Any) -> str:
    return f"{[int(id_) for id_ in ids[:8]]}{' …' if len(ids) > 8 else ''} ({len(ids)})"
