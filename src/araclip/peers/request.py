"""Which published model a text names, and which function loads its kind of model; imports no torch."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from araclip.core import bounded_json
from araclip.core.installed_models import installed
from araclip.errors import InputError, ModelMismatch, ModelNotFound
from araclip.models.folder import existing_folder
from araclip.peers import model_registry

MAX_SETTINGS = 8_000_000  # limit: bytes of a config.json
HEADS = ("*.pickle", "*.pkl")  # names of pickles that may hold the linear head of an older AraCLIP


@dataclass(frozen=True)
class Kind:
    """A kind of model: how its location is written, the function that loads it, and the packages that loading needs."""

    way: str
    loader: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """A model to load. `image` is the location of the image tower, if it is not at the location of the text tower."""

    name: str
    kind: str
    location: str
    image: str | None = None
    license: str | None = None
    threads: int = 1
    device: str = "cpu"


KINDS: Mapping[str, Kind] = {
    "araclip": Kind(
        "araclip:FOLDER_OR_HUB_ID[+open_clip:MODEL/TAG_OR_FILE]",
        "araclip.peers.published_araclip.load_published", ("open_clip", "timm"),
    ),
    "m-clip": Kind(
        "m-clip:FOLDER_OR_HUB_ID[+open_clip:MODEL/TAG_OR_FILE]", "araclip.peers.mclip.load_mclip", ("open_clip",)
    ),
    "mexma": Kind("mexma:FOLDER_OR_HUB_ID", "araclip.peers.mexma.load_mexma"),
    "altclip": Kind("altclip:FOLDER_OR_HUB_ID", "araclip.peers.libraries.load_transformers"),
    "open_clip": Kind(
        "open_clip:MODEL/TAG_OR_FILE, open_clip:local-dir:FOLDER, open_clip:hf-hub:HUB_ID",
        "araclip.peers.libraries.load_open_clip", ("open_clip",),
    ),
    "transformers": Kind("transformers:FOLDER_OR_HUB_ID", "araclip.peers.libraries.load_transformers"),
    "sentence-transformers": Kind(
        "sentence-transformers:FOLDER_OR_HUB_ID[+sentence-transformers:FOLDER_OR_HUB_ID]",
        "araclip.peers.libraries.load_sentence_transformers", ("sentence_transformers",),
    ),
    "translate": Kind("translate:MODULE:FUNCTION/MODEL", "araclip.peers.translation.load_translation"),
}  # fmt: skip
IMAGE_TOWERS = {"araclip": "open_clip", "m-clip": "open_clip", "sentence-transformers": "sentence-transformers"}


def parse_request(text: str) -> Request | None:
    """Parse a text that names a published model: name, hub id, KIND:LOCATION or folder. None for any other text."""
    if peer := model_registry.find_peer(text):
        return Request(peer.name, peer.kind, peer.location, peer.image, peer.license)
    if (folder := existing_folder(text)) is not None:
        kind = kind_of_folder(folder)
        if kind is None:
            return None
        image = model_registry.image_tower_of(kind, folder.name)
        return Request(folder.name, kind, f"local-dir:{folder}" if kind == "open_clip" else str(folder), image)
    kind, _, location = text.partition(":")
    if kind not in KINDS:
        return None
    image = ""
    if kind in IMAGE_TOWERS:
        location, _, image = location.partition(f"+{IMAGE_TOWERS[kind]}:")
    location, image = _expand_home(location), _expand_home(image)
    if not location:
        raise ModelNotFound(f"'{text}' has no location. Expected {KINDS[kind].way}.")
    same_kind = (peer for peer in model_registry.PEERS if peer.kind == kind)
    known = next((peer for peer in same_kind if location in (peer.location, peer.hub_id)), None)
    image = image or model_registry.image_tower_of(kind, location)
    return Request(text, kind, location, image, known.license if known else None)


def _expand_home(location: str) -> str:
    """Replace ~ by the home folder if a location is the path of an existing folder and begins with ~.

    Shells do not replace the ~ in KIND:~/folder, since it does not begin a word.
    """
    before = "local-dir:" if location.startswith("local-dir:") else ""
    path = location.removeprefix(before)
    folder = existing_folder(path) if path.startswith("~") else None
    return location if folder is None else f"{before}{folder}"


def nearest_names(text: str) -> list[str]:
    """Return up to three known names that are spelled like `text`, which names no model.

    Known are the models on this machine, and the names and hub ids in the registry.
    """
    known = [*installed(), *model_registry.BY_NAME, *(peer.hub_id for peer in model_registry.PEERS)]
    folded = {name.lower(): name for name in known}
    return [folded[name] for name in difflib.get_close_matches(text.lower()[:200], folded, 3, 0.6)]


def is_known_request(text: str) -> bool:
    """True if a gallery may name this model: a name in the registry, or KIND:LOCATION that runs no code.

    LOCATION must be in the registry or be an existing folder. If the text also names the location of an image tower,
    the same holds for that location. `translate:` imports a module, so only a person may name such a model.
    """
    if text in model_registry.BY_NAME:
        return True
    kind, _, location = text.partition(":")
    if kind not in KINDS or kind == "translate":
        return False
    parts = location.split(f"+{IMAGE_TOWERS[kind]}:") if kind in IMAGE_TOWERS else [location]
    known = {place for peer in model_registry.PEERS for place in (peer.location, peer.image)}
    return all(part in known or existing_folder(part.removeprefix("local-dir:")) for part in parts)


def text_of_request(request: Request) -> str:
    """Return a text from which `parse_request` makes this request again, whatever the working folder."""
    if request.name in model_registry.BY_NAME:
        return request.name
    image = f"+{IMAGE_TOWERS[request.kind]}:{request.image}" if request.image and request.kind in IMAGE_TOWERS else ""
    before = "local-dir:" if request.location.startswith("local-dir:") else ""
    folder = existing_folder(request.location.removeprefix(before))
    return f"{request.kind}:{f'{before}{folder.absolute()}' if folder else request.location}{image}"


def kind_of_folder(folder: Path) -> str | None:
    """Return the kind of model that a folder holds, told by its files; None if unknown.

    Raises:
        ModelMismatch: config.json cannot be read, but other files tell of a model.
    """
    if (folder / "open_clip_config.json").is_file():
        return "open_clip"
    if not (folder / "config.json").exists():
        config: dict[str, Any] = {}
    else:
        try:
            config = bounded_json.read(folder / "config.json", max_bytes=MAX_SETTINGS, kind=dict)
        except InputError as error:
            if (folder / "modules.json").is_file() or find_heads(folder):
                raise ModelMismatch(f"{error} Copy the model's folder again.") from None
            config = {}
    if "format" in config:  # a damaged folder of AraCLIP: callers try a sound one first
        return None
    model_type = config.get("model_type")
    if "transformer_cfg" in config or model_type == "araclip" or find_heads(folder):
        return "araclip"
    if "modelBase" in config:
        return "m-clip"
    architectures = config.get("architectures")
    if isinstance(architectures, list) and "MexmaSigLIP" in architectures:
        return "mexma"
    if model_type == "altclip":
        return "altclip"
    if (folder / "modules.json").is_file():
        return "sentence-transformers"
    # A folder with an auto_map wants its own code to be run; transformers' loader refuses this with a clear message.
    return "transformers" if model_type or "auto_map" in config else None


def find_heads(folder: Path) -> list[Path]:
    """Return the paths of a folder's pickles; older AraCLIP text encoders keep their head, a linear layer, in one."""
    return sorted(path for pattern in HEADS for path in folder.glob(pattern))
