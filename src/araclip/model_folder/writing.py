"""config.json as it is written: the lowest format that can say it, so that earlier releases read what they can."""

import json
from dataclasses import asdict
from pathlib import Path

from araclip.model_folder.config import (
    DATA_FILES,
    FOR_OTHERS,
    FORMAT,
    HASHED,
    IN_FORMAT_1,
    NO_NORMALIZER,
    ImageConfig,
    ModelConfig,
    value_of,
)
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
        for section, later in _OF_FORMAT_2.items():
            fields[section] = {name: value for name, value in fields[section].items() if name not in later}
    else:
        if config.image.reduction is None:
            del fields["image"]["reduction"]
        fields |= FOR_OTHERS
        write_image_processor(folder, config.image)
    (folder / "config.json").write_text(json.dumps(fields, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_image_processor(folder: Path, image: ImageConfig) -> None:
    """Write preprocessor_config.json, for CLIPProcessor and AutoProcessor of transformers; not read here."""
    from araclip.pictures.image_transform import FILTERS  # with numpy, a tenth of a second for each other command

    squash = image.resize == "squash"
    square = {"height": image.size, "width": image.size}
    settings = {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True,
        "size": square if squash else {"shortest_edge": image.size}, "resample": int(FILTERS[image.interpolation]),
        "do_center_crop": not squash, "crop_size": square, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": image.mean, "image_std": image.std, "do_convert_rgb": True,
    }  # fmt: skip
    (folder / IMAGE_PROCESSOR).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


IMAGE_PROCESSOR = "preprocessor_config.json"
_OF_FORMAT_2 = {"text": ("padding", "attention_mask"), "image": ("reduction", "crop_offset")}
