"""The names of models that an Immich server accepts, and the width of the vectors that it expects of each.

Immich compares the name of the model in its settings with a list of its own, and creates its table of vectors in the
width that the list says. Any other model takes the place of one of these names. Vectors that are narrower than the name
asks for are filled up with zeros, which changes no cosine and no distance.

From server/src/constants.ts and machine-learning/immich_ml/models/constants.py of github.com/immich-app/immich, release
2; OpenCloud asks for one of the names too.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from araclip.errors import WidthMismatch

_BY_WIDTH = {
    512: (
        "ViT-B-32__openai", "ViT-B-32__laion2b-s34b-b79k", "ViT-B-32__laion2b_e16", "ViT-B-32__laion400m_e31",
        "ViT-B-32__laion400m_e32", "ViT-B-16__openai", "ViT-B-16__laion400m_e31", "ViT-B-16__laion400m_e32",
        "RN101__openai", "RN101__yfcc15m", "XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k",
        "XLM-Roberta-Large-Vit-B-32",
    ),
    640: (
        "ViT-B-16-plus-240__laion400m_e31", "ViT-B-16-plus-240__laion400m_e32", "RN50x4__openai",
        "XLM-Roberta-Large-Vit-B-16Plus",
    ),
    768: (
        "ViT-B-16-SigLIP2__webli", "ViT-B-32-SigLIP2-256__webli", "ViT-B-16-SigLIP__webli",
        "ViT-B-16-SigLIP-256__webli", "ViT-B-16-SigLIP-384__webli", "ViT-B-16-SigLIP-512__webli",
        "ViT-B-16-SigLIP-i18n-256__webli", "ViT-L-14__openai", "ViT-L-14-336__openai", "ViT-L-14__laion400m_e31",
        "ViT-L-14__laion400m_e32", "ViT-L-14__laion2b-s32b-b82k", "ViT-L-14-quickgelu__dfn2b", "RN50x16__openai",
        "nllb-clip-base-siglip__v1", "nllb-clip-base-siglip__mrl", "LABSE-Vit-L-14", "XLM-Roberta-Large-Vit-L-14",
    ),
    1024: (
        "ViT-L-16-SigLIP2-256__webli", "ViT-L-16-SigLIP2-384__webli", "ViT-L-16-SigLIP2-512__webli",
        "ViT-L-16-SigLIP-256__webli", "ViT-L-16-SigLIP-384__webli", "ViT-H-14__laion2b-s32b-b79k",
        "ViT-H-14-quickgelu__dfn5b", "ViT-H-14-378-quickgelu__dfn5b", "ViT-g-14__laion2b-s12b-b42k", "RN50__openai",
        "RN50__yfcc15m", "RN50__cc12m", "RN50x64__openai", "XLM-Roberta-Large-ViT-H-14__frozen_laion5b_s13b_b90k",
    ),
    1152: (
        "ViT-SO400M-16-SigLIP2-256__webli", "ViT-SO400M-16-SigLIP2-384__webli", "ViT-SO400M-16-SigLIP2-512__webli",
        "ViT-SO400M-14-SigLIP2__webli", "ViT-SO400M-14-SigLIP2-378__webli", "ViT-SO400M-14-SigLIP-384__webli",
        "nllb-clip-large-siglip__v1", "nllb-clip-large-siglip__mrl",
    ),
    1536: ("ViT-gopt-16-SigLIP2-256__webli", "ViT-gopt-16-SigLIP2-384__webli"),
}  # fmt: skip
IMMICH_WIDTHS = {name: width for width, names in _BY_WIDTH.items() for name in names}
# Immich feeds these texts as `input_ids` and `attention_mask`, all others as `text`.
WITH_MASK = frozenset(
    ("LABSE-Vit-L-14", "XLM-Roberta-Large-Vit-B-16Plus", "XLM-Roberta-Large-Vit-B-32", "XLM-Roberta-Large-Vit-L-14")
)


def immich_name(name: str) -> str:
    """The name as Immich's list has it: without an owner, and with "__" for "::"."""
    return name.rpartition("/")[2].replace("::", "__")


def stand_ins(widths: Sequence[int]) -> list[str]:
    """The names whose vectors can be made of vectors of these widths: as wide or wider; the narrowest first."""
    return [name for name, width in IMMICH_WIDTHS.items() if width in widths or width >= max(widths)]


def fitted(vector: NDArray[np.float32], width: int, prefixes: Sequence[int] = ()) -> NDArray[np.float32]:
    """A unit vector (D,) as one of `width` numbers: filled up with zeros, or one of its good prefixes.

    Args:
        prefixes: Matryoshka widths of the model.

    Raises:
        WidthMismatch: it is wider, and `width` is none of the prefixes.
    """
    if width >= len(vector):
        return np.pad(vector, (0, width - len(vector)))
    if width not in prefixes:
        raise WidthMismatch(
            f"the model makes {len(vector)}-wide vectors, {width}-wide ones are asked for, and its vectors cannot be "
            f"cut to that. Choose one of these names: {', '.join(stand_ins([*prefixes, len(vector)])[:5])}."
        )
    prefix = vector[:width]
    return prefix / np.linalg.norm(prefix)
