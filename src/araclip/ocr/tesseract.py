"""Letters in pictures, read by Tesseract: a program of its own for each picture, with limits of time and memory."""

import contextlib
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from araclip.core.child_process import safe_environment
from araclip.core.display import undirected
from araclip.core.limits import with_memory
from araclip.errors import InputError, OcrFailed

LANGUAGES = ("ara", "eng")
SURE = 40.0  # percent: words of a lower confidence are noise, above all in photographs
MAX_LETTERS = 20_000  # a dense page has 5,000
MEMORY_KB = 2_000_000
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
        """The text in an encoded picture, a line each; empty if there is none.

        Raises:
            OcrFailed: it takes longer than `seconds`, or the program fails.
        """
        command = [self.program, "stdin", "stdout", "-l", "+".join(self.languages), "--psm", "3", "tsv"]
        command = with_memory(command, MEMORY_KB)
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
def find() -> Tesseract:
    """The Tesseract of this machine.

    Raises:
        InputError: there is none, or it lacks Arabic; says how to install it.
    """
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
