"""Relevance of Arabic words to pictures, by the words of their English captions."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

COMMON = {  # Arabic word → pattern of English words
    "كلب": "dog|dogs|puppy",
    "رجل": "man|men",
    "امرأة": "woman|women|lady",
    "طفل": "child|children|kid|boy|girl|baby|toddler",
    "شاطئ": "beach|ocean|sea|shore",
    "ثلج": "snow|snowy",
    "عشب": "grass|grassy|field",
    "ماء": "water|pool|lake|river",
    "كرة": "ball|soccer|football|basketball|tennis",
    "دراجة": "bike|bicycle|bicyclist|motorcycle|biker",
    "جبل": "mountain|mountains|cliff|rock|climbing|climber",
    "شارع": "street|road|sidewalk",
    "سباحة": "swim|swimming|pool",
}


def depicted(captions: Sequence[Sequence[str]], patterns: Sequence[str]) -> NDArray[np.bool_]:
    """(n pictures, n patterns): whether one of a picture's captions has one of a pattern's words."""
    compiled = [re.compile(rf"\b({pattern})\b") for pattern in patterns]
    return np.array([[any(p.search(text.lower()) for text in texts) for p in compiled] for texts in captions])
