"""The stage `names`: lengthens a finished model's vectors by numbers for queries that name a classifier's class."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import model_validator
from pydantic.dataclasses import dataclass
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import DataError
from araclip.text.normalization import normalize
from araclip.training.data.concepts import Floats, class_files, normalized_texts
from araclip.training.data.limits import Chance, Count, Many, OrNone, Positive
from araclip.training.data.pictures import FileMixture, PictureMixture
from araclip.training.loop.processes import accelerator_for
from araclip.training.model import towers
from araclip.training.model.branches import BranchesModel, first_difference, joined
from araclip.training.model.configuration import NAME_AXES
from araclip.training.model.heads import NameTextHead
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.model.saved_models import rebuilt, without_names
from araclip.training.model.towers import fingerprint
from araclip.training.recipe.stages import CONFIG, Folder, Pictures, Shares, StartingStage, Tower, Width
from araclip.training.stages import starting_model
from araclip.training.stages.pictures import pooled_features
from araclip.training.stages.pixels import Pixels
from araclip.training.stages.stage_run import save_untrained
from araclip.training.stages.starting_model import StageContext
from araclip.training.stages.texts import text_features
from ensemble import logistic


@plain_dataclass(frozen=True)
class NamedClasses:
    """A classifier and words that name its classes, as `named_classes.py` makes them."""

    weight: Floats  # (C classes, F image features)
    bias: Floats  # (C classes,)
    exclusive: int  # how many classes, the first ones, share one softmax; each other class has a probability of its own
    words: dict[str, tuple[int, ...]]  # text → the one or more classes that it names
    others: tuple[str, ...]  # texts that name no class; for these, the numbers for class names must not count

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits of a hash of the classifier's numbers and of all class names and other texts."""
        digest = hashlib.sha256(repr((self.exclusive, self.words, self.others)).encode())
        for array in (self.weight, self.bias):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]


def read_named_classes(path: Path) -> NamedClasses:
    """Read the fields of `NamedClasses`: `weight` and `bias` from `<path>.npz`, the others from `<path>.json`.

    Texts are normalised. A word marked `held` is left out: it is kept to measure queries by words that training has not
    seen. Damaged files are a DataError.
    """
    layout = (
        "Named classes are a .npz with `weight` (C, F) and `bias` (C,) and a .json with `exclusive`, `words` and "
        "`others`. Make the two anew."
    )
    with class_files(path, layout) as (arrays, listing):
        weight, bias = arrays["weight"], arrays["bias"]
        words: dict[str, tuple[int, ...]] = {}
        for entry in listing["words"]:
            if entry.get("held"):
                continue
            text, numbers = normalize(entry["text"]), tuple(entry["classes"])
            if not text or not numbers or not all(isinstance(n, int) and 0 <= n < len(bias) for n in numbers):
                raise ValueError(f"word {entry!r:.80} names no class below {len(bias)}")
            words[text] = numbers
        others = tuple(normalized_texts(listing["others"]))
        exclusive = listing["exclusive"]
    if weight.ndim != 2 or bias.shape != weight.shape[:1] or not isinstance(exclusive, int):
        raise DataError(f"{path}: weight {weight.shape} and bias {bias.shape} are no classifier. Make the two anew.")
    if not 0 <= exclusive <= len(bias) or not words or not all(np.isfinite(part).all() for part in (weight, bias)):
        raise DataError(
            f"{path}: {exclusive} exclusive of {len(bias)} classes, {len(words)} words, or a number that is not "
            "finite. Make the two anew."
        )
    return NamedClasses(weight, bias, exclusive, words, others)


@dataclass(frozen=True, config=CONFIG)
class Names(StartingStage):
    """A last stage that adds numbers to vectors, for queries that name a class, see `heads`."""

    MODELS = ("vision",)
    kind: Literal["names"] = "names"
    classes: Folder = Path("names")  # NAME.npz has the classifier, NAME.json the words; see `read_named_classes`
    vision: Tower = ""  # the tower whose features the classifier reads; "": the tower of `start`
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
        return [*super().fingerprints(), read_named_classes(self.classes).fingerprint]

    @model_validator(mode="after")
    def _check_kinds(self) -> Self:
        if bool(self.familiar_pictures) != bool(self.unfamiliar_pictures):
            raise ValueError("`familiar_pictures` are told from `unfamiliar_pictures`. Give both, or neither.")
        return self


SHARPNESS = 16.0  # inverse temperature of the cosines between the vectors of words and of classes
ALWAYS = 20.0  # bias of the logit for "familiar" before that logit is fitted: every picture counts as familiar
GATE = 1.0  # weight, in the sum of losses, of the loss of the gate: does a text name a class?
# Noise that is added to each input number, in units of the number's standard deviation: words are few and weights many,
# so without noise the head would learn the words by heart.
INPUT_NOISE = 0.3


@torch.no_grad()
def with_names(
    before: AraCLIPModel, classes: NamedClasses, stage: Names, tower: BranchesModel | None, features: int
) -> AraCLIPModel:
    """Add a names part, numbers for class names, to a model's vectors (see `heads`); return a new model.

    The new model keeps the query bank (the correction against hubness) if there is one.

    Until `fit_names` trains the names part, its text side is random, its classes' vectors (`directions`) are zero, and
    all pictures count as of a kind that the classifier knows (`familiar`).

    Args:
        tower: an image tower whose last branch is the classifier's network; None: the classifier reads `before`'s
            tower.
        features: number of features of the last branch, if the classifier reads that branch alone; otherwise 0.
    """
    model = rebuilt(
        before, tower, projection_dim=before.config.projection_dim + stage.width + NAME_AXES, names=stage.width,
        name_classes=len(classes.bias), name_exclusive=classes.exclusive, name_features=features,
        name_features_shared=bool(features) and tower is None, name_hidden=stage.hidden, name_weight=stage.weight,
        name_length=stage.length,
    )  # fmt: skip
    image = model.visual_projection
    model.text_projection.captions.load_state_dict(before.text_projection.state_dict())
    image.captions.load_state_dict(before.visual_projection.state_dict())
    image.classifier.weight.copy_(torch.from_numpy(classes.weight))
    image.classifier.bias.copy_(torch.from_numpy(classes.bias))
    image.familiar.weight.zero_()
    image.familiar.bias.fill_(ALWAYS)
    return model


@torch.enable_grad()
def fit_names(
    head: NameTextHead, directions: Tensor, words: Tensor, classes: Sequence[tuple[int, ...]], others: Tensor,
    stage: Names,
) -> float:  # fmt: skip
    """Train the numbers for class names in a text's vector (its names part, see `heads`), in place.

    Each class has a unit vector in `directions` (C, names). `head` learns to give this vector to a word that names the
    class, and to tell by its gate whether a text names a class at all. Directions are learned together with the words,
    so classes of one kind («كلب», dog) get similar directions.

    Args:
        words, classes: the text tower's outputs (N, width) for N words that name classes, and each word's classes.
        others: the text tower's outputs (M, width) for M texts that name no class: the gate learns to be 0 for them.

    Returns:
        The mean loss of the last tenth of the steps.
    """
    random = torch.Generator().manual_seed(stage.seed)
    with torch.no_grad():
        for module in (head.hidden, head.names, head.gate):
            module.weight.normal_(std=module.in_features**-0.5, generator=random)
            module.bias.zero_()
        directions.normal_(generator=random)
    everything = torch.cat([words, others])
    spread = everything.std(dim=0)
    learned = torch.nn.Parameter(l2_normalize(directions, dim=-1))
    parts = [p for module in (head.hidden, head.names, head.gate) for p in module.parameters()]
    groups: list[dict[str, Any]] = [{"params": parts}, {"params": [learned], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=stage.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, stage.steps)
    targets = torch.zeros(len(classes), len(directions))  # each word's probability, spread over its classes
    for row, numbers in enumerate(classes):
        targets[row, list(numbers)] = 1 / len(numbers)
    last: list[float] = []
    for step in range(stage.steps):
        rows = torch.randint(len(words), (stage.batch,), generator=random)
        shut = torch.randint(len(others), (stage.batch,), generator=random)
        taken = torch.cat([words[rows], others[shut]])
        taken = taken + INPUT_NOISE * spread * torch.randn(taken.shape, generator=random)
        named, gate = head.named(taken)
        scores = SHARPNESS * named[: stage.batch] @ l2_normalize(learned, dim=-1).T  # (B, C)
        target = targets[rows]
        wrong = -(target * scores.log_softmax(dim=1)).sum(dim=1).mean()
        is_word = (torch.arange(len(taken)) < stage.batch).float()
        loss = wrong + GATE * cross_entropy(gate.squeeze(1), is_word)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step >= stage.steps - max(1, stage.steps // 10):
            last.append(loss.item())
    with torch.no_grad():
        directions.copy_(l2_normalize(learned, dim=-1))
    return sum(last) / len(last)


def tower_with(model: AraCLIPModel, other: Any, shared_blocks: int) -> tuple[BranchesModel | None, int]:
    """Add a tower to a model's image tower, as a branch above shared blocks.

    Return the joint tower and the width of the added branch. The joint tower is None if `other` equals the model's last
    branch: a branch need not be computed twice.
    """
    tower = joined([model.vision_model, other], shared_blocks)
    features = tower.config.hidden_size - towers.image_width(model.vision_model)
    (last, added), scales = tower.branches[-2:], tower.config.map_scales
    several = features * tower.config.branches > tower.config.hidden_size
    differs = several or scales[-2] != scales[-1] or first_difference(last.state_dict(), added.state_dict())
    return tower if differs else None, features


def names(stage: Names, context: StageContext) -> dict[str, float]:
    """Add numbers to vectors by which a query that names a class finds its pictures; train only what makes them.

    The numbers are the names part, see `heads`. Return the dev recall."""
    accelerator = accelerator_for()
    classes = read_named_classes(stage.classes)
    mixture, *kinds = context.told(stage.mixtures())
    distinct = list(dict.fromkeys(mixture.texts))
    captions = distinct[:: -(-len(distinct) // stage.captions)]  # every n-th caption, evenly spread over all
    before, processor = starting_model.start_of(stage, context, as_it_is=True)
    before = without_names(before)
    tower, features = None, 0
    if stage.vision:
        tower, features = tower_with(before, starting_model.image_tower_of(stage.vision, context), stage.shared_blocks)
    width = features or towers.image_width(before.vision_model)
    if classes.weight.shape[1] != width:
        raise DataError(
            f"{stage.classes}: a classifier of {classes.weight.shape[1]} numbers, the image tower makes {width}. Make "
            "the named classes with this tower, or name theirs in `vision`."
        )
    torch.manual_seed(stage.seed)
    model = with_names(before, classes, stage, tower, features)
    data = {"start": fingerprint(before), "pictures": mixture.fingerprint, "classes": classes.fingerprint}
    if kinds:
        _fit_familiarity(model, processor, [kind.draw(stage.familiar_batch) for kind in kinds])
        data["kinds of pictures"] = " ".join(kind.fingerprint for kind in kinds)
    words = [*classes.words]
    others = [text for text in (*classes.others, *captions) if text not in classes.words]
    found = text_features(model, processor, [*words, *others]).clone()  # (N + M, H)
    loss = fit_names(
        model.text_projection, model.visual_projection.directions, found[: len(words)], [*classes.words.values()],
        found[len(words) :], stage,
    )  # fmt: skip
    context.reporter.log(f"{len(classes.words):,} words of {len(classes.bias):,} classes; loss {loss:.3f}")
    return save_untrained(stage, context, data, (model, processor), accelerator)


def _fit_familiarity(model: AraCLIPModel, processor: AraCLIPProcessor, kinds: Sequence[Sequence[Path]]) -> None:
    """Fit the layer `familiar`, in place: it tells whether a picture is of a kind that the classifier knows.

    `kinds` has two lists of picture files: of known kinds, and of other kinds. A picture's numbers for class names then
    count only if the picture is of a known kind.
    """
    # `name_features` is 0 if the classifier reads all features; [:, -0:] takes all of them, too
    pixels, read = Pixels.of(processor), model.config.name_features
    weight, bias = logistic(*(pooled_features(model, pixels, files)[:, -read:] for files in kinds))
    with torch.no_grad():
        model.visual_projection.familiar.weight.copy_(weight[None])
        model.visual_projection.familiar.bias.copy_(bias[None])
