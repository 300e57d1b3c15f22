"""Converts the tokenizer of a published model to Hugging Face's library, with the steps that clean texts before it.

open_clip has CLIP's byte-pair tokenizer in Python only. Its cleaning begins with ftfy and HTML entities. Of these two
steps, the parts that matter for text that people type are converted: straight quotes, ligatures, canonical composition,
control characters, common entities. Text that was decoded in a wrong encoding, the widths of East Asian forms and rare
entities are not handled, because a tokenizer.json cannot express these rules.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram

from araclip.errors import ModelMismatch

_SPACES = "\\t\\n\\x0b\\x0c\\r\\x1c-\\x20\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
_CONTROLS = "\\x00-\\x08\\x0b\\x0e-\\x1f\\x7f\\u206a-\\u206f\\ufeff\\ufff9-\\ufffc"  # characters that ftfy removes
_PUNCTUATION = re.escape("!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~")  # Python's string.punctuation without the underscore
_QUOTES = {**dict.fromkeys("\u02bc\u2018\u2019\u201a\u201b", "'"), **dict.fromkeys("\u201c\u201d\u201e\u201f", '"')}
_LIGATURES = {"ﬁ": "fi", "ﬂ": "fl"}  # only these: longer ligatures could lengthen texts too much, see tokenizer_file
_ENTITIES = {"&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'", "&apos;": "'", "&nbsp;": " ", "&amp;": "&"}

Step = normalizers.Normalizer
_SPACE_STEPS: list[Step] = [
    normalizers.Replace(Regex(f"[{_SPACES}]+"), " "),
    normalizers.Replace(Regex("\\A | \\z"), ""),
]


def add_cleaning(tokenizer: Tokenizer, clean: str) -> Tokenizer:
    """Change a tokenizer so that it first cleans texts, nearly as open_clip does; return the tokenizer.

    `clean` is the name of open_clip's way of cleaning: "whitespace", "lower" or "canonicalize".
    """
    basic: list[Step] = [normalizers.Replace(char, letters) for char, letters in (_LIGATURES | _QUOTES).items()]
    basic += [normalizers.Replace(Regex(f"[{_CONTROLS}]"), ""), normalizers.NFC()]
    basic += [normalizers.Replace(entity, char) for entity, char in _ENTITIES.items()]
    unpunctuated = [normalizers.Replace("_", " "), normalizers.Replace(Regex(f"[{_PUNCTUATION}]"), "")]
    steps = {
        "whitespace": _SPACE_STEPS,
        "lower": [*_SPACE_STEPS, normalizers.Lowercase()],
        "canonicalize": [*unpunctuated, normalizers.Lowercase(), *_SPACE_STEPS],
    }
    if clean not in steps:
        raise ModelMismatch(f"the cleaning function '{clean:.40}' of the tokenizer is not one of {', '.join(steps)}.")
    return prepend_steps(tokenizer, [*basic, *steps[clean]])


def prepend_steps(tokenizer: Tokenizer, steps: Sequence[Step]) -> Tokenizer:
    """Put `steps` before a tokenizer's own normaliser, in place."""
    own = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
    tokenizer.normalizer = normalizers.Sequence([*steps, *own])
    return tokenizer


_CLEANING = {"_clean_lower": "lower", "_clean_whitespace": "whitespace", "_clean_canonicalize": "canonicalize"}
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def clip_tokenizer(simple: Any) -> Tokenizer:
    """Make a tokenizer that gives the ids of open_clip's SimpleTokenizer, without padding and truncation."""
    if simple.reduction_fn is not None:
        raise ModelMismatch(
            "the tokenizer drops tokens at random (reduction_mask), which tokenizer.json cannot express. "
            "Take the key out of the model's tokenizer_kwargs."
        )
    first, last = (simple.decoder[id_] for id_ in (simple.sot_token_id, simple.eot_token_id))
    merges = [pair for pair, _ in sorted(simple.bpe_ranks.items(), key=lambda entry: entry[1]) if len(pair) == 2]
    tokenizer = Tokenizer(
        BPE(dict(simple.encoder), merges, unk_token=last, continuing_subword_prefix="", end_of_word_suffix="</w>")
    )
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(first, simple.sot_token_id), (last, simple.eot_token_id)]
    )
    special = [simple.decoder[id_] for id_ in simple.all_special_ids]
    tokenizer.add_special_tokens([AddedToken(token, normalized=True, special=True) for token in special])
    name = getattr(simple.clean_fn, "__name__", "")
    return add_cleaning(tokenizer, _CLEANING.get(name, name))


def convert_open_clip(name: str, tokenizer: Any) -> Tokenizer:
    """Convert a tokenizer of open_clip: its own byte-pair tokenizer, or one of transformers with cleaned texts.

    Raises:
        ModelMismatch: the tokenizer does something that tokenizer.json cannot express.
    """
    if hasattr(tokenizer, "bpe_ranks"):
        return clip_tokenizer(tokenizer)
    if getattr(tokenizer, "tokenizer_mode", ""):
        raise ModelMismatch(
            f"{name}: its tokenizer's mode '{tokenizer.tokenizer_mode}' puts a token behind the padding, which a model "
            "folder cannot express. AraCLIP.load takes the model as it is, with PyTorch."
        )
    if hasattr(tokenizer.tokenizer, "src_lang"):
        # each text begins with the token of Arabic; if it has no Arabic, `towers.LanguageToken` puts English's there
        tokenizer.tokenizer.src_lang = "arb_Arab"
    made = convert_transformers(name, tokenizer.tokenizer)
    if tokenizer.strip_sep_token:
        # put the id 0 in place of the separator token, as open_clip does
        end, content = tokenizer.tokenizer.sep_token_id, json.loads(made.to_str())
        renumber_template(content.get("post_processor"), lambda found: 0 if found == end else found)
        made = Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
    function = tokenizer.clean_fn.__name__
    return add_cleaning(made, _CLEANING.get(function, function))


def convert_transformers(name: str, tokenizer: Any, *, lower: bool = False) -> Tokenizer:
    """Copy the fast tokenizer inside a tokenizer of transformers, without padding and truncation.

    With `lower`, the copy first makes texts lower-case. A SiglipTokenizer has no fast tokenizer, so it is converted.

    Raises:
        ModelMismatch: a tokenizer of another class has no fast tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if isinstance(backend, Tokenizer):
        made = Tokenizer.from_str(backend.to_str())
        made.no_padding()
        made.no_truncation()
        return prepend_steps(made, [normalizers.Lowercase()]) if lower else made
    if type(tokenizer).__name__ == "SiglipTokenizer":
        bare = normalizers.Replace(Regex(f"[_{_PUNCTUATION}]"), "")
        made = _convert_sentence_pieces(name, tokenizer)
        return prepend_steps(made, [normalizers.Lowercase(), bare, *_SPACE_STEPS])
    raise ModelMismatch(
        f"{name}: {type(tokenizer).__name__} has no fast tokenizer behind it, which a model folder needs. Put a "
        "tokenizer.json beside its files (transformers.convert_slow_tokenizer makes one)."
    )


def _convert_sentence_pieces(name: str, tokenizer: Any) -> Tokenizer:
    """Make a Unigram tokenizer from the SentencePiece model in `tokenizer`, with the end token behind each text."""
    from sentencepiece import sentencepiece_model_pb2 as messages

    parsed: Any = messages  # typed Any: mypy cannot see the classes of this protobuf module, made at import
    proto = parsed.ModelProto.FromString(tokenizer.sp_model.serialized_model_proto())
    if proto.trainer_spec.model_type != 1:
        raise ModelMismatch(f"{name}: its SentencePiece model is no Unigram model. Put a tokenizer.json beside it.")
    made = Tokenizer(
        Unigram(
            [(piece.piece, piece.score) for piece in proto.pieces], unk_id=proto.trainer_spec.unk_id,
            byte_fallback=proto.trainer_spec.byte_fallback,
        )
    )  # fmt: skip
    steps: list[Any] = []
    if proto.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap))
    made.normalizer = normalizers.Sequence([*steps, normalizers.Replace(Regex(" {2,}"), " ")])
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    made.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always", split=False)
    end, id_ = tokenizer.eos_token, tokenizer.eos_token_id
    made.post_processor = processors.TemplateProcessing(single=f"$A {end}", special_tokens=[(end, id_)])
    special = dict.fromkeys((tokenizer.eos_token, tokenizer.unk_token, tokenizer.pad_token))
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return made


def renumber_template(processor: Any, new: Callable[[int], int]) -> None:
    """Replace each token id that a tokenizer's post-processor adds by `new(id)`.

    `processor` is the parsed JSON of the post-processor, which is changed in place; None is left alone.
    """
    if not isinstance(processor, dict):
        return
    for token in (processor.get("special_tokens") or {}).values():
        token["ids"] = [new(id_) for id_ in token["ids"]]
    for name in ("sep", "cls"):
        if isinstance(processor.get(name), list):
            processor[name] = [processor[name][0], new(processor[name][1])]
    for inner in processor.get("processors") or ():
        renumber_template(inner, new)


def encode_padded(tokenizer: Tokenizer, text: str, longest: int, pad_id: int | None) -> NDArray[np.int64]:
    """Return the ids (1, T) of a text, cut at `longest` tokens and, if `pad_id` is given, padded to that length."""
    tokenizer.enable_truncation(longest)
    ids = tokenizer.encode(text).ids
    tokenizer.no_truncation()
    fill = [] if pad_id is None else [pad_id] * (longest - len(ids))
    return np.array([[*ids, *fill]], np.int64)
