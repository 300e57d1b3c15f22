"""What open_clip and SigLIP's tokenizer do to a text before its tokens, as normalisers inside tokenizer.json.

open_clip's cleaning begins with ftfy and HTML entities. Of those, what changes text that people write stands here:
straight quotes, ligatures, canonical composition, control characters, the usual entities. The repair of text that was
decoded in a wrong encoding, the widths of East Asian forms and rare entities do not: they cannot be written so.
"""

import re
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, normalizers

from araclip.errors import ModelMismatch

_SPACES = "\\t\\n\\x0b\\x0c\\r\\x1c-\\x20\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
_CONTROLS = "\\x00-\\x08\\x0b\\x0e-\\x1f\\x7f\\u206a-\\u206f\\ufeff\\ufff9-\\ufffc"  # as ftfy removes them
_PUNCTUATION = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~")  # Python's string.punctuation without the underscore
_QUOTES = {**dict.fromkeys("\u02bc\u2018\u2019\u201a\u201b", "'"), **dict.fromkeys("\u201c\u201d\u201e\u201f", '"')}
_LIGATURES = {"ﬁ": "fi", "ﬂ": "fl"}  # each may double a text, and `models.tokenizer_file` bounds that
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&apos;": "'", "&nbsp;": " ", "&amp;": "&"}

Step = normalizers.Normalizer


def cleaned(tokenizer: Tokenizer, clean: str) -> Tokenizer:
    """The tokenizer behind one of open_clip's cleaning functions: whitespace, lower or canonicalize; in place.

    Raises:
        ModelMismatch: another name.
    """
    steps = {
        "whitespace": [*_basic(), *_single_spaces()],
        "lower": [*_basic(), *_single_spaces(), normalizers.Lowercase()],
        "canonicalize": [*_basic(), *_without_punctuation(), normalizers.Lowercase(), *_single_spaces()],
    }
    if clean not in steps:
        raise ModelMismatch(f"the cleaning function '{clean:.40}' of the tokenizer is not one of {', '.join(steps)}.")
    return put_before(tokenizer, steps[clean])


def siglip_cleaned(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer behind what transformers' SiglipTokenizer does: lower case, no ASCII punctuation, single spaces."""
    bare = normalizers.Replace(Regex(f"[_{_PUNCTUATION}]"), "")
    return put_before(tokenizer, [normalizers.Lowercase(), bare, *_single_spaces()])


def lowered(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer behind lower-casing."""
    return put_before(tokenizer, [normalizers.Lowercase()])


def put_before(tokenizer: Tokenizer, steps: Sequence[Step]) -> Tokenizer:
    """The tokenizer with `steps` before its own normaliser; in place."""
    own = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
    tokenizer.normalizer = normalizers.Sequence([*steps, *own])
    return tokenizer


def _basic() -> list[Step]:
    characters = [normalizers.Replace(char, letters) for char, letters in (_LIGATURES | _QUOTES).items()]
    entities = [normalizers.Replace(entity, char) for entity, char in _ENTITIES.items()]
    return [*characters, normalizers.Replace(Regex(f"[{_CONTROLS}]"), ""), normalizers.NFC(), *entities]


def _without_punctuation() -> list[Step]:
    return [normalizers.Replace("_", " "), normalizers.Replace(Regex(f"[{_PUNCTUATION}]"), "")]


def _single_spaces() -> list[Step]:
    return [
        normalizers.Replace(Regex(f"[{_SPACES}]+"), " "),
        normalizers.Replace(Regex("\\A | \\z"), ""),
    ]
