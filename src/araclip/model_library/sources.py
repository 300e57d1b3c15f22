"""What `araclip pull` was asked for: a model of the table, a repository of the hub, a folder."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from araclip import model_folder
from araclip.core.display import shown
from araclip.core.installed_models import bundled
from araclip.errors import InputError, ModelNotFound
from araclip.peers import model_registry
from araclip.peers.loading import KINDS, Request, nearest, parse_request

HUB = "hf:"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True)
class PullSource:
    """What is pulled.

    given: as it was typed. name: of the model folder, unless another is wanted. folder: a finished model folder on
    this machine. repository, revision: of the hub, to be downloaded first. request: a published model that has to be
    converted; None where only the files of `repository` tell.
    """

    given: str
    name: str
    folder: Path | None = None
    repository: str | None = None
    revision: str | None = None
    request: Request | None = None


def pull_source(text: str) -> PullSource:
    """The source that a text names: a name or hub id of the table, hf:ORG/NAME[@REVISION], ORG/NAME, KIND:LOCATION, or
    a folder.

    Raises:
        InputError: a bundled model, or a malformed address.
        ModelNotFound: nothing of that name; the nearest names are given.
    """
    if text in bundled():
        raise InputError(f"{text} ships with this package: use it as it is, `--model {text}`.")
    if text in model_registry.BY_NAME:
        return _of_request(text, parse_request(text))
    if text.startswith(HUB):
        return _of_repository(text, text.removeprefix(HUB))
    if text.partition(":")[0] in KINDS:
        return _of_request(text, parse_request(text))
    if (folder := model_folder.existing_folder(text)) is not None:
        return _of_folder(text, folder)
    if (request := parse_request(text)) is not None:  # the hub id of a row of the table
        return _of_request(text, request)
    if _REPOSITORY.fullmatch(text.partition("@")[0]):
        return _of_repository(text, text)
    raise unknown(text)


def repository_of(text: str) -> tuple[str, str | None]:
    """Repository and revision of ORG/NAME[@REVISION], with or without hf: before it.

    Raises:
        InputError: it is none.
    """
    repository, _, revision = text.removeprefix(HUB).partition("@")
    if not _REPOSITORY.fullmatch(repository):
        raise InputError(f"'{shown(text)}' names no repository. Write hf:ORG/NAME, or hf:ORG/NAME@REVISION.")
    return repository, revision or None


def unknown(text: str) -> ModelNotFound:
    """The error for a name that nothing has, with the names that are nearest to it."""
    near = nearest(text)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return ModelNotFound(
        f"no model '{shown(text)}': neither a name that `araclip models` lists, nor a folder, nor a repository "
        f"(hf:ORG/NAME).{meant}"
    )


def model_name(name: str) -> str:
    """A name that a folder can have.

    Raises:
        InputError: it has other characters than letters, digits, dots, _ and -, or it is a bundled model's.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"'{shown(name)}' cannot be a model's name: up to 96 letters, digits, dots, _ and -, the first a letter or "
            "digit. Pass another with --name."
        )
    if name in bundled():
        raise InputError(f"{name} is the name of a bundled model. Pass another with --name.")
    return name


def _of_request(text: str, request: Request | None) -> PullSource:
    assert request is not None
    if peer := model_registry.BY_NAME.get(request.name):
        return PullSource(text, peer.name, repository=peer.hub_id, request=request)
    name = _plain(request.location)
    if model_folder.existing_folder(request.location.removeprefix("local-dir:")):
        request = replace(request, name=name)  # no paths of this machine in the folder
    return PullSource(text, name, request=request)


def _of_repository(text: str, address: str) -> PullSource:
    repository, revision = repository_of(address)
    return PullSource(text, _plain(repository.partition("/")[2]), repository=repository, revision=revision)


def _of_folder(text: str, folder: Path) -> PullSource:
    source = PullSource(text, _plain(folder.resolve().name))
    if model_folder.is_ours(folder):
        return replace(source, folder=folder)
    request = parse_request(text)
    if request is None:
        raise ModelNotFound(
            f"{shown(text)} holds no model that is known here: neither a model folder nor a published layout. "
            "docs/peers.md lists the layouts; a kind before the folder (open_clip:…) tells more than its files do."
        )
    return replace(source, request=replace(request, name=source.name))  # no paths of this machine in the folder


def _plain(text: str) -> str:
    """A name made of the last part of a location."""
    last = text.rstrip("/").rpartition("/")[2]
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-._")[:96].lower()
    return name or "model"
