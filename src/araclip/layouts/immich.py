"""Immich's layout: textual/ and visual/, as its machine-learning service keeps models in its cache.

Immich feeds `text` int32 (1, context_length), padded, or `input_ids` and `attention_mask` to models of M-CLIP, and
`image` float32 (1, 3, S, S), scaled by mean and deviation; it takes the first output. Here mean is 0 and deviation 1,
since the graph scales pixels itself. The folder takes the place of a model that Immich knows, see `immich_names`.
"""

from pathlib import Path

from araclip.encoder import AraCLIP
from araclip.errors import InputError
from araclip.layouts.graphs import AdaptedGraph, pad_ids, take_floats, take_int32, take_text
from araclip.layouts.immich_names import IMMICH_WIDTHS, WITH_MASK, immich_name, stand_ins
from araclip.layouts.tokenizer_files import pad_ends_text, write_json, write_tokenizer


def stands_for(model: AraCLIP, name: str | None) -> str:
    """The name of Immich's list whose place the model takes: the given one, or the first that is wide enough.

    Raises:
        InputError: Immich has no such name, or it is for narrower vectors.
    """
    known = stand_ins([model.width])
    if name is None and known:
        return known[0]
    wanted = immich_name(name or "")
    if wanted not in known:
        has = f"is for {IMMICH_WIDTHS[wanted]}-wide vectors" if wanted in IMMICH_WIDTHS else "is none of Immich's list"
        raise InputError(
            f"the model makes {model.width}-wide vectors, and '{name or 'no name'}' {has}. "
            + (f"Choose one of {', '.join(known[:8])}." if known else "Immich has no model as wide.")
        )
    if wanted.startswith("nllb"):  # Immich puts a language before the texts of such models
        raise InputError(f"'{name}': Immich changes the texts of NLLB models. Choose {known[0]}.")
    return wanted


def write_immich(model: AraCLIP, out: Path, name: str) -> None:
    """Write the layout for a model that Immich knows under `name`."""
    text, image, width = model.config.text, model.config.image, IMMICH_WIDTHS[name]
    config = {
        "embed_dim": width,
        "vision_cfg": {"image_size": image.size},
        "text_cfg": {"context_length": text.max_tokens},
    }
    write_json(out / "config.json", config)
    write_tokenizer(model, out / "textual")
    textual = AdaptedGraph(model.folder / "text.onnx")
    if name in WITH_MASK:
        pad_ids(textual, text)
        take_int32(textual, text.max_tokens)
    else:
        take_text(textual, text.max_tokens, text.pad_id, pad_ends_text=pad_ends_text(model))
    textual.name_output("embedding", width)
    textual.save(out / "textual" / "model.onnx")
    preprocessing = {
        "size": [image.size, image.size], "mode": "RGB", "mean": [0.0] * 3, "std": [1.0] * 3,
        "interpolation": image.interpolation, "resize_mode": image.resize, "fill_color": 0,
    }  # fmt: skip
    write_json(out / "visual" / "preprocess_cfg.json", preprocessing)
    visual = AdaptedGraph(model.folder / "image.onnx")
    take_floats(visual, "image", image.size, 1)
    visual.name_output("embedding", width)
    visual.save(out / "visual" / "model.onnx")
