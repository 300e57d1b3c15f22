"""Defines the kinds of stages that araclip-mini adds to recipes."""

from dataclasses import field, replace
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from araclip.training import extensions
from araclip.training.data.limits import AtLeastOne, Chance, Count, Many, NotNegative, OrNone, Positive
from araclip.training.data.pictures import FileMixture, PictureMixture
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
    """Joins image towers (`members`) that were trained with the same locked text tower into one tower.

    The joined towers are not trained here. With an `expert`, a further tower for one kind of pictures, the stage fits a
    gate, which decides how much the expert counts for a picture, and a router, which decides whether it is computed.
    """

    MODELS = ("members", "expert")
    kind: Literal["ensemble"] = "ensemble"
    members: tuple[str, ...] = ()  # the models whose image towers are joined: stages, or folders of models
    shared_blocks: OrNone = 0  # first blocks that all members' image towers share, because training froze them
    batch: Many = 128  # most of `pictures`, and of `expert_pictures`, on which vector lengths and gate are computed
    pictures: Pictures = ()  # if given, all members' vectors are scaled to one mean length on these pictures
    expert: str = ""  # one more member, which counts only for pictures like its own: a gate tells them from others
    expert_pictures: Pictures = ()  # the expert's own pictures; the gate learns to tell them from `pictures`
    # mean length of the expert's vectors of `expert_pictures`, as a multiple of the mean length of the members' vectors
    expert_weight: AtLeastOne = 2.0
    # true: the expert computes only for pictures like its own, as judged by the members' features
    expert_routed: bool = False

    def mixtures(self) -> tuple[FileMixture, ...]:
        return tuple(FileMixture(sets, self.seed) for sets in (self.pictures, self.expert_pictures) if sets)

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
    """Averages the weights of models that were all trained from one start (model soups); nothing is trained."""

    MODELS = ("members",)
    kind: Literal["average"] = "average"
    members: tuple[str, ...] = ()  # the models to average: stages, or folders of models; with layers of equal shapes
    shares: tuple[Positive, ...] = ()  # the share of each member in the mean; empty: all count alike

    @model_validator(mode="after")
    def _check_members(self) -> Self:
        if len(set(self.members)) < max(2, len(self.members)):
            raise ValueError("an average has two members or more, each once. Name their stages in `members`.")
        if self.shares and len(self.shares) != len(self.members):
            raise ValueError("`shares` needs a number for each of `members`. Give as many, or leave it out.")
        return self


@dataclass(frozen=True, config=CONFIG)
class QueryBank(StartingStage):
    """A last stage that corrects scores for pictures near most texts (QB-Norm), see `heads`; nothing is trained."""

    kind: Literal["query_bank"] = "query_bank"
    batch: Many = 2048  # most texts in the query bank; equal texts count once
    pictures: Pictures = ()  # pictures whose captions are the bank's texts: not of sets whose captions are names
    languages: Shares = field(default_factory=lambda: {"arabic": 0.5, "english": 0.5})
    sharpness: AtLeastOne = 20.0  # inverse temperature at which a picture's scores for the bank's texts are averaged
    weight: Positive = 0.6  # how much a picture's nearness to the bank's texts lowers its scores for all queries

    def mixtures(self) -> tuple[PictureMixture]:
        # without groups: the stage draws a single batch, which is to have pictures of all sets
        ungrouped = [replace(source, group="") for source in self.pictures]
        return (PictureMixture(ungrouped, self.seed, languages=self.languages),)


@dataclass(frozen=True, config=CONFIG)
class Names(StartingStage):
    """A last stage that adds numbers to vectors, for queries that name a class, see `heads`."""

    MODELS = ("vision",)
    kind: Literal["names"] = "names"
    classes: Folder = Path("names")  # NAME.npz has the classifier, NAME.json the words; see `naming`
    vision: str = ""  # the tower whose features the classifier reads; "": the tower of `start`
    shared_blocks: OrNone = 0  # how many first blocks `vision` and the tower of `start` share
    width: Width = 127  # width of the names part
    hidden: Width = 256  # width of the layer between text tower and names part
    weight: Positive = 1.0  # weight of the names part in a score if its gate is open
    length: Chance = 1.0  # 1: a picture of doubtful class has a short names part; 0: all have one length
    pictures: Pictures = ()  # the gate learns to be shut for these pictures' captions
    captions: Many = 4096  # most captions of `pictures` that are used, evenly spread over all
    familiar_pictures: Pictures = ()  # pictures of a kind that the classifier knows, such as photographs
    unfamiliar_pictures: Pictures = ()  # other pictures, such as drawings, for which the names part learns to count 0
    familiar_batch: Many = 1024  # most pictures used of each: `familiar_pictures`, `unfamiliar_pictures`
    languages: Shares = field(default_factory=lambda: {"arabic": 0.7, "english": 0.3})
    steps: Count = 1500
    batch: Many = 256
    lr: Positive = 2e-3

    def mixtures(self) -> tuple[PictureMixture, *tuple[FileMixture, ...]]:
        kinds = (FileMixture(sets, self.seed) for sets in (self.familiar_pictures, self.unfamiliar_pictures) if sets)
        return (PictureMixture(self.pictures, self.seed, languages=self.languages), *kinds)

    def fingerprints(self) -> list[str]:
        naming = extensions.load(extensions.STAGES[self.kind][0])
        return [*super().fingerprints(), naming.read_named_classes(self.classes).fingerprint]

    @model_validator(mode="after")
    def _check_kinds(self) -> Self:
        if bool(self.familiar_pictures) != bool(self.unfamiliar_pictures):
            raise ValueError("`familiar_pictures` are told from `unfamiliar_pictures`. Give both, or neither.")
        return self


@dataclass(frozen=True, config=CONFIG)
class DistillImages(LearningStage):
    """Trains an image tower to reproduce a teacher's image vectors.

    Without a teacher, the tower reads smaller feature maps; it learns the features that it made before the stage, or
    the features of another tower.
    """

    MODELS = ("teacher", "features_of")
    kind: Literal["distill_images"] = "distill_images"
    teacher: str = ""  # a stage or model with the student's text tower; "": none, which needs `image.map_scale`
    features_of: str = ""  # without a teacher: the tower, stage or model whose features are learned; "": `start`
    mirror: bool = True  # true: targets average the vectors of a picture and its mirror image
    lr_image: NotNegative = 3e-4
    image_precision: Literal["float32", "bfloat16", "pointwise"] | None = None
    pictures: Pictures = ()
    image: ImageSide = ImageSide(train="full")
    losses: Shares = field(default_factory=lambda: {"cosine": 1.0, "affinity": 0.5})

    def mixtures(self) -> tuple[FileMixture]:
        return (FileMixture(self.pictures, self.seed),)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.eval_every and not self.teacher:
            raise ValueError("eval_every and patience need a `teacher`: features have no dev recall. Leave them out.")
        return self


KINDS.update({stage.kind: stage for stage in (Ensemble, QueryBank, Names, DistillImages, Average)})
