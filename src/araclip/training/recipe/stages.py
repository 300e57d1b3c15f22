"""The sections of a recipe as dataclasses: one for the model, one for the dev set, one for each kind of stage.

Stage                             seed, dev, sinks
└── StartingStage                 + start, model
    ├── Linear                    solved in closed form, no steps
    └── LearningStage             + steps, learning rates, precision, checkpoints …
        ├── Captions
        ├── Distill
        └── Finetune

A program may add further kinds, as recipes/mini/train.py does (`dispatch.add_kind`).
"""

from collections.abc import Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, ConfigDict, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import to_jsonable_python

from araclip.training.data.concepts import read_concepts
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
    Seed,
    Window,
    limited,
)
from araclip.training.data.pictures import FileMixture, PictureMixture, PictureSource
from araclip.training.data.text import Mixture, Source
from araclip.training.model.foreign import MAX_SIDE, MAX_WIDTH
from araclip.training.recipe.toml_file import below_data, folder_below_data

CONFIG = ConfigDict(extra="forbid")
Width = Annotated[int, limited(lambda value: 1 <= value <= MAX_WIDTH, f"1 to {MAX_WIDTH:,}")]
Pixels = Annotated[int, limited(lambda value: 1 <= value <= MAX_SIDE, f"1 to {MAX_SIDE:,} pixels")]
Folder = Annotated[Path, AfterValidator(below_data)]
Tower = Annotated[str, AfterValidator(folder_below_data)]
Precision = Literal["float32", "bfloat16"]
Pictures = Annotated[tuple[PictureSource, ...], AfterValidator(below_data)]
Sources = Annotated[tuple[Source, ...], AfterValidator(below_data)]
Shares = Mapping[str, NotNegative]


@dataclass(frozen=True, config=CONFIG)
class ModelSpec:
    """Where the towers come from: a hub id, a folder, or an earlier stage."""

    text: Tower = "aubmindlab/bert-base-arabertv02"
    vision: Tower | None = None
    projection_dim: Width = 512
    text_pooling: str = "mean"
    vision_projection: str = "linear"
    vision_mirror: bool = False  # true: features are averaged over each picture and its mirror image
    matryoshka_dims: tuple[Width, ...] = ()
    max_tokens: Width = 64  # most tokens of a text; 64 as in AraCLIP, but 32 suffice for captions
    image_size: Pixels | None = None  # side of the input pictures in pixels; None: the tower's own size
    logit_scale: Finite | None = None  # log of the inverse temperature at the start; None: CLIP's value
    logit_bias: Finite | None = None  # the bias at the start, which the sigmoid loss needs (SigLIP: −10); None: no bias
    text_identity: bool = False  # true: the text projection starts as the identity matrix


@dataclass(frozen=True, config=CONFIG)
class DevSet:
    """The pictures on which dev recall is measured during training; their captions are the queries."""

    folder: Folder
    split: str | None = "dev"
    captions: tuple[str, ...] = ("caption_ar",)
    per_picture: Count | None = 1  # how many captions of each picture are queries; None: all
    images: Folder | None = None  # the folder of the pictures, if they do not lie in `folder`


@dataclass(frozen=True, config=CONFIG)
class ImageSide:
    """Which part of the image tower learns.

    `locked`: no part. The vectors are computed once (LiT, Zhai et al. 2022). With `frozen_blocks` they are computed
    from cached feature maps, which an earlier `partial` stage with the same `views` may have stored already.
    `partial`: all but the first `frozen_blocks` blocks. The output of these blocks is computed once, for `views` views
    of each picture, if the tower allows it.
    `full`: the whole tower, on freshly augmented pictures.
    """

    train: Literal["locked", "partial", "full"] = "locked"
    frozen_blocks: OrNone = 0
    views: Few = 2
    degradation: Chance = 0.0  # chance that a crop is made worse (compressed, reduced, sharpened), see `degraded`
    window: Window = 0.86  # side of the window that a step cuts out of a cached map, as a part of the map's side
    map_scale: Window | None = None  # factor by which the side of cached maps is reduced before the learning blocks
    cache: Folder | None = None  # folder of computed feature maps; None: the folder that all stages of the run share

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.degradation and self.train != "full" and self.views < 3:
            raise ValueError(
                "degradation needs views = 3 or more: only crops are degraded, the third view and further."
            )
        if self.map_scale is not None and self.train != "partial":
            raise ValueError('map_scale needs train = "partial".')
        return self


@dataclass(frozen=True, config=CONFIG)
class Stage:
    """Base class of all stages: the keys that every stage's table in a recipe may have."""

    MODELS: ClassVar[tuple[str, ...]] = ()  # keys that name stages or models, besides `start` and `model`

    kind: str = ""
    seed: Seed = 0
    dev: DevSet | None = None
    sinks: tuple[str, ...] = ()  # where metrics go besides metrics.jsonl: tensorboard, trackio

    def mixtures(self) -> tuple[PictureMixture | FileMixture | Mixture, ...]:
        """Read the pictures, captions and texts that this stage learns from; a fault in them is a DataError."""
        return ()

    def fingerprints(self) -> list[str]:
        """Read all data that this stage learns from; return their hashes, which the run's config.json holds."""
        return [mixture.fingerprint for mixture in self.mixtures()]


def _fingerprints_of_texts(mixtures: tuple[Mixture]) -> list[str]:
    # an earlier release did not record the templates of `linear` stages, of which few have any
    templates = [each.templates_fingerprint for each in mixtures if any(source.templates for source in each.sources)]
    return [*(each.fingerprint for each in mixtures), *templates]


def with_defaults(stored: Any, settings: Any) -> Any:
    """Return a stored stage (JSON) as this release has it: with the defaults of keys that a later release added.

    Empty keys that a later release took out are left out.
    `settings` is the stage, or the table in it, that `stored` is to be compared with.
    """
    if not isinstance(stored, dict):
        return stored
    known = {key.name for key in fields(settings)}
    filled = {key: value for key, value in stored.items() if key in known or value}
    for key in fields(settings):
        if is_dataclass(value := getattr(settings, key.name)) and key.name in stored:
            filled[key.name] = with_defaults(stored[key.name], value)
        elif key.name not in stored and key.default is not MISSING:
            filled[key.name] = to_jsonable_python(key.default)
        elif key.name not in stored and key.default_factory is not MISSING:
            filled[key.name] = to_jsonable_python(key.default_factory())
    return filled


@dataclass(frozen=True, config=CONFIG)
class StartingStage(Stage):
    """Base class of stages that begin with the weights of a single model; some other stages join several models."""

    start: str | None = None  # a stage, folder or bundled model to start from; None: the stage before, or [model]
    model: ModelSpec | None = None  # towers that this stage puts together, instead of `start`


@dataclass(frozen=True, config=CONFIG)
class Linear(StartingStage):
    """Fits the text head alone, by solving a ridge regression; there are no training steps."""

    MODELS = ("teacher",)
    kind: Literal["linear"] = "linear"
    teacher: str = ""
    sources: Sources = ()
    rows: Rows = 100_000  # how many rows of the mixture are used
    penalty: NotNegative | None = None  # ridge penalty; None: chosen on held-out rows
    precision: Precision = "float32"  # precision in which the teacher computes

    def mixtures(self) -> tuple[Mixture]:
        return (Mixture(self.sources, self.seed),)

    def fingerprints(self) -> list[str]:
        return _fingerprints_of_texts(self.mixtures())


@dataclass(frozen=True, config=CONFIG)
class LearningStage(StartingStage):
    """The keys of every stage that trains by gradient steps."""

    steps: Count = 1000
    batch: Many = 128
    chunk: Many = 32  # number of rows that pass a tower at the same time
    grad_cache: bool = False  # true: less memory, however large the batch, by a second pass (see `gradcache`)
    gradient_checkpointing: bool = False  # true: activations are recomputed instead of stored
    dropout: Dropout | None = None  # dropout in a text tower that learns; None: as in the tower's configuration
    frozen_layers: OrNone = 0  # how many of the lowest text layers are frozen; the embeddings are frozen with them
    lr_text: NotNegative = 5e-5
    lr_head: NotNegative = 5e-4
    layer_decay: Positive = 1.0  # each layer learns at the rate of the layer above times this factor
    weight_decay: NotNegative = 0.05
    warmup: Chance = 0.07  # the part of the steps in which the learning rate rises
    clip: Length = 1.0  # longer gradients are scaled down to this length; inf: never
    ema: Dropout = 0.0  # decay of a running average of the weights, which is evaluated and saved; 0: no average
    precision: Precision = "float32"
    log_every: Count = 10
    checkpoint_every: Count = 100
    eval_every: OrNone = 0  # number of steps from one measurement of dev recall to the next; 0: at the end only
    patience: OrNone = 0  # the stage ends after this many dev recalls in a row without a better R@1; 0: never early

    @model_validator(mode="after")
    def _check_patience(self) -> Self:
        if self.patience and not (self.eval_every and self.dev):
            raise ValueError("patience needs a dev set that is measured while training. Give `dev` and `eval_every`.")
        return self


@dataclass(frozen=True, config=CONFIG)
class Captions(LearningStage):
    """Trains the text tower so that captions of the same picture get similar vectors; no picture files are needed."""

    kind: Literal["captions"] = "captions"
    pictures: Pictures = ()
    languages: Shares = field(default_factory=lambda: {"arabic": 0.5, "english": 0.5})
    noise: Chance = 0.0

    def mixtures(self) -> tuple[PictureMixture]:
        mixture = PictureMixture(
            self.pictures, self.seed, languages=self.languages, captions=2, noise=self.noise, needs_files=False
        )
        return (mixture,)


@dataclass(frozen=True, config=CONFIG)
class Distill(LearningStage):
    """Stage 1: the text tower learns to reproduce a teacher's vectors, from parallel text."""

    MODELS = ("teacher",)
    kind: Literal["distill"] = "distill"
    teacher: str = ""
    sources: Sources = ()
    losses: Shares = field(default_factory=lambda: {"cosine": 1.0, "affinity": 0.5})
    matryoshka: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.matryoshka and "mse" in self.losses:
            raise ValueError("mse compares lengths, and prefixes of vectors have length 1. Take unit_mse, or cosine.")
        return self

    def mixtures(self) -> tuple[Mixture]:
        return (Mixture(self.sources, self.seed),)

    def fingerprints(self) -> list[str]:
        return _fingerprints_of_texts(self.mixtures())


@dataclass(frozen=True, config=CONFIG)
class Finetune(LearningStage):
    """Stage 2: trains on texts with pictures. With `languages = {english = 1}` the result can serve as a teacher."""

    MODELS = ("teacher",)
    kind: Literal["finetune"] = "finetune"
    train_text: Literal["full", "locked"] = "full"
    train_text_head: bool = True  # false: the text projection does not learn
    lr_image: NotNegative = 1e-4
    # the precision in which the image tower computes; None: `precision`
    image_precision: Literal["float32", "bfloat16", "pointwise"] | None = None
    pictures: Pictures = ()
    image: ImageSide = ImageSide()
    loss: Literal["infonce", "sigmoid"] = "infonce"
    matryoshka: bool = False
    languages: Shares = field(default_factory=lambda: {"arabic": 1.0})
    captions: Few = 1  # captions of each picture in a step
    all_captions: bool = False  # every caption of the data is a negative in every step; needs train_text = "locked"
    noise: Chance = 0.0
    # How many hard negatives a batch has, at most, for each picture drawn. They are drawn from the pictures whose
    # vectors, by the starting model, are most similar to that picture's.
    hard_negatives: OrNone = 0
    teacher: str = ""
    # weight of a loss: the distance of a caption's vector from the teacher's vector of an English caption
    distillation: NotNegative = 0.0
    concepts: Folder | None = None  # NAME of the files NAME.npz (classes' image features) and NAME.json (class names)
    concept_batch: OrNone = 0
    concept_weight: NotNegative = 0.0
    anchor: NotNegative = 0.0  # weight of a loss that keeps the starting tower's class probabilities; needs `concepts`
    anchor_pictures: Count = 64  # most pictures of each batch that the `anchor` loss uses

    def mixtures(self) -> tuple[PictureMixture]:
        mixture = PictureMixture(
            self.pictures, self.seed, languages=self.languages, captions=self.captions, noise=self.noise
        )
        return (mixture,)

    def fingerprints(self) -> list[str]:
        concepts = [read_concepts(self.concepts, tuple(self.languages)).fingerprint] if self.concepts else []
        return [*super().fingerprints(), *concepts]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.train_text == "locked" and self.noise:
            raise ValueError("noise needs a text tower that learns: a locked one reads each caption once, as it is.")
        if self.all_captions and self.train_text != "locked":
            raise ValueError('all_captions needs train_text = "locked": a learning tower cannot embed them all.')
        if bool(self.teacher) != bool(self.distillation) or bool(self.concept_batch) != bool(self.concept_weight):
            raise ValueError("teacher goes with distillation, concept_batch with concept_weight. Give both or neither.")
        if self.concept_batch and self.concepts is None:
            raise ValueError("concept_batch is a number of class names out of `concepts`. Give `concepts`, too.")
        if self.anchor and (self.concepts is None or self.image.train != "partial"):
            raise ValueError('anchor needs `concepts` with a classifier and image = { train = "partial", … }.')
        return self


KINDS: dict[str, type[Stage]] = {stage.kind: stage for stage in (Captions, Linear, Distill, Finetune)}
