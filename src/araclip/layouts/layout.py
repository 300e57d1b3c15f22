"""Writes a model folder in the layout that transformers.js or sentence-transformers reads.

A graph gets the inputs and outputs that the other program expects: a few operators are put before and after it, and
its weights stay as they are. The tokenizer gets the steps of `araclip.normalize` and names its padding token. At the
end the written files are used as their readers will use them; texts and pictures must get the model's own vectors.

transformers.js reads the folder with CLIPTextModelWithProjection, CLIPVisionModelWithProjection, AutoTokenizer and
AutoProcessor. A graph's file name tells how its weights are stored (`_quantized`); a second file under the plain name
is what Node loads by default.

sentence-transformers reads the whole model folder as one module for texts and pictures. Other libraries read the
text graph beside it:

    modules.json            names `sentence_transformers_module.AraCLIPModule`; sentence-transformers imports a class
                            of another package, such as this one, only with trust_remote_code=True
    0_AraCLIP/              the model folder
    onnx/model.onnx         input_ids, attention_mask → embedding, for fastembed and ONNX Runtime
    tokenizer.json, …       for AutoTokenizer; config.json is for fastembed
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from araclip.core import atomic
from araclip.core.display import Log
from araclip.core.paths import user_path
from araclip.errors import ExportRejected, InputError
from araclip.models import folder as model_folder
from araclip.models.encoder import AraCLIP
from araclip.models.folder import NO_NORMALIZER, PARTS, TextConfig, image_processor
from araclip.models.vectors import Vectors
from araclip.text.tokenizer_normalizer import prepend_normalizer

NAME_PREFIX = "layout_"  # beginning of the names of all nodes and values that this module adds
IDS, MASK, PIXELS = "input_ids", "attention_mask", "pixels"
BATCH, TOKENS = "batch", "tokens"  # names of the axes that may have any length
Axes = list[str | int]


class AdaptedGraph:
    """One ONNX graph of a model folder, which the functions of this module change; `save` writes the changed graph."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._model: Any = onnx.load(str(source), load_external_data=False)
        del self._model.metadata_props[:]  # drops metadata for training, which may be larger than the graph
        self._graph = self._model.graph
        self._insert_at = self._name_count = 0

    def begin(self) -> None:
        """Let `compute` put its next operators before everything that is in the graph now."""
        self._insert_at = 0

    @property
    def inputs(self) -> list[str]:
        """Return the names of the graph's inputs."""
        return [value.name for value in self._graph.input]

    def put_before(self, replaced: str, name: str, kind: int, axes: Axes) -> tuple[str, str]:
        """Replace the input `replaced` by an input `name` of another type (`kind`, of TensorProto) or shape (`axes`).

        Return the new input's name, and the name under which the graph's nodes read the old input. The caller must
        compute a value with this second name (`compute`).
        """
        self._name_count += 1
        inside = f"{NAME_PREFIX}inside_{replaced}_{self._name_count}"
        self._rename(replaced, inside)
        other_inputs = [value for value in self._graph.input if value.name != inside]
        del self._graph.input[:]
        self._rename(name, f"{NAME_PREFIX}other_{name}")  # if another value has this name, it is renamed
        self._graph.input.extend([*other_inputs, helper.make_tensor_value_info(name, kind, axes)])
        return name, inside

    def compute(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Insert an operator behind those inserted since `begin`, but before all others; return its output's name."""
        self._name_count += 1
        output = output or f"{NAME_PREFIX}value_{self._name_count}"
        self._graph.node.insert(self._insert_at, helper.make_node(operator, inputs, [output], **attributes))
        self._insert_at += 1
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """Add an array to the graph as an initializer; return the name under which nodes can use the array."""
        name = f"{NAME_PREFIX}constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def name_output(self, name: str) -> None:
        """Rename the graph's only output."""
        (output,) = self._graph.output
        inside = f"{NAME_PREFIX}output"
        self._rename(output.name, inside)
        self._rename(name, f"{NAME_PREFIX}other_{name}")
        self._graph.node.append(helper.make_node("Identity", [inside], [name]))
        output.name = name

    def save(self, path: Path, data: str | None = None) -> Path:
        """Write the graph to `path` and return `path`.

        Weights in a file beside the old graph are copied to a file beside `path`, named `data` or, by default, like the
        graph plus .data.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        data = data or f"{path.name}.data"
        beside = self._source.with_name(f"{self._source.name}.data")
        if beside.exists():
            for tensor in self._graph.initializer:
                for entry in tensor.external_data:
                    if entry.key == "location":
                        entry.value = data
            shutil.copyfile(beside, path.with_name(data))
        path.write_bytes(self._model.SerializeToString(deterministic=True))
        return path

    def _rename(self, old: str, new: str) -> None:
        for graph in _graph_and_branches(self._graph):
            for node in graph.node:
                for names in (node.input, node.output):
                    names[:] = [new if name == old else name for name in names]
            for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
                if value.name == old:
                    value.name = new


def _graph_and_branches(graph: Any) -> Iterator[Any]:
    """Yield a graph and the graphs inside its operators, such as the branches of an If."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inside in (attribute.g, *attribute.graphs):
                if inside.node:
                    yield from _graph_and_branches(inside)


def copy_model_folder(model: AraCLIP, target: Path) -> None:
    """Copy the files of a model's folder into the folder `target`."""
    target.mkdir(parents=True, exist_ok=True)
    for part in (*PARTS, *model.config.data_files):
        shutil.copyfile(model.folder / part, target / part)


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` a hard link to a file, or a copy if no link can be made; `target` must not exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


# ------------------------------------------------------------------ what goes before a graph


def pad_ids(graph: AdaptedGraph, text: TextConfig) -> None:
    """If a model reads texts of one length only, let the graph itself pad shorter texts to that length.

    Most clients pad texts only to the longest text of a batch; they get the right vectors then, too.
    """
    if text.padding != "max_length":
        return
    graph.begin()
    length, before = (graph.constant(np.array(values, np.int64)) for values in ([text.max_tokens], [0, 0, 0]))
    for name, filling in ((IDS, text.pad_id), (MASK, 0)):
        if name in graph.inputs:
            outer, inside = graph.put_before(name, name, TensorProto.INT64, [BATCH, TOKENS])
            missing = graph.compute("Sub", [length, graph.compute("Shape", [outer], start=1, end=2)])
            pads = graph.compute("Concat", [before, missing], axis=0)
            graph.compute("Pad", [outer, pads, graph.constant(np.array(filling, np.int64))], inside)


def end_texts(graph: AdaptedGraph, text: TextConfig, end_id: int) -> None:
    """Let the graph cut texts at `max_tokens` tokens, and end a text of that length with the end token.

    transformers.js cuts off the end token of a long text, but some text towers take the text's vector at that token.
    """
    graph.begin()
    starts, ends, axes = (graph.constant(np.array([value], np.int64)) for value in (0, text.max_tokens, 1))
    cut = {}
    for name in (IDS, MASK):
        if name in graph.inputs:
            outer, inside = graph.put_before(name, name, TensorProto.INT64, [BATCH, TOKENS])
            cut[name] = graph.compute("Slice", [outer, starts, ends, axes], inside if name == MASK else "")
            if name == IDS:
                ids_inside = inside
    pad, end = (graph.constant(np.array(value, np.int64)) for value in (text.pad_id, end_id))
    is_last = graph.constant(np.arange(text.max_tokens) == text.max_tokens - 1)  # (max_tokens,): only the last is True
    length = graph.compute("Shape", [cut[IDS]], start=1, end=2)
    here = graph.compute("Slice", [is_last, starts, length])  # (tokens,)
    is_token = graph.compute("Not", [graph.compute("Equal", [cut[IDS], pad])])  # (texts, tokens)
    graph.compute("Where", [graph.compute("And", [is_token, here]), end, cut[IDS]], ids_inside)


def take_floats(graph: AdaptedGraph, size: int) -> None:
    """Replace the input `pixels` (bytes) by `pixel_values`, floats from 0 to 1, (n, 3, size, size): bytes / 255."""
    graph.begin()
    outer, inside = graph.put_before(PIXELS, "pixel_values", TensorProto.FLOAT, [BATCH, 3, size, size])
    scaled = graph.compute("Mul", [outer, graph.constant(np.array(255, np.float32))])
    whole = graph.compute("Cast", [graph.compute("Round", [scaled])], to=TensorProto.UINT8)
    graph.compute("Transpose", [whole], inside, perm=[0, 2, 3, 1])


def write_tokenizer(model: AraCLIP, out: Path) -> None:
    """Write tokenizer.json and the two files beside it, so that AutoTokenizer gives texts the same ids as the model."""
    out.mkdir(parents=True, exist_ok=True)
    text = (model.folder / "tokenizer.json").read_text(encoding="utf-8")
    written = text if model.config.text.normalizer == NO_NORMALIZER else prepend_normalizer(text)
    (out / "tokenizer.json").write_text(_adapt_patterns(written), encoding="utf-8")
    special = {"pad_token": padding_token(model)[1]}
    write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.config.text.max_tokens,
            "padding_side": "right",
            "clean_up_tokenization_spaces": False,
            **special,
        },
    )
    write_json(out / "special_tokens_map.json", special)


def padding_token(model: AraCLIP) -> tuple[int, str]:
    """Return id and text of the token with which other programs are to pad texts.

    This is the model's own padding token. But if that token is an ordinary piece, such as "!" of open_clip's CLIP,
    transformers would remove it from texts; then the end token is returned, if the text tower ignores all that follows
    the end of a text (its graph takes no mask, and texts of any length).

    Raises:
        InputError: the tokenizer has no token with the id of the padding.
    """
    tokenizer, text = _read_tokenizer(model), model.config.text
    id_ = text.pad_id
    if id_ not in tokenizer.get_added_tokens_decoder() and not text.attention_mask and text.padding == "longest":
        id_ = end if (end := end_of_texts(model)) is not None else id_
    token: str | None = tokenizer.id_to_token(id_)
    if token is None:
        raise InputError(
            f"{model.folder / 'tokenizer.json'} has no token with the id {id_}, which config.json pads with. Other "
            "programs name the padding by its token: export the model again."
        )
    return id_, token


def end_of_texts(model: AraCLIP) -> int | None:
    """Return the id that the tokenizer puts at the end of every text; None if it puts none there."""
    ids = [_read_tokenizer(model).encode(text).ids for text in ("", "a", "قطة")]
    last = {found[-1] if found else None for found in ids}
    return last.pop() if len(last) == 1 else None


def _adapt_patterns(tokenizer: str) -> str:
    r"""Return the text of a tokenizer.json with ^ and $ in place of \A and \z, which JavaScript does not know.

    A step before these patterns turns line breaks into spaces, so both mean the same.
    """
    found = json.loads(tokenizer)
    waiting = [found.get("normalizer"), found.get("pre_tokenizer")]
    changed = False
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(pattern := value.get("Regex"), str) and re.search(r"\\[Az]", pattern):
                value["Regex"] = pattern.replace("\\A", "^").replace("\\z", "$")
                changed = True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return json.dumps(found, ensure_ascii=False) if changed else tokenizer


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _read_tokenizer(model: AraCLIP) -> Any:
    return Tokenizer.from_file(str(model.folder / "tokenizer.json"))


TEXTS = ("قطة جالسة على طاولة", "قِطّةٌ ســوداء", "ﻻ شيء ٣", "a red car", "كلب\u200f في حديقة البيت، وأطفال يلعبون")
PICTURES = 2
# Least cosine of a written graph's vector to the model's own vector. The two differ only in graphs that quantise while
# they run: there a text's vector depends a little on the length of the padding.
LEAST_COSINE = 0.999


def check_layout(model: AraCLIP, text: Path, tokenizer: Path, image: Path | None) -> None:
    """Check that a layout (a model's files in the form that another library reads) gives the model's vectors.

    Args:
        text, tokenizer, image: the layout's text graph, tokenizer.json and image graph; None: no image graph.

    Raises:
        ExportRejected: a text or a picture gets another vector from the layout's files than from the model.
    """
    expected = model.encode_text(TEXTS)
    _compare("text", expected, _encode_with_layout(model, text, tokenizer))
    if image is not None:
        side = model.image_size
        pixels = np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, 3), np.uint8)
        session = _open_session(image)
        (name,) = (node.name for node in session.get_inputs())
        floats = pixels.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)  # (pictures, 3, side, side)
        rows = [session.run(None, {name: floats[[row]]})[0][0] for row in range(PICTURES)]
        _compare("picture", model.encode_pixels(pixels), np.stack(rows))


def _encode_with_layout(model: AraCLIP, graph: Path, tokenizer_file: Path) -> Vectors:
    config = model.config.text
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_truncation(config.max_tokens)
    pad_id, pad_token = padding_token(model)
    tokenizer.enable_padding(pad_id=pad_id, pad_token=pad_token)  # pads to the longest text of the batch
    session = _open_session(graph)
    rows = []
    for encoding in tokenizer.encode_batch(TEXTS):
        inputs: dict[str, NDArray[Any]] = {}
        for node in session.get_inputs():
            values = encoding.attention_mask if node.name == "attention_mask" else encoding.ids
            inputs[node.name] = np.array([values], np.int32 if "int32" in node.type else np.int64)
        rows.append(session.run(None, inputs)[0][0])
    return np.stack(rows)


def _open_session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def _compare(kind: str, expected: Vectors, found: Vectors) -> None:
    # The layout's vectors (`found`) may be wider than the model's (`expected`); then their first numbers are compared.
    # If these agree, the other numbers are nearly 0, because the length of a vector is 1.
    same = (expected * found[:, : expected.shape[1]]).sum(axis=1)
    lengths = np.linalg.norm(found, axis=1)
    if same.min() < LEAST_COSINE or np.abs(lengths - 1).max() > 1e-3:
        raise ExportRejected(
            f"the written graph gives another {kind} vector than the model (cosine {same.min():.4f}, at least "
            f"{LEAST_COSINE} is needed): this model cannot be written in that layout."
        )


FOLDER = "0_AraCLIP"
MODULE = "araclip.layouts.sentence_transformers_module.AraCLIPModule"


def write_sentence_transformers(model: AraCLIP, out: Path) -> None:
    """Write a model folder in the layout of sentence-transformers, so that sentence-transformers can load it."""
    copy_model_folder(model, out / FOLDER)
    write_json(out / "modules.json", [{"idx": 0, "name": "0", "path": FOLDER, "type": MODULE}])
    write_json(
        out / "config_sentence_transformers.json",
        {
            "model_type": "SentenceTransformer",
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )
    text = model.config.text
    config = {"hidden_size": model.width, "pad_token_id": padding_token(model)[0],
              "max_position_embeddings": text.max_tokens}  # fmt: skip
    write_json(out / "config.json", config)
    write_tokenizer(model, out)
    if text.padding == "longest" and not model.config.data_files:
        link_or_copy(out / FOLDER / "text.onnx", out / "onnx" / "model.onnx")
        return
    graph = AdaptedGraph(model.folder / "text.onnx")
    pad_ids(graph, text)
    graph.save(out / "onnx" / "model.onnx")


# Maps the way in which the text graph stores weights to the end of both graphs' file names in transformers.js. For ways
# that are not listed, the end is _quantized.
SUFFIXES = {"float32": "", "float16": "_fp16"}


def write_transformers_js(model: AraCLIP, out: Path) -> None:
    """Write a model folder in the layout of transformers.js, so that transformers.js can load it."""
    write_json(out / "config.json", _make_clip_config(model))
    # the processor only divides pixels by 255; the graph subtracts the mean and divides by the deviation
    unscaled = replace(model.config.image, mean=(0.0,) * 3, std=(1.0,) * 3)
    write_json(out / "preprocessor_config.json", {**image_processor(unscaled), "do_normalize": False})
    write_tokenizer(model, out)
    suffix = SUFFIXES.get((model.config.weights or "").partition(" + ")[0], "_quantized")
    text = AdaptedGraph(model.folder / "text.onnx")
    if (end := end_of_texts(model)) is not None:
        end_texts(text, model.config.text, end)
    pad_ids(text, model.config.text)
    text.name_output("text_embeds")
    image = AdaptedGraph(model.folder / "image.onnx")
    take_floats(image, model.image_size)
    image.name_output("image_embeds")
    for graph, name in ((text, "text_model"), (image, "vision_model")):
        plain = graph.save(out / "onnx" / f"{name}.onnx", f"{name}.onnx_data")
        # Write no second graph if the weights have a file of their own: transformers.js derives the name of that file
        # from the graph's name.
        if suffix and not model.config.data_files:
            link_or_copy(plain, plain.with_name(f"{name}{suffix}.onnx"))


def _make_clip_config(model: AraCLIP) -> dict[str, Any]:
    text, image = model.config.text, model.config.image
    config: dict[str, Any] = {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": model.width,
        "text_config": {
            "model_type": "clip_text_model", "max_position_embeddings": text.max_tokens,
            "pad_token_id": padding_token(model)[0], "projection_dim": model.width,
        },
        "vision_config": {
            "model_type": "clip_vision_model", "image_size": image.size, "projection_dim": model.width,
        },
    }  # fmt: skip
    if model.config.data_files:
        config["transformers.js_config"] = {"use_external_data_format": True}
    return config


LAYOUTS = ("transformers.js", "sentence-transformers")


def check_target(out: Path, layout: str) -> Path:
    """Return the folder to write as an absolute path; raise InputError if it is not empty or `layout` is unknown."""
    if layout not in LAYOUTS:
        raise InputError(f"no layout '{layout}'. Choose one of {', '.join(LAYOUTS)}.")
    out = user_path(out).resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already. Name a new folder, or move it away.")
    return out


def write_layout(source: str | Path, out: Path, layout: str, *, log: Log = lambda line: None) -> Path:
    """Write a model folder in the form that another library reads (a layout), and return the path of the new folder.

    The new folder appears only once its vectors were compared with the model's.

    Args:
        source: the path of a model folder, or the name of a bundled or pulled model.
        out: a new or empty folder.
        layout: one of LAYOUTS.

    Raises:
        InputError: the layout is unknown, or `out` is not empty. ExportRejected: the layout gives other vectors.
    """
    out = check_target(out, layout)
    model = AraCLIP(source)
    for part in (*model_folder.HASHED, *model.config.data_files):
        model_folder.check_hash(model.folder, model.config, part)
    model.encode_text("قطة")  # encoding checks the folder before this module reads its graphs
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
