"""A model and its processor on disk: save, load (with or without its query bank), unpack from a model folder."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from araclip import model_folder
from araclip.errors import RecipeError, TrainingError
from araclip.training.foreign import settings
from araclip.training.foreign.failures import failures
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.model.projection.names_part import without_names
from araclip.training.model.projection.query_bank import without_query_bank

ModelAndProcessor = tuple[AraCLIPModel, AraCLIPProcessor]
Loaded = TypeVar("Loaded")


def load_without_query_bank(folder: Path) -> ModelAndProcessor:
    """The model of `load_model` without its names part and its query bank, to be trained further.

    Raises:
        RecipeError: as for `load_model`.
    """
    model, processor = load_model(folder)
    return without_query_bank(without_names(model)), processor


def load_model(folder: Path) -> ModelAndProcessor:
    """The model and processor that `save_model` wrote, in float32.

    Raises:
        RecipeError: the folder's files are damaged, or those of another kind of model.
    """

    def read() -> ModelAndProcessor:
        settings.check_folder(folder)
        return AraCLIPModel.from_pretrained(folder, dtype=torch.float32), AraCLIPProcessor.from_pretrained(folder)

    return loaded(read, f"the model in {folder}", "run the stage that made it again, or name another folder")


def unpack(name_or_path: str | Path) -> ModelAndProcessor:
    """The AraCLIPModel that a bundled model or a model folder was exported from, and its processor.

    Raises:
        ModelNotFound: there is none.
        ModelMismatch: see `unpack.model_of_graphs`.
    """
    folder = model_folder.find(name_or_path)
    return AraCLIPModel.from_pretrained(folder), AraCLIPProcessor.from_pretrained(folder)


def save_model(folder: Path, model: AraCLIPModel, processor: AraCLIPProcessor) -> None:
    """A folder for transformers, sentence-transformers and `araclip export`; after a kill it is whole or missing.

    Raises:
        TrainingError: it cannot be written, as on a full disk; what was there before stays.
    """
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:  # safetensors and tokenizers have errors of their own for a full disk
        with failures(folder, "make room, then start the same command again", TrainingError, cannot="be written"):
            model.save_pretrained(part)
            processor.save_pretrained(part)
    except TrainingError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)


def loaded(read: Callable[[], Loaded], what: str, remedy: str) -> Loaded:
    """What `read` returns; what libraries raise becomes a RecipeError that names `what` and `remedy`."""
    with failures(what, remedy, RecipeError):
        return read()
