"""CLIP's byte-pair tokenizer, which open_clip has in Python only, as a tokenizer of Hugging Face's library."""

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE

from araclip.errors import ModelMismatch
from araclip.peers.pull.cleaning import cleaned

_CLEANING = {"_clean_lower": "lower", "_clean_whitespace": "whitespace", "_clean_canonicalize": "canonicalize"}
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def clip_tokenizer(simple: Any) -> Tokenizer:
    """The ids of open_clip's SimpleTokenizer, without its padding and truncation.

    Raises:
        ModelMismatch: it draws tokens by a reduction mask, or cleans text in a way that is not known.
    """
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
        single=f"{first} $A {last}",
        special_tokens=[(first, simple.sot_token_id), (last, simple.eot_token_id)],
    )
    special = [simple.decoder[id_] for id_ in simple.all_special_ids]
    tokenizer.add_special_tokens([AddedToken(token, normalized=True, special=True) for token in special])
    name = getattr(simple.clean_fn, "__name__", "")
    return cleaned(tokenizer, _CLEANING.get(name, name))
