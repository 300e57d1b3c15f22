"""Writes the model card of an exported folder, and reads about.toml: licence, training data and notes for the card."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from araclip import __version__
from araclip.models.folder import NOT_STATED, ModelConfig
from araclip.training.recipe.toml_file import TomlFile

_STORED = {
    "int8": "int8 (small and depthwise convolutions float16), computed in float32",
    "compact": "int8 (vocabulary in four bits, small and depthwise convolutions float16), computed in float32",
    "float32": "float32",
    "float16": "float16, computed in float32",
    "smooth-int8": "int8, matrix products computed in int8 with a scale for each row (SmoothQuant)",
    "smooth-compact": "int8 (vocabulary in four bits), matrix products computed in int8 with a scale for each row "
    "(SmoothQuant)",
    "static-int8": "int8, convolutions computed in int8 with measured ranges",
}
_SQUARES = {  # value of `ImageConfig.resize` → how the card says that a picture becomes a square
    "squash": "squashed to {side} × {side}",
    "shortest": "scaled until the shorter side is {side}, and {side} × {side} cut out of the middle",
}
_WAYS = (("t2i", "text → picture", "n_queries"), ("i2t", "picture → text", "n_images"))


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class About:
    """Training data, licence, and further text of a model card."""

    license: str = NOT_STATED
    training_data: tuple[str, ...] = ()
    notes: str = ""  # Markdown: how the model was trained, its limits, its terms of use
    text_tower: str = ""  # the towers' names on the card; "": the names of their checkpoints
    image_tower: str = ""


def read_about(path: Path) -> About:
    """Read about.toml; a RecipeError names its mistakes."""
    file = TomlFile(path, "--about takes a TOML file with license, training_data and notes.")
    about = file.read(About, file.table)
    file.check()
    assert about is not None
    return about


def model_card(config: ModelConfig, about: About, megabytes: float) -> str:
    """Return README.md of a model folder, in Markdown; `config` holds the measurements, `megabytes` the size."""
    text, image = config.text, config.image
    data = "\n".join(f"- {line}" for line in config.training_data) or "Not stated."
    measured = "\n\n".join(f"{name}:\n\n{results_table(result)}" for name, result in config.measured.items())
    of_text, of_pictures = (_STORED[config.weights_of(tower)] for tower in ("text", "image"))
    stored = of_text if of_text == of_pictures else f"text: {of_text}; pictures: {of_pictures}"
    notes = f"{about.notes.strip()}\n\n" if about.notes.strip() else ""
    normaliser = f"normaliser {text.normalizer}" if text.normalizer else "prepared by tokenizer.json"
    return f"""# {config.name}

A dual encoder for Arabic (and English) text and pictures, version {config.version}: {text.tower} ({text.pooling}
pooling) and {image.tower}, each with a projection into one {config.width}-wide space.

| | |
|---|---|
| size | {megabytes:.0f} MB, needs ONNX Runtime and no network |
| weights | {stored} |
| text | up to {text.max_tokens} tokens, {normaliser} |
| pictures | {_SQUARES[image.resize].format(side=image.size)} |
| licence | {config.license} |

```python
from araclip import AraCLIP

model = AraCLIP.load("FOLDER")
scores = model.encode_text(["قطة على طاولة"]) @ model.encode_image(["picture.jpg"]).T  # cosines
```

{notes}## Trained on

{data}

## Measured

{measured or "Nothing: it was exported without a dev set."}

Written by araclip {__version__}; the numbers are those of the files in this folder.
"""


def results_table(result: Mapping[str, Any]) -> str:
    """Return the results of one dev set as a Markdown table, a row for each language and direction."""
    rows = ["| query | R@1 | R@5 | R@10 | MRR | median rank | queries |", "|---|---|---|---|---|---|---|"]
    for language, found in result.items():
        for way, name, count in _WAYS:
            numbers = " | ".join(f"{found[way][key]:.3f}" for key in ("R@1", "R@5", "R@10", "MRR"))
            rows.append(f"| {language}, {name} | {numbers} | {found[way]['median rank']:.0f} | {found[count]:,} |")
    return "\n".join(rows)
