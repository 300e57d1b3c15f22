"""The sections of a recipe as dataclasses: the model, the dev set, and one for each kind of stage.

Stage                             seed, dev, sinks
└── StartingStage                 + start, model
    ├── Linear                    in closed form
    └── LearningStage             + steps, learning rates, precision, checkpoints …
        ├── Captions
        ├── Distill
        └── Finetune

Families of models add kinds of their own, see `extensions`.
"""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, model_validator
from pydantic.dataclasses import dataclass

from araclip.training.data.limits import (
    Chance,
    Count,
    Dropout,
    Few,
    Finite,
    Length,
    Many,
    NotNegative,
    OrNone,
    Positive,
    Rows,
    Window,
    limited,
)
from araclip.training.data.pictures import PictureSource
from araclip.training.data.text import Source
from araclip.training.model.foreign import MAX_SIDE, MAX_WIDTH
from araclip.training.recipe.toml_file import below_data

CONFIG = ConfigDict(extra="forbid")
Width = Annotated[int, limited(lambda value: 1 <= value <= MAX_WIDTH, f"1 to {MAX_WIDTH:,}")]
Pixels = Annotated[int, limited(lambda value: 1 <= value <= MAX_SIDE, f"1 to {MAX_SIDE:,} pixels")]
Folder = Annotated[Path, AfterValidator(below_data)]
Precision = Literal["float32", "bfloat16"]
Pictures = Annotated[tuple[PictureSource, ...], AfterValidator(below_data)]
Sources = Annotated[tuple[Source, ...], AfterValidator(below_data)]
Shares = Mapping[str, NotNegative]


@dataclass(frozen=True, config=CONFIG)
class ModelSpec:
    """Where the towers come from: hub ids, folders, earlier stages, or the names that `packaged_towers` lists."""

    text: str = "aubmindlab/bert-base-arabertv02"
    vision: str | None = None
    projection_dim: Width = 512
    text_pooling: str = "mean"
    vision_projection: str = "linear"
    vision_mirror: bool = False  # a picture's features are the mean of its own and of its mirror image's
    matryoshka_dims: tuple[Width, ...] = ()
    max_tokens: Width = 64  # as AraCLIP; captions need half of it
    image_size: Pixels | None = None  # pixels a side of input pictures; None is the tower's own size
    logit_scale: Finite | None = None  # log of the first inverse temperature; None is CLIP's
    logit_bias: Finite | None = None  # a number makes room for the sigmoid loss, whose paper starts at −10
    vocabulary: Annotated[tuple[Path, ...], AfterValidator(below_data)] = ()  # whose words are kept; none: all
    text_identity: bool = False  # the text projection starts as the identity


@dataclass(frozen=True, config=CONFIG)
class DevSet:
    """Pictures whose captions are the queries of dev recall while training."""

    folder: Folder
    split: str | None = "dev"
    captions: tuple[str, ...] = ("caption_ar",)
    per_picture: Count | None = 1  # captions a picture that are queries; None is all
    images: Folder | None = None  # another folder in which its pictures may lie


@dataclass(frozen=True, config=CONFIG)
class ImageSide:
    """What of the image tower learns.

    `locked`: nothing, its vectors are computed once (LiT, Zhai et al. 2022), with `frozen_blocks` from the maps that
    stages with `partial` and the same `views` have cached. `partial`: all but the first
    `frozen_blocks`, whose output is computed once for `views` of each picture where the tower allows it. `full`:
    everything, on freshly augmented pictures.
    """

    train: Literal["locked", "partial", "full"] = "locked"
    frozen_blocks: OrNone = 0
    views: Few = 2
    degradation: Chance = 0.0  # that a crop is compressed, reduced or sharpened as pictures in life are; see `degraded`
    window: Window = 0.86  # side of a training crop, as a part of the picture's
    map_scale: Window | None = None  # side of the maps that the learning blocks see, as a part of the frozen ones'
    each_branch: bool = False  # of a tower of several branches, each has a loss of its own; else their sum has one
    cache: Folder | None = None  # folder of computed feature maps; None is one beside the stages, for all of them

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.degradation and self.train != "full" and self.views < 3:
            raise ValueError(
                "degradation needs views = 3 or more: only crops are degraded, the third view and further."
            )
        if self.each_branch and self.train != "partial":
            raise ValueError('each_branch needs train = "partial".')
        if self.map_scale is not None and self.train != "partial":
            raise ValueError('map_scale needs train = "partial".')
        return self


@dataclass(frozen=True, config=CONFIG)
class Stage:
    """What every stage has."""

    kind: str = ""
    seed: int = 0
    dev: DevSet | None = None
    sinks: tuple[str, ...] = ()  # targets of metrics besides metrics.jsonl: tensorboard, trackio

    @property
    def models(self) -> tuple[str, ...]:
        """The stages or models that it uses besides the one it starts from; "" is none."""
        return ()


@dataclass(frozen=True, config=CONFIG)
class StartingStage(Stage):
    """A stage that starts from one model."""

    start: str | None = None  # a stage, folder or bundled model; None is the stage before, or [model]
    model: ModelSpec | None = None  # towers put together for this stage, instead of a start


@dataclass(frozen=True, config=CONFIG)
class Linear(StartingStage):
    """The text head alone, in closed form."""

    kind: Literal["linear"] = "linear"
    teacher: str = ""
    sources: Sources = ()
    rows: Rows = 100_000  # of the mixture
    penalty: NotNegative | None = None  # None: chosen on held-out rows
    precision: Precision = "float32"  # of the teacher

    @property
    def models(self) -> tuple[str, ...]:
        return (self.teacher,)


@dataclass(frozen=True, config=CONFIG)
class LearningStage(StartingStage):
    """What every stage has that trains by gradient steps, a text tower at least."""

    steps: Count = 1000
    batch: Many = 128
    chunk: Many = 32  # rows that pass a tower at once
    grad_cache: bool = False  # activations of one chunk at a time: a second pass, but any batch fits into memory
    gradient_checkpointing: bool = False  # activations are computed a second time instead of being held
    dropout: Dropout | None = None  # everywhere in a text tower that learns; None is the tower's own
    frozen_layers: OrNone = 0  # lowest text layers that are frozen, and the embeddings with them
    lr_text: NotNegative = 5e-5
    lr_head: NotNegative = 5e-4
    layer_decay: Positive = 1.0  # factor from each layer's learning rate to that of the layer below
    weight_decay: NotNegative = 0.05
    warmup: Chance = 0.07  # part of the steps
    clip: Length = 1.0  # largest length of the gradient; inf is none
    ema: Dropout = 0.0  # decay of the averaged weights that are evaluated and saved; 0 is none
    precision: Precision = "float32"
    log_every: Count = 10
    checkpoint_every: Count = 100
    eval_every: OrNone = 0  # steps between dev recalls; 0 measures at the end only
    patience: OrNone = 0  # recalls without a better R@1 after which the stage ends early; 0 is never

    @model_validator(mode="after")
    def _check_patience(self) -> Self:
        if self.patience and not (self.eval_every and self.dev):
            raise ValueError("patience needs a dev set that is measured while training. Give `dev` and `eval_every`.")
        return self


@dataclass(frozen=True, config=CONFIG)
class Captions(LearningStage):
    """The text tower alone: captions of one picture come together; the pictures themselves need not be there."""

    kind: Literal["captions"] = "captions"
    pictures: Pictures = ()
    languages: Shares = field(default_factory=lambda: {"arabic": 0.5, "english": 0.5})
    noise: Chance = 0.0


@dataclass(frozen=True, config=CONFIG)
class Distill(LearningStage):
    """Stage 1: the text tower learns a teacher's vectors from parallel text."""

    kind: Literal["distill"] = "distill"
    teacher: str = ""
    sources: Sources = ()
    losses: Shares = field(default_factory=lambda: {"cosine": 1.0, "affinity": 0.5})
    matryoshka: bool = False

    @property
    def models(self) -> tuple[str, ...]:
        return (self.teacher,)


@dataclass(frozen=True, config=CONFIG)
class Finetune(LearningStage):
    """Stage 2: texts and pictures; with `languages = {english = 1}` it trains a teacher."""

    kind: Literal["finetune"] = "finetune"
    train_text: Literal["full", "locked"] = "full"
    train_text_head: bool = True  # false leaves the text projection as it is
    lr_image: NotNegative = 1e-4
    image_precision: Literal["float32", "bfloat16", "pointwise"] | None = None  # of the image tower, if not the same
    pictures: Pictures = ()
    image: ImageSide = ImageSide()
    loss: Literal["infonce", "sigmoid"] = "infonce"
    matryoshka: bool = False
    languages: Shares = field(default_factory=lambda: {"arabic": 1.0})
    captions: Few = 1  # a picture and step
    all_captions: bool = False  # with a locked text tower: every caption of the data is a negative in every step
    noise: Chance = 0.0
    hard_negatives: OrNone = 0  # of each picture's nearest neighbours for the starting model, how many share its batch
    teacher: str = ""
    distillation: NotNegative = 0.0  # weight of the distance to the teacher's vector of an English caption
    concepts: Folder | None = None  # class names with their positions in the image tower's feature space
    concept_batch: OrNone = 0
    concept_weight: NotNegative = 0.0
    anchor: NotNegative = 0.0  # weight of staying near the class probabilities of the starting tower; needs `concepts`
    anchor_pictures: Count = 64  # of each batch

    @property
    def models(self) -> tuple[str, ...]:
        return (self.teacher,)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.train_text == "locked" and self.noise:
            raise ValueError("noise needs a text tower that learns: a locked one reads each caption once, as it is.")
        if self.all_captions and self.train_text != "locked":
            raise ValueError('all_captions needs train_text = "locked": a learning tower cannot embed them all.')
        if bool(self.teacher) != bool(self.distillation) or bool(self.concept_batch) != bool(self.concept_weight):
            raise ValueError("teacher goes with distillation, concept_batch with concept_weight. Give both or neither.")
        if self.anchor and (self.concepts is None or self.image.train != "partial"):
            raise ValueError('anchor needs `concepts` with a classifier and image = { train = "partial", … }.')
        return self


KINDS: dict[str, type[Stage]] = {stage.kind: stage for stage in (Captions, Linear, Distill, Finetune)}
