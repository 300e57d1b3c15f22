"""Which program reads text on this machine: RapidOCR where its recogniser is, else Tesseract."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from araclip.core.paths import data_home, is_there, user_path
from araclip.ocr import tesseract
from araclip.ocr.rapidocr import RapidOcr

VARIABLE = "ARACLIP_OCR_MODEL"
MODEL = "ocr.onnx"  # in the data folder, where the variable names none


class Engine(Protocol):
    """A program that reads text in pictures."""

    @property
    def name(self) -> str:
        """What is stored beside a text it has read."""

    def read(self, picture: bytes, seconds: float) -> str:
        """The text in an encoded picture.

        Raises:
            OcrFailed: it is given up.
        """


def recogniser() -> Path | None:
    """The recogniser's file that $ARACLIP_OCR_MODEL names, or `ocr.onnx` in the data folder, if that is there."""
    if named := os.environ.get(VARIABLE):
        return user_path(named)
    usual = data_home() / MODEL
    return usual if is_there(usual) else None


def find() -> Engine:
    """What reads text here.

    Raises:
        InputError: the recogniser named is not there, or RapidOCR is not; or neither a recogniser nor Tesseract
            with Arabic is there. Says what to install.
    """
    model = recogniser()
    return RapidOcr(model) if model else tesseract.find()


@contextmanager
def opened(engine: Engine | None) -> Iterator[Engine]:
    """That engine, or the one of this machine, whose process ends with the block."""
    found = engine or find()
    try:
        yield found
    finally:
        if engine is None and isinstance(found, RapidOcr):
            found.close()
