"""A model folder → the folder that Immich, transformers.js or sentence-transformers reads."""

import shutil
from collections.abc import Callable
from pathlib import Path

from araclip import atomic, model_folder
from araclip.encoder import AraCLIP
from araclip.errors import InputError
from araclip.layouts.check import check_layout
from araclip.layouts.immich import stands_for, write_immich
from araclip.layouts.sentence_transformers import write_sentence_transformers
from araclip.layouts.transformers_js import write_transformers_js
from araclip.paths import user_path

LAYOUTS = ("immich", "transformers.js", "sentence-transformers")


def write_layout(
    source: str | Path, out: Path, layout: str, *, immich_name: str | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> tuple[Path, str | None]:  # fmt: skip
    """Write a model folder in another layout; it appears whole, once its graphs gave the model's own vectors.

    Args:
        source: a model folder, or a bundled or pulled model's name.
        out: a new or empty folder.
        layout: one of LAYOUTS.
        immich_name: the model of Immich's list whose place it takes; by default the first that is wide enough.

    Returns:
        The folder, and the name for Immich, if it is for that.

    Raises:
        InputError: no such layout, a name that Immich does not know, or `out` is not empty.
        ModelNotFound, ModelMismatch: see `AraCLIP`.
        ExportRejected: the graphs gave other vectors.
    """
    if layout not in LAYOUTS:
        raise InputError(f"no layout '{layout}'. Choose one of {', '.join(LAYOUTS)}.")
    if immich_name is not None and layout != "immich":
        raise InputError(f"a name for Immich was given, and the layout is {layout}. Leave it out.")
    out = user_path(out).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already. Name a new folder, or move it away.")
    model = AraCLIP(source)
    name = stands_for(model, immich_name) if layout == "immich" else None
    for part in (*model_folder.HASHED, *model.config.data_files):
        model_folder.check_hash(model.folder, model.config, part)
    model.encode_text("قطة")  # judges the folder before its graphs are read here
    out.parent.mkdir(parents=True, exist_ok=True)

    def fill(folder: Path) -> None:
        length = None
        if name is not None:
            write_immich(model, folder, name)
            length = model.config.text.max_tokens
            text, image = folder / "textual" / "model.onnx", folder / "visual" / "model.onnx"
        elif layout == "transformers.js":
            write_transformers_js(model, folder)
            text, image = folder / "onnx" / "text_model.onnx", folder / "onnx" / "vision_model.onnx"
        else:
            write_sentence_transformers(model, folder)
            text, image = folder / "onnx" / "model.onnx", None
        log("written; comparing its vectors with the model's")
        check_layout(model, text, text.parent / "tokenizer.json" if name else folder / "tokenizer.json", image,
                     length=length)  # fmt: skip
        shutil.copyfile(model.folder / "README.md", folder / "README.md")

    atomic.write_folder(out, fill)
    return out, name
