"""The model a stage starts from: pretrained towers, an earlier stage's result, or a saved folder."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoImageProcessor, ViTImageProcessor

from araclip.errors import RecipeError
from araclip.training import pretrained
from araclip.training.model import AraCLIPModel
from araclip.training.pairs import read_pairs
from araclip.training.processing import AraCLIPProcessor, timm_image_processor
from araclip.training.recipe import ModelSpec, Recipe

BICUBIC = 3  # of PIL.Image.Resampling
Student = tuple[AraCLIPModel, AraCLIPProcessor]


def result_of(runs: Path, stage: str) -> Path:
    """Where a stage leaves its model."""
    return runs / stage / "model"


def start_of(recipe: Recipe, stage_name: str, runs: Path) -> Student:
    """The model and processor that a stage starts from.

    Raises:
        RecipeError: the earlier stage has not been run, or there is no such folder.
    """
    stage, before = recipe.stage(stage_name), recipe.start_of[stage_name]
    if stage.model is not None:
        return from_spec(stage.model, recipe, runs)
    if before is None:
        return from_spec(recipe.model, recipe, runs)
    folder = result_of(runs, before) if before in recipe.stages else Path(before)
    if not (folder / "config.json").is_file():
        todo = f"Run `araclip train {before}` first." if before in recipe.stages else "Give a saved AraCLIPModel."
        raise RecipeError(f"stage '{stage_name}' starts from {folder}, which holds no model. {todo}")
    return load(folder)


def load(folder: Path) -> Student:
    """What `save` wrote, in float32."""
    return AraCLIPModel.from_pretrained(folder, dtype=torch.float32), AraCLIPProcessor.from_pretrained(folder)


def save(folder: Path, model: AraCLIPModel, processor: AraCLIPProcessor) -> None:
    """A folder for transformers, sentence-transformers and `araclip export`."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def from_spec(spec: ModelSpec, recipe: Recipe, runs: Path) -> Student:
    """Towers by name, hub id, folder or earlier stage, under projections."""
    torch.manual_seed(0)  # of the projections
    text, tokenizer = _text(spec)
    options: dict[str, Any] = {
        "text_pooling": spec.text_pooling, "vision_projection": spec.vision_projection, "max_tokens": spec.max_tokens,
        "matryoshka_dims": spec.matryoshka_dims, "logit_bias_init": spec.logit_bias,
    }  # fmt: skip
    if spec.logit_scale is not None:
        options["logit_scale_init_value"] = spec.logit_scale
    if spec.vision in recipe.stages or (spec.vision and (Path(spec.vision) / "modules.json").is_file()):
        folder = result_of(runs, spec.vision) if spec.vision in recipe.stages else Path(spec.vision)
        if not (folder / "config.json").is_file():
            raise RecipeError(f"[model] takes its image tower from {folder}, which holds no model. Run that stage.")
        return _beside(load(folder), text, tokenizer, options)
    vision, image_processor = _vision(spec)
    model = AraCLIPModel.from_towers(text, vision, spec.projection_dim, **options)
    if spec.text_identity:
        _identity(model.text_projection)
    return model, AraCLIPProcessor(image_processor, tokenizer, max_tokens=spec.max_tokens)


def _beside(teacher: Student, text: Any, tokenizer: Any, options: dict[str, Any]) -> Student:
    """A new text tower beside the image tower, projection and temperature of a finished model."""
    theirs, processor = teacher
    model = AraCLIPModel.from_towers(
        text, theirs.vision_model, theirs.config.projection_dim,
        **{**options, "vision_projection": theirs.config.vision_projection},
    )  # fmt: skip
    model.visual_projection.load_state_dict(theirs.visual_projection.state_dict())
    model.logit_scale.data.copy_(theirs.logit_scale.data)
    return model, AraCLIPProcessor(processor.image_processor, tokenizer, max_tokens=options["max_tokens"])


def _text(spec: ModelSpec) -> tuple[Any, Any]:
    if spec.text not in pretrained.TEXT_TOWERS:
        from araclip.training import towers

        return towers.load_text_tower(spec.text), AraCLIPProcessor.from_towers(spec.text).tokenizer
    texts = functools.partial(_vocabulary_texts, spec.vocabulary) if spec.vocabulary else None
    return pretrained.TEXT_TOWERS[spec.text](texts)


def _vision(spec: ModelSpec) -> tuple[Any, Any]:
    if spec.vision is None:
        return None, None
    if spec.vision in pretrained.IMAGE_TOWERS:
        tower = pretrained.IMAGE_TOWERS[spec.vision]()
        return tower, squash(timm_image_processor(tower.config), spec.image_size)
    from araclip.training import towers

    tower = towers.load_image_tower(spec.vision, spec.vision_projection == "identity", None)
    if tower.config.model_type == "timm_wrapper":
        return tower, squash(timm_image_processor(tower.config), spec.image_size)
    return tower, squash(AutoImageProcessor.from_pretrained(spec.vision), spec.image_size)


def squash(published: Any, size: int | None) -> ViTImageProcessor:
    """An image processor with the mean and deviation of a published one that squashes pictures to its square.

    Training, the exported graph and transformers then all see the same pixels, and nothing is cropped away.
    """
    own = published.size
    side = size or own.get("height") or own.get("shortest_edge")
    return ViTImageProcessor(
        size={"height": side, "width": side}, resample=BICUBIC, image_mean=list(published.image_mean),
        image_std=list(published.image_std), do_convert_rgb=True,
    )  # fmt: skip


def image_size(processor: AraCLIPProcessor) -> int:
    """Pixels a side that pictures enter with."""
    return int(processor.image_processor.size["height"])


def norm(processor: AraCLIPProcessor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation a channel, for values from 0 to 1."""
    return list(processor.image_processor.image_mean), list(processor.image_processor.image_std)


def quiet_batchnorm(model: nn.Module) -> None:
    """BatchNorm keeps its pre-trained statistics: batches here are small, and a chunk must not see its neighbours."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.eval()


def _identity(projection: nn.Linear) -> None:
    with torch.no_grad():
        nn.init.eye_(projection.weight)
        projection.bias.zero_()


def _vocabulary_texts(patterns: Sequence[Path]) -> list[str]:
    """All texts of the parallel files that match, sorted."""
    texts: set[str] = set()
    for pattern in patterns:
        files = sorted(pattern.parent.glob(pattern.name))
        if not files:
            raise RecipeError(f"[model] vocabulary: no file matches {pattern}.")
        for file in files:
            texts.update(text for pair in read_pairs(file) for text in (pair.english, pair.arabic))
    return sorted(texts)
