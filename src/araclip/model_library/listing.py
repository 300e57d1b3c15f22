"""The table of `araclip models`: what there is, what is known of it, what is here, what to take for what."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from araclip import model_folder
from araclip.core.installed_models import bundled, pulled
from araclip.errors import AraCLIPError
from araclip.model_folder import ModelConfig
from araclip.model_folder.config import TRIED
from araclip.model_library.speed import Speed, remembered
from araclip.peers.model_registry import BY_NAME, PEERS, Peer, forbids_commerce
from araclip.peers.published_recall import FIRST_CAPTION, PublishedRecall

TAKE = {  # by the published figures, size and licence; docs/peers.md says why
    "araclip-mini": "no network, an old or small machine; non-commercial",
    "siglip-i18n-b16-256": "a CPU, any use",
    "siglip2-b32-256": "a CPU, any use, as fast as possible",
    "siglip2-so400m-384": "best Arabic for any use; a GPU or patience",
    "nllb-siglip-mrl-base": "best Arabic on a CPU; non-commercial",
    "nllb-siglip-mrl-large": "best Arabic; non-commercial; a GPU or patience",
    "araclip-published": "comparing with the paper",
}


@dataclass(frozen=True)
class ModelRow:
    """One model. state: bundled, pulled, or available (to `araclip pull`). Sizes in megabytes; None: not known.

    recall: as published. measured: by this project, as its config.json says it. published_megabytes: of the weights in
    float32. megabytes: of its folder here. weights, languages: of its folder here.
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
    """Bundled and pulled models, then those of the registry: recommended ones first, then by published recall."""
    here = [
        _row_here(name, folder, state)
        for state, models in (("bundled", bundled()), ("pulled", pulled()))
        for name, folder in models.items()
    ]
    known = {row.name for row in here}
    others = [_available(peer) for peer in PEERS if peer.name not in known]
    return here + sorted(others, key=lambda row: (row.take_for is None, -_mean(row)))


def _mean(row: ModelRow) -> float:
    """For the order alone: by the protocol that most models have a figure for."""
    return max((one.mean for one in row.recall if one.protocol == FIRST_CAPTION), default=0.0)


def _available(peer: Peer) -> ModelRow:
    return ModelRow(
        peer.name, "available", peer.width, peer.resolution, peer.license, forbids_commerce(peer.license),
        published_megabytes=peer.megabytes, recall=peer.recall, take_for=TAKE.get(peer.name), hub_id=peer.hub_id,
        kind=peer.kind,
    )  # fmt: skip


def _row_here(name: str, folder: Path, state: str) -> ModelRow:
    try:
        config = model_folder.read_config(folder)
    except AraCLIPError as error:
        return ModelRow(name, state, None, None, None, False, folder=str(folder), fault=str(error))
    peer = _peer_of(name, config)
    return ModelRow(
        name, state, config.width, config.image.size, config.license, forbids_commerce(config.license),
        published_megabytes=peer.megabytes if peer else None, megabytes=_megabytes(folder),
        recall=peer.recall if peer else (), measured={k: v for k, v in config.measured.items() if k != TRIED} or None,
        speed=remembered(config.fingerprint), take_for=TAKE.get(peer.name if peer else name),
        hub_id=peer.hub_id if peer else None, kind=peer.kind if peer else None, weights=config.weights,
        languages=config.languages, fingerprint=config.fingerprint, folder=str(folder),
    )  # fmt: skip


def _peer_of(name: str, config: ModelConfig) -> Peer | None:
    """The row of the registry that a folder was made of: by its source, or by its name."""
    source = (config.source or {}).get("id", "")
    return BY_NAME.get(source) or next((peer for peer in PEERS if peer.hub_id == source), None) or BY_NAME.get(name)


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) / 1e6
