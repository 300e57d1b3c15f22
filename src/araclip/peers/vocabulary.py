"""Cuts a tokenizer's vocabulary to the pieces that texts in some languages use, and renumbers the ids.

Texts in these languages are tokenized as before. A piece stays if all of its characters can occur in such a text after
the tokenizer's normaliser; a lower-casing tokenizer therefore loses its capitals, too. At every step of tokenizing such
a text, all candidate pieces consist of the text's own characters, so all candidates are still there: the best path of a
Unigram model, the merges of a byte-pair model and the longest matches of WordPiece do not change. Special tokens,
single bytes, the unknown token and a Unigram model's piece of the lowest score always stay, so text in other languages
becomes bytes or unknown tokens.

The characters of a language are decided by script, not by a corpus: digits, punctuation, symbols, emoji, spaces and
invisible marks of every script stay; letters and their marks stay only in the languages' scripts. English has the ASCII
and Latin-1 letters (café, naïve), also as ligatures, full-width and mathematical letters.
"""

import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from araclip.errors import InputError, ModelMismatch
from araclip.peers.tokenizers import renumber_template

Ranges = tuple[tuple[int, int], ...]

_COMMON: Ranges = (  # letters and marks that belong to no script
    (0x02B0, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x200B, 0x200F), (0x20D0, 0x20FF), (0x2100, 0x214F),
    (0xFE00, 0xFE0F), (0xFE20, 0xFE2F), (0xE0100, 0xE01EF),
)  # fmt: skip
_MATHEMATICAL: Ranges = ((0x1D400, 0x1D7FF),)  # letters for formulas, which people use as fonts: 𝓗𝓮𝓵𝓵𝓸
_EMOJI: Ranges = ((0x1F000, 0x1FAFF),)  # code points of emoji; older Pythons do not know the newer ones
_SCRIPTS: dict[str, Ranges] = {
    "Arabic": (
        (0x0600, 0x06FF), (0x0750, 0x077F), (0x0870, 0x08FF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC), (0x1EE00, 0x1EEFF),
    ),
    "basic Latin": ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0xFF), (0xFB00, 0xFB06),
                    (0xFF21, 0xFF3A), (0xFF41, 0xFF5A), *_MATHEMATICAL),
    "Latin": ((0x41, 0x5A), (0x61, 0x7A), (0xAA, 0xAA), (0xBA, 0xBA), (0xC0, 0x24F), (0x1E00, 0x1EFF),
              (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xFB00, 0xFB06), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A), *_MATHEMATICAL),
    "Cyrillic": ((0x400, 0x52F), (0x1C80, 0x1C8F), (0x2DE0, 0x2DFF), (0xA640, 0xA69F)),
    "Greek": ((0x370, 0x3FF), (0x1F00, 0x1FFF)),
    "Hebrew": ((0x590, 0x5FF), (0xFB1D, 0xFB4F)),
    "Syriac": ((0x700, 0x74F), (0x860, 0x86F)),
    "Devanagari": ((0x900, 0x97F), (0xA8E0, 0xA8FF)),
    "Bengali": ((0x980, 0x9FF),),
    "Gurmukhi": ((0xA00, 0xA7F),),
    "Tamil": ((0xB80, 0xBFF),),
    "Telugu": ((0xC00, 0xC7F),),
    "Malayalam": ((0xD00, 0xD7F),),
    "Thai": ((0xE00, 0xE7F),),
    "Georgian": ((0x10A0, 0x10FF), (0x1C90, 0x1CBF)),
    "Armenian": ((0x530, 0x58F), (0xFB13, 0xFB17)),
    "Ethiopic": ((0x1200, 0x139F), (0x2D80, 0x2DDF)),
    "Tifinagh": ((0x2D30, 0x2D7F),),
    "Hangul": ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7FF), (0xA960, 0xA97F), (0xFFA0, 0xFFDC)),
    "kana": ((0x3005, 0x3007), (0x3031, 0x3035), (0x3040, 0x30FF), (0x31F0, 0x31FF), (0xFF66, 0xFF9F)),
    "Han": ((0x3005, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF)),
}  # fmt: skip
LANGUAGES: dict[str, tuple[str, ...]] = {  # code of a language → the scripts in which it is written
    "en": ("basic Latin",),
    **dict.fromkeys(("ar", "arz", "ary", "fa", "ur", "ps", "ckb", "ug", "sd", "pa-arab"), ("Arabic",)),
    **dict.fromkeys(
        ("fr", "de", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "is", "pl", "cs", "sk", "hu", "ro", "hr", "sl",
         "et", "lv", "lt", "tr", "az", "ku", "id", "ms", "vi", "sw", "so", "ha", "mt", "ca", "eu", "sq", "tl"),
        ("Latin",),
    ),
    **dict.fromkeys(("ru", "uk", "bg", "sr", "mk", "kk", "ky", "tg"), ("Cyrillic",)),
    "el": ("Greek",), "he": ("Hebrew",), "syr": ("Syriac",), "hi": ("Devanagari",), "ne": ("Devanagari",),
    "mr": ("Devanagari",), "bn": ("Bengali",), "pa": ("Gurmukhi",), "ta": ("Tamil",), "te": ("Telugu",),
    "ml": ("Malayalam",), "th": ("Thai",), "ka": ("Georgian",), "hy": ("Armenian",), "am": ("Ethiopic",),
    "zgh": ("Tifinagh",), "ko": ("Hangul",), "ja": ("kana", "Han"), "zh": ("Han",),
}  # fmt: skip
_END_OF_LETTERS = 0x323B0  # no code point from here on is a letter: only invisible marks and private use follow


def check_languages(languages: Iterable[str]) -> tuple[str, ...]:
    """Check language codes and return them as a tuple, each code once."""
    codes = tuple(dict.fromkeys(languages))
    if unknown := [code for code in codes if code not in LANGUAGES]:
        raise InputError(
            f"the languages to keep hold {unknown[0]!r:.40}, known are {', '.join(sorted(LANGUAGES))}. "
            "Name some of them, or keep all."
        )
    if not codes:
        raise InputError("no language to keep is named. Name some, such as ar,en, or keep all.")
    return codes


@cache
def characters_of(languages: tuple[str, ...]) -> frozenset[str]:
    """Return every character that a text in these languages may hold."""
    ranges = [*_COMMON, *(found for code in languages for script in LANGUAGES[code] for found in _SCRIPTS[script])]
    own = {chr(point) for first, last in ranges for point in range(first, last + 1)}
    emoji = {chr(point) for first, last in _EMOJI for point in range(first, last + 1)}
    return frozenset(own | emoji | {char for char in map(chr, range(_END_OF_LETTERS)) if _is_neutral(char, own)})


def _is_neutral(char: str, own: set[str]) -> bool:
    """True if a character is no letter or mark, and its normal form (NFKC) holds no letters except those in `own`.

    `own` is the set of letters of the kept languages. ㈱ is a symbol, but its normal form (株) holds a Chinese letter.
    """
    if not _is_no_letter(char):
        return False
    return all(_is_no_letter(part) or part in own for part in unicodedata.normalize("NFKC", char))


def _is_no_letter(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "NPSZ" or category in ("Cc", "Cf")


SPACE = "▁"  # the character by which SentencePiece writes a space
_MODEL_TYPES = ("BPE", "Unigram", "WordPiece", "WordLevel")


@dataclass(frozen=True)
class CutVocabulary:
    """A tokenizer with fewer pieces; `rows` (n,) int64, in rising order, holds the old id of each new id."""

    tokenizer: Tokenizer
    rows: NDArray[np.int64]


def cut_vocabulary(tokenizer: Tokenizer, languages: tuple[str, ...]) -> CutVocabulary:
    """Keep the pieces written in the scripts of the given languages, and special tokens; renumber the ids.

    The model's embeddings are not cut here. The result's `rows` are the embeddings' rows that the caller must keep.
    """
    content = json.loads(tokenizer.to_str())
    model = content["model"]
    if model.get("type") not in _MODEL_TYPES:
        raise ModelMismatch(
            f"the vocabulary of a tokenizer of the kind {model.get('type')!r:.40} cannot be cut, only of "
            f"{', '.join(_MODEL_TYPES)}. Keep all languages."
        )
    keeps = _make_filter(tokenizer, content, characters_of(languages))
    always = {int(added["id"]) for added in content["added_tokens"]}

    def note_id(id_: int) -> int:
        always.add(int(id_))
        return id_

    # `note_id` adds the ids of the post-processor's template to `always`, the ids to keep, and changes no id
    renumber_template(content.get("post_processor"), note_id)
    vocabulary = model["vocab"]
    pieces = vocabulary if isinstance(vocabulary, dict) else {piece: id_ for id_, (piece, _) in enumerate(vocabulary)}
    always |= {id_ for id_ in (model.get("unk_id"), pieces.get(model.get("unk_token"))) if id_ is not None}
    if model["type"] == "Unigram" and model["vocab"]:
        scores = [score for _, score in model["vocab"]]
        always.add(int(np.argmin(scores)))  # keep the piece of lowest score: it sets the cost of unknown characters
    kept = sorted(always | {id_ for piece, id_ in pieces.items() if keeps(piece)})
    new = {old: position for position, old in enumerate(kept)}
    _renumber_ids(content, new)
    return CutVocabulary(Tokenizer.from_str(json.dumps(content, ensure_ascii=False)), np.array(kept, np.int64))


def pieces_by_id(tokenizer: Tokenizer) -> dict[int, str]:
    """Return id → piece; pieces of a byte-level tokenizer are decoded, with U+FFFD for incomplete characters."""
    content = json.loads(tokenizer.to_str())
    read = _decode_bytes if _is_byte_level(content) else str
    return {id_: read(piece) for piece, id_ in tokenizer.get_vocab(with_added_tokens=True).items()}


# ------------------------------------------------------------------ which pieces stay


def _make_filter(tokenizer: Tokenizer, content: Mapping[str, Any], characters: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a text made of `characters` can use a piece; `content`: tokenizer.json."""
    own = set(characters)
    if (normalizer := tokenizer.normalizer) is not None:  # a normaliser may turn a character into several
        own = {found for char in characters for found in normalizer.normalize_str(f"a{char}a")}
    model = content["model"]
    affixes = [model.get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix")]
    if _is_byte_level(content):
        whole = {char.encode("utf-8", "surrogatepass") for char in own}
        starts = {code[:length] for code in whole for length in range(1, len(code))}
        ends = {code[-length:] for code in whole for length in range(1, len(code))}
        return partial(_is_made_of_bytes, affixes[1], whole, starts, ends)
    own |= {SPACE, " "}

    def keeps(piece: str) -> bool:
        if piece.startswith("<0x") and piece.endswith(">"):  # a single byte, such as <0x0A>, always stays
            return True
        prefix, suffix = affixes
        bare = piece.removeprefix(prefix) if prefix else piece
        return own.issuperset(bare.removesuffix(suffix) if suffix else bare)

    return keeps


def _is_byte_level(content: Mapping[str, Any]) -> bool:
    def holds(part: Any) -> bool:
        if not isinstance(part, dict):
            return False
        return part.get("type") == "ByteLevel" or any(
            holds(inner) for key in ("pretokenizers", "normalizers") for inner in part.get(key) or ()
        )

    return holds(content.get("pre_tokenizer")) or holds(content.get("normalizer"))


# The alphabet in which byte-level tokenizers, such as GPT-2's, write bytes; a printable character is its own byte.
_PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
_BYTE_OF_CHARACTER = {
    **{chr(byte): byte for byte in _PRINTABLE},
    **{chr(256 + number): byte for number, byte in enumerate(_OTHERS)},
}


def _decode_bytes(piece: str) -> str:
    return bytes(_BYTE_OF_CHARACTER[char] for char in piece if char in _BYTE_OF_CHARACTER).decode("utf-8", "replace")


def _is_made_of_bytes(suffix: str, whole: set[bytes], starts: set[bytes], ends: set[bytes], piece: str) -> bool:
    """True if a piece's bytes can stand in a text of the allowed characters; also true for any single byte.

    A piece may hold the last bytes of one character, then whole characters, then the first bytes of another character.

    Args:
        suffix: the mark of a word's end, which is ignored.
        whole: the UTF-8 bytes of each allowed character.
        starts, ends: the beginnings and ends of each of these, shorter than the whole character.
    """
    bare = piece.removesuffix(suffix) if suffix else piece
    if len(bare) == 1 or any(char not in _BYTE_OF_CHARACTER for char in bare):
        return len(bare) == 1
    code = bytes(_BYTE_OF_CHARACTER[char] for char in bare)
    # index of the first byte with which a character begins
    first = next((i for i, byte in enumerate(code) if byte & 0xC0 != 0x80), len(code))
    if first == len(code):
        return any(code in char for char in whole)
    if first and code[:first] not in ends:
        return False
    while first < len(code):
        length = next((n for n in range(1, 5) if code[first : first + n] in whole), 0)
        if not length:
            return code[first:] in starts
        first += length
    return True


# ------------------------------------------------------------------ new ids


def _renumber_ids(content: dict[str, Any], new: Mapping[int, int]) -> None:
    model = content["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {piece: new[id_] for piece, id_ in model["vocab"].items() if id_ in new}
    else:
        model["vocab"] = [entry for position, entry in enumerate(model["vocab"]) if position in new]
    if model.get("unk_id") is not None:
        model["unk_id"] = new[model["unk_id"]]
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if _is_merge_kept(merge, model)]
    content["added_tokens"] = [{**added, "id": new[added["id"]]} for added in content["added_tokens"]]
    renumber_template(content.get("post_processor"), new.__getitem__)
    content["padding"] = content["truncation"] = None


def _is_merge_kept(merge: Any, model: Mapping[str, Any]) -> bool:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    vocabulary, prefix = model["vocab"], model.get("continuing_subword_prefix") or ""
    return left in vocabulary and right in vocabulary and left + right.removeprefix(prefix) in vocabulary
