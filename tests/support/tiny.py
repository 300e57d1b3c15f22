"""A real model folder of 10 kB, made by hand: colour words and picture colours share the first three axes.

Axes 0, 1, 2 are red, green, blue; axis 3 keeps the vector of a black picture or an empty text away from zero; the rest
is drawn from the seed, so that two words, two layouts of a picture or two models are never quite the same.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from araclip.models.folder import HASHED, hashes, sha256
from araclip.text.normalization import NORMALIZER_VERSION

SIZE = 16  # pixels of the square
GRID = 4  # the image tower sees the mean colours of 4 × 4 cells
MAX_TOKENS = 16
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
ARABIC = {"red": "أحمر", "green": "أخضر", "blue": "أزرق"}
WORDS = ("قطة", "كلب", "سيارة", "بيت", "على", "طاولة", "صورة", "cat", "dog", "car", "house", "on", "table", "picture")
VOCABULARY = (*SPECIAL, *COLOURS, *ARABIC.values(), *WORDS)

Floats = NDArray[np.float32]


def write_tiny_model(folder: Path, width: int = 8, seed: int = 0, name: str = "tiny") -> Path:
    """Write a model folder of `width` ≥ 4; the same arguments give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    _save(folder / "text.onnx", _text_graph(_word_vectors(rng, width)))
    _save(folder / "image.onnx", _image_graph(_cell_weights(rng, width)))
    _tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "README.md").write_text(f"# {name}\n\nA model for tests.\n", encoding="utf-8")
    write_config(folder, _config(folder, width, name))
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """The fields of config.json, unchecked."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Replace config.json, whatever stands in it."""
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2), encoding="utf-8")


def rehash(folder: Path) -> None:
    """Make the hashes in config.json those of the files, so that a change is not caught by its hash."""
    write_config(folder, {**read_config(folder), "files": hashes(folder)})


def _config(folder: Path, width: int, name: str) -> dict[str, Any]:
    return {
        "format": 2,
        "name": name,
        "version": "0.0.1",
        "width": width,
        "text": {
            "tower": "mean of word vectors",
            "pooling": "mean",
            "max_tokens": MAX_TOKENS,
            "normalizer": NORMALIZER_VERSION,
            "pad_id": SPECIAL.index("<pad>"),
        },
        "image": {
            "tower": "mean colours",
            "size": SIZE,
            "resize": "squash",
            "interpolation": "bicubic",
            "mean": [0.0, 0.0, 0.0],
            "std": [1.0, 1.0, 1.0],
        },
        "files": {part: sha256(folder / part) for part in HASHED},
        "license": "Apache-2.0",
        "training_data": [],
        "measured": {},
    }


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[(word, SPECIAL.index(word)) for word in ("<s>", "</s>")]
    )
    return tokenizer


def _word_vectors(rng: np.random.Generator, width: int) -> Floats:
    vectors = rng.normal(0, 0.3, (len(VOCABULARY), width)).astype(np.float32)  # (V, D)
    for axis, colour in enumerate(COLOURS):
        for word in (colour, ARABIC[colour]):
            vectors[VOCABULARY.index(word)] = np.eye(width, dtype=np.float32)[axis]
    for word in ("<s>", "</s>"):
        vectors[VOCABULARY.index(word)] = 0.1 * np.eye(width, dtype=np.float32)[3]
    return vectors


def _cell_weights(rng: np.random.Generator, width: int) -> Floats:
    weights = np.zeros((GRID, GRID, 3, width), np.float32)
    weights[..., 4:] = rng.normal(0, 0.02, (GRID, GRID, 3, width - 4))
    for axis in range(3):
        weights[..., axis, axis] = 1 / GRID**2  # the mean of that channel
    return weights.reshape(-1, width)  # (GRID · GRID · 3, D)


def _text_graph(vectors: Floats) -> onnx.GraphProto:
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["tokens"]),  # (B, T, D)
        helper.make_node("Cast", ["attention_mask"], ["flat_mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["flat_mask", "last"], ["mask"]),  # (B, T, 1)
        helper.make_node("Mul", ["tokens", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "second"], ["sum"], keepdims=0),  # (B, D)
        helper.make_node("ReduceSum", ["mask", "second"], ["count"], keepdims=0),  # (B, 1)
        helper.make_node("Div", ["sum", "count"], ["pooled"]),
        *_unit("pooled"),
    ]
    return helper.make_graph(
        nodes,
        "text",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", vectors.shape[1]])],
        [_constant("vectors", vectors), _constant("last", [-1]), _constant("second", [1])],
    )


def _image_graph(weights: Floats) -> onnx.GraphProto:
    cell, width = SIZE // GRID, weights.shape[1]
    bias = 0.1 * np.eye(width, dtype=np.float32)[3]
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "white"], ["scaled"]),  # (B, S, S, 3) in 0…1
        helper.make_node("Reshape", ["scaled", "in_cells"], ["cells"]),  # (B, G, S/G, G, S/G, 3)
        helper.make_node("ReduceMean", ["cells", "inside"], ["means"], keepdims=0),  # (B, G, G, 3)
        helper.make_node("Flatten", ["means"], ["features"]),
        helper.make_node("Gemm", ["features", "weights", "bias"], ["projected"]),  # (B, D)
        *_unit("projected"),
    ]
    return helper.make_graph(
        nodes,
        "image",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", width])],
        [
            _constant("white", np.float32(255)),
            _constant("in_cells", [-1, GRID, cell, GRID, cell, 3]),
            _constant("inside", [2, 4]),
            _constant("weights", weights),
            _constant("bias", bias),
        ],
    )


def _unit(name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("ReduceL2", [name, "features_axis"], ["norm"], keepdims=1),
        helper.make_node("Div", [name, "norm"], ["embedding"]),
    ]


def _constant(name: str, value: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def _save(path: Path, graph: onnx.GraphProto) -> None:
    graph.initializer.append(_constant("features_axis", [-1]))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
