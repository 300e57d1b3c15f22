"""transformers.js' layout: CLIPTextModelWithProjection and CLIPVisionModelWithProjection of the folder, AutoTokenizer,
AutoProcessor.

A graph's file is named by how its weights are stored; it stands under the plain name too, which Node loads by default.
"""

from pathlib import Path
from typing import Any

from araclip.encoder import AraCLIP
from araclip.layouts.graphs import AdaptedGraph, end_texts, link_or_copy, pad_ids, take_floats
from araclip.layouts.tokenizer_files import end_of_texts, padding, write_json, write_tokenizer
from araclip.pictures.image_transform import FILTERS

SUFFIXES = {"float32": "", "float16": "_fp16", "int4": "_q4"}  # by the beginning of `weights`; others are 8 bits
QUANTIZED = "_quantized"


def write_transformers_js(model: AraCLIP, out: Path) -> None:
    """Write the layout."""
    write_json(out / "config.json", _config(model, _has_data(model)))
    write_json(out / "preprocessor_config.json", image_processor(model))
    write_tokenizer(model, out)
    suffix = _suffix(model.config.weights)
    text = AdaptedGraph(model.folder / "text.onnx")
    if (end := end_of_texts(model)) is not None:
        end_texts(text, model.config.text, end)
    pad_ids(text, model.config.text)
    text.name_output("text_embeds")
    image = AdaptedGraph(model.folder / "image.onnx")
    take_floats(image, "pixel_values", model.image_size)
    image.name_output("image_embeds")
    for graph, name in ((text, "text_model"), (image, "vision_model")):
        plain = graph.save(out / "onnx" / f"{name}.onnx", f"{name}.onnx_data")
        if suffix and not _has_data(model):  # a graph names the file of its weights, so it has one name only
            link_or_copy(plain, plain.with_name(f"{name}{suffix}.onnx"))


def image_processor(model: AraCLIP) -> dict[str, Any]:
    """preprocessor_config.json: bytes divided by 255, not scaled further, since the graph does that."""
    image, side = model.config.image, model.image_size
    squash = image.resize == "squash"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"height": side, "width": side} if squash else {"shortest_edge": side},
        "resample": int(FILTERS[image.interpolation]),
        "do_center_crop": not squash,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": False,
        "image_mean": [0.0] * 3,
        "image_std": [1.0] * 3,
        "do_convert_rgb": True,
    }


def _config(model: AraCLIP, has_data: bool) -> dict[str, Any]:
    text, image = model.config.text, model.config.image
    config: dict[str, Any] = {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": model.width,
        "text_config": {
            "model_type": "clip_text_model", "max_position_embeddings": text.max_tokens,
            "pad_token_id": padding(model)[0], "projection_dim": model.width,
        },
        "vision_config": {
            "model_type": "clip_vision_model", "image_size": image.size, "projection_dim": model.width,
        },
    }  # fmt: skip
    if has_data:
        config["transformers.js_config"] = {"use_external_data_format": True}
    return config


def _has_data(model: AraCLIP) -> bool:
    return bool(model.config.data_files)


def _suffix(weights: str | None) -> str:
    kind = next((kind for kind in SUFFIXES if (weights or "").startswith(kind)), None)
    return QUANTIZED if kind is None else SUFFIXES[kind]
