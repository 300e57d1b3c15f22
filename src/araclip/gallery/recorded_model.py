"""The model that a gallery records: read and write the record, find the model here, or stand in for a missing one."""

from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

from araclip.core.display import shown
from araclip.core.installed_models import installed
from araclip.errors import AraCLIPError, GalleryCorrupt, ModelNotFound
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import RecordedModel
from araclip.gallery.catalog.schema import is_gallery, is_unfinished
from araclip.models import folder as model_folder
from araclip.models.encoder import AraCLIP, Encoder, ModelLike, as_encoder, is_known_peer
from araclip.models.encoder_base import usable_cores
from araclip.models.folder import DEFAULT_MODEL


def read_record(folder: Path) -> RecordedModel | None:
    """Read what the gallery in a folder records about its model; None if there is no gallery, or an unfinished one."""
    if not is_gallery(folder):
        return None
    try:
        with closing(Catalog.open(folder, None, checked=False)) as catalog:
            return catalog.recorded
    except GalleryCorrupt:
        if is_unfinished(folder):
            return None
        raise


def record_whereabouts(catalog: Catalog, model: Encoder) -> None:
    """Record where the gallery's model can be found now, if that is known and has changed.

    The caller holds the writer's lock.
    """
    now = RecordedModel.of(model).whereabouts()
    changed = {key: value for key, value in now.items() if value and catalog.meta(key) != value}
    if changed:
        with catalog.writing(visible=False):
            for key, value in changed.items():
                catalog.put_meta(key, value)


def encoder_for(
    model: ModelLike | None,
    record: Callable[[], RecordedModel | None],
    gallery: object,
    *,
    threads: int | None = None,
    device: str | None = None,
) -> Encoder:
    """Return the encoder to open a gallery with: `model` if given, else the gallery's own, or the default.

    Args:
        model: a name, a path or an encoder; None if the user named no model.
        record: reads the gallery's record; it returns None if there is no gallery yet.
        gallery: the gallery's location, for messages.
        threads, device: the number of threads and the device that run the model; None for the defaults.
    """
    if model is not None:
        return as_encoder(model, threads=threads, device=device)
    recorded = record()
    return as_encoder(DEFAULT_MODEL, threads=threads, device=device) if recorded is None else recorded_encoder(
        recorded, gallery, threads=threads, device=device
    )  # fmt: skip


def recorded_encoder(
    record: RecordedModel, gallery: object, *, threads: int | None = None, device: str | None = None
) -> Encoder:
    """Load the model that a gallery records: a bundled, pulled or recorded model folder, or a known published model.

    The record of an untrusted gallery may say anything, so nothing else is loaded than a model folder with the recorded
    fingerprint, an installed model of the recorded name, or a published model that araclip knows under this name.

    Raises:
        ModelNotFound: the model is not on this machine; the message says how to get it.
    """
    here = installed()
    named = sorted(here.items(), key=lambda item: item[0] != record.name)  # try the recorded name first
    origin = model_folder.existing_folder(record.origin) if Path(record.origin).is_absolute() else None
    for folder in (*(folder for _, folder in named), origin):
        if folder is not None and read_fingerprint(folder) == record.fingerprint:
            return AraCLIP(folder, threads=threads, device=device)
    # This model has the recorded name, but is another release of it: opening the gallery with it raises an error.
    if record.name in here:
        return AraCLIP(record.name, threads=threads, device=device)
    # A record with a source tells of a pulled model. Its vectors differ from the published model's, so the published
    # model is not loaded in its place.
    for peer in () if record.source else (record.origin, record.name):
        if is_known_peer(peer):
            return as_encoder(peer, threads=threads, device=device)
    raise _model_not_found(record, gallery)


def _model_not_found(record: RecordedModel, gallery: object) -> ModelNotFound:
    """Return the error to raise if the recorded model of a gallery is not on this machine, with its remedy."""
    was = f" It was {shown(record.origin)}." if record.origin and record.origin != record.name else ""
    # True if the user can pass the origin to --model: it is KIND:LOCATION of a published model, and holds no path (the
    # model is no longer there)
    places = record.origin, record.origin.partition(":")[2]
    by_hand = ":" in record.origin and not any(Path(place).is_absolute() for place in places)
    if record.source:
        get = (
            f"Get it with `araclip pull {shown(record.source)}`, or copy its model folder here and name that "
            "(--model FOLDER)"
        )
    elif by_hand:
        get = f"If you trust the gallery, name it, and its library loads it: --model {shown(record.origin)}"
    else:
        get = "Copy its model folder here and name that (--model FOLDER)"
    return ModelNotFound(
        f"gallery {gallery} holds {record.width}-wide vectors of {shown(record.label)}, and that model is not on this "
        f"machine.{was} {get}; or encode the pictures again with another one: `araclip index FOLDER --model OTHER "
        "--reembed`."
    )


def read_fingerprint(folder: Path) -> str | None:
    """Return the fingerprint of the model in a folder; None if the folder holds no model that can be used."""
    try:
        return model_folder.read_config(folder).fingerprint
    except AraCLIPError:  # a damaged folder, or one that this release cannot read, holds no model that can be used
        return None


class AbsentModel:
    """Stands in for a gallery's model that is not on this machine; every attempt to encode raises the error `why`.

    It has the name, fingerprint and width that the gallery records, which is enough for statistics, checks, duplicates,
    removal and export.
    """

    license: str | None = None
    image_size = 1

    def __init__(self, record: RecordedModel, why: AraCLIPError) -> None:
        self.name, self.fingerprint, self.width = record.name, record.fingerprint, record.width
        self.origin, self.source, self.label = record.origin, record.source, record.label
        self.threads = usable_cores()
        self._why = why

    def encode_text(self, texts: str | Iterable[str], *, batch_size: int = 0) -> NoReturn:
        """Raise the error that says why the model cannot be loaded."""
        raise self._why

    def encode_image(self, pictures: Any, *, batch_size: int = 0) -> NoReturn:
        """Raise the error that says why the model cannot be loaded."""
        raise self._why

    def encode_pixels(self, pixels: Any) -> NoReturn:
        """Raise the error that says why the model cannot be loaded."""
        raise self._why
