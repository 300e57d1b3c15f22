"""A model folder → the folder that transformers.js or sentence-transformers reads."""

import shutil
from pathlib import Path

from araclip import model_folder
from araclip.core import atomic
from araclip.core.display import Log
from araclip.core.paths import user_path
from araclip.encoder import AraCLIP
from araclip.errors import InputError
from araclip.layouts.check import check_layout
from araclip.layouts.sentence_transformers import write_sentence_transformers
from araclip.layouts.transformers_js import write_transformers_js

LAYOUTS = ("transformers.js", "sentence-transformers")


def write_layout(source: str | Path, out: Path, layout: str, *, log: Log = lambda line: None) -> Path:
    """Write a model folder in another layout; it appears whole, once its graphs gave the model's own vectors;
    returns its path.

    Args:
        source: a model folder, or a bundled or pulled model's name.
        out: a new or empty folder.
        layout: one of LAYOUTS.

    Raises:
        InputError: no such layout, or `out` is not empty.
        ModelNotFound, ModelMismatch: see `AraCLIP`.
        ExportRejected: the graphs gave other vectors.
    """
    if layout not in LAYOUTS:
        raise InputError(f"no layout '{layout}'. Choose one of {', '.join(LAYOUTS)}.")
    out = user_path(out).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already. Name a new folder, or move it away.")
    model = AraCLIP(source)
    for part in (*model_folder.HASHED, *model.config.data_files):
        model_folder.check_hash(model.folder, model.config, part)
    model.encode_text("قطة")  # judges the folder before its graphs are read here
    out.parent.mkdir(parents=True, exist_ok=True)

    def fill(folder: Path) -> None:
        if layout == "transformers.js":
            write_transformers_js(model, folder)
            text, image = folder / "onnx" / "text_model.onnx", folder / "onnx" / "vision_model.onnx"
        else:
            write_sentence_transformers(model, folder)
            text, image = folder / "onnx" / "model.onnx", None
        log("written; comparing its vectors with the model's")
        check_layout(model, text, folder / "tokenizer.json", image)
        shutil.copyfile(model.folder / "README.md", folder / "README.md")

    atomic.write_folder(out, fill)
    return out
