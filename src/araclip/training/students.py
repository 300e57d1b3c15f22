"""The model a stage starts from: pretrained towers, an earlier stage's result, or a saved folder."""

import functools
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoImageProcessor, ViTImageProcessor

from araclip import model_folder
from araclip.errors import RecipeError
from araclip.training import pretrained, towers
from araclip.training.bank import unbanked
from araclip.training.model import AraCLIPModel
from araclip.training.pairs import read_pairs
from araclip.training.processing import AraCLIPProcessor, squashing, timm_image_processor
from araclip.training.recipe import Recipe
from araclip.training.sections import ModelSpec
from araclip.training.unpack import unpack

Student = tuple[AraCLIPModel, AraCLIPProcessor]
Loaded = TypeVar("Loaded")


def result_of(runs: Path, stage: str) -> Path:
    """Where a stage leaves its model."""
    return runs / stage / "model"


def saved_model(recipe: Recipe, named: str, runs: Path, why: str) -> Path:
    """The folder of the model that an earlier stage left, that lies in a folder, or that an exported one was made of.

    Args:
        named: a stage of the recipe, a folder, or a bundled model. why: begins the message, such as "stage 'distill'
            starts from".

    Raises:
        RecipeError: the stage has not been run, or the folder holds no model.
        ModelMismatch: an exported model cannot be unpacked.
    """
    is_stage = named in recipe.stages
    if not is_stage and model_folder.is_ours(named):
        return _unpacked(named, runs / "cache")
    folder = result_of(runs, named) if is_stage else Path(named)
    if not (folder / "config.json").is_file():
        todo = f"Run `araclip train {named}` first." if is_stage else "Give a stage, or a model's folder or name."
        raise RecipeError(f"{why} {folder}, which holds no model. {todo}")
    return folder


def is_model(recipe: Recipe, named: str) -> bool:
    """Whether it names an earlier stage or an exported model, and no hub id or folder of transformers'."""
    return named in recipe.stages or model_folder.is_ours(named)


def _unpacked(exported: str, cache: Path) -> Path:
    folder = cache / model_folder.read_config(model_folder.find(exported)).label
    if not (folder / "config.json").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        save(folder, *unpack(exported))
    return folder


def start_of(recipe: Recipe, stage_name: str, runs: Path) -> Student:
    """The model and processor that a stage starts from.

    Raises:
        RecipeError: the earlier stage has not been run, there is no such folder, or a tower cannot be loaded.
        ModelMismatch: an exported model cannot be unpacked.
    """
    stage, before = recipe.stage(stage_name), recipe.start_of[stage_name]
    if stage.model is not None:
        return from_spec(stage.model, recipe, runs)
    if before is None:
        return from_spec(recipe.model, recipe, runs)
    return load_unfinished(saved_model(recipe, before, runs, f"stage '{stage_name}' starts from"))


def load_unfinished(folder: Path) -> Student:
    """What `save` wrote, to be trained further: without its query bank, which was made for the vectors as they were.

    Raises:
        RecipeError: as for `load`.
    """
    model, processor = load(folder)
    return unbanked(model), processor


def load(folder: Path) -> Student:
    """What `save` wrote, in float32.

    Raises:
        RecipeError: the folder's files are damaged, or those of another kind of model.
    """

    def read() -> Student:
        return AraCLIPModel.from_pretrained(folder, dtype=torch.float32), AraCLIPProcessor.from_pretrained(folder)

    return _loaded(read, f"the model in {folder}", "Run the stage that made it again, or name another folder.")


def save(folder: Path, model: AraCLIPModel, processor: AraCLIPProcessor) -> None:
    """A folder for transformers, sentence-transformers and `araclip export`; after a kill it is whole or not there."""
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    processor.save_pretrained(part)
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)


def from_spec(spec: ModelSpec, recipe: Recipe, runs: Path) -> Student:
    """Towers by name, hub id, folder, earlier stage or exported model, under projections.

    Raises:
        RecipeError: a tower cannot be loaded, or the stage that makes it has not been run.
        ModelMismatch: an exported model cannot be unpacked.
    """
    torch.manual_seed(0)  # of the projections
    taken = load_unfinished(saved_model(recipe, spec.text, runs, _TEXT_FROM)) if is_model(recipe, spec.text) else None
    text, tokenizer = (taken[0].text_model, taken[1].tokenizer) if taken else _text(spec)
    options: dict[str, Any] = {
        "text_pooling": spec.text_pooling, "vision_projection": spec.vision_projection,
        "vision_mirror": spec.vision_mirror, "max_tokens": spec.max_tokens, "matryoshka_dims": spec.matryoshka_dims,
        "logit_bias_init": spec.logit_bias,
    }  # fmt: skip
    if taken:
        options |= {name: getattr(taken[0].config, name) for name in ("text_pooling", "max_tokens")}
    if spec.logit_scale is not None:
        options["logit_scale_init_value"] = spec.logit_scale
    if spec.vision and (is_model(recipe, spec.vision) or (Path(spec.vision) / "modules.json").is_file()):
        whole = load_unfinished(saved_model(recipe, spec.vision, runs, "[model] takes its image tower from"))
        model, image_processor = _beside(whole, text, spec, options)
    else:
        vision, image_processor = _vision(spec)
        model = AraCLIPModel.from_towers(text, vision, spec.projection_dim, **options)
    if taken:
        _keep_projection(model, taken[0], spec)
    elif spec.text_identity:
        _identity(model.text_projection)
    return model, AraCLIPProcessor(image_processor, tokenizer, max_tokens=model.config.max_tokens)


_TEXT_FROM = "[model] takes its text tower from"


def _keep_projection(model: AraCLIPModel, taken: AraCLIPModel, spec: ModelSpec) -> None:
    """The text projection that the taken text tower learned under, so that its space is the same."""
    ours, theirs = model.config.projection_dim, taken.config.projection_dim
    if ours != theirs:
        raise RecipeError(
            f"{_TEXT_FROM} {spec.text}, whose vectors are {theirs} wide, but pictures' are to be {ours} wide. Set "
            f"projection_dim = {theirs}, or take an image tower of that width."
        )
    model.text_projection.load_state_dict(taken.text_projection.state_dict())


def _beside(whole: Student, text: Any, spec: ModelSpec, options: dict[str, Any]) -> tuple[AraCLIPModel, Any]:
    """A new text tower beside the image tower, projection and temperature of a finished model; its image processor."""
    theirs, processor = whole
    if theirs.vision_model is None:
        raise RecipeError(f"[model] takes its image tower from {spec.vision}, which has none. Name another model.")
    kept = {name: getattr(theirs.config, name) for name in ("vision_projection", "vision_pooling", "vision_mirror")}
    model = AraCLIPModel.from_towers(text, theirs.vision_model, theirs.config.projection_dim, **{**options, **kept})
    model.visual_projection.load_state_dict(theirs.visual_projection.state_dict())
    if spec.logit_scale is None:
        model.logit_scale.data.copy_(theirs.logit_scale.data)
    return model, squash(processor.image_processor, spec.image_size)


def _text(spec: ModelSpec) -> tuple[Any, Any]:
    if spec.text not in pretrained.TEXT_TOWERS:
        return _loaded(
            lambda: (towers.load_text_tower(spec.text), AraCLIPProcessor.from_towers(spec.text).tokenizer),
            f"[model] text = {spec.text}", f"Give a folder, a hub id, or one of {', '.join(pretrained.TEXT_TOWERS)}.",
        )  # fmt: skip
    texts = functools.partial(_vocabulary_texts, spec.vocabulary) if spec.vocabulary else None
    return pretrained.TEXT_TOWERS[spec.text](texts)


def _vision(spec: ModelSpec) -> tuple[Any, Any]:
    if spec.vision is None:
        return None, None
    if spec.vision in pretrained.IMAGE_TOWERS:
        tower = pretrained.IMAGE_TOWERS[spec.vision]()
        return tower, squash(timm_image_processor(tower.config), spec.image_size)
    source = spec.vision

    def read() -> tuple[Any, Any]:
        tower = towers.load_image_tower(source, spec.vision_projection == "identity", None)
        if tower.config.model_type == "timm_wrapper":
            return tower, timm_image_processor(tower.config)
        return tower, AutoImageProcessor.from_pretrained(source)

    known = ", ".join(pretrained.IMAGE_TOWERS)
    tower, published = _loaded(read, f"[model] vision = {source}", f"Give a folder, a hub id, or one of {known}.")
    return tower, squash(published, spec.image_size)


def _loaded(read: Callable[[], Loaded], what: str, remedy: str) -> Loaded:
    try:
        return read()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:  # of transformers and its hub
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise RecipeError(f"{what} cannot be loaded ({reason:.300}). {remedy}") from error


def squash(published: Any, size: int | None) -> ViTImageProcessor:
    """An image processor with the mean and deviation of a published one that squashes pictures to its square.

    Training, the exported graph and transformers then all see the same pixels, and nothing is cropped away.
    """
    own = published.size
    side = size or own.get("height") or own.get("shortest_edge")
    return squashing(side, side, published.image_mean, published.image_std)


def image_size(processor: AraCLIPProcessor) -> int:
    """Pixels a side that pictures enter with.

    Raises:
        RecipeError: the model has no image tower.
    """
    if processor.image_processor is None:
        raise RecipeError("this model has no image tower, and the stage or its dev set needs one. Name [model] vision.")
    return int(processor.image_processor.size["height"])


def norm(processor: AraCLIPProcessor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation a channel, for values from 0 to 1."""
    pictures: Any = processor.image_processor
    return list(pictures.image_mean), list(pictures.image_std)


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
