"""Loads a published model by name, after checking that its packages are installed; imports no torch before."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from os import PathLike, fspath

from araclip.errors import InputError
from araclip.models.encoder import Encoder
from araclip.peers.request import KINDS, Request, parse_request
from araclip.training.failures import failures

_PACKAGE_NAMES = {"sentence_transformers": "sentence-transformers"}


def load_peer(name_or_path: str | PathLike[str], threads: int, device: str) -> Encoder | None:
    """Load the encoder that a text names: a listed published model (peer), KIND:LOCATION, or a folder of such a model.

    Return None for any other text; raise InputError if a package is not installed.
    """
    request = parse_request(fspath(name_or_path))
    return None if request is None else load_request(request, threads, device)


def load_request(request: Request, threads: int = 1, device: str = "cpu") -> Encoder:
    """Load the published model that a request (kind and location) names; InputError if a package is not installed."""
    kind = KINDS[request.kind]
    absent = [name for name in ("torch", "transformers", *kind.needs) if find_spec(name) is None]
    if absent:
        names = ", ".join(_PACKAGE_NAMES.get(name, name) for name in absent)
        raise InputError(
            f"{request.name} needs {names}. Install the extra: pip install 'araclip[peers]'. Made ready once "
            "(`araclip pull`), here or on another machine whose folder is pulled here, it needs none of them."
        )
    from araclip.peers.torch_encoder import torch_device

    module, _, function = kind.loader.rpartition(".")
    load: Callable[[Request], Encoder] = getattr(import_module(module), function)
    with failures(request.name, "copy the model's folder again, or name another"):
        return load(replace(request, threads=threads, device=torch_device(device)))
