"""The model of a gallery that is not on this machine: enough to look after the gallery, not to encode."""

from collections.abc import Iterable
from typing import Any, NoReturn

from araclip.encoder_base import usable_cores
from araclip.errors import ModelNotFound
from araclip.gallery.recorded_model import RecordedModel


class AbsentModel:
    """An `Encoder` with the name and width that a gallery records; whatever would need the model says why it cannot be.

    Statistics, checks, duplicates, removal and export need no model.
    """

    license: str | None = None
    image_size = 1

    def __init__(self, record: RecordedModel, why: ModelNotFound) -> None:
        self.name, self.fingerprint, self.width = record.name, record.fingerprint, record.width
        self.origin, self.source, self.label = record.origin, record.source, record.label
        self.threads = usable_cores()
        self._why = why

    def encode_text(self, texts: str | Iterable[str], *, batch_size: int = 0) -> NoReturn:
        """Say that the model is not here.

        Raises:
            ModelNotFound: always.
        """
        raise self._why

    def encode_image(self, pictures: Any, *, batch_size: int = 0) -> NoReturn:
        """As `encode_text`."""
        raise self._why

    def encode_pixels(self, pixels: Any) -> NoReturn:
        """As `encode_text`."""
        raise self._why
