"""The stage `phrases`: the text tower learns from pictures what bare words and short phrases of captions show.

Captions teach sentences, while people type «حصان» or «قميص أزرق». A word that stands in captions of enough pictures
names what these pictures have in common, so the text side of the word alone can be learned from their vectors: the word
is a classifier whose weights the text tower makes, of the pictures that show it against all that do not.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass
from torch import Tensor

from araclip.errors import DataError
from araclip.text.folding import fold
from araclip.training.data.limits import Chance, Count, Few, Many, Positive
from araclip.training.data.noise import is_held, noisy
from araclip.training.data.pictures import PictureMixture
from araclip.training.loop.gradcache import gather
from araclip.training.loop.processes import accelerator_for, check_even, share
from araclip.training.loop.train_loop import Part, TrainingJob, train_loop
from araclip.training.losses import contrastive_loss
from araclip.training.model.towers import fingerprint
from araclip.training.recipe.stages import CONFIG, ImageSide, LearningStage, Pictures, Shares
from araclip.training.stages import starting_model
from araclip.training.stages.dev_recall import Dev
from araclip.training.stages.pictures import training_images
from araclip.training.stages.pixels import Pixels
from araclip.training.stages.stage_run import backward, checkpoint_activations, stage_run
from araclip.training.stages.starting_model import StageContext
from araclip.training.stages.texts import LearningTexts
from words import lexicon_words

SURE = (
    2  # captions of a picture that have to say so; a picture of which a single caption does is neither right nor wrong
)
COMMON = 0.25  # a phrase of a larger part of the pictures tells little
# Words with which no phrase begins or ends: they name nothing that a picture shows.
_FUNCTION_WORDS = """
a an the of in on and with is are to at by his her its it through from their while over into for up out off near next as
that this these those who which one two three four some other another there be been being has have having he she they
them him each down along around across behind between under above below onto toward towards against about after before
together very or but not no what where when does do doing something someone in front top side middle
في من على إلى عن مع و أو ثم هو هي هم هن هذا هذه ذلك تلك التي الذي الذين بين تحت فوق أمام خلف بجانب عند حول خلال عبر
بعد قبل داخل خارج نحو بينما حيث أن إن كان كانت يكون تكون لا لم لن قد كل بعض أحد إحدى آخر أخرى له لها لهم به بها فيه فيها
منه منها عليه عليها ما أثناء بواسطة ضد قرب بالقرب واحد واحدة شيء أعلى أسفل وهو وهي وهم كما مثل جانب لدى ليس يوجد هناك
بشكل
"""
_WORD = re.compile("[a-z]+|[\u0621-\u06d3]+")
_ARTICLE = re.compile("^ال(?=.{3})")
_PLURAL = (re.compile("(?<=[a-z]{2})ies$"), re.compile("(?<=ss|sh|ch)es$|(?<=x)es$"), re.compile("(?<=[a-rt-z]{3})s$"))


@dataclass(frozen=True, config=CONFIG)
class Phrases(LearningStage):
    """Trains the text tower to find, by a bare word or phrase, the pictures whose captions have it."""

    kind: Literal["phrases"] = "phrases"
    pictures: Pictures = ()
    languages: Shares = field(default_factory=lambda: {"arabic": 0.7, "english": 0.3})
    noise: Chance = 0.0
    phrases: Many = 192  # phrases of a step, beside `batch` captions
    longest: Few = 3  # most words of a phrase
    least: Count = 5  # fewest pictures that surely show it
    weight: Positive = 1.0  # of the loss of phrases, that of captions being 1
    sharpness: Positive = 12.0  # inverse temperature of the softmax over pictures

    def mixtures(self) -> tuple[PictureMixture]:
        return (PictureMixture(self.pictures, self.seed, languages=self.languages, noise=self.noise),)


def words_of(text: str) -> list[tuple[str, str]]:
    """The words of a text, each with the key under which its forms count as the same: without article or plural s."""
    return [(word, key_of(word)) for word in _WORD.findall(text.lower())]


def key_of(word: str) -> str:
    """«الأحمر» → احمر, dogs → dog."""
    if word > "\u0600":
        return _ARTICLE.sub("", fold(word))
    for ending, instead in zip(_PLURAL, ("y", "", ""), strict=True):
        if ending.search(word):
            return ending.sub(instead, word)
    return word


FUNCTION_WORDS = frozenset(key_of(word) for word in _FUNCTION_WORDS.split())


def phrases_of(text: str, longest: int) -> Iterator[tuple[str, str]]:
    """The key of each phrase of up to `longest` neighbouring words, and the phrase as it is asked, without article."""
    words = words_of(text)
    for start in range(len(words)):
        for end in range(start + 1, min(start + longest, len(words)) + 1):
            edges = words[start], words[end - 1]
            if all(len(word) > 1 and key not in FUNCTION_WORDS for word, key in edges):
                spelled = [_ARTICLE.sub("", words[start][0]), *(word for word, _ in words[start + 1 : end])]
                yield " ".join(key for _, key in words[start:end]), " ".join(spelled)


@plain_dataclass(frozen=True)
class Phrase:
    """Texts of one meaning, the pictures that surely show it, and those that may or may not."""

    texts: tuple[str, ...]
    sure: NDArray[np.int64]
    doubtful: NDArray[np.int64]


def read_phrases(captions: Sequence[Sequence[str]], longest: int, least: int) -> list[Phrase]:
    """The words and phrases that at least `least` pictures have in at least `SURE` captions each.

    The lexicon's Arabic words for an English phrase, dialects and plurals among them, are further texts of it. To
    measure with, `is_held` keeps a fifth of those, and of phrases of several words, out.

    Args:
        captions: the captions of each picture.
    """
    counts: dict[str, dict[int, int]] = defaultdict(dict)  # key → picture → captions that have it
    spelled: dict[str, Counter[str]] = defaultdict(Counter)
    for row, texts in enumerate(captions):
        for text in dict.fromkeys(texts):
            found = dict(phrases_of(text, longest))
            for key, phrase in found.items():
                counts[key][row] = counts[key].get(row, 0) + 1
                spelled[key][phrase] += 1
    called: dict[str, list[str]] = defaultdict(list)
    for text, gloss, _ in lexicon_words():
        called[" ".join(key for _, key in words_of(gloss))].append(text)
    phrases = []
    for key, rows in sorted(counts.items()):
        sure = [row for row, count in rows.items() if count >= SURE]
        if least <= len(sure) <= COMMON * len(captions):
            own = spelled[key].most_common(1)[0][0]
            asked = dict.fromkeys([own, *called.get(key, ())])
            learned = tuple(text for text in asked if text == own == own.split()[0] or not is_held(text))
            doubtful = [row for row, count in rows.items() if count < SURE]
            if learned:
                phrases.append(Phrase(learned, np.array(sure, np.int64), np.array(doubtful, np.int64)))
    return phrases


@plain_dataclass(frozen=True)
class PhraseLoss:
    """The softmax over all pictures, in which those that show a phrase share the target; doubtful ones do not count."""

    phrases: Sequence[Phrase]
    pictures: Tensor  # (N, D), locked
    sharpness: float

    def draw(self, count: int, noise: float, seed: int, step: int) -> tuple[list[str], list[int]]:
        """Draw texts, and their phrases' numbers; a phrase of four times the pictures is drawn twice as often."""
        rng = random.Random(f"phrases {seed} {step}")
        often = np.sqrt([len(phrase.sure) for phrase in self.phrases])
        chosen = np.random.default_rng([seed, step]).choice(
            len(often), min(count, len(often)), replace=False, p=often / often.sum()
        )
        texts = [rng.choice(self.phrases[number].texts) for number in chosen]
        return [noisy(text, rng) if rng.random() < noise else text for text in texts], chosen.tolist()

    def __call__(self, texts: Tensor, numbers: Sequence[int]) -> Tensor:
        """Return the loss, a scalar, of texts' vectors (P, D)."""
        sure = torch.zeros(len(texts), len(self.pictures), device=texts.device)
        doubtful = torch.zeros_like(sure, dtype=torch.bool)
        for row, number in enumerate(numbers):
            sure[row, self.phrases[number].sure] = 1 / len(self.phrases[number].sure)
            doubtful[row, self.phrases[number].doubtful] = True
        scores = (self.sharpness * texts @ self.pictures.T).masked_fill(doubtful, -1e9)  # (P, N)
        return (scores.logsumexp(dim=1) - (sure * scores).sum(dim=1)).mean()


def phrases(stage: Phrases, context: StageContext) -> dict[str, float]:
    """Train the text tower on phrases and, so that it goes on to read sentences, captions; return the dev recall."""
    accelerator = accelerator_for(stage.batch)
    check_even(stage.phrases, "phrases", accelerator)
    dev = Dev(stage.dev) if stage.dev else None
    (mixture,) = context.told(stage.mixtures())
    mixture.batch(0, stage.batch)  # refuses too few pictures now, before the long computations
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    model.visual_projection.requires_grad_(False)
    data = {"start": fingerprint(model), "pictures": mixture.fingerprint}
    captions: dict[Path, list[str]] = {}  # several sets may list a file
    for row, file in enumerate(mixture.files):
        captions.setdefault(file, []).extend(mixture.texts_of(row))
    found = read_phrases([*captions.values()], stage.longest, stage.least)
    if len(found) < stage.phrases:
        raise DataError(
            f"{len(found)} phrases stand in the captions of {stage.least} pictures or more, and a step needs "
            f"{stage.phrases}. Lower `phrases` or `least`."
        )
    context.reporter.log(f"{context.name} learns {len(found):,} words and phrases of {len(captions):,} pictures")
    with accelerator.main_process_first():  # the main process computes the cached vectors, the others read them
        images = training_images(
            model, Pixels.of(processor), [*captions], ImageSide(), stage.seed, context.cache, context.reporter.log
        )
        vectors = images.vectors([*captions]).detach().clone()  # (N, D)
    of_phrases = PhraseLoss(found, vectors, stage.sharpness)
    position = {file: row for row, file in enumerate(captions)}
    texts = LearningTexts(model, processor, stage.frozen_layers, stage.dropout)
    checkpoint_activations(stage, model)

    def learn(step: int) -> dict[str, float]:
        batch = mixture.batch(step, stage.batch)
        asked, numbers = of_phrases.draw(stage.phrases, stage.noise, stage.seed, step)
        own = batch.texts[share(accelerator, stage.batch)], asked[share(accelerator, stage.phrases)]
        chunks, inverse = texts.inputs([*own[0], *own[1]], stage.chunk)
        same = torch.from_numpy(batch.same).to(accelerator.device)
        shown = vectors[[position[mixture.files[row]] for row in batch.rows]]  # (B, D)
        terms: dict[str, Tensor] = {}

        def loss(encoded: Tensor) -> Tensor:
            encoded = encoded[inverse]
            terms["captions"] = contrastive_loss(gather(encoded[: len(own[0])]), shown, model.logit_scale, same=same)
            terms["phrases"] = stage.weight * of_phrases(gather(encoded[len(own[0]) :]), numbers)
            return terms["captions"] + terms["phrases"]

        total = backward(stage, accelerator, step, loss, (chunks, texts.encode, stage.precision))
        return {"loss": total, **{name: float(term.detach()) for name, term in terms.items()}}

    parts = [
        *(Part(module, stage.lr_text, stage.layer_decay) for module in texts.modules),
        Part(model.text_projection, stage.lr_head),
        Part(model.logit_scale, 1e-3),
    ]
    recall = (lambda: dev.recall(texts.vectors, images.vectors)) if dev else None
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        return train_loop(TrainingJob(model, stage, parts, learn, recall), run, context.step_progress())
