"""Stage 2: contrastive learning of texts with pictures; with English captions, the making of a teacher."""

import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear
from torch.nn.functional import normalize as unit

from araclip.arabic import normalize
from araclip.errors import DataError, RecipeError
from araclip.training import students
from araclip.training.dev import Dev
from araclip.training.distill import cached_teacher
from araclip.training.fit import Job, accelerator_for, fit, heads, plain, share, step_seed
from araclip.training.gradcache import cached_backward, gather
from araclip.training.image_side import CrownImages, Images, image_side
from araclip.training.losses import bank_loss, cosine_loss, forgetting_loss
from araclip.training.model import AraCLIPModel
from araclip.training.optimization import Part
from araclip.training.picture_data import Batch, PictureMixture, hard_negatives
from araclip.training.recipe import Finetune, Recipe
from araclip.training.run import Run
from araclip.training.teacher import TeacherCache
from araclip.training.text_side import LearningTexts, LockedTexts
from araclip.training.watch import Watch

NEIGHBOURS = 20  # most alike pictures a picture draws its hard negatives from


def finetune(recipe: Recipe, name: str, runs: Path, watch: Watch, *, fresh: bool = False) -> dict[str, float]:
    """Run one contrastive stage of a recipe.

    InfoNCE (CLIP, Radford et al. 2021) or the sigmoid loss (SigLIP, Zhai et al. 2023) between texts and pictures, with
    the distance to a teacher's text vectors as a regulariser where the recipe gives it weight.

    Returns:
        Dev recall at the end. The model lies in `runs/<name>/model`.

    Raises:
        TrainingError: see its children; whatever the cause, the same command goes on from the last checkpoint.
    """
    stage = recipe.stage(name)
    if not isinstance(stage, Finetune):
        raise RecipeError(f"stage '{name}' is of kind {stage.kind}, not finetune.")
    accelerator = accelerator_for(stage)
    dev = Dev(stage.dev) if stage.dev else None
    model, processor = students.start_of(recipe, name, runs)
    if stage.loss == "sigmoid" and not hasattr(model, "logit_bias"):
        raise RecipeError(f"[{name}] asks for the sigmoid loss, the model has no bias. Set [model] logit_bias = -10.0.")
    model.to(accelerator.device)
    mixture = PictureMixture(
        stage.pictures, stage.seed, languages=stage.languages, captions=stage.captions, noise=stage.noise
    )
    concepts = read_concepts(stage.concepts, tuple(stage.languages)) if stage.concepts else None
    images = image_side(
        model, students.image_size(processor), students.norm(processor), [p.path for p in mixture.pictures],
        stage.image, stage.seed, runs / "cache", watch.say,
    )  # fmt: skip
    if stage.hard_negatives:
        vectors = _image_vectors(images, mixture)
        mixture.use_hard_negatives(hard_negatives(vectors, mixture.pictures, NEIGHBOURS), stage.hard_negatives)
    locked = stage.train_text == "locked"
    texts = (
        LockedTexts(model, processor, _all_texts(mixture, concepts))
        if locked
        else LearningTexts(model, processor, stage.frozen_layers)
    )
    if stage.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    teacher = None
    if stage.distillation:
        english = list(dict.fromkeys(text for picture in mixture.pictures for text in picture.english))
        teacher = cached_teacher(recipe, stage, english, runs, watch)
    losses = _Losses(model, stage, texts if isinstance(texts, LockedTexts) else None, mixture, concepts, teacher)
    device = accelerator.device

    def backward(step: int) -> dict[str, float]:
        batch = mixture.batch(step, stage.batch)
        named = concepts.draw(stage.concept_batch, stage.seed, step) if concepts else ([], [])
        mine, own_names = share(accelerator, stage.batch), share(accelerator, len(named[0]))
        captions = batch.texts[mine.start * stage.captions : mine.stop * stage.captions]
        chunks, places = texts.inputs(captions + named[0][own_names], stage.chunk)
        pixels = images.inputs(batch.rows[mine], step).to(device)

        kept = stage.anchor_pictures // accelerator.num_processes
        before = images.first_features(pixels[:kept]) if isinstance(images, CrownImages) and stage.anchor else None

        def encode_texts(group: list[object]) -> Tensor:
            with accelerator.autocast():
                return torch.cat([texts.encode(chunk) for chunk in group]).float()  # type: ignore[arg-type]

        def encode_images(group: list[Tensor]) -> Tensor:
            with accelerator.autocast():
                return torch.cat([_encoded(images, chunk, bool(stage.anchor)) for chunk in group]).float()

        values: dict[str, float] = {}

        def loss(text: Tensor, image: Tensor) -> Tensor:
            text = text[places]
            image, features = image.split([text.shape[1], image.shape[1] - text.shape[1]], dim=1)
            terms = losses(batch, named[1], gather(text[: len(captions)]), gather(text[len(captions) :]), gather(image))
            if before is not None:
                terms["anchor"] = stage.anchor * losses.forgetting(gather(features[: len(before)]), gather(before))
            values.update({key: float(term.detach()) for key, term in terms.items()} if len(terms) > 1 else {})
            return torch.stack(list(terms.values())).sum()

        pictures = list(pixels.split(stage.chunk))
        inputs = [
            [[c] for c in chunks] if stage.grad_cache else [chunks],
            [[p] for p in pictures] if stage.grad_cache else [pictures],
        ]
        total = cached_backward(
            inputs, [encode_texts, encode_images], loss, backward=accelerator.backward,
            seed=step_seed(stage, accelerator, step),
        )  # fmt: skip
        return {"loss": total, **values}

    recall = (lambda: dev.recall(texts.vectors, images.vectors)) if dev else None
    parts = [
        *(Part(module, stage.lr_text, stage.layer_decay) for module in texts.modules),
        *(Part(module, stage.lr_image, stage.layer_decay) for module in images.modules),
        *heads(model, stage),
    ]
    data = {"pictures": mixture.fingerprint, "teacher": teacher.fingerprint if teacher else ""}
    with Run.open(
        runs / name, plain(stage), data, say=watch.say, fresh=fresh, sinks=stage.sinks,
        is_main=accelerator.is_main_process,
    ) as run:  # fmt: skip
        found = fit(Job(model, stage, parts, backward, recall), run, accelerator, watch.progress(name))
        images.close()
        if run.is_main:
            students.save(students.result_of(runs, name), model, processor)
    return found


class _Losses:
    """The terms of a step's loss, from the gathered vectors of all processes."""

    def __init__(
        self, model: AraCLIPModel, stage: Finetune, locked: LockedTexts | None, mixture: PictureMixture,
        concepts: "Concepts | None", teacher: TeacherCache | None,
    ) -> None:  # fmt: skip
        if stage.all_captions and locked is None:
            raise RecipeError('all_captions needs train_text = "locked": a learning tower cannot embed them all.')
        self.model, self.stage, self.teacher = model, stage, teacher
        self.features = torch.from_numpy(concepts.features) if concepts else None  # (C, W)
        self.classifier = None if concepts is None else tuple(map(torch.from_numpy, concepts.classifier))
        if stage.anchor and (concepts is None or not len(concepts.classifier[0])):
            raise RecipeError(
                "`anchor` needs `concepts` with a classifier. Set it to 0, or name concepts that have one."
            )
        self.bank = locked.everything() if locked and stage.all_captions else None  # (N, H)
        if locked and stage.all_captions:
            self.bank_rows = [[locked.rows[text] for text in _texts_of(picture, stage)] for picture in mixture.pictures]

    def __call__(
        self, batch: Batch, classes: list[int], text: Tensor, names: Tensor, image: Tensor
    ) -> dict[str, Tensor]:
        """(T, D) captions, (K, D) class names, (I, D) pictures → named terms, each with its weight."""
        device = text.device
        owner = torch.tensor(batch.owner, device=device)
        same = torch.from_numpy(batch.same).to(device)
        terms = {"contrast": self.model.loss(text, image, same=same, owner=owner)}
        if self.bank is not None:
            terms["contrast"] = (terms["contrast"] + self._against_all(batch, image)) / 2
        if self.teacher is not None:
            known = [i for i, english in enumerate(batch.english) if english]
            wanted = torch.from_numpy(self.teacher.lookup([batch.english[i] or "" for i in known])).to(device)
            terms["teacher"] = self.stage.distillation * cosine_loss(text[known], wanted)
        if self.features is not None and classes:
            terms["concepts"] = self.stage.concept_weight * self._of_concepts(classes, names)
        return terms

    def forgetting(self, features: Tensor, before: Tensor) -> Tensor:
        """How far the classes of pictures moved since the stage began; (B, W) features of now and then."""
        assert self.classifier is not None
        weight, bias = (part.to(features.device) for part in self.classifier)
        return forgetting_loss(linear(features, weight, bias), linear(before, weight, bias))

    def _against_all(self, batch: Batch, image: Tensor) -> Tensor:
        assert self.bank is not None
        bank = unit(self.model.text_projection(self.bank.to(image.device)), dim=-1)  # (N, D)
        belongs = torch.zeros(len(image), len(bank), dtype=torch.bool, device=image.device)
        for place, row in enumerate(batch.rows):
            belongs[place, self.bank_rows[row]] = True
        return bank_loss(image, bank, self.model.logit_scale, belongs)

    def _of_concepts(self, classes: list[int], names: Tensor) -> Tensor:
        assert self.features is not None
        prototypes = unit(self.model.visual_projection(self.features.to(names.device)), dim=-1)  # (C, D)
        wanted = torch.tensor(classes, device=names.device)
        logits = self.model.logit_scale.exp() * names @ prototypes.T  # (K, C)
        among = logits[:, wanted]  # (K, K): each class of the batch picks its name; a class may come twice
        twice = (wanted[:, None] == wanted[None, :]) & ~torch.eye(len(wanted), dtype=torch.bool, device=names.device)
        back = among.T.masked_fill(twice, float("-inf"))
        return (cross_entropy(logits, wanted) + cross_entropy(back, torch.arange(len(wanted), device=names.device))) / 2


@dataclass(frozen=True)
class Concepts:
    """Classes that a classifier knows: their names, and where its features of them lie."""

    features: np.ndarray  # (C, W) float32, in the space of the image tower's pooled output
    names: list[tuple[str, ...]]  # in the languages of the stage
    classifier: tuple[np.ndarray, np.ndarray]  # its weight (all C, W) and bias, or empty

    def draw(self, count: int, seed: int, step: int) -> tuple[list[str], list[int]]:
        """`count` names and their classes, a function of seed and step."""
        dice = random.Random(f"concepts {seed} {step}")
        classes = dice.sample(range(len(self.names)), min(count, len(self.names)))
        return [dice.choice(self.names[c]) for c in classes], classes


def read_concepts(path: Path, languages: tuple[str, ...]) -> Concepts:
    """`<path>.npz` and `<path>.json` as recipes/mini_data.py makes them.

    The first holds `features`, and `weight` and `bias` of the classifier where it is known; the second lists the
    classes' names as `names_en` and `names_ar`.

    Raises:
        DataError: a file is missing, or the two disagree.
    """
    try:
        arrays = dict(np.load(path.with_suffix(".npz")))
        names = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        features = arrays["features"].astype(np.float32)
        by_language = {"english": names["names_en"], "arabic": names["names_ar"]}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: {error}. Concepts are a .npz with `features` and a .json with names.") from error
    if any(len(listed) != len(features) for listed in by_language.values()):
        raise DataError(f"{path}: {len(features)} rows of features, not as many classes. Make the two anew.")
    kept = [
        tuple(normalize(text) for language in languages for text in by_language[language][c])
        for c in range(len(features))
    ]
    usable = [c for c, texts in enumerate(kept) if texts]
    classifier = tuple(arrays.get(part, np.empty((0, 0), np.float32)) for part in ("weight", "bias"))
    return Concepts(features[usable], [kept[c] for c in usable], (classifier[0], classifier[1]))


def _encoded(images: Images, inputs: Tensor, with_features: bool) -> Tensor:
    """(B, D) vectors, or (B, D + W) with the features they were projected from."""
    if not with_features or not isinstance(images, CrownImages):
        return images.encode(inputs)
    features = images.features(inputs)
    return torch.cat([unit(images.model.visual_projection(features), dim=-1), features], dim=1)


def _texts_of(picture: object, stage: Finetune) -> list[str]:
    return [text for language in stage.languages for text in getattr(picture, language)]


def _all_texts(mixture: PictureMixture, concepts: Concepts | None) -> list[str]:
    captions = [text for picture in mixture.pictures for name in mixture.languages for text in getattr(picture, name)]
    return captions + [name for names in (concepts.names if concepts else ()) for name in names]


def _image_vectors(images: Images, mixture: PictureMixture) -> np.ndarray:
    with torch.inference_mode():
        vectors: np.ndarray = images.vectors([picture.path for picture in mixture.pictures]).float().cpu().numpy()
    return vectors
