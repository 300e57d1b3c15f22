"""Read text in pictures with an OCR engine: RapidOCR if its recogniser (a model file) is on this machine, else
Tesseract.

Tesseract is started anew for each picture. RapidOCR runs in one process, which loads the recogniser and then reads
picture after picture. Users get the recogniser for Arabic (arabic_PP-OCRv5_rec_mobile.onnx, Apache-2.0) from the model
hub of RapidOCR or PaddleOCR; nothing is downloaded here. Both engines have limits of time and memory.
"""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from araclip.core.child_process import Child, ChildEnded, Pool, safe_environment
from araclip.core.display import undirected
from araclip.core.limits import NOT_STARTED, with_memory_limit
from araclip.core.paths import data_home, is_there, user_path
from araclip.errors import InputError, OcrFailed

VARIABLE = "ARACLIP_OCR_MODEL"
MODEL = "ocr.onnx"  # the recogniser's name in the data folder, if $ARACLIP_OCR_MODEL names none


class Engine(Protocol):
    """A program that reads text in pictures."""

    @property
    def name(self) -> str:
        """The engine's name, which is stored beside each text that it reads."""

    def read(self, picture: bytes, seconds: float) -> str:
        """Return the text in an encoded picture.

        Raises:
            OcrFailed: it takes longer than `seconds` or more memory than allowed, or the picture makes the engine fail.
            InputError: the engine itself does not work, so it would fail for every picture.
        """


def recogniser() -> Path | None:
    """Return the path of the recogniser, the model that reads letters.

    The path is $ARACLIP_OCR_MODEL if that is set, or else `ocr.onnx` in the data folder; None if there is no
    `ocr.onnx`.
    """
    if named := os.environ.get(VARIABLE):
        return user_path(named)
    usual = data_home() / MODEL
    return usual if is_there(usual) else None


LANGUAGES = ("ara", "eng")
BROKEN = (126, NOT_STARTED)  # exit codes if the program may not be run, is missing or lacks a library
NO_LANGUAGE = "Error opening data file"  # what Tesseract writes to stderr if the data of a language are missing
SURE = 40.0  # percent; words with a lower confidence are mostly noise, above all in photographs
# percent; a number that Tesseract reads with its data for English is kept from this confidence on, which was chosen by
# `benchmarks/ocr.py`
SURE_NUMBER = 70.0
MAX_LETTERS = 20_000  # limit: letters kept of a picture's text; a dense page has 5,000
TESSERACT_KB = 2_000_000
MISSING = (
    "OCR needs Tesseract with Arabic, which is not on this machine. Debian, Ubuntu: sudo apt install tesseract-ocr "
    "tesseract-ocr-ara; macOS: brew install tesseract tesseract-lang."
)


@dataclass(frozen=True)
class Tesseract:
    """The installed Tesseract: the path of the program, and which of LANGUAGES it has."""

    program: str
    languages: tuple[str, ...]

    @property
    def name(self) -> str:
        """The engine's name, which is stored beside each text that it reads."""
        return f"tesseract {'+'.join(self.languages)}"

    def read(self, picture: bytes, seconds: float) -> str:
        """Return the text in an encoded picture, line by line; empty if there is none.

        Tesseract's data for Arabic mistake Arabic-Indic digits for other digits or letters, with high confidence. So if
        the data for English are installed, a picture with digits is read a second time, with these data. Of each
        number, the second reading is kept; without a second reading that is sure, the number is left out.
        """
        ends = time.monotonic() + seconds
        try:
            found = self._run_tesseract(picture, self.languages, "3", ends)
            if "eng" in self.languages and any(_has_digit(word.text) for word in found):
                found = with_sure_numbers(found, self._run_tesseract(picture, ("eng",), "11", ends))
        except subprocess.TimeoutExpired:
            raise OcrFailed(f"took more than {seconds:.0f} s") from None
        return lines_of_sure_words(found)[:MAX_LETTERS]

    def _run_tesseract(self, picture: bytes, languages: tuple[str, ...], layout: str, ends: float) -> list["Word"]:
        """Run Tesseract once; return the words.

        Args:
            layout: Tesseract's page segmentation mode.
            ends: the `time.monotonic()` at which Tesseract is ended.
        """
        command = [self.program, "stdin", "stdout", "-l", "+".join(languages), "--psm", layout, "tsv"]
        command = with_memory_limit(command, TESSERACT_KB)
        # one thread for each process, because several pictures are read at once, each by a process
        environment = safe_environment() | {"OMP_THREAD_LIMIT": "1"}
        try:
            left = max(ends - time.monotonic(), 0)
            done = subprocess.run(
                command, input=picture, capture_output=True, timeout=left, check=False, env=environment
            )
        except OSError as error:
            raise self._broken(error.strerror) from None
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        # If the data of one of two languages are missing, Tesseract reads in the other one, and its exit code is 0.
        faults = [line for line in lines if NO_LANGUAGE in line]
        last = "".join((faults or lines)[-1:])[:200]
        if faults or done.returncode in BROKEN:
            raise self._broken(last)
        if done.returncode:
            raise OcrFailed(f"tesseract ended with {done.returncode} ({last})")
        return parse_words(done.stdout.decode("utf-8", "replace"))

    def _broken(self, reason: str | None) -> InputError:
        return InputError(
            f"{self.program} does not work ({reason}), so the text in pictures is not read. Install Tesseract and "
            "its languages again (docs/texts.md), then index with --ocr again."
        )


@dataclass(frozen=True)
class Word:
    """A word that Tesseract read: its line, the box around it in pixels, its confidence in percent."""

    text: str
    line: tuple[str, ...]
    box: tuple[int, int, int, int]  # left, top, width, height
    sure: float


def parse_words(table: str) -> list[Word]:
    """Return the words in Tesseract's TSV table; rows that are damaged are left out."""
    found = []
    for row in table.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) == 12 and (text := undirected(cells[11]).strip()):
            with contextlib.suppress(ValueError):
                left, top, width, height = map(int, cells[6:10])
                found.append(Word(text, tuple(cells[1:5]), (left, top, width, height), float(cells[10])))
    return found


def lines_of_sure_words(words: list[Word]) -> str:
    """Return the words with enough confidence, line by line."""
    lines: dict[tuple[str, ...], list[str]] = {}
    for word in words:
        if word.sure >= SURE:
            lines.setdefault(word.line, []).append(word.text)
    return "\n".join(" ".join(words) for words in lines.values())


def with_sure_numbers(words: list[Word], as_english: list[Word]) -> list[Word]:
    """Return `words`, but with numbers as they were read as English.

    A word that has a digit is replaced by the number in `as_english` that has the same place and enough confidence
    (SURE_NUMBER). If there is no such number, the word is left out.
    """
    sure = [word for word in as_english if word.sure >= SURE_NUMBER and _has_digit(word.text)]
    out = []
    for word in words:
        if not _has_digit(word.text):
            out.append(word)
        elif same := next((number for number in sure if _is_same_place(number, word)), None):
            out.append(replace(same, line=word.line))
            sure.remove(same)
    return out


def _has_digit(text: str) -> bool:
    return any(letter.isdigit() for letter in text)


def _is_same_place(one: Word, other: Word) -> bool:
    """True if the middle of each of the two boxes lies in the other box."""
    (left, top, width, height), (x, y, wide, high) = one.box, other.box
    across, down = abs(2 * left + width - 2 * x - wide), abs(2 * top + height - 2 * y - high)
    return across <= min(width, wide) and down <= min(height, high)


@cache
def find_tesseract() -> Tesseract:
    """Find Tesseract on this machine; raise InputError if the program or its data for Arabic are missing."""
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


RAPIDOCR_KB = 4_000_000  # address space, enough for two models, OpenCV and the largest picture
START_SECONDS = 120.0  # time for loading libraries and models, on a busy machine


class RapidOcr:
    """RapidOCR in a separate process, which is started for the first picture, and again if a picture made it hang.

    Args:
        model: the recogniser, an ONNX file.

    Raises:
        InputError: the file does not exist, or RapidOCR is not installed.
    """

    def __init__(self, model: Path) -> None:
        if not model.is_file():
            raise InputError(f"{model}: no such file. Name a recogniser of RapidOCR (docs/texts.md).")
        if find_spec("rapidocr") is None:
            raise InputError(
                f"{model.name} needs RapidOCR, which is not installed: pip install 'araclip[ocr]'. Without that file, "
                "Tesseract reads."
            )
        self.model = model
        self._child = Pool(self._start_child, keep=1)
        self._lock = threading.Lock()  # one picture at a time: a second process would take RAPIDOCR_KB once more

    @property
    def name(self) -> str:
        """The engine's name, which is stored beside each text that it reads."""
        return f"rapidocr {self.model.stem}"

    def read(self, picture: bytes, seconds: float) -> str:
        """Return the text in an encoded picture, line by line; empty if there is none."""
        with self._lock, self._child.child() as child:
            try:
                answer, _ = child.ask({}, [picture], seconds=seconds)
            except (TimeoutError, ChildEnded):
                raise OcrFailed(f"took more than {seconds:.0f} s, or more memory than it may") from None
        if "text" not in answer:
            raise OcrFailed(str(answer.get("error"))[:200])
        return str(answer["text"])[:MAX_LETTERS]

    def close(self) -> None:
        """End RapidOCR's process."""
        self._child.close()

    def _start_child(self) -> Child:
        """Start RapidOCR's process; InputError if it cannot use the recogniser."""
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


def find_engine() -> Engine:
    """Return the OCR engine of this machine; raise InputError if there is none."""
    model = recogniser()
    return RapidOcr(model) if model else find_tesseract()


@contextmanager
def open_engine(engine: Engine | None) -> Iterator[Engine]:
    """Yield the given engine; or find this machine's engine, and end its process at the end of the `with` block."""
    found = engine or find_engine()
    try:
        yield found
    finally:
        if engine is None and isinstance(found, RapidOcr):
            found.close()
