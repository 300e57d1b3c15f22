"""`araclip pull`: turn a listed model, a repository of the Hugging Face hub or a folder into a model of this user.

A finished model folder, made by somebody else or on another machine, needs no PyTorch; the conversion of a published
model needs it.
"""

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from araclip.core import atomic
from araclip.core.display import Log, shown
from araclip.core.installed_models import NOTE, bundled, pulled
from araclip.core.paths import models_home
from araclip.errors import InputError, ModelMismatch, ModelNotFound
from araclip.models import folder as model_folder
from araclip.models import speed as speeds
from araclip.models.checks import check_model_folder
from araclip.models.downloads import Files, Progress, check_space, download, is_model_folder
from araclip.models.encoder import AraCLIP
from araclip.models.encoder_base import usable_cores
from araclip.models.folder import PARTS, ModelConfig, megabytes, weights_by_tower
from araclip.models.speed import Speed
from araclip.peers import model_registry
from araclip.peers.request import KINDS, Request, nearest_names, parse_request

if TYPE_CHECKING:
    from araclip.peers.published_araclip import Trainable


LANGUAGES = ("ar", "en")
WEIGHTS = "smooth-int8"  # how weights are stored unless the user names another way
# These modules are imported only when a published model is converted, because they need PyTorch. A model folder that is
# finished already is copied without them.
ENGINE = "araclip.peers.conversion"
TRAINABLE_ENGINE = "araclip.peers.published_araclip"
VOCABULARY_ENGINE = "araclip.peers.vocabulary"
# Disk space that a conversion needs, as a multiple of the float32 weights: the exact graphs and the small graphs lie
# side by side while they are compared.
SPACE_FACTOR = 2.2
NEEDED_PACKAGES = ("torch", "transformers", "onnx")
HUB = "hf:"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True)
class PullSource:
    """The model to pull.

    Attributes:
        given: the text that the user typed.
        name: the name of the new model folder, unless the user wants another.
        folder: the finished model folder on this machine, if the source is such a folder; else None.
        repository, revision: the repository of the hub to download first, if any.
        request: the published model to convert; None for a finished folder, or while only the files of `repository`
            can tell what it holds.
    """

    given: str
    name: str
    folder: Path | None = None
    repository: str | None = None
    revision: str | None = None
    request: Request | None = None


def pull_source(text: str) -> PullSource:
    """Return the source that a text names; raise ModelNotFound if it names none.

    The text is a name or hub id in the table of models, hf:ORG/NAME[@REVISION], ORG/NAME, KIND:LOCATION, the name of a
    pulled model, or a folder. The name of a bundled model raises InputError.
    """
    if text in bundled():
        raise InputError(f"{text} ships with this package: use it as it is, `--model {text}`.")
    if text.startswith(HUB):
        return _source_from_repository(text, text.removeprefix(HUB))
    if text in model_registry.BY_NAME or text.partition(":")[0] in KINDS:
        return _source_from_request(text, parse_request(text))
    if (folder := pulled().get(text) or model_folder.existing_folder(text)) is not None:
        return _source_from_folder(text, folder)
    if (request := parse_request(text)) is not None:  # a hub id that `model_registry` lists
        return _source_from_request(text, request)
    if _REPOSITORY.fullmatch(text.partition("@")[0]):
        return _source_from_repository(text, text)
    raise unknown_model_error(text)


def split_repository(text: str) -> tuple[str, str | None]:
    """Split ORG/NAME[@REVISION], with or without hf: before it, into repository and revision (None if not given)."""
    repository, _, revision = text.removeprefix(HUB).partition("@")
    if not _REPOSITORY.fullmatch(repository):
        raise InputError(f"'{shown(text)}' names no repository. Write hf:ORG/NAME, or hf:ORG/NAME@REVISION.")
    return repository, revision or None


def unknown_model_error(text: str) -> ModelNotFound:
    """Return the error for a name that no model has; its message suggests the nearest names."""
    near = nearest_names(text)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return ModelNotFound(
        f"no model '{shown(text)}': neither a name that `araclip models` lists, nor a folder, nor a repository "
        f"(hf:ORG/NAME).{meant}"
    )


def _source_from_request(text: str, request: Request | None) -> PullSource:
    assert request is not None
    if peer := model_registry.BY_NAME.get(request.name):
        return PullSource(text, peer.name, repository=peer.hub_id, request=request)
    name = _make_name(request.location)
    if model_folder.existing_folder(request.location.removeprefix("local-dir:")):
        request = replace(request, name=name)  # the model folder must not name paths of this machine
    return PullSource(text, name, request=request)


def _source_from_repository(text: str, address: str) -> PullSource:
    repository, revision = split_repository(address)
    return PullSource(text, _make_name(repository.partition("/")[2]), repository=repository, revision=revision)


def _source_from_folder(text: str, folder: Path) -> PullSource:
    source = PullSource(text, _make_name(folder.resolve().name))
    if model_folder.names_model_folder(folder):
        return replace(source, folder=folder)
    request = parse_request(text)
    if request is None:
        raise ModelNotFound(
            f"{shown(text)} holds no model that is known here: neither a model folder nor a published layout. "
            "docs/peers.md lists the layouts; a kind before the folder (open_clip:…) tells more than its files do."
        )
    return replace(source, request=replace(request, name=source.name))  # no path of this machine gets into the folder


def _make_name(text: str) -> str:
    """Make a model's name from the last part of a location: at most 96 characters, in lower case."""
    last = text.rstrip("/").rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._")[:96].lower()
    return name or "model"


def files_of_model(config: ModelConfig) -> tuple[str, ...]:
    """Return the names of the files to copy with a model folder; other files in the folder are not copied."""
    return (*PARTS, *config.data_files)


def copy_checked_folder(folder: Path, target: Path) -> ModelConfig:
    """Copy a model folder to `target`, which appears complete and checked, or not at all. Return its config.

    Every file is compared with its hash. Graphs and tokenizer are checked and tried like those of any model from
    strangers (`araclip.models.checks`). An earlier folder at `target` is replaced.
    """
    config = model_folder.read_config(folder)
    parts = files_of_model(config)
    check_space(target.parent, sum((folder / part).stat().st_size for part in parts), f"copying {config.name}")
    target.parent.mkdir(parents=True, exist_ok=True)

    def fill(temporary: Path) -> None:
        for part in parts:
            shutil.copyfile(folder / part, temporary / part)
        model_folder.write_image_processor(temporary, config.image)
        try:
            for part in config.files:
                model_folder.check_hash(temporary, config, part)
            check_model_folder(temporary)
        except ModelMismatch as error:  # name `folder` in the message, because `temporary` will be deleted
            raise ModelMismatch(str(error).replace(str(temporary), str(folder))) from None

    atomic.write_folder(target, fill)
    return config


@dataclass(frozen=True)
class Pulled:
    """A model that was made ready.

    named: the text that --model takes. megabytes: size of the folder. seconds: time for all steps, download included.
    """

    folder: Path
    named: str
    config: ModelConfig
    megabytes: float
    speed: Speed
    seconds: float


def pull(
    text: str,
    *,
    weights: str = WEIGHTS,
    languages: tuple[str, ...] | None = LANGUAGES,
    out: Path | None = None,
    name: str | None = None,
    log: Log = lambda line: None,
    progress: Progress = lambda *counts: None,
    converting: Callable[[], None] = lambda: None,
) -> Pulled:
    """Download, convert, check and time a model; put its folder into `out`, or where its name is enough to find it.

    Args:
        text: a name in the table of models, a hub id, hf:ORG/NAME, KIND:LOCATION, or a folder.
        weights: how to store the weights of a published model: one of `folder.WEIGHTS`, or "TEXT + IMAGE". A tower
            whose vectors this would change too much gets float16. A model folder of AraCLIP is copied as it is.
        languages: the vocabulary of a published model is cut to these languages; None keeps the whole vocabulary.
        out: folder for the model; by default the folder `name` in the user's data directory.
        name: the model's name; by default its name in the table of models, or the repository's or folder's name.
        log: called with a line for each step.
        progress: called with file name, bytes done and total bytes while large files are downloaded.
        converting: called before a published model is loaded by its library; not for AraCLIP's folders.
    """
    weights_by_tower(weights)  # refuses a wrong value before gigabytes are downloaded
    begin = time.perf_counter()
    source = pull_source(text)
    named = name or source.name
    if not NAME.fullmatch(named):
        raise InputError(
            f"'{shown(named)}' cannot be a model's name: up to 96 letters, digits, dots, _ and -, the first a letter "
            "or digit. Pass another with --name."
        )
    if named in bundled():
        raise InputError(f"{named} is the name of a bundled model. Pass another with --name.")
    target = out.expanduser().absolute() if out else models_home() / named
    _check_target(target, named, out)
    if source.request is not None:
        _check_convertible(source, languages)
    source = download_source(source, log, progress, languages)
    if source.folder is not None:
        config = copy_checked_folder(source.folder, target)
        log("hashes compared, graphs and tokenizer checked and tried")
    else:
        converting()
        config = _convert(source, target, weights, languages, named, log)
    if arguments := _arguments_to_pull_again(source, config, text):
        atomic.write_text(target / NOTE, arguments)
    speed = speeds.measure(AraCLIP(target))
    speeds.store_speed(config.fingerprint, speed)
    return Pulled(target, str(target) if out else named, config, megabytes(target), speed, time.perf_counter() - begin)


def _arguments_to_pull_again(source: PullSource, config: ModelConfig, text: str) -> str:
    """Return the arguments of `araclip pull` that make this model again elsewhere; "" if it came from a folder here."""
    if source.repository is None and (source.request is None or model_folder.existing_folder(text)):
        return ""
    if source.folder is not None:
        return f"{HUB}{source.repository}" + (f"@{source.revision}" if source.revision else "")
    languages = ",".join(config.languages) if config.languages else "all"
    weights = config.weights or "float32"
    quoted = f'"{weights}"' if " " in weights else weights
    return f"{text} --weights {quoted} --languages {languages}"


def _check_target(target: Path, name: str, out: Path | None) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if out is not None:
        raise InputError(f"{target} is there already. Name another folder with --out, or move it away.")
    raise InputError(
        f"a model {name} is here already. Use it (--model {name}), remove it first (`araclip models --remove {name}`), "
        "or pull under another --name."
    )


def _check_convertible(source: PullSource, languages: tuple[str, ...] | None) -> None:
    """Raise InputError, before gigabytes are downloaded, if PyTorch is missing or a language's code is unknown."""
    need_pytorch(source.given)
    if languages is not None:
        import_module(VOCABULARY_ENGINE).check_languages(languages)


def download_source(
    source: PullSource, log: Log, progress: Progress, languages: tuple[str, ...] | None = None
) -> PullSource:
    """Download the repository of a source, if the source has one, and return the source with what was found in it.

    The result has `folder` if the repository holds a finished model folder, which araclip can use as it is. It has
    `request` if the repository holds a published model in another library's form, which must still be converted. Any
    other content raises ModelNotFound.
    """
    if source.repository is None:
        return source

    def check_files(files: Files) -> None:
        if not is_model_folder(files):
            _check_convertible(source, languages)

    snapshot = download(source.repository, source.revision, check_files=check_files, log=log, progress=progress)
    folder = snapshot.folder
    if model_folder.names_model_folder(folder):
        return replace(source, folder=folder, request=None)
    if source.request is not None:
        return source
    request = parse_request(str(folder))
    if request is None:
        raise ModelNotFound(
            f"the repository {source.repository} holds no model that is known here: neither a model folder nor a "
            "published layout. docs/peers.md lists the layouts."
        )
    # The name of the downloaded folder is a commit, which names no model, so the image tower is looked up by the name
    # of the repository.
    image = request.image or model_registry.image_tower_of(request.kind, source.repository)
    named = replace(request, name=source.repository, license=snapshot.license, image=image)
    return replace(source, request=named)


def _convert(
    source: PullSource, target: Path, weights: str, languages: tuple[str, ...] | None, name: str, log: Log
) -> ModelConfig:
    need_pytorch(source.given)
    assert source.request is not None
    needed = int(SPACE_FACTOR * bytes_of_weights(source.request))
    check_space(target.parent, needed, f"converting {source.request.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    import_module(ENGINE).make_model_folder(
        source.request, target, weights=weights, languages=languages, name=name, threads=usable_cores(), log=log
    )
    return model_folder.read_config(target)


def bytes_of_weights(request: Request) -> int:
    """Return the bytes of a model's weights, as far as known before they are read; 0 if unknown."""
    peer = model_registry.BY_NAME.get(request.name)
    if peer is not None and peer.megabytes is not None:
        return peer.megabytes * 1_000_000
    folder = model_folder.existing_folder(request.location.removeprefix("local-dir:"))
    files = folder.rglob("*") if folder else ()
    return sum(file.stat().st_size for file in files if file.suffix in (".safetensors", ".bin", ".pt"))


def need_pytorch(given: str) -> None:
    """Raise InputError if PyTorch, or another library that converts models, is not installed."""
    absent = [name for name in NEEDED_PACKAGES if find_spec(name) is None]
    if absent:
        raise InputError(
            f"making a model folder of {given} needs PyTorch ({', '.join(absent)} missing here). Run: pip install "
            "'araclip[peers]'. Or make it on another machine and pull the finished folder, which needs none."
        )


def pull_trainable(
    text: str,
    out: Path,
    *,
    head: Path | None = None,
    image: str | None = None,
    log: Log = lambda line: None,
    progress: Progress = lambda *counts: None,
    converting: Callable[[], None] = lambda: None,
) -> "Trainable":
    """Download AraCLIP as published (the whole model or an older text encoder), and save it as an AraCLIPModel.

    Args:
        text: a name in the table of models, a hub id or a folder.
        out: a folder that does not exist yet or is empty.
        head, image: the head and the image tower for an older text encoder, see `make_trainable`.
        log: called with a line for each step. converting: called before the model is loaded by its library.
        progress: called with file name, bytes done and total bytes while large files are downloaded.
    """
    source = pull_source(text)
    if source.folder is None:
        need_pytorch(source.given)
        source = download_source(source, log, progress)
    if source.folder is not None or source.request is None:
        raise InputError(
            f"{text} is a finished model folder, to search with. `AraCLIPModel.from_pretrained` takes what was trained "
            "with this package as it is; of a published model name the original."
        )
    check_space(out.expanduser().absolute().parent, bytes_of_weights(source.request), f"converting {source.name}")
    converting()
    done: Trainable = import_module(TRAINABLE_ENGINE).make_trainable(
        source.request, out, head=head, image=image, log=log
    )
    return done
