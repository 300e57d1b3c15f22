"""Manages a user's models: lists them for `araclip models`, recommends some, removes a model, uploads it to the hub."""

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from araclip.core import atomic
from araclip.core.display import Log, counted
from araclip.core.installed_models import bundled, installed, pulled
from araclip.core.paths import data_home
from araclip.errors import AraCLIPError, InputError, ModelNotFound
from araclip.gallery.recorded_model import read_fingerprint, read_record
from araclip.models import folder as model_folder
from araclip.models.checks import check_model_folder
from araclip.models.downloads import hub_errors
from araclip.models.speed import Speed, read_speed
from araclip.peers.model_registry import BY_NAME, FIRST_CAPTION, PEERS, PublishedRecall, find_peer, forbids_commerce
from araclip.peers.pull import files_of_model, split_repository, unknown_model_error

# name of a model → what it is recommended for, by published figures, size and licence; see docs/peers.md
RECOMMENDED_FOR = {
    "araclip-mini": "no network, an old or small machine; non-commercial",
    "siglip-i18n-b16-256": "a CPU, any use",
    "siglip2-b32-256": "a CPU, any use, as fast as possible",
    "siglip2-so400m-256": "best Arabic on a CPU, for any use",
    "siglip2-so400m-384": "best Arabic for any use; a GPU or patience",
    "nllb-siglip-mrl-base": "best Arabic on a CPU; non-commercial",
    "nllb-siglip-mrl-large": "best Arabic; non-commercial; a GPU or patience",
    "araclip-published": "comparing with the paper",
}


@dataclass(frozen=True)
class ModelRow:
    """One row in the table of `araclip models`. None: not known.

    state: bundled, pulled, or available (to `araclip pull`). recall: published figures. measured: figures of this
    project, from the model's config.json. published_megabytes: size of the float32 weights. megabytes: size of the
    model's folder on this machine. weights, languages: from the config.json in that folder. fault: why the folder
    cannot be read.
    """

    name: str
    state: str
    width: int | None
    resolution: int | None
    license: str | None
    forbids_commerce: bool
    published_megabytes: int | None = None
    megabytes: float | None = None
    recall: tuple[PublishedRecall, ...] = ()
    measured: dict[str, Any] | None = None
    speed: Speed | None = None
    take_for: str | None = None
    hub_id: str | None = None
    kind: str | None = None
    weights: str | None = None
    languages: tuple[str, ...] | None = None
    fingerprint: str | None = None
    folder: str | None = None
    fault: str | None = None


def model_rows() -> list[ModelRow]:
    """Return bundled and pulled models, then the other published models that the registry lists.

    Of the other models, the recommended ones come first. Recommended models, and then all others, are sorted by
    published recall, the highest first.
    """
    here = [
        _make_row(name, folder, state)
        for state, models in (("bundled", bundled()), ("pulled", pulled()))
        for name, folder in models.items()
    ]
    known = {row.name for row in here}
    others = [
        ModelRow(
            peer.name, "available", peer.width, peer.resolution, peer.license, forbids_commerce(peer.license),
            published_megabytes=peer.megabytes, recall=peer.recall, hub_id=peer.hub_id,
            kind=peer.kind, take_for=RECOMMENDED_FOR.get(peer.name),
        )
        for peer in PEERS if peer.name not in known
    ]  # fmt: skip

    def order(row: ModelRow) -> tuple[bool, float]:
        means = [one.mean for one in row.recall if one.protocol == FIRST_CAPTION]
        return row.take_for is None, -max(means, default=0.0)

    return here + sorted(others, key=order)


def _make_row(name: str, folder: Path, state: str) -> ModelRow:
    try:
        config = model_folder.read_config(folder)
    except AraCLIPError as error:
        return ModelRow(name, state, None, None, None, False, folder=str(folder), fault=str(error))
    # the published model that the folder was made from, if it is known
    peer = find_peer((config.source or {}).get("id", "")) or BY_NAME.get(name)
    return ModelRow(
        name, state, config.width, config.image.size, config.license, forbids_commerce(config.license),
        published_megabytes=peer.megabytes if peer else None, megabytes=model_folder.megabytes(folder),
        recall=peer.recall if peer else (), measured=config.measured or None,
        speed=read_speed(config.fingerprint), take_for=RECOMMENDED_FOR.get(peer.name if peer else name),
        hub_id=peer.hub_id if peer else None, kind=peer.kind if peer else None, weights=config.weights,
        languages=config.languages, fingerprint=config.fingerprint, folder=str(folder),
    )  # fmt: skip


def galleries_of(name: str) -> list[Path]:
    """Find the galleries that cannot be searched without a pulled model, because the model made their vectors.

    Only galleries in the user's data directory are found. If another model on this machine has the same fingerprint,
    it can search them as well, so none is returned.
    """
    fingerprint = read_fingerprint(_find_pulled(name))  # None if the model is damaged; then names are compared
    others = [read_fingerprint(folder) for other, folder in installed().items() if other != name]
    if fingerprint and fingerprint in others:
        return []
    found = []
    home = data_home() / "galleries"
    for gallery in sorted(home.iterdir()) if home.is_dir() else ():
        with suppress(AraCLIPError, OSError):
            record = read_record(gallery) if gallery.is_dir() else None
            if record and (record.fingerprint == fingerprint or (not fingerprint and record.name == name)):
                found.append(gallery)
    return found


def remove(name: str) -> int:
    """Delete a pulled model and return the bytes freed. Galleries made with the model stay, and still need it."""
    folder = _find_pulled(name)
    if folder.is_symlink():  # delete only the link, not the model to which it leads
        folder.unlink()
        return 0
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    aside = folder.with_name(f".{name}.removed")  # no model can have this name, so a half-deleted folder is never found
    shutil.rmtree(aside, ignore_errors=True)
    atomic.step("set aside")
    folder.rename(aside)
    shutil.rmtree(aside)
    return size


def _find_pulled(name: str) -> Path:
    if name in bundled():
        raise InputError(f"{name} ships with this package and cannot be removed alone.")
    here = pulled()
    if name not in here:
        if not here:
            raise ModelNotFound("no model was pulled yet, so there is none to remove.")
        raise ModelNotFound(f"{unknown_model_error(name)} Pulled models: {', '.join(here)}.")
    return here[name]


@dataclass(frozen=True)
class Pushed:
    """Where a model was uploaded (repository, page and commit), and the megabytes of its files."""

    repository: str
    url: str
    commit: str
    megabytes: float


def push(
    named: str, repository: str, *, private: bool = False, message: str | None = None, log: Log = lambda line: None
) -> Pushed:
    """Check a model folder and upload it to hf:ORG/NAME; create the repository if it is missing, private if `private`.

    Only the files that belong to a model folder are uploaded. huggingface_hub provides the token: $HF_TOKEN, or the
    token of `hf auth login`.
    """
    address, revision = split_repository(repository)
    if revision:
        raise InputError(f"a model is pushed to the main branch. Leave @{revision} out.")
    folder = model_folder.find(named)
    config = model_folder.read_config(folder)
    for part in config.files:  # all hashes are checked again, since other people will use this copy
        model_folder.check_hash(folder, config, part)
    check_model_folder(folder)
    parts = files_of_model(config)
    size = sum((folder / part).stat().st_size for part in parts) / 1e6
    log(f"{config.label} checked: {counted(len(parts), 'file')}, {size:,.0f} MB")
    from huggingface_hub import HfApi, get_token

    if not (token := get_token()):
        raise InputError(
            "pushing needs a token of the hub with write access. Run `hf auth login`, or put one into $HF_TOKEN."
        )
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    with hub_errors(address, doing="the upload to"):
        api.create_repo(address, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=address, folder_path=Path(folder), allow_patterns=list(parts),
            commit_message=message or f"{config.name} {config.fingerprint}, made with araclip",
        )  # fmt: skip
    return Pushed(address, str(getattr(done, "repo_url", "") or f"{api.endpoint}/{address}"), str(done.oid), size)
