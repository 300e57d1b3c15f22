"""Read the text in pictures (OCR) in a separate process, after the pictures were indexed.

For each picture that can be opened the result is stored: its text, that it shows none, or that OCR was given up.
Results are committed in groups. So the next run goes on where a run was stopped; after a kill, it repeats one group.
An engine that does not work ends the run; the pictures that it failed to read are tried again by the next run.
"""

import io
import time
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from araclip.errors import ImageError, OcrFailed
from araclip.gallery.catalog.catalog import Catalog
from araclip.gallery.catalog.records import STORED_PREFIX
from araclip.gallery.catalog.sql_store import Turn
from araclip.gallery.ingest.intake import scene_jpeg
from araclip.gallery.ingest.update import FilesProgress, Skip
from araclip.pictures.images import encode_picture, map_ahead, open_image
from araclip.pictures.ocr.detector import SIDE, looks_like_text
from araclip.pictures.ocr.engines import Engine
from araclip.pictures.video.scenes import scene_of

SECONDS = 60.0  # seconds allowed for one picture; a dense page takes about 5 on one core
LONG_SIDE = 2400  # pixels of the longer side given to OCR; letters of 20 pixels and more are read best
SHORT_SIDE = 1000  # a picture with a smaller longer side is enlarged, to at most twice its size
COMMIT_EVERY, COMMIT_SECONDS = 64, 10.0  # texts are committed after this many pictures or seconds
NO_TEXT = "no text"  # stored in place of the engine's name if a picture shows no text


@dataclass
class Reading:
    """The result of one OCR run.

    `read` counts the pictures with text, `without` those without. `skipped` has one line for each picture that was
    given up or could not be opened.
    """

    read: int = 0
    without: int = 0
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _OcrResult:
    """The result of OCR for one picture.

    `by` names the engine, or says why there is no text; it is None if the picture could not be opened now.
    """

    by: str | None
    text: str = ""
    fault: str = ""


def read_pictures(
    catalog: Catalog, engine: Engine, threads: int, turn: Turn, progress: FilesProgress, skip: Skip,
    seconds: float | None = None,
) -> Reading:  # fmt: skip
    """Read and store the text of every picture that OCR has not processed yet; see `Gallery.ocr`."""
    waiting = catalog.without_ocr()
    report, done, group, since = Reading(), 0, list[tuple[int, _OcrResult]](), time.monotonic()

    def read_text(picture: tuple[int, list[str]]) -> _OcrResult:
        content, paths = picture
        fault = ""
        for path in paths:
            scene = scene_of(path)
            try:
                if path.startswith(STORED_PREFIX):
                    source: str | io.BytesIO = io.BytesIO(catalog.stored_pixels(content) or b"")
                else:
                    source = io.BytesIO(scene_jpeg(scene)) if scene else path
                if not looks_like_text(_for_text_detector(source)):
                    return _OcrResult(NO_TEXT)
                png = _png_for_ocr(open_image(source, LONG_SIDE // 2))
            except (OSError, ImageError) as error:
                fault = f"{paths[0]}: its text was not read ({getattr(error, 'strerror', None) or error})"
                continue
            try:
                return _OcrResult(engine.name, engine.read(png, SECONDS if seconds is None else seconds))
            except OcrFailed as error:
                return _OcrResult(f"given up: {error}"[:200], "", f"{paths[0]}: OCR {error}; it is not tried again.")
        return _OcrResult(None, "", fault or f"{paths[0]}: its text was not read, its file is gone")

    def commit() -> None:
        if group:
            with turn(), catalog.writing():
                for content, seen in group:
                    catalog.put_ocr(content, seen.text, seen.by or "")
        group.clear()

    progress(0, len(waiting))
    try:
        with closing(map_ahead(read_text, waiting, threads)) as ahead:
            for (content, _), seen in ahead:
                done += 1
                if seen.by is not None:
                    group.append((content, seen))
                if seen.fault:
                    report.skipped.append(seen.fault)
                    skip(seen.fault)
                elif seen.text:
                    report.read += 1
                else:
                    report.without += 1
                if len(group) >= COMMIT_EVERY or time.monotonic() - since > COMMIT_SECONDS:
                    commit()
                    since = time.monotonic()
                progress(done, len(waiting))
    finally:
        commit()  # stores what was read, even if Ctrl-C or a broken engine has ended the loop
    return report


def _for_text_detector(source: str | io.BytesIO) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return a picture as the text detector takes it: grey (height, width), at most SIDE pixels a side."""
    picture = open_image(source, SIDE // 2)
    if max(picture.size) > SIDE:
        picture = picture.resize(
            _new_size(picture, SIDE / max(picture.size)), Image.Resampling.BILINEAR, reducing_gap=2
        )
    return np.asarray(picture.convert("L"))


def _png_for_ocr(picture: Image.Image) -> bytes:
    """Return a picture as a grey PNG of the size in which OCR reads letters best."""
    longer = max(picture.size)
    factor = min(LONG_SIDE / longer, 1.0) if longer > SHORT_SIDE else min(SHORT_SIDE / longer, 2.0)
    if factor != 1:
        picture = picture.resize(_new_size(picture, factor), Image.Resampling.BICUBIC)
    return encode_picture(picture.convert("L"), "PNG", compress_level=1)


def _new_size(picture: Image.Image, factor: float) -> tuple[int, int]:
    return max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
