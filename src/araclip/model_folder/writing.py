"""config.json as it is written: the lowest format that can say it, so that earlier releases read what they can."""

import json
from dataclasses import asdict
from pathlib import Path

from araclip.model_folder.config import DATA_FILES, FORMAT, HASHED, IN_FORMAT_1, NO_NORMALIZER, ModelConfig, value_of
from araclip.model_folder.reading import sha256


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a folder that config.json has the hash of; the field `files`."""
    return {name: sha256(folder / name) for name in (*HASHED, *DATA_FILES) if (folder / name).exists()}


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write config.json, whatever `config.format` says in the lowest format that has all it needs."""
    fields = asdict(config)
    old = config.text.normalizer != NO_NORMALIZER
    old &= all(is_right(value_of(config, name)) for name, (is_right, _) in IN_FORMAT_1.items())
    fields = {"format": 1 if old else FORMAT, **{name: value for name, value in fields.items() if name != "format"}}
    for name in ("source", "languages", "matryoshka"):
        if not fields[name]:
            del fields[name]
    if old:  # earlier releases refuse a field they do not know
        fields["text"] = {name: value for name, value in fields["text"].items() if name not in _TEXT_OF_FORMAT_2}
    (folder / "config.json").write_text(json.dumps(fields, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


_TEXT_OF_FORMAT_2 = ("padding", "attention_mask")
