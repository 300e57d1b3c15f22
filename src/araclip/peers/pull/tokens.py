"""The tokenizer of a published model as a tokenizer of Hugging Face's library, all that happens to texts inside."""

import json
from typing import Any

import numpy as np
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

from araclip.errors import ModelMismatch
from araclip.peers.pull.byte_pairs import clip_tokenizer
from araclip.peers.pull.cleaning import cleaned, lowered, siglip_cleaned

_CLEANING = {"_clean_lower": "lower", "_clean_whitespace": "whitespace", "_clean_canonicalize": "canonicalize"}


def of_open_clip(name: str, tokenizer: Any) -> Tokenizer:
    """open_clip's own byte-pair tokenizer, or its wrapper around one of transformers with its cleaning.

    Raises:
        ModelMismatch: it does something that tokenizer.json cannot express.
    """
    if hasattr(tokenizer, "bpe_ranks"):
        return clip_tokenizer(tokenizer)
    if getattr(tokenizer, "tokenizer_mode", ""):
        raise ModelMismatch(
            f"{name}: its tokenizer's mode '{tokenizer.tokenizer_mode}' puts a token behind the padding, which a model "
            "folder cannot express. AraCLIP.load takes the model as it is, with PyTorch."
        )
    if hasattr(tokenizer.tokenizer, "src_lang"):
        tokenizer.tokenizer.src_lang = "arb_Arab"  # `graphs.Language` puts English before other texts
    made = of_transformers(name, tokenizer.tokenizer)
    if tokenizer.strip_sep_token:
        made = _without(made, tokenizer.tokenizer.sep_token_id)
    function = tokenizer.clean_fn.__name__
    return cleaned(made, _CLEANING.get(function, function))


def of_transformers(name: str, tokenizer: Any, *, lower: bool = False) -> Tokenizer:
    """A copy of the fast tokenizer behind one of transformers, without padding and truncation.

    Args:
        lower: texts are put into lower case before.

    Raises:
        ModelMismatch: there is none behind it, and it is not known how to write one.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if isinstance(backend, Tokenizer):
        made = Tokenizer.from_str(backend.to_str())
        made.no_padding()
        made.no_truncation()
        return lowered(made) if lower else made
    if type(tokenizer).__name__ == "SiglipTokenizer":
        return siglip_cleaned(_sentence_pieces(name, tokenizer))
    raise ModelMismatch(
        f"{name}: {type(tokenizer).__name__} has no fast tokenizer behind it, which a model folder needs. Put a "
        "tokenizer.json beside its files (transformers.convert_slow_tokenizer makes one)."
    )


def _sentence_pieces(name: str, tokenizer: Any) -> Tokenizer:
    """The Unigram model of a SentencePiece file, with the end token behind."""
    from sentencepiece import sentencepiece_model_pb2 as messages

    parsed: Any = messages  # its classes are made when it is imported
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


def _without(tokenizer: Tokenizer, id_: int) -> Tokenizer:
    """The post-processor writes 0 where it wrote this id, as open_clip's `strip_sep_token` does."""
    content = json.loads(tokenizer.to_str())

    def replace(part: Any) -> None:
        for token in (part.get("special_tokens") or {}).values():
            token["ids"] = [0 if found == id_ else found for found in token["ids"]]
        for key in ("sep", "cls"):
            if isinstance(part.get(key), list) and part[key][1] == id_:
                part[key][1] = 0
        for inner in part.get("processors") or ():
            replace(inner)

    if content.get("post_processor"):
        replace(content["post_processor"])
    return Tokenizer.from_str(json.dumps(content, ensure_ascii=False))


def padded(tokenizer: Tokenizer, text: str, longest: int, pad_id: int | None) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(1, T) ids of a text, cut at `longest` tokens and, where `pad_id` is given, filled up to them."""
    tokenizer.enable_truncation(longest)
    ids = tokenizer.encode(text).ids
    tokenizer.no_truncation()
    fill = [] if pad_id is None else [pad_id] * (longest - len(ids))
    return np.array([[*ids, *fill]], np.int64)
