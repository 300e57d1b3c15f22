"""Where a model runs: ONNX Runtime on the CPU, a GPU, or OpenVINO, behind one call; never silently another one."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import typer
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner

import hostile_folders as hostile
from araclip import AraCLIP, Gallery, cli
from araclip.errors import InputError
from araclip.models import checks, devices
from araclip.models.inference import OpenVinoSession, open_session
from araclip.server.settings import Settings
from araclip.training.export.narrowing import narrow
from araclip.training.model.unpack import probe_squares

TEXTS = ["قطة على طاولة", "a dog", "", "سيارة حمراء أمام بيت " * 9]


def test_an_absent_device_is_an_error_that_lists_the_others(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available", lambda: ["cpu"])
    for named in ("cuda", "cuda:3", "openvino", "tpu"):
        for load in (AraCLIP, AraCLIP.load):
            with pytest.raises(InputError, match=rf"no device '{named}' here; there is: cpu\. "):
                load(tiny_model, device=named)
    with pytest.raises(InputError, match="a device is a text"):
        AraCLIP(tiny_model, device=0)  # type: ignore[arg-type]
    monkeypatch.setenv(devices.VARIABLE, "cuda")
    with pytest.raises(InputError, match="no device 'cuda'"):
        AraCLIP.load(tiny_model)
    assert AraCLIP.load(tiny_model, device="auto").device == "cpu"  # type: ignore[attr-defined]
    assert Settings.read(gallery="here").device == "cuda"


def test_auto_is_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_has_cuda_runtime", lambda: True)
    monkeypatch.setattr(devices, "_count_gpus", lambda: 2)
    assert devices.graph_device("auto") == "cuda"
    assert devices.graph_device("cuda:1") == "cuda:1"
    with pytest.raises(InputError, match=r"cpu, cuda, cuda:0, cuda:1"):
        devices.graph_device("cuda:2")


def test_an_unusable_gpu_is_no_reason_to_use_the_cpu(tiny_model: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("it can use one here")
    with pytest.raises(InputError, match="cannot load CUDA's libraries"):
        open_session(tiny_model / "text.onnx", "cuda", 1)


def test_every_command_that_takes_model_takes_device_and_uses_it(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    options = {name: {o for p in command.params for o in p.opts} for name, command in commands.items()}
    with_device = {name for name, has in options.items() if "--device" in has}
    assert {name for name, has in options.items() if "--model" in has} == with_device
    assert {"index", "search", "serve", "evaluate", "watch"} <= with_device
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path))
    (tmp_path / "pictures").mkdir()
    tiny_picture(tmp_path / "pictures" / "red.png")
    asked = ["index", str(tmp_path / "pictures"), "--model", str(tiny_model), "--gallery", str(tmp_path / "gallery")]
    refused = CliRunner().invoke(cli.app, [*asked, "--device", "nothing"])
    assert isinstance(refused.exception, InputError)
    assert "no device 'nothing' here; there is: cpu" in str(refused.exception)
    assert devices.VARIABLE not in os.environ
    assert CliRunner().invoke(cli.app, [*asked, "--device", "cpu"]).exit_code == 0


def tiny_picture(path: Path) -> None:
    """A red picture."""
    Image.new("RGB", (20, 10), "red").save(path)


# ------------------------------------------------------------------ OpenVINO


def test_openvino_gives_cpus_vectors_also_from_several_threads(tiny_model: Path) -> None:
    pytest.importorskip("openvino")
    here, there = AraCLIP(tiny_model, threads=1), AraCLIP(tiny_model, threads=1, device="openvino")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    assert np.allclose(here.encode_text(TEXTS), there.encode_text(TEXTS), atol=1e-5)
    assert np.allclose(here.encode_pixels(pixels), there.encode_pixels(pixels), atol=1e-5)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(there.encode_text, TEXTS * 8))
    assert np.allclose(np.stack(rows), np.tile(here.encode_text(TEXTS), (8, 1)), atol=1e-5)


def test_the_bundled_model_runs_on_openvino() -> None:
    pytest.importorskip("openvino")
    here, there = AraCLIP(threads=1), AraCLIP(threads=1, device="openvino")
    assert here.config.in_int8("text")
    assert here.config.in_int8("image")
    squares = probe_squares(here.image_size)[-12:]
    for one, other in (
        (here.encode_text(TEXTS), there.encode_text(TEXTS)),
        (here.encode_pixels(squares), there.encode_pixels(squares)),
    ):
        assert (one * other).sum(axis=1).min() > checks.LEAST_COSINE_INT8


def test_a_device_with_other_vectors_is_refused(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv("ARACLIP_CHECKED_MODELS", str(tmp_path / "cache"))
    run, wrong = OpenVinoSession.run, [False]
    monkeypatch.setattr(
        OpenVinoSession, "run", lambda self, inputs: run(self, inputs)[:, ::-1] if wrong[0] else run(self, inputs)
    )
    wrong[0] = True
    with pytest.raises(InputError, match=r"other vectors on the device 'openvino' than on the CPU: the text tower's"):
        AraCLIP(tiny_model, device="openvino").encode_text("قطة")
    wrong[0] = False
    AraCLIP(tiny_model, device="openvino").encode_text("قطة")
    monkeypatch.setattr(checks, "_probe_vectors", lambda *given: 1 / 0)
    AraCLIP(tiny_model, device="openvino").encode_text("قطة")


def test_a_vocabulary_in_four_bits_is_read_right_by_openvino(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    table = np.random.default_rng(0).standard_normal((4096, 64)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["t", "ids"], ["y"])], "one",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["b"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["b", 64])], [numpy_helper.from_array(table, "t")],
    )  # fmt: skip
    narrow(graph, compact=True)
    assert "t_int4" in {tensor.name for tensor in graph.initializer}
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, str(tmp_path / "g.onnx"))
    here, there = (
        open_session(tmp_path / "g.onnx", device, 1).run({"ids": np.arange(4096)}) for device in ("cpu", "openvino")
    )
    np.testing.assert_allclose(there, here, atol=1e-6)  # without `floor_shifts` a quarter of them is a step too large


@pytest.mark.parametrize("bits", [1, 4, 7])
def test_bytes_that_are_shifted_by_openvino_lose_their_low_bits(tmp_path: Path, bits: int) -> None:
    pytest.importorskip("openvino")
    nodes = [
        hostile.constant("by", bits, TensorProto.UINT8),
        helper.make_node("BitShift", ["x", "by"], ["out"], direction="RIGHT"),
    ]
    one = helper.make_tensor_value_info("x", TensorProto.UINT8, ["n"])
    graph = helper.make_graph(nodes, "g", [one], [helper.make_tensor_value_info("out", TensorProto.UINT8, ["n"])])
    model: Any = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (tmp_path / "g.onnx").write_bytes(model.SerializeToString())
    every = np.arange(256, dtype=np.uint8)
    assert np.array_equal(open_session(tmp_path / "g.onnx", "openvino", 1).run({"x": every}), every >> bits)


def test_a_gallery_made_on_one_device_is_searched_on_another(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    tiny_picture(tmp_path / "red.png")
    with Gallery.open(tmp_path / "g", model=AraCLIP(tiny_model, device="openvino"), create=True) as gallery:
        gallery.add([tmp_path / "red.png"])
    assert Gallery.open(tmp_path / "g", model=tiny_model).search("أحمر")[0].path == str(tmp_path / "red.png")
