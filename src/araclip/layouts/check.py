"""What was written is tried as its readers use it: texts and pictures must get the model's own vectors."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import AraCLIP
from araclip.errors import ExportRejected
from araclip.layouts.tokenizer_files import padding
from araclip.vectors import Vectors

TEXTS = ("قطة جالسة على طاولة", "قِطّةٌ ســوداء", "ﻻ شيء ٣", "a red car", "كلب\u200f في حديقة البيت، وأطفال يلعبون")
PICTURES = 2
SAME = 0.999  # cosine; only graphs that quantise while they run depend on the length of the padding


def check_layout(model: AraCLIP, text: Path, tokenizer: Path, image: Path | None) -> None:
    """Compare the vectors of a layout's graphs with the model's.

    Args:
        text, image: graphs. tokenizer: tokenizer.json.

    Raises:
        ExportRejected: a vector differs.
    """
    expected = model.encode_text(TEXTS)
    _compare("text", expected, _texts(model, text, tokenizer))
    if image is not None:
        side = model.image_size
        pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3), np.uint8)
        session = _session(image)
        (name,) = (node.name for node in session.get_inputs())
        floats = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)  # (n, 3, S, S)
        rows = [session.run(None, {name: floats[[row]]})[0][0] for row in range(PICTURES)]
        _compare("picture", model.encode_pixels(pixels), np.stack(rows))


def _texts(model: AraCLIP, graph: Path, tokenizer_file: Path) -> Vectors:
    from tokenizers import Tokenizer

    config = model.config.text
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(config.max_tokens)
    pad_id, pad_token = padding(model)
    tokenizer.enable_padding(pad_id=pad_id, pad_token=pad_token)  # to the longest
    session = _session(graph)
    rows = []
    for encoding in tokenizer.encode_batch(TEXTS):
        fed: dict[str, NDArray[Any]] = {}
        for node in session.get_inputs():
            values = encoding.attention_mask if node.name == "attention_mask" else encoding.ids
            fed[node.name] = np.array([values], np.int32 if "int32" in node.type else np.int64)
        rows.append(session.run(None, fed)[0][0])
    return np.stack(rows)


def _session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _compare(kind: str, expected: Vectors, found: Vectors) -> None:
    same = (expected * found[:, : expected.shape[1]]).sum(axis=1)  # what follows is zero
    lengths = np.linalg.norm(found, axis=1)
    if same.min() < SAME or np.abs(lengths - 1).max() > 1e-3:
        raise ExportRejected(
            f"the written graph gives another {kind} vector than the model (cosine {same.min():.4f}, at least {SAME} "
            "is needed): this model cannot be written in that layout."
        )
