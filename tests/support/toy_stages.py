"""What tests of stages share: changes of the toy recipe, recall from files, refusals."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from araclip.errors import RecipeError
from araclip.training.model.saved_models import load_model
from araclip.training.recipe.recipe import Recipe
from araclip.training.recipe.stages import DevSet, ImageSide
from araclip.training.stages.dev_recall import Dev
from araclip.training.stages.dispatch import run_stage
from araclip.training.stages.pictures import PixelImages
from araclip.training.stages.pixels import Pixels
from araclip.training.stages.texts import LearningTexts
from toy_training import NAMES, Notes, write_lines

CHANCE = 1 / len(NAMES)


def student(world: Path, text: str = "bert", vision: str = "teacher", **more: Any) -> str:
    """The change that begins a stage with fresh towers; `text` with dropout or still."""
    spec = {"text": f'"{world}/{text}"', "vision": f'"{vision}"', "projection_dim": 16, "max_tokens": 12, **more}
    return "{" + ", ".join(f"{key} = {value}" for key, value in spec.items()) + "}"


def section(name: str, **keys: Any) -> list[str]:
    """`--set` changes of one stage; texts that are TOML already stay as they are."""
    return [f"{name}.{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in keys.items()]


def dev_recall(world: Path, folder: Path, captions: str = "caption_ar") -> float:
    """R@1 of a saved model, measured from its files."""
    model, processor = load_model(folder)
    texts = LearningTexts(model, processor, 0)
    pixels = Pixels.of(processor)
    images = PixelImages(model, pixels, [], ImageSide(train="full"), 0)
    return Dev(DevSet(world / "shapes", captions=(captions,))).recall(texts.vectors, images.vectors)["R@1"]


def make_concepts(world: Path, runs: Path) -> None:
    """Classes as the teacher's tower sees them: the mean feature of each name's pictures."""
    if (world / "concepts.npz").exists():
        return
    model, processor = load_model(runs / "teacher" / "model")
    pixels = Pixels.of(processor)
    features = []
    for english, _ in NAMES:
        paths = sorted((world / "shapes").glob(f"{english.replace(' ', '-')}-[0-3].png"))
        with torch.no_grad():
            features.append(model.vision_model(pixel_values=pixels.read(paths)).pooler_output.mean(dim=0).numpy())
    stacked = np.stack(features)
    np.savez(
        world / "concepts.npz", features=stacked, weight=0.1 * (stacked - stacked.mean(0)), bias=np.zeros(len(NAMES))
    )
    names = {"names_en": [[en] for en, _ in NAMES], "names_ar": [[ar] for _, ar in NAMES]}
    (world / "concepts.json").write_text(json.dumps(names, ensure_ascii=False), encoding="utf-8")


def refused(read: Recipe, stage: str, runs: Path, said: str, kind: type[Exception] = RecipeError) -> None:
    with pytest.raises(kind, match=said):
        run_stage(read, stage, runs, Notes())
    assert not list(runs.glob(f"{stage}/step-*.pt"))
    assert not (runs / stage / "result.json").exists()


def picture_set(world: Path, folder: Path, damage: str) -> Path:
    """A copy of the toy's pictures with one thing wrong."""
    copied = shutil.copytree(world / "shapes", folder / "copied")
    listing, first = copied / "captions.jsonl", copied / "red-circle-0.png"
    if damage == "missing":
        first.unlink()
    elif damage == "unreadable":
        first.write_bytes(first.read_bytes()[:60])
    elif damage == "malformed":
        listing.write_text(listing.read_text(encoding="utf-8") + "{}\n", encoding="utf-8")
    elif damage == "no list":
        listing.unlink()
    elif damage == "no captions":
        write_lines(copied, [{"image": "red-circle-0.png"}])
    return copied
