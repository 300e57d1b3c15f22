"""The process that reads text in pictures with RapidOCR: one at a time, with limits that its parent has set.

It answers in the messages of `araclip.core.child_process`: after {"ready": true} or {"error"}, a PNG as a blob is
answered with {"text"} or {"error"}. It ends with its input. Nothing is fetched: all models are files.
What the recogniser gives becomes lines of text: boxes put in order, Arabic letters from left to right turned into
reading order, by functions that are pure.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from araclip.core.child_process import Parent
from araclip.text.script import is_arabic, words

DETECTOR = "PP-OCRv6_det_small.onnx"  # of RapidOCR's wheel, for any script
SURE = 0.5  # confidence of a line that is kept
CHARACTERS = "character"  # in the recogniser's metadata: the letters that it knows


def main() -> None:
    """Read pictures until the input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    model = parser.parse_args().model
    parent = Parent()
    try:
        read = reader(model)
    except Exception as error:  # of a model file that is anything: said in one line
        parent.answer({"error": f"{type(error).__name__}: {error}"[:300]})
        return
    parent.answer({"ready": True})
    while (asked := parent.question()) is not None:
        try:
            answer = {"text": read(asked[1][0])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        parent.answer(answer)


def reader(model: Path) -> Callable[[bytes], str]:
    """What reads a picture with a recogniser (ONNX), whose letters are in its metadata or in a .txt beside it."""
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
        "Global.use_cls": False,  # pictures stand upright
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
        for corners, text, sure in zip(found.boxes, found.txts, found.scores, strict=True):  # corners (4, 2)
            if sure >= SURE and text.strip():
                (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
                lines.append(((left, top, right, bottom), reading_order(text.strip())))
        return page(lines)

    return read


SAME_LINE = 0.5  # of a box's height: boxes whose middles are nearer than that stand in one line
_LATIN = "a-zA-Z0-9\u0660-\u0669"
_RUN = re.compile(rf"[{_LATIN}]+(?:[ :*./%+-]+[{_LATIN}]+)*|.", re.DOTALL)

Box = tuple[float, float, float, float]  # left, top, right, bottom


def reading_order(seen: str) -> str:
    """A line as a recogniser of Arabic sees it, from left to right, in the order in which it is read.

    Arabic letters are turned round, Latin words and numbers stay as they are (PaddleOCR, `pred_reverse`).
    """
    return "".join(_RUN.findall(seen)[::-1]) if _has_arabic(seen) else seen


def page(found: Sequence[tuple[Box, str]]) -> str:
    """Texts with their boxes as lines from top to bottom; in a line with Arabic letters the rightmost box is first."""
    lines: list[list[tuple[Box, str]]] = []
    for box, text in sorted(found, key=lambda each: _middle(each[0])):
        height = box[3] - box[1]
        if lines and abs(_middle(lines[-1][-1][0]) - _middle(box)) < SAME_LINE * height:
            lines[-1].append((box, text))
        else:
            lines.append([(box, text)])
    return "\n".join(" ".join(text for _, text in _ordered(line)) for line in lines)


def _middle(box: Box) -> float:
    return (box[1] + box[3]) / 2


def _ordered(line: Sequence[tuple[Box, str]]) -> list[tuple[Box, str]]:
    return sorted(line, key=lambda each: each[0][0], reverse=any(_has_arabic(text) for _, text in line))


def _has_arabic(text: str) -> bool:
    return any(is_arabic(match.group()) for match in words(text))


if __name__ == "__main__":
    main()
