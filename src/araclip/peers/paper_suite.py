"""Measures the models in the AraCLIP paper's table (mCLIP, AltCLIP, AraCLIP) again, on Arabic picture sets.

The table shows the paper's claim beside each measured figure. The two cannot be expected to agree, because the claim
names no picture set, no checkpoint and no protocol, and nobody has reproduced it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from araclip.core.display import Log
from araclip.errors import AraCLIPError, InputError, ModelError
from araclip.evaluation.published_sets import KNOWN, load_dataset
from araclip.evaluation.retrieval import evaluate
from araclip.evaluation.scores import Evaluated
from araclip.evaluation.sets import PictureSet
from araclip.models import folder as model_folder
from araclip.models.encoder import AraCLIP
from araclip.peers.model_registry import BY_NAME

Progress = Callable[[str, str, int, int], None]
CLAIM = "as claimed by AraCLIP's description, which names no picture set; not reproduced by anybody, and not ours"


@dataclass(frozen=True)
class Row:
    """A row of the paper's table: a model, and the figures that the paper claims for it.

    The paper does not name the checkpoint, so `models` lists the candidates. The first candidate that is an AraCLIP
    model folder (ONNX graphs) on this machine is measured. If no candidate is a model folder, the first candidate is
    loaded with PyTorch.
    """

    name: str  # the model's name in the paper's table
    models: tuple[str, ...]
    claimed: tuple[float, float, float]  # R@1, R@5 and MRR that the paper states


ROWS = (
    Row("mCLIP", ("m-clip-b16plus", "m-clip-l14", "m-clip-b32", "m-clip-labse-l14"), (0.452, 0.683, 0.542)),
    Row("AltCLIP", ("altclip-m9", "altclip-m18", "altclip"), (0.487, 0.715, 0.567)),
    Row("AraCLIP", ("araclip-published", "araclip-published-text"), (0.553, 0.789, 0.631)),
)
ROW_NAMES = ", ".join(row.name for row in ROWS)
SETS = ("xtd-ar", "flickr8k-ar-eljundi")
HOW_TO_GET = {
    "xtd-ar": "names: XTD10/test_image_names.txt of github.com/adobe-research/Cross-lingual-Test-Dataset-XTD10, which "
    "has no Arabic; captions, machine-translated: data/xtd200/arb_Arab.txt of github.com/visheratin/nllb-clip; "
    "pictures: COCO's train2014 and val2014 (cocodataset.org)",
    "flickr8k-ar-eljundi": "captions: Flickr8k.arabic.full.txt of ElJundi et al. 2020 (github.com/ObeidaElJundi/"
    "Arabic-Image-Captioning); pictures: Flickr8k",
    "flickr8k-ar-rev": "captions: Flickr8k-Arabic-Rev; pictures: Flickr8k",
}


@dataclass(frozen=True)
class Missing:
    """A model or picture set (`what`) that could not be used. `why` has the reason, and how to get the model or set."""

    what: str
    why: str


@dataclass(frozen=True)
class MeasuredRow:
    """The result of one row of the paper's table on one picture set.

    `model` names the model that was measured. `loaded` says how it was loaded: from a "model folder" or with "PyTorch".
    """

    row: Row
    model: str
    loaded: str
    evaluated: Evaluated


@dataclass(frozen=True)
class PaperTable:
    """What was measured here for the paper's table: results by set, and the models and sets that are missing."""

    sets: tuple[PictureSet, ...]
    measured: tuple[MeasuredRow, ...]
    missing: tuple[Missing, ...]

    def result(self, pictures: PictureSet, row: Row) -> MeasuredRow | None:
        """Return the result of a row of the paper's table on one of the picture sets; None if it was not measured."""
        of_row = (one for one in self.measured if one.row == row)
        return next((one for one in of_row if one.evaluated.protocol.dataset == pictures.name), None)


def paper_table(
    places: Mapping[str, tuple[Path, Path | None]], models: Mapping[str, str] | None = None, *,
    split: str | None = None, caption_field: str | None = None, captions: str = "all", cache: Path | None = None,
    log: Log | None = None, progress: Progress = lambda model, what, done, total: None,
) -> PaperTable:  # fmt: skip
    """Measure each of ROWS (the paper's table) on each set. Models and sets that cannot be used are listed as missing.

    Args:
        places: name of a set → (folder of the set, folder of its pictures; None: the pictures lie in the set's folder).
            A name in `KNOWN` is read as it was published; any other name is for a folder that `load_dataset` takes.
        models: name of a row → name or path of the model to measure for the row; by default one of `Row.models`.
        split, caption_field: the split to measure on, and the field with the captions; by default the test split of
            published sets, and the set's first caption field.
        captions: which captions of a picture are queries: "all", or only the "first".
        cache: folder of stored results. log: called with a line for each unusable file in it.
        progress: called with the row's name, "pictures" or "texts", the number encoded, and the number of all.

    Raises:
        InputError: `models` has an unknown row, or there is no set or no model to measure.
    """
    chosen = dict(models or {})
    if unknown := chosen.keys() - {row.name for row in ROWS}:
        raise InputError(f"the paper's table has no row '{min(unknown)}'. Its rows are {ROW_NAMES}.")
    sets, missing = _load_sets(places, split, caption_field)
    if not sets:
        raise InputError(f"there is no picture set to measure on. {_list_missing(missing)}")
    measured: list[MeasuredRow] = []
    for row in ROWS:
        # the chosen model, or else the first candidate that is a model folder, or else the first candidate
        candidates = (chosen[row.name],) if chosen.get(row.name) else row.models
        name = next(filter(model_folder.names_model_folder, candidates), candidates[0])
        loaded = "model folder" if model_folder.names_model_folder(name) else "PyTorch"
        try:
            encoder = AraCLIP.load(name)
        except AraCLIPError as error:
            missing.append(_describe_missing_model(row, chosen.get(row.name), error))
            continue
        try:  # `load` does not find all damage of a model: some shows only when the model encodes
            for pictures in sets:
                done = evaluate(
                    encoder, pictures, captions=captions, cache=cache, log=log,
                    progress=lambda what, done, total, row=row: progress(row.name, what, done, total),  # type: ignore[misc]
                )  # fmt: skip
                measured.append(MeasuredRow(row, name, loaded, done))
        except ModelError as error:
            missing.append(_describe_missing_model(row, chosen.get(row.name), error))
        del encoder  # frees gigabytes before the next model is loaded
    if not measured:
        raise InputError(f"none of the models {ROW_NAMES} can be used. {_list_missing(missing)}")
    return PaperTable(tuple(sets), tuple(measured), tuple(missing))


def _load_sets(
    places: Mapping[str, tuple[Path, Path | None]], split: str | None, field: str | None
) -> tuple[list[PictureSet], list[Missing]]:
    found, missing = [], []
    for name in dict.fromkeys((*(() if places else SETS), *places)):
        path, images = places.get(name, (None, None))
        try:
            if path is None:
                raise InputError("no path was given, and no hub that has it is known.")
            if name in KNOWN:
                pictures = load_dataset(name, path=path, images=images, split=split or "test", caption_field=field)
            else:
                pictures = load_dataset(path, images=images, split=split, caption_field=field)
            found.append(replace(pictures, name=name))
        except InputError as error:
            how = HOW_TO_GET.get(name, "docs/evaluation-sets.md")
            missing.append(Missing(name, f"{error} Get it ({how}) and pass --set {name}=FOLDER[,PICTURES]."))
    return found, missing


def _describe_missing_model(row: Row, wanted: str | None, error: AraCLIPError) -> Missing:
    name = wanted or row.models[0]
    peer = BY_NAME.get(name)
    size = f" ({peer.megabytes:,} MB)" if peer and peer.megabytes else ""
    others = [] if wanted else list(row.models[1:])
    instead = f", or one of {', '.join(others)}" if others else ""
    get = f"Get it while the hub can be reached: araclip pull {name}{size}{instead}." if peer else ""
    return Missing(f"{row.name} ({name})", f"{str(error).rstrip('.')}. {get}".strip())


def _list_missing(missing: Sequence[Missing]) -> str:
    return " ".join(f"{one.what}: {one.why}" for one in missing)
