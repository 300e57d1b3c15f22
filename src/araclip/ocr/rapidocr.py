"""Letters in pictures, read by RapidOCR with a recogniser that is a file here: a process with limits.

The recogniser for Arabic (arabic_PP-OCRv5_rec_mobile.onnx, Apache-2.0) comes from RapidOCR's or PaddleOCR's model hubs;
nothing is fetched from here. The process loads it once and reads picture after picture.
"""

import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, cast

from araclip.decoding_process import environment, receive, send
from araclip.errors import InputError, OcrFailed
from araclip.ocr.tesseract import MAX_LETTERS
from araclip.platforms.limits import with_memory

MEMORY_KB = 4_000_000  # of address space: two graphs, OpenCV and the largest picture
START_SECONDS = 120.0  # libraries and graphs, on a busy machine
MOST_BYTES = 1_000_000  # of an answer


class RapidOcr:
    """Reads with a recogniser in a process that is started for the first picture, and again after one that hung.

    Args:
        model: the recogniser, an ONNX file.

    Raises:
        InputError: the file is not there, or RapidOCR is not installed.
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
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()

    @property
    def name(self) -> str:
        """What is stored beside a text it has read."""
        return f"rapidocr {self.model.stem}"

    def read(self, picture: bytes, seconds: float) -> str:
        """The text in an encoded picture, a line each; empty if there is none.

        Raises:
            OcrFailed: it takes longer than `seconds`, or the process fails.
            InputError: the recogniser cannot be used.
        """
        with self._turn:
            process = self._process or self._started()
            answer = _ask(process, picture, seconds)
            if answer is None:
                self._end()
                raise OcrFailed(f"took more than {seconds:.0f} s, or more memory than it may")
            if "text" not in answer:
                raise OcrFailed(str(answer.get("error"))[:200])
            return str(answer["text"])[:MAX_LETTERS]

    def close(self) -> None:
        """End the process."""
        with self._turn:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "araclip.ocr.worker", str(self.model.absolute())]
        pipe = subprocess.PIPE
        self._process = process = subprocess.Popen(
            with_memory(command, MEMORY_KB), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, env=environment()
        )
        said = _ask(process, None, START_SECONDS)
        if not said or not said.get("ready"):
            self._end()
            reason = str((said or {}).get("error", "its process ended or did not answer"))
            raise InputError(f"{self.model}: RapidOCR cannot use this recogniser ({reason[:300]}).")
        return process

    def _end(self) -> None:
        if process := self._process:
            self._process = None
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with suppress(OSError):  # what was not sent is lost, as it should be
                    assert stream is not None
                    stream.close()


def _ask(process: subprocess.Popen[bytes], picture: bytes | None, seconds: float) -> dict[str, object] | None:
    """Send a picture, if there is one, and wait for an answer; None where none comes in time, or none of this form."""
    late = threading.Timer(seconds, process.kill)
    late.start()
    try:
        if picture is not None:
            send(cast(BinaryIO, process.stdin), {}, [picture])
        answered = receive(cast(BinaryIO, process.stdout), MOST_BYTES)
    except (OSError, ValueError):
        return None
    finally:
        late.cancel()
    return answered[0] if answered else None
