"""A recipe: one TOML file a trained model, read into frozen dataclasses.

    name = "my-model"
    stages = ["linear", "distill", "finetune"]      # in this order; each is a section below

    [model]                                         # what the first stage starts from
    text = "aubmindlab/bert-base-arabertv02"

    [distill]
    teacher = "open_clip:ViT-B-16-SigLIP-512/webli"
    sources = [{path = "pairs.tsv.xz"}]

A section's `kind` is captions, linear, distill, ensemble or finetune, by default its own name. A stage starts from the
one before it in `stages`, or from what `start` names. Paths are below `data`.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from araclip.errors import RecipeError
from araclip.training.tables import build, check_chance, check_positive, set_value, value_of
from araclip.training.text_data import Source


@dataclass(frozen=True)
class ModelSpec:
    """Where the towers come from: hub ids, folders, earlier stages, or the names that `pretrained` lists."""

    text: str = "aubmindlab/bert-base-arabertv02"
    vision: str | None = None
    projection_dim: int = 512
    text_pooling: str = "mean"
    vision_projection: str = "linear"
    vision_mirror: bool = False
    matryoshka_dims: tuple[int, ...] = ()
    max_tokens: int = 64  # as AraCLIP; captions need half of it
    image_size: int | None = None  # pixels a picture enters with; None is what the tower was made for
    logit_scale: float | None = None  # log of the first inverse temperature; None is CLIP's
    logit_bias: float | None = None  # a number makes room for the sigmoid loss, whose paper starts at −10
    vocabulary: tuple[Path, ...] = ()  # parallel files whose words a pruned vocabulary keeps; none keeps all
    text_identity: bool = False  # the text projection starts as the identity


@dataclass(frozen=True)
class DevSet:
    """Pictures whose captions are the queries of dev recall while training."""

    folder: Path
    split: str | None = "dev"
    captions: tuple[str, ...] = ("caption_ar",)
    per_picture: int | None = 1  # captions a picture that are asked each time; None is all

    def __post_init__(self) -> None:
        check_positive(self, "per_picture")


@dataclass(frozen=True)
class PictureSource:
    """A picture set; `share` is its part of each batch, relative to the other sets."""

    folder: Path
    share: float = 1.0
    split: str | None = None
    english: tuple[str, ...] = ("caption_en",)
    arabic: tuple[str, ...] = ("caption_ar",)
    group: str = ""  # sets of one group fill whole batches, so that each picture is told from its like


@dataclass(frozen=True)
class ImageSide:
    """What of the image tower learns.

    `locked`: nothing, its vectors are computed once (LiT, Zhai et al. 2022). `partial`: all but the first
    `frozen_blocks`, whose output is computed once for `views` of each picture where the tower allows it. `full`:
    everything, on freshly augmented pictures.
    """

    train: Literal["locked", "partial", "full"] = "locked"
    frozen_blocks: int = 0
    views: int = 2
    window: float = 0.86  # side of a training crop, as a part of the picture's
    each_crown: bool = False  # of a tower of several crowns, each has a loss of its own instead of their sum one
    cache: Path | None = None  # where the computed maps lie; None is beside the stages, for all of them

    def __post_init__(self) -> None:
        check_positive(self, "views")
        if not 0 < self.window <= 1:
            raise RecipeError(f"window is {self.window}, expected a part of the picture's side: above 0, at most 1.")
        if self.each_crown and self.train != "partial":
            raise RecipeError('each_crown needs train = "partial".')


@dataclass(frozen=True)
class Stage:
    """What every stage has."""

    kind: str = ""
    start: str | None = None
    model: ModelSpec | None = None  # fresh towers for this stage, instead of what an earlier stage left
    seed: int = 0
    steps: int = 1000
    batch: int = 128
    chunk: int = 32  # rows that pass a tower at once
    grad_cache: bool = False  # hold the activations of one chunk at a time; a second pass for any batch in memory
    train_text: Literal["full", "locked"] = "full"
    train_text_head: bool = True  # false keeps the text projection, too
    dropout: float | None = None  # chance, everywhere in a text tower that learns; None is as its makers trained it
    frozen_layers: int = 0  # lowest text layers that keep what pre-training gave them; the embeddings go with them
    lr_text: float = 5e-5
    lr_image: float = 1e-4
    lr_head: float = 5e-4
    layer_decay: float = 1.0
    weight_decay: float = 0.05
    warmup: float = 0.07  # part of the steps
    clip: float = 1.0
    ema: float = 0.0  # decay of the averaged weights that are evaluated and kept; 0 is none
    precision: Literal["float32", "bfloat16"] = "float32"
    image_precision: Literal["float32", "bfloat16", "pointwise"] | None = None  # of the image tower, if not the same
    gradient_checkpointing: bool = False
    log_every: int = 10
    checkpoint_every: int = 100
    eval_every: int = 0  # steps between dev recalls; 0 asks at the end only
    patience: int = 0  # recalls without a better R@1 after which the stage ends early; 0 is never
    dev: DevSet | None = None
    sinks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_positive(self, "steps", "batch", "chunk", "log_every", "checkpoint_every")
        if self.patience and not (self.eval_every and self.dev):
            raise RecipeError("patience needs a dev set that is asked while training. Give `dev` and `eval_every`.")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise RecipeError(f"dropout is {self.dropout}, expected a chance from 0 to below 1.")


@dataclass(frozen=True)
class Captions(Stage):
    """The text tower alone: captions of one picture come together; the pictures themselves need not be there."""

    pictures: tuple[PictureSource, ...] = ()
    languages: Mapping[str, float] = field(default_factory=lambda: {"arabic": 0.5, "english": 0.5})
    noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_chance(self, "noise")
        if self.train_text == "locked":
            raise RecipeError("captions alone train the text tower, which cannot be locked.")


@dataclass(frozen=True)
class Linear(Stage):
    """The head alone, in closed form."""

    teacher: str = ""
    sources: tuple[Source, ...] = ()
    rows: int = 100_000  # of the mixture
    penalty: float | None = None  # None: chosen on held-out rows


@dataclass(frozen=True)
class Distill(Stage):
    """Stage 1."""

    teacher: str = ""
    sources: tuple[Source, ...] = ()
    losses: Mapping[str, float] = field(default_factory=lambda: {"cosine": 1.0, "affinity": 0.5})
    matryoshka: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.train_text == "locked":
            raise RecipeError('distillation trains the text tower. For its head alone there is kind = "linear".')


@dataclass(frozen=True)
class Ensemble(Stage):
    """No training: image towers that learned the space of one locked text tower become one tower."""

    members: tuple[str, ...] = ()  # stages, or folders of models
    trunk_blocks: int = 0  # the first blocks of their image towers, which none of them changed
    pictures: tuple[
        PictureSource, ...
    ] = ()  # over some of these every member's vectors get one mean length; none: as is

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.members) < 2:
            raise RecipeError("an ensemble has two members or more. Name their stages in `members`.")


@dataclass(frozen=True)
class Finetune(Stage):
    """Stage 2, and with `languages = {english = 1}` the making of a teacher."""

    pictures: tuple[PictureSource, ...] = ()
    image: ImageSide = ImageSide()
    loss: Literal["infonce", "sigmoid"] = "infonce"
    matryoshka: bool = False
    languages: Mapping[str, float] = field(default_factory=lambda: {"arabic": 1.0})
    captions: int = 1  # a picture and step
    all_captions: bool = False  # with a locked text tower: every caption of the data is a negative in every step
    noise: float = 0.0
    hard_negatives: int = 0  # of each picture's nearest neighbours, how many share its batch
    negatives_from: Path | None = None  # a gallery tells what is near; None: the model of the start does
    teacher: str = ""
    distillation: float = 0.0  # weight of the distance to the teacher's vector of an English caption
    concepts: Path | None = None  # class names with their place in the image tower's feature space
    concept_batch: int = 0
    concept_weight: float = 0.0
    anchor: float = 0.0  # weight of staying with the class probabilities that the tower began with; needs `concepts`
    anchor_pictures: int = 64  # of each batch

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "captions", "anchor_pictures")
        check_chance(self, "noise")
        if self.negatives_from and not self.hard_negatives:
            raise RecipeError("negatives_from names a gallery, but hard_negatives is 0. Set it, or leave both out.")
        if self.train_text == "locked" and self.noise:
            raise RecipeError("noise needs a text tower that learns: a locked one reads each caption once, as it is.")
        if self.all_captions and self.train_text != "locked":
            raise RecipeError('all_captions needs train_text = "locked": a learning tower cannot embed them all.')
        if self.anchor and (self.concepts is None or self.image.train != "partial"):
            raise RecipeError('anchor needs `concepts` with a classifier and image = { train = "partial", … }.')


_TOP: Mapping[str, Any] = {"name": str, "data": Path, "model": dict, "stages": tuple[str, ...]}
KINDS: Mapping[str, type[Stage]] = {
    "captions": Captions, "linear": Linear, "distill": Distill, "ensemble": Ensemble, "finetune": Finetune,
}  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A whole recipe; `stages` keeps their order."""

    name: str
    data: Path
    model: ModelSpec
    stages: Mapping[str, Stage]
    order: tuple[str, ...]  # what `araclip train all` runs
    start_of: Mapping[str, str | None]  # the stage or folder each stage starts from; None is [model]

    def stage(self, name: str) -> Stage:
        """One stage by its section's name.

        Raises:
            RecipeError: there is no such section.
        """
        if name not in self.stages:
            raise RecipeError(f"recipe '{self.name}' has no stage '{name}'. It has: {', '.join(self.stages)}.")
        return self.stages[name]


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """A recipe file, with `key=value` changes applied: `distill.steps=200`, `data=/somewhere`.

    Raises:
        RecipeError: no such file, no TOML, an unknown key, or a value of the wrong kind; the key is named.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: {error}. Give a recipe, a TOML file.") from error
    for change in changes:
        set_value(table, change)
    table.setdefault("name", path.stem)
    return _recipe(table, path)


def _recipe(table: dict[str, Any], path: Path) -> Recipe:
    sections = {key: value for key, value in table.items() if isinstance(value, dict) and key not in _TOP}
    if unknown := sorted(set(table) - set(sections) - set(_TOP)):
        raise RecipeError(f"{path}: unknown key '{unknown[0]}'. Known are {', '.join(_TOP)} and the stages.")
    top = {key: value_of(_TOP[key], table[key], f"{path}: {key}", Path.cwd()) for key in _TOP if key in table}
    data = top.get("data", Path.cwd())
    stages = {name: _stage(name, section, path, data) for name, section in sections.items()}
    order = top.get("stages", tuple(sections))
    if missing := [name for name in order if name not in sections]:
        raise RecipeError(f"{path}: `stages` names '{missing[0]}', but there is no section [{missing[0]}].")
    if len(set(order)) < len(order):
        raise RecipeError(f"{path}: `stages` names a stage twice: {', '.join(order)}. Give each its own section.")
    before = dict(zip(order[1:], order, strict=False))
    start_of = {name: stage.start or before.get(name) for name, stage in stages.items()}
    if circular := [name for name, start in start_of.items() if name == start]:
        raise RecipeError(f"{path}: [{circular[0]}] starts from itself. Name another stage, or a saved model's folder.")
    return Recipe(
        name=top["name"], data=data, model=build(ModelSpec, top.get("model", {}), f"{path}: [model]", data),
        stages=stages, order=order, start_of=start_of,
    )  # fmt: skip


def _stage(name: str, section: dict[str, Any], path: Path, data: Path) -> Stage:
    kind = section.get("kind", name)
    if not isinstance(kind, str) or kind not in KINDS:
        raise RecipeError(f"{path}: [{name}] has kind '{kind}'. Known are {', '.join(KINDS)}.")
    return build(KINDS[kind], {**section, "kind": kind}, f"{path}: [{name}]", data)
