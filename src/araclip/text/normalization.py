"""Arabic text normalisation: safe, idempotent, versioned, the same in training and in use.

Only what never changes the meaning is touched: ways of *encoding* a letter, marks of vocalisation and layout,
and digits. Letters are never folded (أ stays apart from ا, ة from ه, ى from ي): a model learns such
variation from noisy training text instead. ڤ چ پ گ and emoji are kept.
"""

import re
import unicodedata

NORMALIZER_VERSION = 1  # stored in every model folder; raise it when normalize() changes its output

_PRESENTATION_FORMS = re.compile("[\ufb50-\ufdff\ufe70-\ufefc]+")  # ﻻ ﷲ ﷺ: letters as positional glyphs
_LAYOUT = re.compile(
    "\u0640"  # tatweel
    "|[\u064b-\u0652\u0656-\u065f\u0670]"  # tashkeel; U+0653–0655 compose with their alef, waw or ya, so they stay
    "|[\u0610-\u061a\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u08d3-\u08e1\u08e3-\u08ff]"  # Quranic marks
    "|[\u00ad\u061c\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"  # bidi, zero width
    "|[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]"  # control characters that are not white space
)
_SURROGATES = re.compile("[\ud800-\udfff]")  # from undecodable file names; no tokenizer accepts them
# A zero-width joiner belongs to an emoji (👩‍🚀) when a pictograph stands on both sides; elsewhere it is layout.
_STRAY_JOINER = re.compile(
    "(?<![\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d|\u200d(?![\u2190-\u2bff\U0001f000-\U0001faff])"
)
_WHITE_SPACE = re.compile(r"\s+")
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹٪٫٬", "01234567890123456789%.,")


def normalize(text: str) -> str:
    """Return `text` in the one form that models are trained on and queried with.

    Presentation forms become letters (NFKC), tatweel, tashkeel, bidi and zero-width marks go, Arabic-Indic digits
    become ASCII, letters are composed (NFC), white space is collapsed. `normalize(normalize(t)) == normalize(t)`.
    """
    text = _SURROGATES.sub("\ufffd", text)
    text = _PRESENTATION_FORMS.sub(lambda glyphs: unicodedata.normalize("NFKC", glyphs.group()), text)
    text = unicodedata.normalize("NFC", _LAYOUT.sub("", text).translate(_DIGITS))
    # Again NFC: a stray joiner may have stood between a letter and its mark.
    text = unicodedata.normalize("NFC", _STRAY_JOINER.sub("", text))
    return _WHITE_SPACE.sub(" ", text).strip()
