"""The stage of the names part: a finished model gets, beside its vectors, those of a classifier's named classes."""

import torch

from araclip.errors import DataError
from araclip.training.data.named_classes import NamedClasses, read_named_classes
from araclip.training.data.picture_data import PictureMixture, draw_files
from araclip.training.inputs.pixels import Pixels
from araclip.training.inputs.pooled_features import pooled_features
from araclip.training.inputs.texts import text_features
from araclip.training.loop.processes import accelerator_for
from araclip.training.model import towers
from araclip.training.model.fingerprint import fingerprint
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.model.projection.names_part import Classifier, tower_with, with_names
from araclip.training.recipe.stages import Names
from araclip.training.small_cnn import gate
from araclip.training.stages import starting_model
from araclip.training.stages.context import StageContext
from araclip.training.stages.name_fit import Lesson, fit_names
from araclip.training.stages.stage_run import save_untrained


def names(stage: Names, context: StageContext) -> dict[str, float]:
    """Give a model a names part, see `name_heads`; its towers stay as they are, and so does a query bank.

    Returns:
        Dev recall. The model lies in `runs/<name>/model`.

    Raises:
        RecipeError: the model it starts from has not been made, or has no image tower that can take one more branch.
        DataError: the named classes are malformed, or were made for another tower.
    """
    accelerator = accelerator_for()
    classes = read_named_classes(stage.classes)
    mixture = PictureMixture(stage.pictures, stage.seed, languages=stage.languages)
    distinct = list(dict.fromkeys(mixture.texts))
    captions = distinct[:: -(-len(distinct) // stage.captions)]  # evenly spread
    before, processor = starting_model.start_of(stage, context, as_it_is=True)
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
    classifier = Classifier(torch.from_numpy(classes.weight), torch.from_numpy(classes.bias), classes.exclusive)
    model = with_names(before, classifier, stage.width, stage.hidden, stage.weight, tower, features)
    data = {"start": fingerprint(before), "pictures": mixture.fingerprint, "classes": classes.fingerprint}
    if stage.unfamiliar_pictures:
        data["kinds of pictures"] = _learn_familiar(model, processor, stage)
    loss = fit_names(
        model.text_projection, model.visual_projection.directions, _lesson(model, processor, classes, captions),
        stage.steps, stage.batch, stage.lr, stage.seed,
    )  # fmt: skip
    context.reporter.log(f"{len(classes.words):,} words of {len(classes.bias):,} classes; loss {loss:.3f}")
    return save_untrained(stage, context, data, (model, processor), accelerator)


def _learn_familiar(model: AraCLIPModel, processor: AraCLIPProcessor, stage: Names) -> str:
    """Lets the names part count only for pictures of a kind that the classifier knows; the sets' fingerprint."""
    pixels, read = Pixels.of(processor), model.config.name_features  # 0: the classifier reads all, and so does [-0:]
    both = (stage.familiar_pictures, stage.unfamiliar_pictures)
    kinds = [draw_files(sources, stage.seed, stage.familiar_batch) for sources in both]
    weight, bias = gate.logistic(*(pooled_features(model, pixels, files)[:, -read:] for files, _ in kinds))
    with torch.no_grad():
        model.visual_projection.familiar.weight.copy_(weight[None])
        model.visual_projection.familiar.bias.copy_(bias[None])
    return " ".join(found for _, found in kinds)


def _lesson(model: AraCLIPModel, processor: AraCLIPProcessor, classes: NamedClasses, captions: list[str]) -> Lesson:
    words = [*classes.words]
    others = [text for text in (*classes.others, *captions) if text not in classes.words]
    found = text_features(model, processor, [*words, *others]).clone()  # (N + M, H)
    return Lesson(found[: len(words)], [*classes.words.values()], found[len(words) :])
