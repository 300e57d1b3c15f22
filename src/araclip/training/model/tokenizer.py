"""AraCLIPTokenizer: a saved model's tokenizer, which normalises text itself.

AraCLIPProcessor normalises text before any tokenizer. Pipelines and the processors of other models call the tokenizer
alone; with this class they get the tokens that the model was trained with, too.
"""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from araclip import atomic
from araclip.text.normalization import normalize
from araclip.training.model.configuration import MODULE, AraCLIPConfig

_CONFIG = "tokenizer_config.json"


class AraCLIPTokenizer(PreTrainedTokenizerFast):  # type: ignore[misc]
    """The tokenizer of tokenizer.json, of normalised text; text that is too long for the model is cut by default."""

    model_input_names = ("input_ids", "attention_mask")

    def __call__(self, *args: Any, truncation: Any = None, **how: Any) -> Any:
        """As every tokenizer of transformers, but cut to `model_max_length` where nothing is said of truncation."""
        return super().__call__(*args, truncation=True if truncation is None else truncation, **how)

    def _encode_plus(self, text: Any, text_pair: Any = None, **how: Any) -> Any:
        """What `__call__`, `encode` and `tokenize` of transformers 5 call, for one text and for many."""
        return super()._encode_plus(_normalized(text), text_pair=_normalized(text_pair), **how)

    @classmethod
    def register_for_auto_class(cls, auto_class: Any = "AutoTokenizer") -> None:
        """Does nothing: every saved folder names its classes already, and no source code is copied into it."""


def name_the_tokenizer(folder: Path) -> None:
    """Let the Auto classes load a saved tokenizer as an AraCLIPTokenizer; one without tokenizer.json stays as it is."""
    if not (folder / "tokenizer.json").is_file():
        return
    config = json.loads((folder / _CONFIG).read_text(encoding="utf-8"))
    config |= {
        "tokenizer_class": AraCLIPTokenizer.__name__,
        "auto_map": {"AutoTokenizer": [None, f"{MODULE}.{AraCLIPTokenizer.__name__}"]},
    }
    atomic.write_text(folder / _CONFIG, json.dumps(config, ensure_ascii=False, indent=2) + "\n")


def _normalized(text: Any) -> Any:
    if isinstance(text, str):
        return normalize(text)
    return [_normalized(part) for part in text] if isinstance(text, list | tuple) else text


AutoTokenizer.register(AraCLIPConfig, fast_tokenizer_class=AraCLIPTokenizer, exist_ok=True)
