"""Loads the model that a stage starts from: pretrained towers, an earlier stage's result, or a saved folder."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic_core import to_jsonable_python
from torch import nn

from araclip.core import atomic
from araclip.errors import RecipeError
from araclip.models import folder as model_folder
from araclip.training.data.pictures import FileMixture, PictureMixture
from araclip.training.data.text import Mixture
from araclip.training.failures import failures
from araclip.training.loop.run_folder import Reporter, SilentReporter, StepProgress, without_nulls
from araclip.training.model import towers
from araclip.training.model.foreign import image_processor_at
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.preprocessing import squashing_processor, timm_image_processor
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.model.saved_models import ModelAndProcessor, load_model, load_plain, save_model, unpack
from araclip.training.recipe.recipe import CACHE, Recipe
from araclip.training.recipe.stages import Distill, Finetune, Linear, ModelSpec, StartingStage
from araclip.training.teachers.teacher import TeacherCache, load_teacher, teacher_vectors

Mixtures = TypeVar("Mixtures", bound=tuple[PictureMixture | FileMixture | Mixture, ...])


@dataclass(frozen=True)
class StageContext:
    """One stage of a recipe that is about to run.

    `runs` is the folder that holds every stage's folder; with `fresh`, an earlier run of the stage is deleted.
    """

    recipe: Recipe
    name: str
    runs: Path
    reporter: Reporter = field(default_factory=SilentReporter)
    fresh: bool = False

    @property
    def folder(self) -> Path:
        """Where the stage leaves its model, its metrics and its checkpoints."""
        return self.runs / self.name

    @property
    def cache(self) -> Path:
        """The folder for vectors that are computed once and shared by all stages."""
        return self.runs / CACHE

    def told(self, mixtures: Mixtures) -> Mixtures:
        """Log for each source of these mixtures a line that says how much data it has. Return the mixtures."""
        for line in [line for mixture in mixtures for line in mixture.about]:
            self.reporter.log(f"{self.name} learns from {line}")
        return mixtures

    def step_progress(self) -> StepProgress | None:
        """Return the display of the stage's steps, or None if nothing is displayed."""
        return self.reporter.step_progress(self.name)


UNPACKING_S = 600.0  # limit: seconds to wait for another process that is unpacking the same model


def result_of(runs: Path, stage: str) -> Path:
    """Return the folder in which a stage saves its model."""
    return runs / stage / "model"


def saved_model(context: StageContext, named: str, why: str) -> Path:
    """Return the folder of the model that `named` means: an earlier stage, a folder, or a bundled or exported model.

    A bundled or exported model is unpacked first. If there is no model, a RecipeError begins with `why`, such as
    "stage 'distill' starts from".
    """
    is_stage = named in context.recipe.stages
    if not is_stage and model_folder.names_model_folder(named):
        return _unpack_once(named, context.cache)
    folder = result_of(context.runs, named) if is_stage else Path(named)
    if not (folder / "config.json").is_file():
        todo = f"Run `araclip train {named}` first." if is_stage else "Give a stage, or a model's folder or name."
        raise RecipeError(f"{why} {folder}, which holds no model. {todo}")
    return folder


def is_model(recipe: Recipe, named: str) -> bool:
    """True if `named` is a stage of the recipe or an exported model; false for a hub id or a folder of transformers."""
    return named in recipe.stages or model_folder.names_model_folder(named)


def _unpack_once(exported: str, cache: Path) -> Path:
    label = model_folder.read_config(model_folder.find(exported)).label
    folder = cache / re.sub(r"[/\\]", "_", label)  # a label in a config.json may hold slashes: replace them
    if not (folder / "config.json").is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with atomic.single_writer(cache / f".{folder.name}.lock", patience=UNPACKING_S):
            # Another process may have unpacked the model meanwhile.
            if not (folder / "config.json").is_file():
                save_model(folder, *unpack(exported))
    return folder


def beginning(recipe: Recipe, name: str) -> dict[str, str]:
    """Return what a stage begins with, for config.json: the stage or folder that it starts from, or [model] as JSON.

    Empty if the stage's own section has a `model`, and for a stage that starts from no single model.
    """
    stage = recipe.stage(name)
    if not isinstance(stage, StartingStage) or stage.model is not None:
        return {}
    spec = {"vocabulary": [], **without_nulls(to_jsonable_python(recipe.model))}  # a key that runs before had empty
    towers = json.dumps(spec, sort_keys=True, ensure_ascii=False)
    return {"begins with": recipe.start_of[name] or towers}


def models_of(recipe: Recipe, name: str) -> list[tuple[str, str]]:
    """Return (key, name) of each model that a stage uses: its start or its towers, then others, such as `teacher`."""
    stage, start = recipe.stage(name), recipe.start_of[name]
    named: list[tuple[str, str | None]] = [("start", start)]
    if isinstance(stage, StartingStage) and (stage.model or not start):
        key, towers = ("model", stage.model) if stage.model else ("[model]", recipe.model)
        named = [(f"{key} text", towers.text), (f"{key} vision", towers.vision)]
    for key in stage.MODELS:
        value = getattr(stage, key)
        named += [(key, model) for model in ([value] if isinstance(value, str) else value)]
    return [(key, model) for key, model in named if model]


def start_of(stage: StartingStage, context: StageContext, *, as_it_is: bool = False) -> ModelAndProcessor:
    """Load the model and processor that a stage starts from.

    Unless `as_it_is`, the model's query bank (against hubness) and names part (for class names) are left out, see
    `heads`.
    """
    with failures(
        f"the model that [{context.name}] starts from", "name another, or run the stage that made it again", RecipeError
    ):
        before = context.recipe.start_of[context.name]
        if stage.model is not None or before is None:
            return from_spec(stage.model or context.recipe.model, context)
        folder = saved_model(context, before, f"stage '{context.name}' starts from")
        model, processor = (load_model if as_it_is else load_plain)(folder)
        return model, processor.squashing()


def image_tower_of(named: str, context: StageContext) -> Any:
    """Load the image tower of an earlier stage or exported model, or a tower from a folder or a hub."""
    if is_model(context.recipe, named):
        return load_plain(saved_model(context, named, "`vision` names"))[0].vision_model
    return _load_vision(ModelSpec(vision=named))[0]


def from_spec(spec: ModelSpec, context: StageContext) -> ModelAndProcessor:
    """Make a model from the towers that `spec` names, with projections on top; return it with its processor."""
    torch.manual_seed(0)  # makes the random projections the same each time
    recipe = context.recipe
    text_from = load_plain(saved_model(context, spec.text, _TEXT_FROM)) if is_model(recipe, spec.text) else None
    text, tokenizer = (text_from[0].text_model, text_from[1].tokenizer) if text_from else _load_text(spec)
    options: dict[str, Any] = {
        "text_pooling": spec.text_pooling, "vision_projection": spec.vision_projection,
        "vision_mirror": spec.vision_mirror, "max_tokens": spec.max_tokens, "matryoshka_dims": spec.matryoshka_dims,
        "logit_bias_init": spec.logit_bias,
    }  # fmt: skip
    if text_from:
        trained = {name: getattr(text_from[0].config, name) for name in ("text_pooling", "max_tokens")}
        for name, value in trained.items():
            if (given := getattr(spec, name)) not in (value, getattr(ModelSpec, name)):
                raise RecipeError(f"[model] {name} = {given}, but {spec.text} was trained with {value}. Leave it out.")
        options |= trained
    if spec.logit_scale is not None:
        options["logit_scale_init_value"] = spec.logit_scale
    if spec.vision and (is_model(recipe, spec.vision) or (Path(spec.vision) / "modules.json").is_file()):
        whole = load_plain(saved_model(context, spec.vision, "[model] takes its image tower from"))
        model, image_processor = _combine_towers(whole, text, spec, options)
    else:
        vision, image_processor = _load_vision(spec)
        model = AraCLIPModel.from_towers(text, vision, spec.projection_dim, **options)
    if text_from:  # take the projection of the text tower's model, too, so that text vectors stay as they were trained
        ours, theirs = model.config.projection_dim, text_from[0].config.projection_dim
        if ours != theirs:
            raise RecipeError(
                f"{_TEXT_FROM} {spec.text}, whose vectors are {theirs} wide, but pictures' are to be {ours} wide. Set "
                f"projection_dim = {theirs}, or take an image tower of that width."
            )
        model.text_projection.load_state_dict(text_from[0].text_projection.state_dict())
    elif spec.text_identity:
        with torch.no_grad():
            nn.init.eye_(model.text_projection.weight)
            model.text_projection.bias.zero_()
    processor = AraCLIPProcessor(image_processor, tokenizer, max_tokens=model.config.max_tokens)
    _check_sizes(model, processor)
    return model, processor


@torch.no_grad()
def _check_sizes(model: AraCLIPModel, processor: AraCLIPProcessor) -> None:
    """Encode the longest text and a picture; raise RecipeError if the towers cannot take their sizes."""
    training, device, tokens = model.training, model.logit_scale.device, processor.max_tokens
    model.eval()
    with failures(f"[model] max_tokens = {tokens}", "lower it, or name another tower", RecipeError, cannot="be used"):
        ids = torch.full((1, tokens), processor.tokenizer.unk_token_id or 0, device=device)
        model.get_text_features(input_ids=ids, attention_mask=torch.ones_like(ids))
    if processor.image_processor is not None and model.vision_model is not None:
        size = processor.preprocessing.size
        remedy = "leave it out, or name another tower"
        with failures(f"[model] image_size = {size}", remedy, RecipeError, cannot="be used"):
            model.get_image_features(pixel_values=torch.zeros(1, 3, size, size, device=device))
    model.train(training)


_TEXT_FROM = "[model] takes its text tower from"


def _combine_towers(
    whole: ModelAndProcessor, text: Any, spec: ModelSpec, options: dict[str, Any]
) -> tuple[AraCLIPModel, Any]:
    """Combine a text tower with a finished model's image tower, image projection and temperature.

    Return the combined model and the finished model's image processor. `options` are further settings of the model;
    `spec` may state another temperature and another size of pictures.
    """
    theirs, processor = whole
    if theirs.vision_model is None:
        raise RecipeError(f"[model] takes its image tower from {spec.vision}, which has none. Name another model.")
    own = {name: getattr(theirs.config, name) for name in ("vision_projection", "vision_pooling", "vision_mirror")}
    model = AraCLIPModel.from_towers(text, theirs.vision_model, theirs.config.projection_dim, **{**options, **own})
    model.visual_projection.load_state_dict(theirs.visual_projection.state_dict())
    if spec.logit_scale is None:
        model.logit_scale.data.copy_(theirs.logit_scale.data)
    return model, squashing_processor(processor.image_processor, spec.image_size)


def _load_text(spec: ModelSpec) -> tuple[Any, Any]:
    with failures(f"[model] text = {spec.text}", "give a folder or a hub id", RecipeError):
        return towers.load_text_tower(spec.text), AraCLIPProcessor.from_towers(spec.text).tokenizer


def _load_vision(spec: ModelSpec) -> tuple[Any, Any]:
    if spec.vision is None:
        return None, None
    with failures(f"[model] vision = {spec.vision}", "give a folder or a hub id", RecipeError):
        tower = towers.load_image_tower(spec.vision, spec.vision_projection == "identity", None)
        timm = tower.config.model_type == "timm_wrapper"
        published = timm_image_processor(tower.config) if timm else image_processor_at(spec.vision)
        return tower, squashing_processor(published, spec.image_size)


def cached_teacher(
    stage: Linear | Distill | Finetune, context: StageContext, texts: list[str], width: int, device: torch.device
) -> TeacherCache:
    """Return the teacher's vectors of these texts, computed now or read from the cache.

    The stage's `teacher` may name a stage or any model. `width` is the student's; another width is a RecipeError.
    """
    spec = stage.teacher
    if not spec:
        raise RecipeError(f"a stage of kind {stage.kind} needs `teacher`, such as open_clip:ViT-B-16-SigLIP-512/webli.")
    if is_model(context.recipe, spec):
        spec = f"araclip:{saved_model(context, spec, 'the teacher is')}"
    teacher = load_teacher(spec, str(device), bfloat16=stage.precision == "bfloat16")
    if teacher.width != width:
        raise RecipeError(
            f"teacher {stage.teacher} makes {teacher.width}-wide vectors, the student has projection_dim {width}. "
            f"Set [model] projection_dim = {teacher.width}."
        )
    folder = context.cache / f"teacher-{teacher.fingerprint[:12]}"
    return teacher_vectors(teacher, texts, folder, progress=context.reporter.teacher_progress)
