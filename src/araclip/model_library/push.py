"""`araclip push`: a model folder becomes a repository of the hub, for others to pull without PyTorch."""

import os
from dataclasses import dataclass
from pathlib import Path

from araclip import model_folder
from araclip.core.display import Log, counted
from araclip.errors import InputError
from araclip.model_checks.model_check import check_model_folder
from araclip.model_library.finished import parts_of
from araclip.model_library.hub import hub_errors
from araclip.model_library.sources import repository_of


@dataclass(frozen=True)
class Pushed:
    """Where a model was uploaded: its repository, page and commit."""

    repository: str
    url: str
    commit: str
    megabytes: float


def push(
    named: str, repository: str, *, private: bool = False, message: str | None = None, log: Log = lambda line: None
) -> Pushed:
    """Upload a model folder, whole and checked, to hf:ORG/NAME; the repository is made if it does not exist.

    Only the files that belong to a model folder are uploaded. The token is huggingface_hub's ($HF_TOKEN, or that of
    `hf auth login`).

    Raises:
        ModelNotFound, ModelMismatch, InvalidVectors: the folder is not there, or somebody who pulls it would refuse it.
        InputError: no repository's name, or no token.
        ModelNotFound: the hub refuses it, or cannot be reached.
    """
    address, revision = repository_of(repository)
    if revision:
        raise InputError(f"a model is pushed to the main branch. Leave @{revision} out.")
    folder = model_folder.find(named)
    config = model_folder.read_config(folder)
    for part in config.files:  # compared although the folder may have been checked before: this copy goes to others
        model_folder.check_hash(folder, config, part)
    check_model_folder(folder)
    parts = parts_of(config)
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
