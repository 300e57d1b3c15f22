"""Words that ask for pictures and say nothing of what they show: «صور», «كل الصور», "all my photos". Pure."""

import unicodedata

from araclip.text.folding import fold
from araclip.text.normalization import normalize
from araclip.text.script import words

PICTURE_WORDS = frozenset(
    map(
        fold,
        (
            "صور", "صورة", "الصور", "الصورة", "صوري", "صورنا", "كل", "جميع", "لقطات", "لقطة", "وريني", "أرني",
            "ورجيني", "تصاوير", "صورا", "في", "اللي", "التي",
            "photo", "photos", "picture", "pictures", "images", "my", "all", "the", "of", "show", "me", "pics", "image",
            "in", "everything", "every", "any", "some", "that", "which", "have", "them",
        ),
    )
)  # fmt: skip


def shows_nothing(text: str) -> bool:
    """Whether a text says nothing that a picture could show, as «كل الصور» or neither word nor emoji at all."""
    if any(unicodedata.category(letter) == "So" for letter in text):
        return False
    return all(fold(match.group()) in PICTURE_WORDS for match in words(normalize(text)))
