"""The kinds of stages that araclip-mini adds to recipes."""

from dataclasses import field
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from araclip.training.data.limits import AtLeastOne, Chance, Count, Many, NotNegative, OrNone, Positive
from araclip.training.recipe.stages import (
    CONFIG,
    KINDS,
    Folder,
    ImageSide,
    LearningStage,
    Pictures,
    Shares,
    Stage,
    StartingStage,
    Width,
)


@dataclass(frozen=True, config=CONFIG)
class Ensemble(Stage):
    """Nothing is trained: image towers that learned the space of one locked text tower become one tower."""

    kind: Literal["ensemble"] = "ensemble"
    members: tuple[str, ...] = ()  # stages, or folders of models
    shared_blocks: OrNone = 0  # the first blocks of their image towers, which none of them changed
    batch: Many = 128  # pictures of either kind over which lengths and the gate are computed
    pictures: Pictures = ()  # over a batch of these, members' vectors get one mean length
    expert: str = ""  # one more member, which contributes only for pictures like its own: a gated branch
    expert_pictures: Pictures = ()  # its own pictures; the gate is fitted to a batch of them against one of `pictures`
    expert_weight: AtLeastOne = 2.0  # mean length of its vectors for its own pictures, the members' for theirs being 1
    expert_routed: bool = False  # the expert computes only for pictures that the members' features tell to be its own

    @property
    def models(self) -> tuple[str, ...]:
        return (*self.members, self.expert)

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        if len(self.members) + bool(self.expert) < 2:
            raise ValueError("an ensemble has two members or more. Name their stages in `members`.")
        if len({*self.members, self.expert}) <= len(self.members):
            raise ValueError("the ensemble names a member twice. Each counts once.")
        asked = self.expert or self.expert_pictures or self.expert_routed
        if asked and not (self.expert and self.expert_pictures and self.pictures):
            raise ValueError("an expert needs `expert_pictures`, its own, and `pictures` of others. Give both.")
        return self


@dataclass(frozen=True, config=CONFIG)
class Average(Stage):
    """Nothing is trained: the mean of the weights of models that were trained on from one (model soups)."""

    kind: Literal["average"] = "average"
    members: tuple[str, ...] = ()  # stages, or folders of models; their layers have one shape
    shares: tuple[Positive, ...] = ()  # of each member in the mean; without any all count alike

    @property
    def models(self) -> tuple[str, ...]:
        return self.members

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        if len(set(self.members)) < max(2, len(self.members)):
            raise ValueError("an average has two members or more, each once. Name their stages in `members`.")
        if self.shares and len(self.shares) != len(self.members):
            raise ValueError("`shares` needs a number for each of `members`. Give as many, or leave it out.")
        return self


@dataclass(frozen=True, config=CONFIG)
class QueryBank(StartingStage):
    """Nothing is trained, and the last stage: scores become hubness-corrected (QB-Norm); see `heads`."""

    kind: Literal["query_bank"] = "query_bank"
    batch: Many = 2048  # texts in the query bank, at most: some are the same
    pictures: Pictures = ()  # whose captions and names the texts are
    languages: Shares = field(default_factory=lambda: {"arabic": 0.5, "english": 0.5})
    sharpness: AtLeastOne = 20.0  # inverse temperature at which a picture's scores for the texts are averaged
    weight: Positive = 0.6  # of that average, which is subtracted; to subtract nothing leave the stage out


@dataclass(frozen=True, config=CONFIG)
class Names(StartingStage):
    """The last stage: beside the vectors of captions stands a part of class names; see `heads`."""

    kind: Literal["names"] = "names"
    classes: Folder = Path("names")  # .npz with the classifier, .json with the words; see `naming.NamedClasses`
    vision: str = ""  # whose features it reads, joined unless the start's last branch has them; "": all of the start's
    shared_blocks: OrNone = 0  # first blocks that the two towers share
    width: Width = 127  # of the names part
    hidden: Width = 256  # of the layer between the text tower and the names part
    weight: Positive = 1.0  # of the names part in the score where the gate is open
    length: Chance = 1.0  # how much shorter the names part is of pictures whose class is in doubt; see `heads`
    pictures: Pictures = ()  # whose captions shut the gate,
    captions: Many = 4096  # at most so many, evenly spread
    familiar_pictures: Pictures = ()  # of the kind that the classifier knows, such as photographs, and
    unfamiliar_pictures: Pictures = ()  # of others, such as drawings, for which the names part counts nothing
    familiar_batch: Many = 1024  # pictures of either kind that this is learned from
    languages: Shares = field(default_factory=lambda: {"arabic": 0.7, "english": 0.3})
    steps: Count = 1500
    batch: Many = 256
    lr: Positive = 2e-3

    @property
    def models(self) -> tuple[str, ...]:
        return (self.vision,)

    @model_validator(mode="after")
    def _check_kinds(self) -> Self:
        if bool(self.familiar_pictures) != bool(self.unfamiliar_pictures):
            raise ValueError("`familiar_pictures` are told from `unfamiliar_pictures`. Give both, or neither.")
        return self


@dataclass(frozen=True, config=CONFIG)
class DistillImages(LearningStage):
    """An image tower learns a teacher's image vectors, or from smaller maps its own features or another tower's."""

    kind: Literal["distill_images"] = "distill_images"
    teacher: str = ""  # a stage or model with the student's text tower; without one, image.map_scale is needed
    features_of: str = ""  # without a teacher: the tower, stage or model whose features are learned; "": the start
    mirror: bool = True  # targets are the mean of a picture's vector and its mirror image's
    lr_image: NotNegative = 3e-4
    image_precision: Literal["float32", "bfloat16", "pointwise"] | None = None
    pictures: Pictures = ()
    image: ImageSide = ImageSide(train="full")
    losses: Shares = field(default_factory=lambda: {"cosine": 1.0, "affinity": 0.5})

    @property
    def models(self) -> tuple[str, ...]:
        return (self.teacher, self.features_of)


KINDS.update({stage.kind: stage for stage in (Ensemble, QueryBank, Names, DistillImages, Average)})
