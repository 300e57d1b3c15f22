"""The worker process that reads text in pictures with RapidOCR, one at a time, within limits that its parent has set.

It talks in the messages of `araclip.core.child_process`: first it says {"ready": true} or {"error"}; then it answers
each PNG (a blob) with {"text"} or {"error"}. It ends when its input ends. Nothing is downloaded: all models are files.
RapidOCR returns boxes with text. Pure functions put the boxes in order, and turn Arabic text, which the recogniser
returns from left to right, into reading order.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from araclip.core.child_process import Parent
from araclip.text.script import is_arabic, words

DETECTOR = "PP-OCRv6_det_small.onnx"  # the model that finds text of any script; part of RapidOCR's wheel
SURE = 0.5  # lines with a lower confidence are dropped
CHARACTERS = "character"  # the key in the recogniser's metadata that lists the letters it knows


def main() -> None:
    """Answer each picture from standard input with its text, until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    model = parser.parse_args().model
    parent = Parent()
    try:
        read = load_reader(model)
    except Exception as error:  # the model file may be anything, so any error becomes a one-line answer
        parent.answer({"error": f"{type(error).__name__}: {error}"[:300]})
        return
    parent.answer({"ready": True})
    while (question := parent.question()) is not None:
        try:
            answer = {"text": read(question[1][0])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        parent.answer(answer)


def load_reader(model: Path) -> Callable[[bytes], str]:
    """Load a recogniser (ONNX) and return a function that reads the text in an encoded picture.

    The letters that the recogniser knows are in its metadata, or in a .txt file beside it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    known = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).get_modelmeta()
    letters = model.with_suffix(".txt")
    if CHARACTERS not in known.custom_metadata_map and not letters.is_file():
        raise ValueError(f"{model.name} does not name its letters; put them beside it, one a line, as {letters.name}")
    from rapidocr import RapidOCR

    detector = files("rapidocr").joinpath("models", DETECTOR)
    params: dict[str, Any] = {
        "Global.use_cls": False,  # no rotation of lines, because pictures stand upright
        "Global.log_level": "error",
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "Det.model_path": str(detector),
        "Rec.model_path": str(model),
    }
    if letters.is_file():
        params["Rec.rec_keys_path"] = str(letters)
    engine = RapidOCR(params=params)

    def read(picture: bytes) -> str:
        found = engine(picture)
        if found.boxes is None or not getattr(found, "txts", None):
            return ""
        lines: list[tuple[Box, str]] = []
        # `corners`: the four corners of the line's box, (4, 2)
        for corners, text, sure in zip(found.boxes, found.txts, found.scores, strict=True):
            if sure >= SURE and text.strip():
                (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
                lines.append(((left, top, right, bottom), reading_order(text.strip())))
        return join_lines(lines)

    return read


SAME_LINE = 0.5  # boxes stand in one line if their middles are nearer than this share of a box's height
_DIGITS = "0-9\u0660-\u0669"
_LETTERS = "a-zA-Z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"  # Latin letters, also with accents
_LATIN = _LETTERS + _DIGITS
_JOINED = "|".join(
    (
        # signs that join words or numbers into one run from left to right, as in PaddleOCR
        r"[ :*./%+-]+",
        rf"(?<=[{_LETTERS}]), ?(?=[{_LETTERS}])",  # comma between words, as in Paris, London; not between numbers
        rf"[,\u066b\u066c](?=[{_DIGITS}])",  # separators inside a number: 10,000, ١٬٠٠٠, ٣٫٥
        rf"[@_&'’](?=[{_LATIN}])",  # signs inside a word: info@site.com, AT&T, don't
    )
)
_RUN = re.compile(rf"[{_LATIN}]+(?:(?:{_JOINED})[{_LATIN}]+)*|.", re.DOTALL)

Box = tuple[float, float, float, float]  # left, top, right and bottom of a line's box in pixels


def reading_order(seen: str) -> str:
    """Turn a line that the recogniser read from left to right into the order in which Arabic is read.

    The order of Arabic letters is reversed; Latin words and numbers stay as they are, as in PaddleOCR's `pred_reverse`.
    A line without Arabic letters is returned unchanged.
    """
    return "".join(_RUN.findall(seen)[::-1]) if _has_arabic(seen) else seen


def join_lines(found: Sequence[tuple[Box, str]]) -> str:
    """Join texts into lines from top to bottom, by their boxes; a line with Arabic begins with the rightmost box."""
    lines: list[list[tuple[Box, str]]] = []
    for box, text in sorted(found, key=lambda each: _middle_height(each[0])):
        height = box[3] - box[1]
        if lines and abs(_middle_height(lines[-1][-1][0]) - _middle_height(box)) < SAME_LINE * height:
            lines[-1].append((box, text))
        else:
            lines.append([(box, text)])
    for line in lines:
        line.sort(key=lambda each: each[0][0], reverse=any(_has_arabic(text) for _, text in line))
    return "\n".join(" ".join(text for _, text in line) for line in lines)


def _middle_height(box: Box) -> float:
    return (box[1] + box[3]) / 2


def _has_arabic(text: str) -> bool:
    return any(is_arabic(match.group()) for match in words(text))


if __name__ == "__main__":
    main()
