"""Published weights, read without executing pickles, and checked against a model by name and shape."""

from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor

from araclip import bounded_json
from araclip.errors import ModelMismatch, ModelNotFound, first_line
from araclip.models.folder import existing_folder
from araclip.training.failures import not_loaded, reason

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_SMALL = ["*.json", "*.txt", "*.model", "*.pickle", "*.pkl"]


def folder_of(name: str, location: str) -> Path:
    """A local folder as it is, or the snapshot of a hub id, which is downloaded where this machine does not have it.

    Args:
        name: of the model, for messages.

    Raises:
        ModelNotFound: no such folder, and no repository that can be downloaded.
    """
    if folder := existing_folder(location):
        return folder
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(location, allow_patterns=_SMALL))
        for weights in WEIGHTS:  # repositories often hold both, of gigabytes each
            snapshot_download(location, allow_patterns=[weights, f"{weights}.index.json", weights.replace(".", "-*.")])
            if any(folder.glob(weights.replace(".", "*."))):
                break
    except (OSError, ValueError) as error:
        raise not_loaded(name, error, "give a local folder, or a hub id while the hub can be reached") from error
    return folder


def read_json(path: Path) -> dict[str, Any]:
    """An object of a JSON file.

    Raises:
        ModelNotFound: there is no such file.
        ModelMismatch: it is damaged, or holds something else.
    """
    if not path.is_file():
        raise ModelNotFound(f"{path} is missing or cannot be read. Copy the model's folder again, whole.")
    try:
        content = bounded_json.read(path, error=ModelMismatch)
    except ModelMismatch as error:
        fault = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise ModelMismatch(f"{path} is not valid JSON ({fault}). Copy the model's folder again.") from None
    if not isinstance(content, dict):
        raise ModelMismatch(f"{path} holds a {type(content).__name__}, expected an object.")
    return content


def is_saved(folder: Path) -> bool:
    """Whether a folder is a saved AraCLIPModel, by its config.json."""
    config = folder / "config.json"
    return config.is_file() and read_json(config).get("model_type") == "araclip"


def read_state(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder's weights, in one file or in several with an index.

    Raises:
        ModelNotFound: there are none.
        ModelMismatch: a file is damaged, or is a pickle that holds more than tensors; it was not run.
    """
    for weights in WEIGHTS:
        index = folder / f"{weights}.index.json"
        if (folder / weights).is_file():
            return _read(folder / weights)
        if index.is_file():
            table = read_json(index).get("weight_map")
            if not isinstance(table, dict):
                raise ModelMismatch(f"{index}: weight_map is {table!r:.60}, expected an object. Copy the folder again.")
            shards = sorted({Path(str(name)).name for name in table.values()})
            return {name: tensor for shard in shards for name, tensor in _read(folder / shard).items()}
    raise ModelNotFound(f"{folder} holds no weights: neither {' nor '.join(WEIGHTS)}. Copy the model's folder again.")


def _read(path: Path) -> dict[str, Tensor]:
    state: Any
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            mapped = is_zipfile(path)  # weights are then read when they are used; the oldest files are no archives
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except UnpicklingError as error:
        raise ModelMismatch(
            f"{path} is refused: it is a damaged file, or a pickle that holds more than tensors, which could run code "
            f"({first_line(error):.200}). Get the weights as safetensors, or from a source you trust."
        ) from error
    except Exception as error:  # a damaged archive makes torch raise nearly anything
        raise ModelMismatch(f"{path} cannot be read ({reason(error)}). Copy the file again.") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ModelMismatch(f"{path} holds no table of named tensors. Copy the file again.")
    return dict(state)


def check_fit(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: Path, optional: Collection[str]
) -> None:
    """Refuse a checkpoint whose tensors are not those that a model has, by name and shape.

    Args:
        optional: beginnings and ends of names that may be missing or unused.

    Raises:
        ModelMismatch: a tensor is missing, unknown or of another shape; the first of each is named.
    """
    ends = tuple(optional)
    missing = sorted(set(expected) - set(tensors))
    extra = sorted(
        name for name in set(tensors) - set(expected) if not name.startswith(ends) and not name.endswith(ends)
    )
    shapes = sorted(
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in set(tensors) & set(expected)
        if tensors[name].shape != expected[name].shape
    )
    faults = [
        *(f"{name} is missing, expected {tuple(expected[name].shape)}" for name in missing),
        *(f"{name} of {tuple(tensors[name].shape)} is not expected" for name in extra),
        *shapes,
    ]
    if faults:
        more = f" (and {len(faults) - 1} more of {len(expected)} tensors)" if len(faults) > 1 else ""
        raise ModelMismatch(
            f"{source}: {faults[0]}{more}. The weights are not those that its config.json describes: copy the whole "
            "folder again, or name another kind of model."
        )
