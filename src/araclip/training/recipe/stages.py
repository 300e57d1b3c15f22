"""What the sections of a recipe hold: the model, what is read, and a dataclass a kind of stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

from araclip.errors import RecipeError
from araclip.training.data.picture_data import PictureSource
from araclip.training.data.text_data import Source
from araclip.training.recipe.tables import check_chance, check_positive


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
    each_branch: bool = False  # of a tower of several branches, each has a loss of its own instead of their sum one
    cache: Path | None = None  # where the computed maps lie; None is beside the stages, for all of them

    def __post_init__(self) -> None:
        check_positive(self, "views")
        if not 0 < self.window <= 1:
            raise RecipeError(f"window is {self.window}, expected a part of the picture's side: above 0, at most 1.")
        if self.each_branch and self.train != "partial":
            raise RecipeError('each_branch needs train = "partial".')


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
    shared_blocks: int = 0  # the first blocks of their image towers, which none of them changed
    pictures: tuple[PictureSource, ...] = ()  # over a batch of these, members' vectors get one mean length
    expert: str = ""  # one more member, which is heard for pictures like its own alone
    expert_pictures: tuple[PictureSource, ...] = ()  # those; a batch of them is told from one of `pictures`
    expert_weight: float = 2.0  # mean length of its vectors for its own pictures, the members' for theirs being 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "expert_weight")
        if len(self.members) + bool(self.expert) < 2:
            raise RecipeError("an ensemble has two members or more. Name their stages in `members`.")
        if len({*self.members, self.expert}) <= len(self.members):
            raise RecipeError("the ensemble names a member twice. Each counts once.")
        if bool(self.expert) != bool(self.expert_pictures) or (self.expert and not self.pictures):
            raise RecipeError(
                "an expert needs `expert_pictures`, its own, and `pictures` for which it is to be silent. Give both, "
                "or leave `expert` and `expert_pictures` out."
            )


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


@dataclass(frozen=True)
class QueryBank(Stage):
    """No training, and the last stage: pictures lose the score that they would have for any text; see `hubness`."""

    batch: int = 2048  # texts in the bank, at most: some are the same
    pictures: tuple[PictureSource, ...] = ()  # whose captions and names the texts are
    languages: Mapping[str, float] = field(default_factory=lambda: {"arabic": 0.5, "english": 0.5})
    sharpness: float = 20.0  # inverse temperature at which a picture's likeness to the texts is averaged
    weight: float = 0.6  # of what is taken off

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self, "sharpness")
        if self.weight <= 0:
            raise RecipeError(
                f"weight is {self.weight}, expected a positive number. Without a bank leave the stage out."
            )


KINDS: Mapping[str, type[Stage]] = {
    "captions": Captions, "linear": Linear, "distill": Distill, "ensemble": Ensemble, "finetune": Finetune,
    "query_bank": QueryBank,
}  # fmt: skip


def as_json(value: Any) -> Any:
    """A recipe's dataclass as JSON-like values, for config.json."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
