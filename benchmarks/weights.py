"""Ways to store weights: what each kernel reaches on this processor, and what each way costs a model in cosine.

    python benchmarks/weights.py kernels
    python benchmarks/weights.py text MODEL [--smoothing 0.35 0.5 0.65 0.8]       (extra train)
    python benchmarks/weights.py image MODEL --calibrate PICTURES [PICTURES …]    (extra train)

`kernels`: products of (M, 768) with (768, 3072) in thousands of millions of operations a second of the processor, one
thread. `text` and `image`: a tower of a model folder, unpacked to float32 first, stored in each way; cosines to float32
over the probes of `weights.probe_inputs`, and milliseconds of the processor an item, one thread. Every other picture of
the folders is calibrated with, and cosines are those of the others.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from araclip import AraCLIP
from araclip.training.export.int8 import smooth
from araclip.training.export.quantize import store
from araclip.training.export.tower_graphs import write_image_graph, write_text_graph
from araclip.training.export.weights.graph_files import megabytes, read_graph, write_graph
from araclip.training.export.weights.probe_inputs import image_probes, text_probes
from araclip.training.export.weights.sessions import opened
from araclip.training.model.saved_models import unpack

K, N = 768, 3072
SECONDS = 0.3
TEXT_WAYS = ("float32", "dynamic-int8", "smooth-int8", "int8-blocks", "int4-blocks", "int8", "float16")
IMAGE_WAYS = ("float32", "int8", "static-int8")


def milliseconds(job: Callable[[], object]) -> float:
    """Of the processor, the least of several runs."""
    times: list[float] = []
    while len(times) < 3 or sum(times) < SECONDS:
        start = time.thread_time()
        job()
        times.append(time.thread_time() - start)
    return min(times) * 1e3


def kernels() -> None:
    matrix = (np.random.default_rng(0).standard_normal((K, N)) * 0.02).astype(np.float32)
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", w]) for n, w in (("x", K), ("y", N)))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [numpy_helper.from_array(matrix, "w")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, str(Path(folder) / "g.onnx"))
        for way in ("float32", "dynamic-int8", "smooth-int8", "int8-blocks", "int4-blocks"):
            path = Path(folder) / f"{way}.onnx"
            store(Path(folder) / "g.onnx", path, way)
            session = opened(path, 1)
            rates = []
            for rows in (1, 16, 256, 1024):
                feed = {"x": np.random.default_rng(1).standard_normal((rows, K)).astype(np.float32)}
                rate = 2 * rows * K * N / milliseconds(lambda: session.run(None, feed)) / 1e6  # noqa: B023
                rates.append(f"{rows} rows {rate:6.1f}")
            print(f"{way:13} " + "   ".join(rates), flush=True)


def in_float32(model: AraCLIP, what: str, target: Path) -> None:
    """The graph of a folder's tower as it was before its weights were stored small, but for their rounding."""
    trained, _ = unpack(str(model.folder))
    inside = target.with_name("inside.onnx")
    if what == "text":
        write_text_graph(trained, inside)
    else:
        image = model.config.image
        write_image_graph(trained, image.size, image.mean, image.std, inside)
    write_graph(read_graph(inside), inside.parent, target, outside=True)


def tower(arguments: argparse.Namespace) -> None:
    model = AraCLIP(arguments.model)
    text = arguments.what == "text"
    probes = text_probes(model.folder, model.config) if text else image_probes(model, arguments.calibrate, 64)
    calibration, tried = (probes.feeds[::2], probes.feeds[1::2]) if arguments.calibrate else (probes.feeds,) * 2
    exact: Any = None
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "g.onnx"
        in_float32(model, arguments.what, graph)
        for way in arguments.ways or (TEXT_WAYS if text else IMAGE_WAYS):
            for smoothing in arguments.smoothing if way == "smooth-int8" else [None]:
                if smoothing:
                    smooth.SMOOTHING = smoothing
                path = Path(folder) / "small.onnx"
                store(graph, path, way, feeds=calibration)
                session = opened(path, 1)
                vectors = np.concatenate([session.run(None, feed)[0] for feed in tried])
                exact = vectors if exact is None else exact
                cosines = (vectors * exact).sum(axis=1)
                print(
                    f"{way:13} {smoothing or '':5} {megabytes(path):6.1f} MB   cosine {cosines.min():.5f} at least, "
                    f"{cosines.mean():.5f} on average   {milliseconds(lambda: session.run(None, tried[0])):6.2f} ms "  # noqa: B023
                    f"alone, {milliseconds(lambda: session.run(None, probes.batch)) / probes.count:6.2f} in a batch",  # noqa: B023
                    flush=True,
                )


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=["kernels", "text", "image"])
parser.add_argument("model", nargs="?", default="araclip-mini")
parser.add_argument("--smoothing", type=float, nargs="+", default=[smooth.SMOOTHING])
parser.add_argument("--calibrate", type=Path, nargs="+", default=[])
parser.add_argument("--ways", nargs="+")
if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(3)
    given = parser.parse_args()
    if given.what == "kernels":
        kernels()
    else:
        tower(given)
