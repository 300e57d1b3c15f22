"""`araclip pull`: any published model, or a finished folder, becomes a model of this user's, once."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from araclip import model_folder
from araclip.core import atomic
from araclip.core.display import Log
from araclip.core.installed_models import NOTE
from araclip.core.paths import models_home
from araclip.encoder import AraCLIP
from araclip.encoder_base import usable_cores
from araclip.errors import InputError, ModelNotFound
from araclip.model_folder import WEIGHTS as STORED
from araclip.model_folder import ModelConfig
from araclip.model_library import speed as speeds
from araclip.model_library.disk_space import check_space
from araclip.model_library.finished import copy_finished
from araclip.model_library.hub import Files, download, is_model_folder
from araclip.model_library.resumable import Progress
from araclip.model_library.sources import HUB, PullSource, model_name, pull_source
from araclip.model_library.speed import Speed
from araclip.peers import model_registry
from araclip.peers.loading import Request, parse_request

LANGUAGES = ("ar", "en")
WEIGHTS = "smooth-int8"  # unless another way to store them is named
ENGINE = "araclip.peers.pull.engine"  # imported by name when needed: it needs PyTorch, a finished folder does not
CHARACTERS = "araclip.peers.pull.characters"
ROOM = 2.2  # times the float32 weights: the exact graphs beside the small ones, while they are compared
NEEDED = ("torch", "transformers", "onnx")


@dataclass(frozen=True)
class Pulled:
    """A model that was made ready. named: what --model takes. seconds: all of it, the download too."""

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
    progress: Progress = lambda *told: None,
    converting: Callable[[], None] = lambda: None,
) -> Pulled:
    """Download, convert, check and measure a model, and put its folder where it is found by name.

    Args:
        text: a name of the table, a hub id, hf:ORG/NAME, a kind and a location, or a folder.
        weights: how a published model's are stored, one of `model_folder.WEIGHTS`, or "TEXT + IMAGE"; a tower whose
            vectors that would move too far gets float16. A finished folder is taken as it is.
        languages: the vocabulary of a published model is cut to these; None keeps all of it.
        out: folder for the model; by default `name` in the user's data directory.
        name: of the model; by default that of the table or repository.
        log: called with a line for each step.
        progress: called with file, bytes done and bytes in all while large files are downloaded.
        converting: called before a published model is loaded by its library; not for a finished folder.

    Raises:
        InputError: something of that name is here already, PyTorch is needed and missing, too little disk space, or
            an argument is invalid.
        ModelNotFound: no such model, no access, no network.
        ModelMismatch, InvalidVectors, ExportRejected: the model's parts are damaged, do not fit or are refused.
    """
    _check_weights(weights)
    begin = time.perf_counter()
    source = pull_source(text)
    named = model_name(name or source.name)
    target = out.expanduser().absolute() if out else models_home() / named
    _check_target(target, named, out)
    if source.request is not None:
        need_pytorch(source.given)
        if languages is not None:  # before gigabytes are downloaded
            import_module(CHARACTERS).check_languages(languages)
    source = downloaded(source, log, progress)
    if source.folder is not None:
        config = copy_finished(source.folder, target)
        log("hashes compared, graphs and tokenizer checked and tried")
    else:
        converting()
        config = _converted(source, target, weights, languages, named, log)
    if again := _again(source, config, text):
        atomic.write_text(target / NOTE, again)
    speed = speeds.measure(AraCLIP(target))
    speeds.remember(config.fingerprint, speed)
    size = sum(file.stat().st_size for file in target.iterdir()) / 1e6
    return Pulled(target, str(target) if out else named, config, size, speed, time.perf_counter() - begin)


def _again(source: PullSource, config: ModelConfig, text: str) -> str:
    """The arguments that make this model again on another machine; empty for a folder of this one."""
    if source.repository is None and (source.request is None or model_folder.existing_folder(text)):
        return ""
    if source.folder is not None:
        return f"{HUB}{source.repository}" + (f"@{source.revision}" if source.revision else "")
    languages = ",".join(config.languages) if config.languages else "all"
    weights = config.weights or "float32"
    quoted = f'"{weights}"' if " " in weights else weights
    return f"{text} --weights {quoted} --languages {languages}"


def _check_weights(weights: str) -> None:
    """Refuse an unknown way before gigabytes are downloaded; the engine has the whole rule."""
    parts = [part.strip() for part in weights.split("+")]
    if len(parts) > 2 or not {*parts} <= {*STORED}:
        raise InputError(
            f"weights '{weights}' are unknown. Choose one of {', '.join(STORED)}; or two of them, 'TEXT + IMAGE'."
        )


def _check_target(target: Path, name: str, out: Path | None) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if out is not None:
        raise InputError(f"{target} is there already. Name another folder with --out, or move it away.")
    raise InputError(
        f"a model {name} is here already. Use it (--model {name}), remove it first (`araclip models --remove {name}`), "
        "or pull under another --name."
    )


def downloaded(source: PullSource, log: Log, progress: Progress) -> PullSource:
    """The source with its files on this machine; a repository tells only now whether it is a finished folder."""
    if source.repository is None:
        return source

    def look(files: Files) -> None:
        if not is_model_folder(files):
            need_pytorch(source.given)

    snapshot = download(source.repository, source.revision, look=look, log=log, progress=progress)
    folder = snapshot.folder
    if model_folder.is_ours(folder):
        return replace(source, folder=folder, request=None)
    if source.request is not None:
        return source
    request = parse_request(str(folder))
    if request is None:
        raise ModelNotFound(
            f"the repository {source.repository} holds no model that is known here: neither a model folder nor a "
            "published layout. docs/peers.md lists the layouts."
        )
    return replace(source, request=replace(request, name=source.repository, license=snapshot.license))


def _converted(
    source: PullSource, target: Path, weights: str, languages: tuple[str, ...] | None, name: str, log: Log
) -> ModelConfig:
    need_pytorch(source.given)
    assert source.request is not None
    check_space(target.parent, int(ROOM * bytes_of(source.request)), f"converting {source.request.name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    import_module(ENGINE).make_model_folder(
        source.request,
        target,
        weights=weights,
        languages=languages,
        name=name,
        threads=usable_cores(),
        log=log,
    )
    return model_folder.read_config(target)


def bytes_of(request: Request) -> int:
    """Of a model's weights in float32, as far as they are known before they are read."""
    peer = model_registry.BY_NAME.get(request.name)
    if peer is not None and peer.megabytes is not None:
        return peer.megabytes * 1_000_000
    folder = model_folder.existing_folder(request.location.removeprefix("local-dir:"))
    files = folder.rglob("*") if folder else ()
    return sum(file.stat().st_size for file in files if file.suffix in (".safetensors", ".bin", ".pt"))


def need_pytorch(given: str) -> None:
    """Refuse what PyTorch is needed for, where it is not installed.

    Raises:
        InputError: a package is missing; the extra is named.
    """
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        raise InputError(
            f"making a model folder of {given} needs PyTorch ({', '.join(absent)} missing here). Run: pip install "
            "'araclip[peers]'. Or make it on another machine and pull the finished folder, which needs none."
        )
