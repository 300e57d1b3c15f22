"""The process that reads text in pictures with RapidOCR: one at a time, with limits that its parent has set.

Messages are those of `araclip.core.child_process`: after {"ready": true} or {"error"}, a PNG as a blob is answered with
{"text"} or {"error"}. It ends with its input. Nothing is fetched: all models are files.
"""

import argparse
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from araclip.core.child_process import Parent
from araclip.ocr.lines import Box, page, reading_order

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
    """What reads an encoded picture with a recogniser (ONNX); its letters are in its metadata or in a .txt beside it.

    Raises:
        ValueError: neither has the letters.
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


if __name__ == "__main__":
    main()
