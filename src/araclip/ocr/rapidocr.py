"""Letters in pictures, read by RapidOCR with a recogniser that is a file here: a process with limits.

The recogniser for Arabic (arabic_PP-OCRv5_rec_mobile.onnx, Apache-2.0) comes from RapidOCR's or PaddleOCR's model hubs;
nothing is fetched from here. The process loads it once and reads picture after picture.
"""

import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from araclip.core.child_process import Child, ChildEnded, Pool
from araclip.errors import InputError, OcrFailed
from araclip.ocr.tesseract import MAX_LETTERS

MEMORY_KB = 4_000_000  # of address space: two graphs, OpenCV and the largest picture
START_SECONDS = 120.0  # libraries and graphs, on a busy machine


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
        self._child = Pool(self._started, keep=1)
        self._turn = threading.Lock()  # one process has MEMORY_KB

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
        with suppress(TimeoutError, ChildEnded):
            child = Child("araclip.ocr.worker", str(self.model.absolute()), seconds=START_SECONDS, memory_kb=MEMORY_KB)
            if child.ready.get("ready"):
                return child
            reason = str(child.ready.get("error"))[:300]
            child.end()
        raise InputError(f"{self.model}: RapidOCR cannot use this recogniser ({reason}).")
