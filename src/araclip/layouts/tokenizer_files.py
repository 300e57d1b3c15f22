"""A model folder's tokenizer for other programs: it normalises text itself, and names its padding."""

import json
import re
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from araclip.encoder import AraCLIP
from araclip.errors import InputError
from araclip.model_folder import NO_NORMALIZER
from araclip.text.tokenizer_normalizer import prepend_normalizer


def write_tokenizer(model: AraCLIP, out: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and special_tokens_map.json, from which AutoTokenizer and others read
    text as the model does.

    Raises:
        InputError: the vocabulary has no token for the padding's id.
    """
    out.mkdir(parents=True, exist_ok=True)
    text = (model.folder / "tokenizer.json").read_text(encoding="utf-8")
    written = text if model.config.text.normalizer == NO_NORMALIZER else prepend_normalizer(text)
    (out / "tokenizer.json").write_text(_for_javascript(written), encoding="utf-8")
    special = {"pad_token": padding(model)[1]}
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.config.text.max_tokens,
            "padding_side": "right",
            "clean_up_tokenization_spaces": False,
            **special,
        },
    )
    write_json(out / "special_tokens_map.json", special)


def padding(model: AraCLIP) -> tuple[int, str]:
    """The id and the token that other programs fill texts up with: the model's own.

    transformers cuts a padding token out of texts, so that an ordinary piece ("!" of open_clip's CLIP) cannot be one;
    where the tower reads nothing behind the end of a text, the token that ends it takes that place.

    Raises:
        InputError: the vocabulary has no token for the padding's id.
    """
    tokenizer, text = _tokenizer(model), model.config.text
    id_ = text.pad_id
    if id_ not in tokenizer.get_added_tokens_decoder() and not text.attention_mask and text.padding == "longest":
        id_ = end if (end := end_of_texts(model)) is not None else id_
    token: str | None = tokenizer.id_to_token(id_)
    if token is None:
        raise InputError(
            f"{model.folder / 'tokenizer.json'} has no token with the id {id_}, which config.json pads with. Other "
            "programs name the padding by its token: export the model again."
        )
    return id_, token


def end_of_texts(model: AraCLIP) -> int | None:
    """The id that the tokenizer puts at the end of every text; None where it puts none."""
    ids = [_tokenizer(model).encode(text).ids for text in ("", "a", "قطة")]
    last = {found[-1] if found else None for found in ids}
    return last.pop() if len(last) == 1 else None


def _for_javascript(tokenizer: str) -> str:
    r"""Patterns that begin with \A or end with \z, which JavaScript does not know, with ^ and $: where such a step
    follows one that makes white space single spaces, there is one line and they mean the same."""
    found = json.loads(tokenizer)
    waiting = [found.get("normalizer"), found.get("pre_tokenizer")]
    changed = False
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(pattern := value.get("Regex"), str) and re.search(r"\\[Az]", pattern):
                value["Regex"] = pattern.replace("\\A", "^").replace("\\z", "$")
                changed = True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return json.dumps(found, ensure_ascii=False) if changed else tokenizer


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _tokenizer(model: AraCLIP) -> Any:
    return Tokenizer.from_file(str(model.folder / "tokenizer.json"))
