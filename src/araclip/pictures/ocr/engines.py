"""Which program reads text on this machine: RapidOCR where its recogniser is, else Tesseract.

Tesseract is a program of its own for each picture. RapidOCR runs in one process that loads a recogniser, a file here,
and reads picture after picture; the recogniser for Arabic (arabic_PP-OCRv5_rec_mobile.onnx, Apache-2.0) comes from
RapidOCR's or PaddleOCR's model hubs, nothing is fetched from here. Both have limits of time and memory.
"""

import contextlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from araclip.core.child_process import Child, ChildEnded, Pool, safe_environment
from araclip.core.display import undirected
from araclip.core.limits import with_memory
from araclip.core.paths import data_home, is_there, user_path
from araclip.errors import InputError, OcrFailed

VARIABLE = "ARACLIP_OCR_MODEL"
MODEL = "ocr.onnx"  # in the data folder, where the variable names none


class Engine(Protocol):
    """A program that reads text in pictures."""

    @property
    def name(self) -> str:
        """What is stored beside a text it has read."""

    def read(self, picture: bytes, seconds: float) -> str:
        """The text in an encoded picture."""


def recogniser() -> Path | None:
    """The recogniser's file that $ARACLIP_OCR_MODEL names, or `ocr.onnx` in the data folder, if that is there."""
    if named := os.environ.get(VARIABLE):
        return user_path(named)
    usual = data_home() / MODEL
    return usual if is_there(usual) else None


LANGUAGES = ("ara", "eng")
SURE = 40.0  # percent: words of a lower confidence are noise, above all in photographs
MAX_LETTERS = 20_000  # a dense page has 5,000
TESSERACT_KB = 2_000_000
MISSING = (
    "OCR needs Tesseract with Arabic, which is not on this machine. Debian, Ubuntu: sudo apt install tesseract-ocr "
    "tesseract-ocr-ara; macOS: brew install tesseract tesseract-lang."
)


@dataclass(frozen=True)
class Tesseract:
    """The installed program, and which of LANGUAGES it has."""

    program: str
    languages: tuple[str, ...]

    @property
    def name(self) -> str:
        """What is stored beside a text it has read."""
        return f"tesseract {'+'.join(self.languages)}"

    def read(self, picture: bytes, seconds: float) -> str:
        """The text in an encoded picture, a line each; empty if there is none."""
        command = [self.program, "stdin", "stdout", "-l", "+".join(self.languages), "--psm", "3", "tsv"]
        command = with_memory(command, TESSERACT_KB)
        environment = safe_environment() | {"OMP_THREAD_LIMIT": "1"}  # pictures are read side by side
        try:
            done = subprocess.run(
                command, input=picture, capture_output=True, timeout=seconds, check=False, env=environment
            )
        except subprocess.TimeoutExpired:
            raise OcrFailed(f"took more than {seconds:.0f} s") from None
        except OSError as error:
            raise OcrFailed(f"{self.program} could not be started ({error.strerror})") from None
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise OcrFailed(f"tesseract ended with {done.returncode} ({''.join(last)[:200]})")
        return lines_of(done.stdout.decode("utf-8", "replace"))


def lines_of(table: str) -> str:
    """The sure words of Tesseract's TSV, one line of text a line."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for row in table.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) == 12 and cells[11].strip():
            with contextlib.suppress(ValueError):
                if float(cells[10]) >= SURE:
                    lines.setdefault(tuple(cells[1:5]), []).append(undirected(cells[11]).strip())
    return "\n".join(" ".join(words) for words in lines.values())[:MAX_LETTERS]


@cache
def find_tesseract() -> Tesseract:
    """The Tesseract of this machine."""
    program = shutil.which("tesseract")
    if program is None:
        raise InputError(MISSING)
    try:
        listed = subprocess.run([program, "--list-langs"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        raise InputError(MISSING) from None
    known = set(listed.stdout.split())
    if LANGUAGES[0] not in known:
        raise InputError(MISSING)
    return Tesseract(program, tuple(language for language in LANGUAGES if language in known))


RAPIDOCR_KB = 4_000_000  # of address space: two graphs, OpenCV and the largest picture
START_SECONDS = 120.0  # libraries and graphs, on a busy machine


class RapidOcr:
    """Reads with a recogniser in a process that is started for the first picture, and again after one that hung.

    Args:
        model: the recogniser, an ONNX file.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise InputError(f"{model}: no such file. Name a recogniser of RapidOCR (docs/queries.md).")
        if find_spec("rapidocr") is None:
            raise InputError(
                f"{model.name} needs RapidOCR, which is not installed: pip install 'araclip[ocr]'. Without that file, "
                "Tesseract reads."
            )
        self.model = model
        self._child = Pool(self._started, keep=1)
        self._turn = threading.Lock()  # one process has RAPIDOCR_KB

    @property
    def name(self) -> str:
        """What is stored beside a text it has read."""
        return f"rapidocr {self.model.stem}"

    def read(self, picture: bytes, seconds: float) -> str:
        """The text in an encoded picture, a line each; empty if there is none."""
        with self._turn, self._child.child() as child:
            try:
                answer, _ = child.ask({}, [picture], seconds=seconds)
            except (TimeoutError, ChildEnded):
                raise OcrFailed(f"took more than {seconds:.0f} s, or more memory than it may") from None
        if "text" not in answer:
            raise OcrFailed(str(answer.get("error"))[:200])
        return str(answer["text"])[:MAX_LETTERS]

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def _started(self) -> Child:
        reason = "its process ended or did not answer"
        with suppress(OSError):
            child = Child(
                "araclip.pictures.ocr.worker", str(self.model.absolute()), seconds=START_SECONDS, memory_kb=RAPIDOCR_KB
            )
            if child.ready.get("ready"):
                return child
            reason = str(child.ready.get("error"))[:300]
            child.end()
        raise InputError(f"{self.model}: RapidOCR cannot use this recogniser ({reason}).")


def find() -> Engine:
    """What reads text here."""
    model = recogniser()
    return RapidOcr(model) if model else find_tesseract()


@contextmanager
def opened(engine: Engine | None) -> Iterator[Engine]:
    """That engine, or the one of this machine, whose process ends with the block."""
    found = engine or find()
    try:
        yield found
    finally:
        if engine is None and isinstance(found, RapidOcr):
            found.close()
