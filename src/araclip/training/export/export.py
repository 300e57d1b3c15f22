"""Export a trained AraCLIPModel as a model folder: ONNX graphs, tokenizer, config.json and model card.

`models.folder` describes the format.
"""

import gc
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from araclip.core import atomic, bounded_json
from araclip.core.display import Log
from araclip.errors import DataError, ExportRejected, InputError
from araclip.evaluation.retrieval import evaluate
from araclip.evaluation.scores import summary
from araclip.evaluation.sets import CaptionedPicture, PictureSet, read_pictures
from araclip.models import checks
from araclip.models import folder as model_folder
from araclip.models.encoder import AraCLIP
from araclip.models.encoder_base import IMAGE_BATCH, TEXT_BATCH
from araclip.models.folder import (
    DATA_FILES,
    IMAGE_PROCESSOR,
    NO_NORMALIZER,
    PARTS,
    ImageConfig,
    ModelConfig,
    TextConfig,
)
from araclip.text.tokenizer_normalizer import prepend_normalizer
from araclip.training.export.graphs import megabytes
from araclip.training.export.model_card import About, model_card
from araclip.training.export.tower_graphs import write_image_graph, write_text_graph
from araclip.training.export.weights import check_pictures, store_towers
from araclip.training.model.hub_files import kind_of, source_of
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.model.saved_models import load_model
from araclip.training.model.unpack import Closeness, Probes, check_parity, closeness, pictures_at_once, probes
from araclip.training.recipe.stages import DevSet

SECONDS = 0.5  # seconds for which a speed is measured at least, in three runs or more
TEXT = "قطة سوداء تنام على طاولة قرب النافذة"  # a text of usual length, to measure speeds with


@dataclass(frozen=True)
class GraphSize:
    """Size, speed and accuracy of one graph of an exported folder.

    Megabytes are 10⁶ bytes. Milliseconds are for one item, alone or in a batch of `batch`. Cosines compare a graph's
    vectors with those of PyTorch: the least for the float32 graph, the least and the mean for the stored graph.
    """

    name: str
    megabytes_float32: float
    megabytes: float
    milliseconds: float
    milliseconds_batched: float
    batch: int
    cosine_float32: float
    cosine: float
    cosine_mean: float


def graph_sizes(full: Path, small: AraCLIP, probes: Probes, before: Sequence[Closeness]) -> tuple[GraphSize, ...]:
    """Measure the two graphs in the folder of `small`: size, speed, and how close their vectors are to PyTorch's.

    `small` is the exported model. `full` is the folder of the float32 graphs, `before` their closeness to PyTorch, for
    text and image. `probes` has the test items and PyTorch's vectors.
    """
    pictures = min(IMAGE_BATCH, pictures_at_once(probes.squares.shape[1]))
    squares = np.resize(probes.squares, (pictures, *probes.squares.shape[1:]))
    encode: Mapping[str, tuple[Callable[[int], Any], int]] = {
        "text.onnx": (lambda n: small.encode_text([TEXT] * n), TEXT_BATCH),
        "image.onnx": (lambda n: small.encode_pixels(squares[:n]), pictures),
    }
    sizes = []
    for exact, stored in zip(before, closeness(small, probes), strict=True):
        run, batch = encode[exact.graph]
        sizes.append(
            GraphSize(
                exact.graph, megabytes(full / exact.graph), megabytes(small.folder / exact.graph),
                _measure_milliseconds(run, 1), _measure_milliseconds(run, batch) / batch, batch,
                exact.least, stored.least, stored.mean,
            )
        )  # fmt: skip
    return tuple(sizes)


def _measure_milliseconds(run: Callable[[int], Any], count: int) -> float:
    run(count)  # not measured: the first run is slower
    times: list[float] = []
    while len(times) < 3 or sum(times) < SECONDS:
        start = time.perf_counter()
        run(count)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


MAX_LOSS = 0.005  # limit: R@1 (0 to 1) that may be lost when weights are stored small


@dataclass(frozen=True)
class DevPictures:
    """A dev set as an export measures it: every caption is a query, in each language that has captions."""

    name: str
    pictures: list[CaptionedPicture]
    languages: tuple[str, ...]  # languages that have captions; `check_recall` compares the recall of the first of them

    @classmethod
    def read(cls, spec: DevSet) -> "DevPictures":
        """Read a dev set. Caption fields with `_en` in the name are English (by default caption_en), others Arabic."""
        english = tuple(field for field in spec.captions if "_en" in field) or ("caption_en",)
        arabic = tuple(field for field in spec.captions if "_en" not in field)
        try:
            pictures = read_pictures(spec.folder, english, arabic, spec.split, images=spec.images)
        except InputError as error:
            raise InputError(f"the dev set cannot be read: {error} Name another with --dev.") from error
        fields = {"arabic": arabic, "english": english}
        languages = tuple(name for name in fields if any(getattr(picture, name) for picture in pictures))
        if not languages:
            raise DataError(
                f"{spec.folder} (split {spec.split}) has no caption in {', '.join(arabic + english)}: nothing to "
                "measure. Name another dev set with --dev."
            )
        fields_used = " / ".join(field for name in languages for field in fields[name])
        split = f" {spec.split}" if spec.split else ""
        name = f"{spec.folder.name}{split}, {len(pictures):,} pictures, every {fields_used} a query, any-hit"
        return cls(name, pictures, languages)

    def measure(self, model: AraCLIP, *, all_languages: bool) -> dict[str, Any]:
        """Measure recall; return language → {"t2i": …, "i2t": …, "n_queries": …, "n_images": …}.

        "t2i" and "i2t" have the recalls from text to picture and from picture to text, as `scores.summary` gives them.

        Without `all_languages` only the first language is measured.
        """
        paths = tuple(picture.path for picture in self.pictures)
        vectors = model.encode_image(paths)  # (N, D)
        measured = {}
        for language in self.languages if all_languages else self.languages[:1]:
            captions = tuple(getattr(picture, language) for picture in self.pictures)
            found = evaluate(model, PictureSet(self.name, None, language, paths, captions), image_vectors=vectors)
            measured[language] = {
                "t2i": summary(found.t2i.ranks),
                "i2t": summary(found.i2t.ranks),
                "n_queries": len(found.queries),
                "n_images": len(paths),
            }
        return measured

    def r1(self, measured: dict[str, Any]) -> float:
        """Return R@1 from text to picture in the first language, which `check_recall` compares."""
        return float(measured[self.languages[0]]["t2i"]["R@1"])


def check_recall(dev: DevPictures, full: float, stored: float, weights: str) -> None:
    """Raise ExportRejected if `stored`, R@1 with small weights, is more than MAX_LOSS below `full`, R@1 in float32."""
    if not full - stored <= MAX_LOSS + 1e-9:
        raise ExportRejected(
            f"weights stored as {weights} cost too much: R@1 is {full:.4f} in float32 and {stored:.4f} stored "
            f"({(full - stored) * 100:.2f} points lost, {MAX_LOSS * 100} is the most) on {dev.name}. "
            "Export with --weights float32."
        )


@dataclass(frozen=True)
class Recall:
    """Dev R@1 of the float32 graphs and of the stored graphs, and how it was measured."""

    protocol: str
    float32: float
    stored: float


@dataclass(frozen=True)
class Report:
    """What an export wrote and measured.

    `warnings` has a line for each check that was not made, and for a tower that was not stored as asked.
    """

    folder: Path
    config: ModelConfig
    sizes: tuple[GraphSize, ...]
    recalls: tuple[Recall, ...]
    warnings: tuple[str, ...]


def export(
    run: Path, folder: Path, *, name: str | None = None, version: str = "1", dev: Sequence[DevSet] | None = None,
    weights: str = "int8", calibrate: Sequence[Path] = (), about: About | None = None, log: Log = lambda line: None,
) -> Report:  # fmt: skip
    """Write a trained model as a model folder, which appears complete once all checks have passed.

    Args:
        run: a stage's run folder, whose model/ is exported and whose recipe names the dev set; or the folder of a saved
            AraCLIPModel.
        folder: the model folder to write; an earlier model folder there is replaced.
        name, version: the model's name and version; by default the folder's name, and 1.
        dev: picture sets to measure on, where every caption is a query; None: the run's dev set.
        weights: how weights are stored, see `export.weights`; "TEXT + IMAGE" names one way for each tower.
        calibrate: folders of pictures to calibrate with; by default the folder of the first dev set's pictures.
        about: licence, training data and notes for the card.
        log: called with a line when a step is done.

    Raises:
        ExportRejected: a tower cannot be traced, a float32 graph differs from the PyTorch model (cosine below .999), or
            small weights cost more than half a point of dev R@1. `folder` is unchanged.
        InputError: no model in `run` or none that can be exported, no picture in `calibrate`, other files in `folder`.
        ModelMismatch: pictures are prepared in a way that a model folder's config cannot express.
        DataError: a dev set has no captions.
    """
    ways = model_folder.weights_by_tower(weights)
    source, folder, about = model_of(run), folder.resolve(), about or About()
    check_target(folder)
    check_pictures(calibrate, ways["image"])
    sets = [DevPictures.read(spec) for spec in (dev_of(run) if dev is None else dev)]
    model, processor = load_model(source)
    if model.vision_model is None or processor.image_processor is None:
        raise InputError(
            "the model has no image tower or its processor takes no pictures; a model folder holds both towers. Train "
            "it beside the image tower whose vectors it learned."
        )
    how = processor.preprocessing
    draft = _config(model, processor, how, about, name or folder.name, version)
    tokenizer = tokenizer_of(processor)
    reports: list[Report] = []
    notes: list[str] = []
    folder.parent.mkdir(parents=True, exist_ok=True)
    held = [(model, processor)]
    del model, processor

    def fill(stored: Path) -> None:
        model, processor = held.pop()
        with atomic.scratch_folder(stored) as beside:
            full = Path(beside)
            (full / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
            write_text_graph(model, full / "text.onnx")
            log("text tower traced")
            write_image_graph(model, how.size, how.mean, how.std, full / "image.onnx")
            log("image tower traced")
            expected = probes(model, processor, how.size)
            del model, processor
            gc.collect()  # frees the PyTorch model before its graphs are loaded
            hashed(full, replace(draft, weights="float32"))
            before = closeness(AraCLIP(full), expected)
            check_parity(before)
            exact = AraCLIP(full)  # the graphs are opened a second time: those that were measured are closed by now
            log("the float32 graphs give the vectors of the trained model")
            shutil.copyfile(full / "tokenizer.json", stored / "tokenizer.json")
            pictures = calibrate or [dev.pictures[0].path.parent for dev in sets[:1]]
            taken = store_towers(full, stored, exact.config, ways, pictures=pictures, log=notes.append)
            config = hashed(stored, replace(draft, weights=taken))
            small = AraCLIP(stored)
            recalls, measured = _measure_recalls(sets, exact, small, taken, log)
            sizes = graph_sizes(full, small, expected, before)
            config = replace(config, measured=measured)
            model_folder.write_config(stored, config)
            write_card(stored, config, about)
        if not sets and config.weights != "float32":
            notes.append(
                "No dev set is known: what small weights cost in recall was not measured. Name one with --dev."
            )
        reports.append(Report(folder, config, sizes, recalls, tuple(notes)))

    atomic.write_folder(folder, fill)
    return reports[0]


def model_of(run: Path) -> Path:
    """Return the folder of a saved AraCLIPModel: `run`/model, or else `run`; raise InputError if neither holds one."""
    for folder in (run / "model", run):
        try:
            config = bounded_json.read(folder / "config.json", kind=dict)
        except InputError:
            continue
        if config.get("model_type") == "araclip":
            return folder
    raise InputError(
        f"{run} holds no trained model: neither model/ nor it itself is a saved AraCLIPModel. Give a stage's folder, "
        "such as runs/mini/finetune, once the stage is done."
    )


def dev_of(run: Path) -> list[DevSet]:
    """Return the dev set that the recipe of a stage names, with every caption as a query.

    The list is empty if the recipe names none, or if `run` is a saved model and no stage.
    """
    path = run / "config.json"
    if model_of(run) == run or not path.is_file():
        return []
    try:
        dev = bounded_json.read(path, kind=dict)["recipe"]["dev"]
        if not dev:
            return []
        images = Path(dev["images"]) if dev.get("images") else None
        return [DevSet(Path(dev["folder"]), dev["split"], tuple(dev["captions"]), None, images)]
    except (InputError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} does not say what the run was measured on ({error!r}). Export its model/ and give --dev."
        ) from error


def check_target(folder: Path) -> None:
    """Raise InputError if the target holds other files than a model folder's, which would be lost."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file. Name a folder to export to.")
    own = (*PARTS, *DATA_FILES, IMAGE_PROCESSOR)
    if others := sorted(entry.name for entry in folder.iterdir() if entry.name not in own):
        raise InputError(
            f"{folder} holds {others[0]}, which is no part of a model folder and would be lost. "
            "Name another folder, or move it away."
        )


def tokenizer_of(processor: AraCLIPProcessor) -> Tokenizer:
    """Return a copy of the processor's fast tokenizer that also normalises text like `araclip.normalize`.

    The copy neither pads nor cuts texts.
    """
    backend = getattr(processor.tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise InputError(
            f"{type(processor.tokenizer).__name__} has no fast tokenizer behind it, which a model folder needs. "
            "Convert it (transformers.convert_slow_tokenizer), or take a checkpoint that has a tokenizer.json."
        )
    tokenizer = Tokenizer.from_str(prepend_normalizer(backend.to_str()))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _config(
    model: AraCLIPModel, processor: AraCLIPProcessor, how: ImageConfig, about: About, name: str, version: str
) -> ModelConfig:
    config = model.config
    pad = processor.tokenizer.pad_token_id
    pad = pad if pad is not None else getattr(config.text_config, "pad_token_id", None)
    text = TextConfig(
        tower=about.text_tower or source_of(config.text_config) or kind_of(config.text_config),
        pooling=config.text_pooling,
        max_tokens=min(processor.max_tokens, config.max_tokens), normalizer=NO_NORMALIZER, pad_id=pad or 0,
    )  # fmt: skip
    vision = config.vision_config
    image = replace(how, tower=about.image_tower or source_of(vision) or kind_of(vision))
    # Some vectors cannot be cut to a shorter width: they hold further numbers for class names (`names`), or are
    # corrected so that no picture is near to all queries (`query_bank`), see `mini.heads`.
    prefixes = () if config.query_bank or config.names else config.matryoshka_dims
    return ModelConfig(
        name=name, version=version, width=config.projection_dim, text=text, image=image, files={},
        # where `about` states no licence or training data, those of the trained model's config are kept
        license=(about.license if about.license != About().license else config.license) or about.license,
        training_data=about.training_data or tuple(config.training_data),
        matryoshka=tuple(prefix for prefix in prefixes if prefix < config.projection_dim),
    )  # fmt: skip


def hashed(folder: Path, config: ModelConfig) -> ModelConfig:
    """Hash a model folder's files, and write config.json with the hashes; return the new config.

    A model card that is missing is made as an empty file.

    Tokenizer and graphs are checked as they will be on users' machines, but no graph is run (`checks.check_written`).
    """
    config = replace(config, files=model_folder.hashes(folder))
    model_folder.write_config(folder, config)
    checks.check_written(folder, config)
    (folder / "README.md").touch()
    return config


def write_card(folder: Path, config: ModelConfig, about: About) -> None:
    """Write the model card, README.md, which also states how many megabytes the folder takes."""
    card = model_card(config, about, model_folder.megabytes(folder))
    (folder / "README.md").write_text(card, encoding="utf-8")


def _measure_recalls(
    sets: Sequence[DevPictures], exact: AraCLIP, small: AraCLIP, weights: str, log: Log
) -> tuple[tuple[Recall, ...], dict[str, Any]]:
    recalls, measured = [], {}
    for dev in sets:
        found = measured[dev.name] = dev.measure(small, all_languages=True)
        stored = full = dev.r1(found)
        if weights != "float32":
            full = dev.r1(dev.measure(exact, all_languages=False))
            check_recall(dev, full, stored, weights)
        recalls.append(Recall(dev.name, full, stored))
        log(f"measured on {dev.name}")
    return tuple(recalls), measured
