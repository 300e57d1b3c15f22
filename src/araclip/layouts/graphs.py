"""A model folder's graph with the inputs and outputs that another program expects; its weights stay as they are.

A few operators are put before and after a graph: it still computes what it computed. Weights in a file beside the graph
are copied, and never read.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from araclip.encoder import AraCLIP
from araclip.model_folder import PARTS, TextConfig

OWN = "layout_"  # begins the names of what is added
IDS, MASK, PIXELS = "input_ids", "attention_mask", "pixels"
BATCH, TOKENS = "batch", "tokens"  # axes whose length is free
Axes = list[str | int]


class AdaptedGraph:
    """One graph of a model folder, which the functions below change; `save` writes it."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._model: Any = onnx.load(str(source), load_external_data=False)
        del self._model.metadata_props[:]  # what the graph was made of, for training; larger than some graphs
        self._graph = self._model.graph
        self._place = self._made = 0

    def begin(self) -> None:
        """What `compute` adds from here on goes before all that is there."""
        self._place = 0

    @property
    def inputs(self) -> list[str]:
        """Names of the graph's inputs."""
        return [value.name for value in self._graph.input]

    def put_before(self, replaced: str, name: str, kind: int, axes: Axes) -> tuple[str, str]:
        """A new input in the place of an old one, which becomes a value that `compute` has to make.

        Returns:
            The names of the new input and of that value.
        """
        self._made += 1
        inside = f"{OWN}inside_{replaced}_{self._made}"
        self._rename(replaced, inside)
        kept = [value for value in self._graph.input if value.name != inside]
        del self._graph.input[:]
        self._rename(name, f"{OWN}other_{name}")  # of a value that has the new input's name already
        self._graph.input.extend([*kept, helper.make_tensor_value_info(name, kind, axes)])
        return name, inside

    def compute(self, operator: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Put an operator after those that were put there since `begin`, all of them before the rest of the graph.

        Returns:
            The name of what it makes.
        """
        self._made += 1
        output = output or f"{OWN}value_{self._made}"
        self._graph.node.insert(self._place, helper.make_node(operator, inputs, [output], **attributes))
        self._place += 1
        return output

    def constant(self, values: NDArray[Any]) -> str:
        """The name of a new constant."""
        name = f"{OWN}constant_{len(self._graph.initializer)}"
        self._graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def name_output(self, name: str) -> None:
        """Give the one output a name."""
        (output,) = self._graph.output
        inside = f"{OWN}output"
        self._rename(output.name, inside)
        self._rename(name, f"{OWN}other_{name}")
        self._graph.node.append(helper.make_node("Identity", [inside], [name]))
        output.name = name

    def save(self, path: Path, data: str | None = None) -> Path:
        """Write the graph, and beside it the weights that lay beside it, in a file named `data`."""
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
        for graph in _with_branches(self._graph):
            for node in graph.node:
                for names in (node.input, node.output):
                    names[:] = [new if name == old else name for name in names]
            for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
                if value.name == old:
                    value.name = new


def _with_branches(graph: Any) -> Iterator[Any]:
    """A graph and those inside its operators, such as the branches of an If."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inside in (attribute.g, *attribute.graphs):
                if inside.node:
                    yield from _with_branches(inside)


def copy_model_folder(model: AraCLIP, target: Path) -> None:
    """Copy the files of a model folder."""
    target.mkdir(parents=True, exist_ok=True)
    for part in (*PARTS, *model.config.data_files):
        shutil.copyfile(model.folder / part, target / part)


def link_or_copy(source: Path, target: Path) -> None:
    """A file of the written folder under a second name: a hard link where the file system can, a copy elsewhere."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


# ------------------------------------------------------------------ what goes before a graph


def pad_ids(graph: AdaptedGraph, text: TextConfig) -> None:
    """Where a model reads texts of one length only, have the graph itself fill shorter ones up to it.

    A client that pads to the longest text of a batch, as most do, then gets the right vectors.
    """
    if text.padding != "max_length":
        return
    graph.begin()
    length, before = (graph.constant(np.array(values, np.int64)) for values in ([text.max_tokens], [0, 0, 0]))
    for name, filling in ((IDS, text.pad_id), (MASK, 0)):
        if name in graph.inputs:
            given, inside = graph.put_before(name, name, TensorProto.INT64, [BATCH, TOKENS])
            missing = graph.compute("Sub", [length, graph.compute("Shape", [given], start=1, end=2)])
            pads = graph.compute("Concat", [before, missing], axis=0)
            graph.compute("Pad", [given, pads, graph.constant(np.array(filling, np.int64))], inside)


def end_texts(graph: AdaptedGraph, text: TextConfig, end_id: int) -> None:
    """Cut what follows `max_tokens` tokens, and have a text of that many end as the tokenizer ends texts.

    transformers.js cuts off the end token with what is too long, and models that are read there would be lost.
    """
    graph.begin()
    starts, ends, axes = (graph.constant(np.array([value], np.int64)) for value in (0, text.max_tokens, 1))
    cut = {}
    for name in (IDS, MASK):
        if name in graph.inputs:
            given, inside = graph.put_before(name, name, TensorProto.INT64, [BATCH, TOKENS])
            cut[name] = graph.compute("Slice", [given, starts, ends, axes], inside if name == MASK else "")
            if name == IDS:
                ids_inside = inside
    pad, end = (graph.constant(np.array(value, np.int64)) for value in (text.pad_id, end_id))
    is_last = graph.constant(np.arange(text.max_tokens) == text.max_tokens - 1)  # (max_tokens,)
    length = graph.compute("Shape", [cut[IDS]], start=1, end=2)
    here = graph.compute("Slice", [is_last, starts, length])  # (T,)
    is_token = graph.compute("Not", [graph.compute("Equal", [cut[IDS], pad])])  # (B, T)
    graph.compute("Where", [graph.compute("And", [is_token, here]), end, cut[IDS]], ids_inside)


def take_floats(graph: AdaptedGraph, name: str, size: int) -> None:
    """An input of floats from 0 to 1, (B, 3, size, size), in the place of `pixels`: bytes divided by 255."""
    graph.begin()
    given, inside = graph.put_before(PIXELS, name, TensorProto.FLOAT, [BATCH, 3, size, size])
    scaled = graph.compute("Mul", [given, graph.constant(np.array(255, np.float32))])
    whole = graph.compute("Cast", [graph.compute("Round", [scaled])], to=TensorProto.UINT8)
    graph.compute("Transpose", [whole], inside, perm=[0, 2, 3, 1])
