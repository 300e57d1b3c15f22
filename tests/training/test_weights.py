"""How weights are stored: every way keeps the vectors of a float32 graph."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from araclip import AraCLIP
from araclip.errors import InputError, ModelMismatch
from araclip.models import folder as model_folder
from araclip.models.folder import weights_by_tower
from araclip.models.graph_file import check_graph
from araclip.training.export import weights as storing
from araclip.training.export.graphs import megabytes, numbers, order_gelu, read_graph, write_graph
from araclip.training.export.smooth import convolution_scales, errors_of_products, int8_steps, largest_by_channel
from araclip.training.export.weights import LEAST_COSINE, store, store_towers
from araclip.training.model.unpack import wide_weights

WIDTH, HIDDEN, SIDE = 64, 160, 12
Feed = dict[str, np.ndarray]


def graph_of(nodes: list[Any], weights: dict[str, Any], shape: list[Any]) -> Any:
    """A graph from "x" to "y" as PyTorch's exporter writes them."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), ("y", ["b", 32])))
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def random(*shape: int) -> np.ndarray:
    return (np.random.default_rng(sum(shape)).standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)


@pytest.fixture(scope="module")
def feeds() -> list[Feed]:
    """Rows as a transformer has them: two channels and one row in ten are far larger than the rest."""
    rows = np.random.default_rng(0).standard_normal((40, WIDTH)).astype(np.float32)
    rows[:, [3, 40]] *= 12
    rows[::10] *= 30
    return [{"x": row[None]} for row in rows]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A block of a transformer: product, bias, GELU, product, Gemm, unit length."""
    up = random(WIDTH, HIDDEN)
    up[[3, 40]] /= 4  # as trained weights are where their input is large
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "up"], ["a"]), node("Add", ["a", "bias"], ["h"]), node("Div", ["h", "root"], ["d"]),
        node("Erf", ["d"], ["e"]), node("Add", ["e", "one"], ["o"]), node("Mul", ["half", "o"], ["s"]),
        node("Mul", ["h", "s"], ["gelu"]), node("MatMul", ["gelu", "down"], ["m"]),
        node("Gemm", ["m", "head", "shift"], ["p"], transB=1), node("ReduceL2", ["p", "axes"], ["n"]),
        node("Div", ["p", "n"], ["y"]),
    ]  # fmt: skip
    weights = {
        "up": up, "bias": random(HIDDEN), "root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5),
        "down": random(HIDDEN, WIDTH), "head": random(32, WIDTH), "shift": random(32), "axes": np.array([1]),
    }  # fmt: skip
    path = tmp_path_factory.mktemp("weights") / "float32.onnx"
    onnx.save(graph_of(nodes, weights, ["b", WIDTH]), str(path))
    return path


def vectors(path: Path, feeds: list[Feed]) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path))
    return np.concatenate([session.run(None, feed)[0] for feed in feeds])


def cosines(path: Path, other: Path, feeds: list[Feed]) -> np.ndarray:
    return (vectors(path, feeds) * vectors(other, feeds)).sum(axis=1)


@pytest.mark.parametrize(("weights", "least", "size"), [
    ("float32", 1 - 1e-6, 1.05), ("float16", 0.99999, 0.6), ("int8", 0.999, 0.45), ("smooth-int8", 0.99, 0.5),
    ("smooth-compact", 0.99, 0.5),
])  # fmt: skip
def test_each_way_to_store_weights_keeps_the_vectors(
    graph: Path, feeds: list[Feed], tmp_path: Path, weights: str, least: float, size: float
) -> None:
    store(graph, tmp_path / "small.onnx", weights, feeds=feeds[:8])
    assert cosines(tmp_path / "small.onnx", graph, feeds).min() > least
    assert megabytes(tmp_path / "small.onnx") < size * megabytes(graph)
    check_graph(tmp_path / "small.onnx")


def test_a_smooth_int8_vector_does_not_depend_on_its_batch(graph: Path, feeds: list[Feed], tmp_path: Path) -> None:
    store(graph, tmp_path / "small.onnx", "smooth-int8", feeds=feeds[:8])
    together = [{"x": np.concatenate([feed["x"] for feed in feeds])}]
    np.testing.assert_allclose(
        vectors(tmp_path / "small.onnx", together), vectors(tmp_path / "small.onnx", feeds), atol=1e-6
    )


def test_smoothing_channels_makes_int8_closer(graph: Path, feeds: list[Feed], tmp_path: Path) -> None:
    store(graph, tmp_path / "rows.onnx", "smooth-int8")
    store(graph, tmp_path / "smooth.onnx", "smooth-int8", feeds=feeds[:8])
    rows, smooth = (1 - cosines(tmp_path / f"{name}.onnx", graph, feeds).mean() for name in ("rows", "smooth"))
    assert smooth < 0.8 * rows


def test_products_kept_in_float32_have_known_errors(graph: Path, feeds: list[Feed], tmp_path: Path) -> None:
    write_graph(read_graph(graph), graph.parent, tmp_path / "outside.onnx", outside=True)
    largest = largest_by_channel(tmp_path / "outside.onnx", feeds)
    rows = np.abs(np.concatenate([feed["x"] for feed in feeds]))
    np.testing.assert_allclose(largest["x"], (rows / rows.max(axis=1, keepdims=True)).max(axis=0), rtol=1e-6)
    errors = errors_of_products(tmp_path / "outside.onnx", feeds[:4], largest)
    assert errors.keys() == {"a", "m", "p"}
    assert all(0 < error < 0.01 for error in errors.values())
    store(graph, tmp_path / "kept.onnx", "smooth-int8", largest=largest, keep=["a", "m", "p"])
    assert cosines(tmp_path / "kept.onnx", graph, feeds).min() > 0.999
    assert "MatMulIntegerToFloat" not in {node.op_type for node in read_graph(tmp_path / "kept.onnx").graph.node}


def test_a_gelu_is_written_with_the_same_numbers(graph: Path, feeds: list[Feed], tmp_path: Path) -> None:
    model = read_graph(graph)
    assert order_gelu(model.graph) == 1
    assert order_gelu(model.graph) == 0  # already so
    write_graph(model, graph.parent, tmp_path / "ordered.onnx")
    np.testing.assert_allclose(vectors(tmp_path / "ordered.onnx", feeds), vectors(graph, feeds), atol=1e-6)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "fused.onnx"), 3
    onnxruntime.InferenceSession(str(tmp_path / "ordered.onnx"), options)
    kinds = {node.op_type for node in read_graph(tmp_path / "fused.onnx").graph.node}
    assert "Erf" not in kinds
    assert kinds & {"Gelu", "BiasGelu"}


def test_weights_in_another_file_are_stored_small_from_there(graph: Path, feeds: list[Feed], tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    write_graph(read_graph(graph), graph.parent, outside, outside=True)
    assert (tmp_path / "outside.onnx.data").stat().st_size > 0.9 * graph.stat().st_size
    there, here = ({t.name: t for t in read_graph(path).graph.initializer} for path in (outside, graph))
    assert all(np.array_equal(numbers(there[name], tmp_path), numbers(here[name])) for name in here)
    np.testing.assert_array_equal(vectors(outside, feeds), vectors(graph, feeds))
    store(outside, tmp_path / "small.onnx", "int8")
    store(graph, tmp_path / "other.onnx", "int8")
    np.testing.assert_array_equal(vectors(tmp_path / "small.onnx", feeds), vectors(tmp_path / "other.onnx", feeds))
    assert not (tmp_path / "small.onnx.data").exists()


# ------------------------------------------------------------------ both towers of a folder


@pytest.mark.parametrize(("least", "taken"), [(0.0, "smooth-int8"), (1.1, "float16")])
def test_a_tower_that_int8_moves_too_far_has_wider_products(
    graph: Path, feeds: list[Feed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: float, taken: str
) -> None:
    monkeypatch.setattr(storing, "LEAST_COSINE", least)
    lines: list[str] = []
    assert storing.store_near(graph, tmp_path / "y.onnx", "smooth-int8", feeds, log=lines.append) == taken
    assert sorted(path.name for path in tmp_path.iterdir()) == ["y.onnx"]
    assert any("1 products in float32" in line for line in lines) == (taken == "float16")
    assert cosines(tmp_path / "y.onnx", graph, feeds).min() > (0.99999 if taken == "float16" else 0.99)


def test_a_pulled_tower_keeps_its_vectors(tiny_model: Path, tmp_path: Path) -> None:
    config = model_folder.read_config(tiny_model)
    name = store_towers(tiny_model, tmp_path, config, weights_by_tower("smooth-int8"), kept=True)
    shutil.copyfile(tiny_model / "tokenizer.json", tmp_path / "tokenizer.json")
    model_folder.write_config(tmp_path, replace(config, weights=name, files=model_folder.hashes(tmp_path)))
    (tmp_path / "README.md").touch()
    exact, small = (AraCLIP.load(folder).encode_text("قطة") for folder in (tiny_model, tmp_path))
    assert (exact * small).sum() >= LEAST_COSINE


def test_unknown_weights_are_refused() -> None:
    for named in ("int2", "compact + int2", "int4-blocks", "auto"):
        with pytest.raises(InputError, match=f"int8, compact, .* not as '{named.removeprefix('compact + ')}'"):
            weights_by_tower(named)
    for nothing in ("", "compact + ", "+"):
        with pytest.raises(InputError, match="not as ''"):
            weights_by_tower(nothing)
    with pytest.raises(InputError, match="names 3 ways"):
        weights_by_tower("compact + int8 + float32")


def test_each_tower_may_be_stored_in_a_way_of_its_own(tiny_model: Path, tmp_path: Path) -> None:
    assert weights_by_tower("smooth-compact + static-int8") == {"text": "smooth-compact", "image": "static-int8"}
    assert weights_by_tower("smooth-compact+static-int8") == weights_by_tower("smooth-compact + static-int8")
    assert weights_by_tower(" int8 ") == {"text": "int8", "image": "int8"}
    config = model_folder.read_config(tiny_model)
    assert store_towers(tiny_model, tmp_path, config, weights_by_tower("float16 + int8")) == "float16 + int8"
    both = replace(config, weights="compact + static-int8")
    assert [both.in_int8(tower) for tower in ("text", "image")] == [False, True]
    assert not replace(both, weights=None).in_int8("image")


# ------------------------------------------------------------------ int8 that overflows on no processor


def largest_sum(steps: np.ndarray) -> int:
    """The most that two neighbours along the first axis have together, as AVX2 adds them in 16 bits."""
    sizes = np.abs(steps.astype(int))
    return int((sizes[0::2] + np.concatenate([sizes, np.zeros_like(sizes[:1])])[1::2][: len(sizes[0::2])]).max())


@given(
    arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=st.floats(-100, 100, width=32)),
)
def test_no_two_neighbours_of_a_product_overflow_16_bits(
    matrix: np.ndarray,
) -> None:
    steps, scale = int8_steps(matrix)
    assert 255 * largest_sum(steps) <= 2**15 - 1
    assert (np.abs(steps * scale - matrix) <= 0.5001 * scale).all()
    assert (scale <= 2.001 * np.maximum(np.abs(matrix).max(axis=0), 1e-9) / 127).all()  # seven bits at worst


@given(st.integers(0, 1000), st.integers(1, 5), st.sampled_from([1, 3]))
def test_sums_of_a_convolution_do_not_overflow_either(seed: int, inputs: int, side: int) -> None:
    weight = np.random.default_rng(seed).standard_normal((4, inputs, side, side)).astype(np.float32) ** 3
    steps = np.round(weight / convolution_scales(weight, 1)[:, None, None, None]).astype(np.int8)
    at_places = steps.transpose(2, 3, 1, 0)
    assert 255 * largest_sum(at_places.reshape(-1, 4)) <= 2**15 - 1  # all inputs of a place after each other
    assert 255 * max(largest_sum(place) for place in at_places.reshape(-1, inputs, 4)) <= 2**15 - 1  # padded to pairs
    depthwise = np.maximum(np.abs(weight[:, :1]).max(axis=(1, 2, 3)), 1e-12) / 127
    np.testing.assert_allclose(convolution_scales(weight[:, :1], 4), depthwise, rtol=1e-6)  # all of eight bits
    twice = np.round(weight[:, :1] / convolution_scales(weight[:, :1], 2)[:, None, None, None])  # of two outputs each
    assert 255 * largest_sum(twice.transpose(2, 3, 1, 0).reshape(-1, 4)) <= 2**15 - 1


# ------------------------------------------------------------------ convolutions

PIXELS = 16  # a side


def of_pixels(*, routed: bool = False, biases: str = "own") -> Any:
    """A small network as PyTorch's exporter writes it: bytes scaled, convolutions (one depthwise), a residual, a head.

    `routed`: the last convolution computes only for pictures whose mean is above .35. `biases`: each convolution has
    its own, they "share" one, or have "none".
    """
    node, rng = helper.make_node, np.random.default_rng(3)

    def kernel(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    weights: dict[str, Any] = {
        "factor": np.float32(1 / 127.5), "offset": np.float32(-1), "low": np.float32(0), "high": np.float32(6),
        "first": kernel(16, 3, 3, 3), "first_bias": kernel(16, 1)[:, 0], "deep": kernel(16, 1, 3, 3) * 3,
        "deep_bias": kernel(16, 1)[:, 0], "last": kernel(16, 16, 1, 1), "last_bias": kernel(16, 1)[:, 0],
        "head": kernel(16, 32), "places": np.array([2, 3]), "one": np.float32(0.35), "all": np.array([1, 2, 3]),
        "zeros": np.zeros(1, np.float32),
    }  # fmt: skip
    nodes = [
        node("Transpose", ["pixels"], ["turned"], perm=[0, 3, 1, 2]), node("Cast", ["turned"], ["wide"], to=1),
        node("Mul", ["wide", "factor"], ["scaled"]), node("Add", ["scaled", "offset"], ["x"]),
        node("Conv", ["x", "first", "first_bias"], ["c1"], pads=[1, 1, 1, 1]),
        node("Clip", ["c1", "low", "high"], ["r1"]),
        node("Conv", ["r1", "deep", "deep_bias"], ["c2"], pads=[1, 1, 1, 1], group=16),
        node("Clip", ["c2", "low", "high"], ["r2"]),
    ]  # fmt: skip
    if routed:
        nodes += [
            node("ReduceMean", ["r1", "all"], ["mean"], keepdims=0), node("Greater", ["mean", "one"], ["chosen"]),
            node("NonZero", ["chosen"], ["numbers"]), node("Transpose", ["numbers"], ["rows"]),
            node("GatherND", ["r2", "rows"], ["some"]), node("Conv", ["some", "last", "last_bias"], ["c3"]),
            node("Mul", ["r1", "zeros"], ["nothing"]), node("ScatterND", ["nothing", "rows", "c3"], ["c4"]),
        ]  # fmt: skip
    else:
        nodes += [node("Conv", ["r2", "last", "last_bias"], ["c3"]), node("Add", ["r1", "c3"], ["c4"])]
    nodes += [node("ReduceMean", ["c4", "places"], ["g"], keepdims=0), node("MatMul", ["g", "head"], ["embedding"])]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["b", PIXELS, PIXELS, 3])
    made = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", 32])
    for conv in (each for each in nodes if each.op_type == "Conv" and biases != "own"):
        del conv.input[2:]
        conv.input.extend(["last_bias"] if biases == "share" else [])
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [pixels], [made], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def stored(place: Path, model: Any = None, feeds: list[Feed] | None = None) -> tuple[Path, Path]:
    """A network of pixels as it is, and as static-int8 stores it."""
    onnx.save(of_pixels() if model is None else model, str(place / "g.onnx"))
    store(place / "g.onnx", place / "small.onnx", "static-int8", feeds=photos(12) if feeds is None else feeds)
    return place / "g.onnx", place / "small.onnx"


def least_cosine(paths: tuple[Path, Path]) -> float:
    one, two = (vectors(path, photos(5)) for path in paths)
    return float(((one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)).min())


def photos(count: int, least: int = 0) -> list[Feed]:
    rng = np.random.default_rng(count)
    return [{"pixels": rng.integers(least, 256, (1, PIXELS, PIXELS, 3), dtype=np.uint8)} for _ in range(count)]


def test_static_int8_reads_bytes_and_computes_in_int8(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="calibration inputs, and there are none"):
        stored(tmp_path, feeds=[])
    path, small = stored(tmp_path)
    check_graph(small)
    graph = read_graph(small).graph
    assert {t.data_type for t in graph.initializer if len(t.dims) == 4} == {TensorProto.INT8}
    kinds = [node.op_type for node in graph.node]
    assert "Mul" not in kinds  # a picture's bytes are the first input
    assert kinds.count("MatMul") == 1  # in float32, between no integers
    makers = {node.output[0]: node.op_type for node in graph.node}
    read = [(node.op_type, [makers.get(name) for name in node.input]) for node in graph.node]
    assert [made[0] for kind, made in read if kind == "MatMul"] == ["ReduceMean"]
    assert kinds.count("Conv") == 3
    assert all(set(made) == {"DequantizeLinear"} for kind, made in read if kind in ("Conv", "Add"))
    assert least_cosine((path, small)) > 0.999


def test_weights_stored_as_static_int8_come_back(tmp_path: Path) -> None:
    before, after = (wide_weights(onnx.load(str(path))) for path in stored(tmp_path))
    for name in ("first", "deep", "last"):
        scale = convolution_scales(before[name], 16 if name == "deep" else 1)[:, None, None, None]
        assert (np.abs(before[name] - after[name]) <= 0.501 * scale).all(), name
        # the bias is that of before, and what rounding the weights took away
        assert np.abs(after[f"{name}_bias"] - before[f"{name}_bias"]).max() < 0.02, name


@pytest.mark.parametrize("biases", ["own", "share", "none"])
def test_rounding_weights_moves_no_channel_on_average(tmp_path: Path, biases: str) -> None:
    model = of_pixels(biases=biases)
    for tensor in model.graph.initializer:  # all rounded in one direction
        if tensor.name == "last":
            values = np.full((16, 16, 1, 1), 0.4, np.float32)
            values[:, :2] = 50
            tensor.CopyFrom(numpy_helper.from_array(values, "last"))
    path, small = stored(tmp_path, model)
    wide = wide_weights(onnx.load(str(small)))
    assert (wide["last"][:, 2:] < 0.39).all() or (wide["last"][:, 2:] > 0.41).all()
    one, two = (vectors(p, photos(12)).mean(axis=0) for p in (path, small))
    assert np.linalg.norm(one - two) < 0.01 * np.linalg.norm(one)
    assert "Mul" not in [node.op_type for node in read_graph(small).graph.node]  # bytes are the first input


def test_pixels_whose_scaled_values_are_read_stay(tmp_path: Path) -> None:
    measured, computed = of_pixels(), of_pixels()
    measured.graph.node.append(helper.make_node("Shape", ["x"], ["shape"]))
    computed.graph.node.insert(0, helper.make_node("Identity", ["first"], ["made"]))
    next(node for node in computed.graph.node if node.op_type == "Conv").input[1] = "made"
    for model in (measured, computed):
        assert least_cosine(stored(tmp_path, model)) > 0.999


def test_map_that_is_added_comes_back_from_its_unsigned_numbers(tmp_path: Path) -> None:
    model = of_pixels()
    added = np.random.default_rng(0).uniform(-1, 2, (1, 16, PIXELS, PIXELS)).astype(np.float32)
    model.graph.initializer.append(numpy_helper.from_array(added, "added"))
    place = next(i for i, node in enumerate(model.graph.node) if node.output[0] == "c3")
    model.graph.node[place].input[0] = "sum"
    model.graph.node.insert(place, helper.make_node("Add", ["r2", "added"], ["sum"]))
    _, small = stored(tmp_path, model)
    assert np.abs(wide_weights(onnx.load(str(small)))["added"] - added).max() < 3 / 255


def test_a_branch_without_calibration_pictures_is_named(tmp_path: Path) -> None:
    path, small = tmp_path / "g.onnx", tmp_path / "small.onnx"
    onnx.save(of_pixels(routed=True), str(path))
    means = vectors(path, [*photos(6), *photos(6, 250)])
    reached = np.abs(means).sum(axis=1) > 0
    assert reached.any()
    assert not reached.all()
    pictures = [feed for feed, yes in zip([*photos(6), *photos(6, 250)], reached, strict=True) if not yes]
    with pytest.raises(InputError, match=r"no picture .* reaches some, .*--calibrate may be repeated"):
        store(path, small, "static-int8", feeds=pictures)
    assert not small.exists()
    store(path, small, "static-int8", feeds=[*photos(6), *photos(6, 250)])
    assert (np.abs(vectors(small, pictures)).sum(axis=1) == 0).all()


def test_static_int8_takes_its_ranges_from_a_folder(tiny_model: Path, tmp_path: Path) -> None:
    config = model_folder.read_config(tiny_model)
    full, small, photos = tmp_path / "full", tmp_path / "small", tmp_path / "photos"
    shutil.copytree(tiny_model, full)
    small.mkdir()
    photos.mkdir()
    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(noise).save(photos / f"{i}.png")
    node, side = helper.make_node, config.image.size
    weights = {"axes": np.array([1])} | {
        f"w{i}": random(8 if i < 8 else config.width, 8 if i else 3, 3, 3) for i in range(9)
    }
    nodes = [node("Cast", ["pixels"], ["f"], to=1), node("Transpose", ["f"], ["c0"], perm=[0, 3, 1, 2])]
    nodes += [node("Conv", [f"c{i}", f"w{i}"], [f"c{i + 1}"], pads=[1, 1, 1, 1]) for i in range(9)]
    nodes += [node("GlobalAveragePool", ["c9"], ["g"]), node("Flatten", ["g"], ["v"])]
    nodes += [node("ReduceL2", ["v", "axes"], ["n"]), node("Div", ["v", "n"], ["embedding"])]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["b", side, side, 3])
    made = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["b", config.width])
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [pixels], [made], tensors)
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(full / "image.onnx"))
    with pytest.raises(InputError, match=r"none were named.*--calibrate"):
        store_towers(full, small, config, weights_by_tower("static-int8"))
    name = store_towers(full, small, config, weights_by_tower("static-int8"), pictures=[photos])
    assert name == "smooth-int8 + static-int8"
    kinds = {t.data_type for t in read_graph(small / "image.onnx").graph.initializer if len(t.dims) == 4}
    assert kinds == {TensorProto.INT8}
    ways = weights_by_tower("compact + static-int8")
    assert store_towers(full, small, config, ways, pictures=[photos, photos]) == "compact + static-int8"
    with pytest.raises(InputError, match="holds no picture"):
        store_towers(full, small, config, ways, pictures=[photos, small])


# ------------------------------------------------------------------ folders of strangers


@pytest.mark.parametrize(("change", "message"), [
    ({"scale": np.ones(33, np.float32)}, "33 scales"),
    ({"zero": np.zeros(2, np.uint8)}, "one scale and zero"),
    ({"w": None}, "no stored numbers"),
])  # fmt: skip
def test_an_integer_product_whose_parts_do_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    weights: dict[str, Any] = {
        "w": np.zeros((WIDTH, 32), np.int8), "step": np.float32(1), "scale": np.ones(32, np.float32),
        "zero": np.uint8(128),
    } | change  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        helper.make_node("MatMulIntegerToFloat", ["q", "w", "step", "scale", "zero"], ["y"], domain="com.microsoft"),
    ]
    model = graph_of(nodes, {name: value for name, value in weights.items() if value is not None}, ["b", WIDTH])
    onnx.save(model, str(tmp_path / "g.onnx"))
    with pytest.raises(ModelMismatch, match=message):
        check_graph(tmp_path / "g.onnx")
