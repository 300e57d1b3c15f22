"""Model folders of strangers: each function makes a whole model folder into one that must be refused.

Used by test_model_check.py, and by trials/model_folders.py with more and slower ones.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import tiny

Change = Callable[[Path], None]


def graph(part: str, edit: Callable[[onnx.ModelProto], None]) -> Change:
    """Edit a graph; hashes are made to fit."""

    def change(folder: Path) -> None:
        model = onnx.load(str(folder / part), load_external_data=False)
        edit(model)
        (folder / part).write_bytes(model.SerializeToString())
        tiny.rehash(folder)

    return change


def tokenizer(edit: Callable[[dict[str, Any]], None]) -> Change:
    """Edit tokenizer.json; hashes are made to fit."""

    def change(folder: Path) -> None:
        path = folder / "tokenizer.json"
        raw = json.loads(path.read_text(encoding="utf-8"))
        edit(raw)
        path.write_text(json.dumps(raw), encoding="utf-8")
        tiny.rehash(folder)

    return change


def raw_bytes(part: str, content: Callable[[bytes], bytes]) -> Change:
    """Replace the bytes of a part; hashes are made to fit."""

    def change(folder: Path) -> None:
        (folder / part).write_bytes(content((folder / part).read_bytes()))
        tiny.rehash(folder)

    return change


def before_output(*nodes: onnx.NodeProto) -> Callable[[onnx.ModelProto], None]:
    """Put nodes at the end that take "embedding0" and make "embedding"."""

    def edit(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            for i, name in enumerate(node.output):
                node.output[i] = "embedding0" if name == "embedding" else name
        model.graph.node.extend(nodes)

    return edit


def constant(name: str, values: Any, kind: int = TensorProto.INT64) -> onnx.NodeProto:
    """A Constant node."""
    array = np.asarray(values, helper.tensor_dtype_to_np_dtype(kind))
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))


def loop(model: onnx.ModelProto) -> None:
    """A loop of 2⁶² steps that does nothing."""
    condition = helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["still"])],
        "body",
        [helper.make_tensor_value_info("step", TensorProto.INT64, []), condition],
        [helper.make_tensor_value_info("still", TensorProto.BOOL, [])],
    )
    model.graph.node.extend(
        [
            constant("steps", 1 << 62),
            constant("true", True, TensorProto.BOOL),
            helper.make_node("Loop", ["steps", "true"], [], body=body),
        ]
    )


def external(location: str, **place: int) -> Callable[[onnx.ModelProto], None]:
    """Weights in another file."""

    def edit(model: onnx.ModelProto) -> None:
        tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **place}.items():
            tensor.external_data.add(key=key, value=str(value))

    return edit


def data_file(part: str, location: str | None = None, **place: int) -> Change:
    """The folder in format 2, the largest weights of a graph in `part`.data, or wherever it says."""

    def change(folder: Path) -> None:
        model = onnx.load(str(folder / part))
        tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
        (folder / f"{part}.data").write_bytes(tensor.raw_data)
        entries = {"location": location or f"{part}.data", "offset": 0, "length": len(tensor.raw_data), **place}
        external(**entries)(model)
        (folder / part).write_bytes(model.SerializeToString())
        tiny.rehash(folder)

    return change


def twice(part: str) -> Change:
    """Two weights that share the bytes of a data file: together they are said to have more than it has."""

    def change(folder: Path) -> None:
        data_file(part)(folder)
        graph(part, lambda m: m.graph.initializer.add().CopyFrom(stored_beside(m)))(folder)

    return change


def stored_beside(model: onnx.ModelProto) -> onnx.TensorProto:
    """The weights in a data file, under another name."""
    (found,) = (t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL)
    copy = onnx.TensorProto()
    copy.CopyFrom(found)
    copy.name = "again"
    return copy


def giant(model: onnx.ModelProto) -> None:
    """Weights that are said to be larger than all memory."""
    tensor = max(model.graph.initializer, key=lambda t: len(t.raw_data))
    tensor.dims[0] = 1 << 40


def nodes(count: int) -> bytes:
    """A graph of as many layers."""
    content = b"\x0a\x05\x22\x03Neg" * count  # node, of 5 bytes: op_type, of 3 bytes
    length = bytes((len(content) >> shift & 127) | (128 if shift < 28 else 0) for shift in range(0, 35, 7))
    return b"\x3a" + length + content


def function(model: onnx.ModelProto) -> None:
    """A function of the model's own."""
    body = [helper.make_node("Neg", ["x"], ["y"])]
    model.functions.append(helper.make_function("own", "F", ["x"], ["y"], body, [helper.make_opsetid("", 18)]))


def filled(size: list[int]) -> tuple[onnx.NodeProto, ...]:
    """Multiply by the mean of a constant of this shape, which is made when the graph is opened."""
    return (
        constant("size", size),
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["embedding0", "zero"], ["embedding"]),
    )


def weights(value: float) -> Callable[[onnx.ModelProto], None]:
    """All large weights are this number."""

    def edit(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT and len(tensor.raw_data) > 64:
                array = np.full_like(numpy_helper.to_array(tensor), value)
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

    return edit


def growing(content: str, times: int, pattern: dict[str, str]) -> Callable[[dict[str, Any]], None]:
    """Replace again and again."""

    def edit(raw: dict[str, Any]) -> None:
        step = {"type": "Replace", "pattern": pattern, "content": content}
        raw["normalizer"] = {"type": "Sequence", "normalizers": [step] * times}

    return edit


def split(pattern: str) -> Callable[[dict[str, Any]], None]:
    """Split texts at a regular expression."""

    def edit(raw: dict[str, Any]) -> None:
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        raw["pre_tokenizer"] = split

    return edit


def config(**fields: Any) -> Change:
    """Replace fields of config.json; text__pad_id means the field pad_id of text."""

    def change(folder: Path) -> None:
        raw = tiny.read_config(folder)
        for name, value in fields.items():
            *inside, last = name.split("__")
            (raw[inside[0]] if inside else raw)[last.replace("_onnx_data", ".onnx.data")] = value
        tiny.write_config(folder, raw)

    return change


def link(part: str, target: str) -> Change:
    """A part that is a link."""

    def change(folder: Path) -> None:
        (folder / part).unlink()
        (folder / part).symlink_to(target)

    return change


def pipe(part: str) -> Change:
    """A part that is a named pipe, which blocks whoever opens it."""

    def change(folder: Path) -> None:
        (folder / part).unlink()
        os.mkfifo(folder / part)

    return change


def sparse(part: str, size: int) -> Change:
    """A part of many zeros that take no space on the disk."""

    def change(folder: Path) -> None:
        with (folder / part).open("r+b") as file:
            file.truncate(size)

    return change


def one_row(model: onnx.ModelProto) -> None:
    """One vector for a whole batch."""
    before_output(
        constant("first", [0]),
        constant("second", [1]),
        constant("rows", [0]),
        helper.make_node("Slice", ["embedding0", "first", "second", "rows"], ["embedding"]),
    )(model)


JUDGED: dict[str, tuple[Change, str]] = {  # refused by what is in the files; and what the message says
    "a loop of 2^62 steps": (graph("text.onnx", loop), "operator Loop"),
    "a graph in a node": (
        graph("text.onnx", lambda m: m.graph.node[0].attribute.add(name="x", type=5).g.SetInParent()),
        "graph inside",
    ),
    "20,001 layers": (raw_bytes("text.onnx", lambda data: nodes(20_001)), "20,000 nodes"),
    "weights said to be huge": (graph("text.onnx", giant), "bytes are stored"),
    "a negative shape": (
        graph("text.onnx", lambda m: m.graph.initializer[0].dims.__setitem__(0, -5)),
        "bytes are stored",
    ),
    "weights in /etc": (graph("text.onnx", external("/etc/passwd")), "other files"),
    "weights in ..": (graph("text.onnx", external("../../weights")), "other files"),
    "weights beside it": (graph("text.onnx", external("README.md")), "other files"),
    "a data file in ..": (data_file("text.onnx", "../text.onnx.data"), "other files"),
    "a data file in /etc": (data_file("text.onnx", "/etc/passwd"), "other files"),
    "the data of the other tower": (data_file("text.onnx", "image.onnx"), "other files"),
    "past the end of the data file": (data_file("text.onnx", offset=8), "reach past"),
    "a negative offset": (data_file("text.onnx", offset=-8), "no number"),
    "less data than the shape": (data_file("text.onnx", length=4), "bytes are stored"),
    "a checksum beside the data": (data_file("text.onnx", checksum=5), "reach past"),
    "more weights than the data file has": (twice("text.onnx"), "reach past"),
    "a data file that is not listed": (
        lambda folder: (folder / "text.onnx.data").write_bytes(b"x") and None,
        r"text\.onnx\.data has no hash",
    ),
    "a listed data file that is not there": (config(files__text_onnx_data="0" * 64), "data missing"),
    "a data file that is a link": (
        lambda folder: data_file("text.onnx")(folder) or link("text.onnx.data", "/etc/passwd")(folder),
        "outside of the folder",
    ),
    "another operator of ONNX Runtime": (
        graph("text.onnx", lambda m: setattr(m.graph.node[0], "domain", "com.microsoft")),
        r"com\.microsoft\.Gather with 0 attributes; of that domain, MatMulIntegerToFloat",
    ),
    "operators of others": (
        graph("text.onnx", lambda m: setattr(m.graph.node[0], "domain", "com.evil")),
        "domain com.evil",
    ),
    "an unknown operator": (
        graph("text.onnx", lambda m: setattr(m.graph.node[0], "op_type", "Sys\x1b]0;tem")),
        r"operator Sys\\u001b",
    ),
    "functions": (graph("text.onnx", function), "functions of its own"),
    "texts as weights": (
        graph("text.onnx", lambda m: m.graph.initializer.append(helper.make_tensor("t", 8, [1], [b"x"]))),
        "texts among",
    ),
    "a graph twice": (raw_bytes("text.onnx", lambda data: data + data), "2 graphs"),
    "a graph cut short": (raw_bytes("text.onnx", lambda data: data[: len(data) // 2]), "cut short"),
    "no graph at all": (raw_bytes("text.onnx", lambda data: b"\x08\x09"), "no ONNX graph"),
    "groups": (raw_bytes("text.onnx", lambda data: b"\x0b\x0c" + data), "wire type"),
    "an endless number": (raw_bytes("text.onnx", lambda data: b"\xff" * 40), "10 bytes"),
    "names of files with ..": (config(files={"../text.onnx": "0" * 64}), "files is"),
    "names of files from the root": (config(files={"/etc/passwd": "0" * 64}), "files is"),
    "a link to elsewhere": (link("tokenizer.json", "/etc/passwd"), "outside of the folder"),
    "a link to itself": (link("tokenizer.json", "tokenizer.json"), "cannot be read"),
    "a link to nothing": (link("text.onnx", "nothing"), "missing"),
    "a pipe": (pipe("text.onnx"), "no regular file"),
    "2 GB of zeros": (sparse("text.onnx", 1 << 31), "the most is"),
    "a fraction as token id": (config(text__pad_id=0.5), "text.pad_id is 0.5, expected a token id"),
    "an endless width": (config(width=float("inf")), "width is inf"),
    "10^12 wide": (config(width=10**12), "width is 1000000000000"),
    "a picture of 10^6 pixels a side": (config(image__size=10**6), "image.size is 1000000"),
    "a name that writes to the terminal": (config(name="x\x1b]0;y\x07"), r"name is 'x\\x1b"),
}
TRIED: dict[str, tuple[Change, str]] = {  # refused by the trial
    "a text that grows tenfold eleven times": (
        tokenizer(growing("aaaaaaaaaa", 11, {"String": "a"})),
        "100,000,000,000 times longer",
    ),
    "an exploding regular expression": (tokenizer(split("(a+)+$")), "repeats a repetition"),
    "a regular expression that refers back": (tokenizer(split(r"(a|b)*\1")), "refers back"),
    "deep JSON as tokenizer": (raw_bytes("tokenizer.json", lambda data: b"[" * 100_000), "tokenizer.json"),
    "no numbers": (graph("text.onnx", weights(np.nan)), "not finite"),
    "infinite numbers": (graph("text.onnx", weights(np.inf)), "not finite"),
    "no unit length": (
        graph("text.onnx", before_output(helper.make_node("Add", ["embedding0", "embedding0"], ["embedding"]))),
        "length 2 in place of 1",
    ),
    "one row for a batch": (graph("text.onnx", one_row), r"makes \(1, 8\)"),
    "a constant of 80 GB": (graph("text.onnx", before_output(*filled([10, 1 << 30]))), "text"),
}
