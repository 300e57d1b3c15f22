"""The export: any model becomes a folder that gives its vectors, and no other folder takes its place."""

import json
import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch.nn.functional import normalize as l2_normalize
from transformers import CLIPImageProcessor, ViTImageProcessor

import tiny_hf
from araclip import AraCLIP
from araclip.core import atomic
from araclip.errors import AraCLIPError, DataError, ExportRejected, InputError, RecipeError
from araclip.models import folder as model_folder
from araclip.training.export import export as exporting
from araclip.training.export import tower_graphs
from araclip.training.export import weights as storing
from araclip.training.export.export import DevPictures, check_recall, export
from araclip.training.export.graphs import trace_graph
from araclip.training.export.model_card import read_about
from araclip.training.export.narrowing import narrow, packed, quantized
from araclip.training.model.model import AraCLIPModel
from araclip.training.model.processing import AraCLIPProcessor
from araclip.training.model.unpack import from_four_bits, probe_squares, probe_texts, wide_weights
from araclip.training.recipe.stages import DevSet
from command_line import Run, caller
from traced import quickly

pytestmark = pytest.mark.usefixtures("traced_once")

TOKENS = 24
MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
TEXTS = ["قطة جالسة على طاولة", "cat", "a dog on a table في بيت " * 5, "سيارة حمراء"]
WITH_A_BANK = "modernbert cls + timm resnet, mirrored, with a bank"
TOWERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert + vit": ("bert", "vit", {}),
    "xlm-roberta max + clip's own space": (
        "xlm-roberta", "clip", {"text_pooling": "max", "vision_projection": "identity", "projection_dim": 12,
                                "matryoshka_dims": (4, 12)},
    ),
    WITH_A_BANK: ("modernbert", "timm resnet", {}),  # see tiny_hf.model_with_a_bank
}  # fmt: skip


@dataclass(frozen=True)
class Traced:
    model: AraCLIPModel
    processor: AraCLIPProcessor
    saved: Path  # as `save_pretrained` wrote it
    folder: Path  # exported in float32


def processor() -> AraCLIPProcessor:
    square = ViTImageProcessor(
        size={"height": tiny_hf.SIZE, "width": tiny_hf.SIZE}, resample=3, image_mean=list(MEAN), image_std=list(STD)
    )
    return AraCLIPProcessor(square, tiny_hf.tiny_tokenizer(), max_tokens=TOKENS)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Traced]:
    """Each pair of towers, traced once."""
    known: dict[str, Traced] = {}

    def of(pair: str) -> Traced:
        if pair not in known:
            place = tmp_path_factory.mktemp("export")
            torch.manual_seed(0)
            text, image, options = TOWERS[pair]
            plain, made = tiny_hf.tiny_model(text, image, max_tokens=TOKENS, **options), processor()
            model = tiny_hf.model_with_a_bank() if pair == WITH_A_BANK else plain
            tiny_hf.saved(place / "model", model, made)
            with nullcontext() if pair == WITH_A_BANK else quickly():  # one as `araclip export` does
                export(place / "model", place / "float32", weights="float32")
            known[pair] = Traced(model, made, place / "model", place / "float32")
        return known[pair]

    return of


@pytest.fixture
def bert(traced: Callable[[str], Traced], monkeypatch: pytest.MonkeyPatch) -> Traced:
    """BERT and ViT, whose tracing is replaced by a copy of the graphs traced before."""
    found = traced("bert + vit")
    monkeypatch.setattr(exporting, "SECONDS", 0.0)
    monkeypatch.setattr(
        exporting, "write_text_graph", lambda model, path: shutil.copyfile(found.folder / "text.onnx", path)
    )
    monkeypatch.setattr(
        exporting,
        "write_image_graph",
        lambda model, size, mean, std, path: shutil.copyfile(found.folder / "image.onnx", path),
    )
    return found


def squares() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, tiny_hf.SIZE, tiny_hf.SIZE, 3), dtype=np.uint8)


def torch_vectors(of: Traced) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        texts = of.model.get_text_features(**of.processor(text=TEXTS, return_tensors="pt")).pooler_output
        images = [Image.fromarray(square) for square in squares()]
        pixels = of.model.get_image_features(**of.processor(images=images, return_tensors="pt")).pooler_output
    return l2_normalize(texts, dim=-1).numpy(), l2_normalize(pixels, dim=-1).numpy()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def change_weight(graph: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the projection: the last matrix that a product takes."""
    model = onnx.load(str(graph))
    used = [node.input[1] for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]
    (tensor,) = [t for t in model.graph.initializer if t.name == used[-1]]
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), tensor.name))
    onnx.save(model, str(graph))


def picture_set(folder: Path, model: AraCLIP) -> Path:
    """Six pictures, each with a caption that this model finds it by."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(6)]
    for i, image in enumerate(images):
        image.save(folder / f"{i}.png")
    words = [*tiny_hf.WORDS, *(f"{a} {b}" for a in tiny_hf.WORDS for b in tiny_hf.WORDS)]
    best = (model.encode_text(words) @ model.encode_image(images).T).argmax(axis=1)
    captions = [[word for word, row in zip(words, best, strict=True) if row == i][:9] for i in range(6)]
    rows = [{"image": f"{i}.png", "split": "dev", "caption_ar": captions[i]} for i in range(6)]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def run_folder(place: Path, of: Traced, dev: Path | None) -> Path:
    """What a stage leaves."""
    shutil.copytree(of.saved, place / "model")
    spec = {"folder": str(dev), "split": "dev", "captions": ["caption_ar"], "per_picture": 1} if dev else None
    (place / "config.json").write_text(json.dumps({"recipe": {"dev": spec}}), encoding="utf-8")
    return place


# ------------------------------------------------------------------ the same vectors


@pytest.mark.parametrize("pair", TOWERS)
def test_the_folder_gives_the_models_vectors_whatever_the_towers(traced: Callable[[str], Traced], pair: str) -> None:
    found = traced(pair)
    texts, images = torch_vectors(found)
    model = AraCLIP.load(found.folder)
    np.testing.assert_allclose(model.encode_text(TEXTS), texts, atol=1e-5)
    np.testing.assert_allclose(model.encode_text(TEXTS, batch_size=1), texts, atol=1e-5)
    np.testing.assert_allclose(model.encode_pixels(squares()), images, atol=1e-5)
    np.testing.assert_allclose(model.encode_image(Image.fromarray(s) for s in squares()), images, atol=1e-5)


def test_the_config_says_what_the_graphs_and_the_tokenizer_do(traced: Callable[[str], Traced]) -> None:
    config = model_folder.read_config(traced("xlm-roberta max + clip's own space").folder)
    assert (config.width, config.weights, config.name, config.version) == (12, "float32", "float32", "1")
    assert config.matryoshka == (4,)  # shorter than the whole
    assert (config.text.pooling, config.text.max_tokens, config.text.pad_id) == ("max", TOKENS, 0)
    assert (config.image.size, config.image.resize, config.image.interpolation) == (32, "squash", "bicubic")
    assert config.image.mean == pytest.approx(MEAN)
    assert config.image.std == pytest.approx(STD)
    with_a_bank = traced(WITH_A_BANK).folder / "config.json"
    assert "matryoshka" not in json.loads(with_a_bank.read_text(encoding="utf-8"))  # its axes are rotated


def test_graphs_name_inputs_and_outputs_and_no_file_of_ours(traced: Callable[[str], Traced]) -> None:
    for pair in TOWERS:
        for part, inputs in (("text.onnx", ["input_ids", "attention_mask"]), ("image.onnx", ["pixels"])):
            path = traced(pair).folder / part
            session = onnxruntime.InferenceSession(str(path))
            assert [node.name for node in session.get_inputs()] == inputs
            (made,) = session.get_outputs()
            assert (made.name, made.shape[0]) == ("embedding", "batch")
            free = ["batch", "tokens"] if part == "text.onnx" else ["batch"]
            assert all(node.shape[: len(free)] == free for node in session.get_inputs())
            assert b".py" not in path.read_bytes()


def test_probes_go_beyond_the_longest_text_in_three_scripts() -> None:
    texts, tokenizer = probe_texts(TOKENS), tiny_hf.tiny_tokenizer()
    lengths = {len(tokenizer(text)["input_ids"]) for text in texts}
    assert len(texts) >= 64
    assert min(lengths) == 3  # [CLS] word [SEP]
    assert max(lengths) > TOKENS
    arabic, latin = (sum(bool(re.search(letters, text)) for text in texts) for letters in ("[ء-ي]", "[a-z]"))
    assert arabic + latin > len(texts)  # some have both
    pictures = probe_squares(16)
    assert pictures.shape == (len(np.unique(pictures, axis=0)), 16, 16, 3)
    assert len(pictures) >= 16


# ------------------------------------------------------------------ weights


@pytest.mark.parametrize(("weights", "least"), [("int8", 0.999), ("compact", 0.999), ("smooth-int8", 0.98)])
def test_small_weights_make_smaller_graphs_of_near_vectors(
    bert: Traced, tmp_path: Path, weights: str, least: float
) -> None:
    report = export(bert.saved, tmp_path / "small", weights=weights)
    texts, images = torch_vectors(bert)
    model = AraCLIP.load(tmp_path / "small")
    assert model.config.weights == weights == report.config.weights
    assert (model.encode_text(TEXTS) * texts).sum(axis=1).min() > least
    assert (model.encode_pixels(squares()) * images).sum(axis=1).min() > least
    for part in report.sizes:
        assert part.megabytes < part.megabytes_float32
        assert part.megabytes == (tmp_path / "small" / part.name).stat().st_size / 1e6
        assert part.cosine_float32 > 0.99999
        assert least < part.cosine <= part.cosine_mean < 1.00001
        assert min(part.milliseconds, part.milliseconds_batched) > 0
    assert any("--dev" in note for note in report.warnings)


def test_a_transformer_stored_otherwise_is_in_the_report(bert: Traced, tmp_path: Path) -> None:
    report = export(bert.saved, tmp_path / "small", weights="int8 + static-int8")
    assert report.config.weights == "int8 + smooth-int8"
    said = [note for note in report.warnings if "static-int8" in note]
    assert said == ["The image tower is no convolutional network: it is stored as smooth-int8 instead of static-int8."]


def test_pictures_not_there_are_said_before_tracing(bert: Traced, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "a.jpg").write_bytes(b"no picture")
    done: list[str] = []
    for folder, said in (
        (tmp_path / "photos", "photos holds no picture"),
        (tmp_path / "fotos", "fotos: no such folder"),
        (tmp_path / "damaged", r"a\.jpg"),
    ):
        with pytest.raises(AraCLIPError, match=said):
            export(bert.saved, tmp_path / "small", weights="static-int8", calibrate=[folder], log=done.append)
    assert done == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["damaged", "photos"]


def test_int8_keeps_no_large_weight_in_float32(bert: Traced, tmp_path: Path) -> None:
    export(bert.saved, tmp_path / "small")
    for part in ("text.onnx", "image.onnx"):
        graph = onnx.load(str(tmp_path / "small" / part)).graph
        kinds = {t.name: t.data_type for t in graph.initializer if len(t.dims) > 1 and np.prod(t.dims) >= 1024}
        assert TensorProto.FLOAT not in kinds.values()
    words = [t for t in onnx.load(str(tmp_path / "small" / "text.onnx")).graph.initializer if list(t.dims) == [64, 16]]
    assert [t.data_type for t in words if "_int8" in t.name] == [TensorProto.INT8] * 2  # words and positions


FLOATS = st.floats(-1e3, 1e3, width=32)


@given(arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=FLOATS), st.integers(0, 1))
def test_each_weight_moves_by_half_step_of_its_own_scale_at_most(values: np.ndarray, axis: int) -> None:
    small, scale = quantized(values, axis)
    assert small.dtype == np.int8
    assert scale.shape == tuple(1 if i == axis else n for i, n in enumerate(values.shape))
    assert (np.abs(small * scale - values) <= scale * 0.5001).all()


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_four_bits_move_no_number_by_more_than_a_step(seed: int, size: float) -> None:
    values = (np.random.default_rng(seed).standard_normal((3, 64)) * size).astype(np.float32)
    values[1] = 0
    small, scale = packed(values)
    assert (small.dtype, small.shape, scale.dtype, scale.shape) == (np.uint8, (3, 32), np.float16, (3, 2))
    wide = from_four_bits(small, scale)
    assert (wide[1] == 0).all()
    most = np.repeat(np.abs(values).reshape(3, 2, 32).max(axis=2), 32, axis=1)
    assert (np.abs(wide - values) <= 0.41 * most + 1e-6).all()  # clipped at .6 of the range at most
    kept = (wide[[0, 2]] * values[[0, 2]]).sum(axis=1)
    assert (kept > 0.99 * np.linalg.norm(wide[[0, 2]], axis=1) * np.linalg.norm(values[[0, 2]], axis=1)).all()


def of_one_node(node: Any, given: list[Any], weights: dict[str, np.ndarray], shape: list[Any] | None = None) -> Any:
    """A graph of one node that makes "y"."""
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    return helper.make_graph([node], "one", given, [made], [numpy_helper.from_array(w, n) for n, w in weights.items()])


def ran(graph: Any, **feeds: np.ndarray) -> tuple[Any, np.ndarray]:
    """The graph as a model, and what it makes."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return model, onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)[0]


@pytest.mark.parametrize(("rows", "width", "largest", "four"), [
    (4096, 64, 3.0, True), (4095, 64, 3.0, False), (4096, 48, 3.0, False), (4096, 64, 1e6, False),
])  # fmt: skip
def test_only_a_table_of_many_rows_goes_into_four_bits(rows: int, width: int, largest: float, four: bool) -> None:
    table = np.random.default_rng(0).standard_normal((rows, width)).astype(np.float32)
    table[7, 3] = largest
    given_ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["b", "t"])
    looked_up = helper.make_node("Gather", ["t", "ids"], ["y"])
    graph = of_one_node(looked_up, [given_ids], {"t": table}, ["b", "t", width])
    narrow(graph, compact=True)
    assert {t.name for t in graph.initializer} >= ({"t_int4"} if four else {"t_int8"})
    ids = np.array([[0, 1], [rows - 1, 7], [5, 0]])
    model, found = ran(graph, ids=ids)
    onnx.checker.check_model(model)
    np.testing.assert_array_equal(found, wide_weights(model)["t"][ids])
    most = np.abs(table[ids]).max(axis=2, keepdims=True)
    assert (np.abs(found - table[ids]) <= most * (0.41 if four else 0.005)).all()


@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "Gemm transposed", "Conv", "Gather"])
def test_every_product_and_table_row_has_its_own_scale(kind: str) -> None:
    rng = np.random.default_rng(0)
    sizes = (10.0 ** np.arange(-3, 3)).astype(np.float32)  # outputs of very unlike size
    many = 6000 if kind == "Conv" else 200  # small convolutions stay wider
    weight = rng.standard_normal((many, 6)).astype(np.float32) * sizes  # (in, out)
    if kind == "Gather":
        weight = rng.standard_normal((6, 200)).astype(np.float32) * sizes[:, None]
        taken = helper.make_node("Gather", ["w", "x"], ["y"])
        given_x, x = helper.make_tensor_value_info("x", TensorProto.INT64, [6]), np.arange(6)
        wanted = weight
    elif kind == "Conv":
        taken = helper.make_node("Conv", ["x", "w"], ["y"])
        given_x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [16, many, 1, 1])
        x = np.float32(rng.random((16, many)))
        wanted, x = (x @ weight)[:, :, None, None], x[:, :, None, None]
        weight = weight.T[:, :, None, None].copy()  # (out, in, 1, 1)
    else:
        turned = kind == "Gemm transposed"
        options = {"transB": 1} if turned else {}
        taken = helper.make_node(kind.removesuffix(" transposed"), ["x", "w"], ["y"], **options)
        given_x, x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 200]), np.float32(rng.random((3, 200)))
        wanted = x @ weight
        weight = weight.T.copy() if turned else weight
    graph = of_one_node(taken, [given_x], {"w": weight})
    narrow(graph)
    assert {t.data_type for t in graph.initializer if np.prod(t.dims) > 6} == {TensorProto.INT8}
    _, found = ran(graph, x=x)
    axis = 1 if kind == "Gather" else 0
    error, size = np.abs(found - wanted).max(axis=axis), np.abs(wanted).max(axis=axis)
    assert (error < 0.02 * size).all()


def test_a_small_convolution_keeps_half_the_bits_of_float32() -> None:
    weight = np.random.default_rng(0).standard_normal((64, 32, 1, 1)).astype(np.float32)
    given_x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32, 4, 4])
    graph = of_one_node(helper.make_node("Conv", ["x", "w"], ["y"]), [given_x], {"w": weight})
    narrow(graph)
    assert [t.data_type for t in graph.initializer] == [TensorProto.FLOAT16]
    np.testing.assert_array_equal(wide_weights(helper.make_model(graph))["w"], weight.astype(np.float16))


def test_a_weight_too_large_for_float16_stays_as_it_is() -> None:
    weight = np.full((40, 40, 2), 1e5, np.float32)
    graph = of_one_node(helper.make_node("Neg", ["w"], ["y"]), [], {"w": weight})
    narrow(graph)
    assert [(t.name, t.data_type) for t in graph.initializer] == [("w", TensorProto.FLOAT)]


# ------------------------------------------------------------------ checks


@pytest.mark.parametrize("part", ["text.onnx", "image.onnx"])
@pytest.mark.parametrize("value", [None, np.nan], ids=["moved", "no number"])
def test_graph_that_is_not_model_is_refused_and_old_folder_stays(
    bert: Traced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, value: float | None
) -> None:
    old = Path(shutil.copytree(bert.folder, tmp_path / "model"))
    before = contents(old)
    write = "write_text_graph" if part == "text.onnx" else "write_image_graph"
    copy = getattr(exporting, write)

    def broken(*arguments: Any) -> None:
        copy(*arguments)
        change_weight(arguments[-1], lambda w: np.full_like(w, value) if value else w + np.float32(0.3) * np.sign(w))

    monkeypatch.setattr(exporting, write, broken)
    says = rf"{part}.*probes .*are not finite" if value else rf"{part}.*probe '.+' .*cosine 0\.\d+.*0\.999"
    with pytest.raises(ExportRejected, match=says):
        export(bert.saved, old, weights="int8")
    assert contents(old) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]  # nothing is left beside it


def test_processor_that_scales_otherwise_than_graph_is_refused(
    bert: Traced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = AraCLIPProcessor(
        ViTImageProcessor(size={"height": 32, "width": 32}, resample=3), tiny_hf.tiny_tokenizer(), max_tokens=TOKENS
    )
    monkeypatch.setattr(exporting, "load_model", lambda folder: (bert.model, other))
    with pytest.raises(ExportRejected, match=r"image\.onnx"):
        export(bert.saved, tmp_path / "model")


def test_a_tower_that_cannot_be_traced_is_named(
    traced: Callable[[str], Traced], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operator\nand a page of advice")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    monkeypatch.setattr(tower_graphs, "trace_graph", trace_graph)  # not what this run has traced before
    with pytest.raises(ExportRejected, match=r"text\.onnx.*'bert'.*\(no such operator\)"):
        export(traced("bert + vit").saved, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_small_weights_that_cost_recall_are_refused(
    bert: Traced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev = picture_set(tmp_path / "dev", AraCLIP.load(bert.folder))

    def backwards(graph: Path, target: Path, weights: str) -> None:
        shutil.copyfile(graph, target)
        if target.name == "text.onnx":
            change_weight(target, lambda w: -w)

    monkeypatch.setattr(storing, "store", backwards)
    with pytest.raises(ExportRejected, match=r"1\.0000 in float32 and 0\.\d{4} stored.*--weights float32"):
        export(bert.saved, tmp_path / "model", dev=[DevSet(dev)])
    assert not (tmp_path / "model").exists()


def test_half_a_point_may_be_lost_and_no_more() -> None:
    dev = DevPictures("a set", [], ("arabic",))
    check_recall(dev, 0.2500, 0.2450, "int8")
    check_recall(dev, 0.2500, 0.2600, "int8")
    for stored in (0.2449, float("nan")):
        with pytest.raises(ExportRejected, match="a set"):
            check_recall(dev, 0.2500, stored, "int8")


def test_a_run_is_measured_on_its_own_dev_set_with_every_caption(bert: Traced, tmp_path: Path) -> None:
    dev = picture_set(tmp_path / "dev", AraCLIP.load(bert.folder))
    lines = (dev / "captions.jsonl").read_text(encoding="utf-8").splitlines()
    captions = sum(len(json.loads(line)["caption_ar"]) for line in lines)
    report = export(run_folder(tmp_path / "run", bert, dev), tmp_path / "model", weights="float32")
    protocol = "dev dev, 6 pictures, every caption_ar a query, any-hit"
    config = model_folder.read_config(tmp_path / "model")
    assert config.measured[protocol]["arabic"]["t2i"]["R@1"] == 1.0
    assert config.measured[protocol]["arabic"]["n_queries"] == captions
    assert [(r.protocol, r.float32, r.stored) for r in report.recalls] == [(protocol, 1.0, 1.0)]
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert protocol in card
    assert "| arabic, text → picture | 1.000 | 1.000 | 1.000 | 1.000 | 1 |" in card


def test_a_dev_set_by_captions_is_measured_as_one_by_pictures(bert: Traced, tmp_path: Path) -> None:
    dev = picture_set(tmp_path / "dev", AraCLIP.load(bert.folder))
    run = run_folder(tmp_path / "run", bert, dev)
    whole = export(run, tmp_path / "whole", weights="float32").config.measured
    rows = [json.loads(line) for line in (dev / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [json.dumps({**row, "caption_ar": text}) + "\n" for row in rows for text in row["caption_ar"] or [[]]]
    (dev / "captions.jsonl").write_text("".join(lines), encoding="utf-8")
    assert export(run, tmp_path / "lines", weights="float32").config.measured == whole


def test_towers_are_called_by_their_hub_ids_or_folders(bert: Traced, tmp_path: Path) -> None:
    saved = Path(shutil.copytree(bert.saved, tmp_path / "saved"))
    config = json.loads((saved / "config.json").read_text(encoding="utf-8"))
    config["text_config"]["_name_or_path"] = str(tmp_path / "my-bert")
    config["vision_config"]["_name_or_path"] = "someone/their-vit"
    (saved / "config.json").write_text(json.dumps(config), encoding="utf-8")
    folder = export(saved, tmp_path / "model", weights="float32").folder
    found = model_folder.read_config(folder)
    assert (found.text.tower, found.image.tower) == ("my-bert", "someone/their-vit")
    assert not [file for file in folder.iterdir() if str(tmp_path).encode() in file.read_bytes()]
    AraCLIPModel.from_pretrained(saved).save_pretrained(tmp_path / "again")
    card = (tmp_path / "again" / "README.md").read_text(encoding="utf-8")
    assert "`my-bert`" in card and str(tmp_path) not in card


# ------------------------------------------------------------------ the place


def test_a_model_folder_is_replaced_whole(bert: Traced, tmp_path: Path) -> None:
    shutil.copytree(bert.folder, tmp_path / "model")
    export(bert.saved, tmp_path / "model", name="new", version="7")
    model = AraCLIP.load(tmp_path / "model")
    assert (model.config.name, model.config.version, model.config.weights) == ("new", "7", "int8")
    assert model.encode_text(["قطة"]).shape == (1, 8)
    assert sorted(contents(tmp_path / "model")) == sorted((*model_folder.PARTS, model_folder.IMAGE_PROCESSOR))
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_tokenizer_that_does_not_fit_on_disk_is_error_of_system(bert: Traced, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")  # of Unix
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # bytes a file
    try:
        with pytest.raises(OSError, match="File too large"):  # which the command line explains
            export(bert.saved, tmp_path / "model", weights="float32")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "model").exists()


def test_a_folder_with_other_files_is_never_replaced(bert: Traced, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters.txt").write_text("dear")
    with pytest.raises(InputError, match=r"letters\.txt"):
        export(bert.saved, tmp_path / "home")
    with pytest.raises(InputError, match=r"model\.safetensors|modules\.json|1_Normalize"):
        export(bert.saved, bert.saved)
    with pytest.raises(InputError, match="is a file"):
        export(bert.saved, tmp_path / "home" / "letters.txt")


def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "old").write_text("old")
    replace = Path.replace

    def fails(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise OSError("no room")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(OSError, match="no room"):
        atomic.write_folder(tmp_path / "box", lambda folder: (folder / "new").touch())
    assert contents(tmp_path) == {"box/old": b"old"}


# ------------------------------------------------------------------ what cannot be exported


def test_what_holds_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trained model"):
        export(tmp_path, tmp_path / "model")


def test_an_unknown_kind_of_weights_is_refused(bert: Traced, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"int8, compact, .*float16, .*not as 'int3'"):
        export(bert.saved, tmp_path / "model", weights="int3")


def test_a_model_without_image_tower_is_refused(tmp_path: Path) -> None:
    tiny_hf.saved(tmp_path / "text", tiny_hf.tiny_model(image=None), tiny_hf.tiny_processor(images=False))
    with pytest.raises(InputError, match="no image tower"):
        export(tmp_path / "text", tmp_path / "model")


def test_a_slow_tokenizer_is_refused(bert: Traced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = bert.processor
    slow = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=0), image_processor=own.image_processor,
                           preprocessing=own.preprocessing, max_tokens=TOKENS)  # fmt: skip
    monkeypatch.setattr(exporting, "load_model", lambda folder: (bert.model, slow))
    with pytest.raises(InputError, match="no fast tokenizer"):
        export(bert.saved, tmp_path / "model")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "does not say"),
        ('{"recipe": {"dev": {"folder": "/gone/pictures", "split": "dev", "captions": ["x"]}}}', "--dev"),
    ],
)
def test_a_run_whose_dev_set_is_unknown_asks_for_one(bert: Traced, tmp_path: Path, config: str, message: str) -> None:
    run = run_folder(tmp_path / "run", bert, None)
    (run / "config.json").write_text(config, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        export(run, tmp_path / "model")


def test_a_dev_set_without_captions_is_refused(bert: Traced, tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"image": "a.png", "split": "dev"}\n', encoding="utf-8")
    with pytest.raises(DataError, match="no caption in caption_ar, caption_en"):
        export(bert.saved, tmp_path / "model", dev=[DevSet(tmp_path)])


# ------------------------------------------------------------------ scaling


def test_scaling_is_the_processors_for_values_from_0_to_1() -> None:
    def of(image: Any) -> Any:
        return AraCLIPProcessor(image, tiny_hf.tiny_tokenizer()).preprocessing

    plain = of(ViTImageProcessor(size={"height": 32, "width": 32}, resample=3, do_normalize=False))
    assert (plain.size, plain.mean, plain.std) == (32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    doubled = of(ViTImageProcessor(size={"height": 32, "width": 32}, resample=3, rescale_factor=2 / 255))
    assert doubled.mean == doubled.std == pytest.approx((0.25,) * 3)  # (2 v − .5) / .5 = (v − .25) / .25


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (ViTImageProcessor(size={"height": 32, "width": 64}), "no squares of one size"),
        (CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}), "a crop of"),
        (None, "no image tower"),
    ],
)
def test_an_unpreparable_folders_pictures_are_refused_early(tmp_path: Path, pictures: Any, message: str) -> None:
    saved = tiny_hf.saved(
        tmp_path / "saved", tiny_hf.tiny_model(), AraCLIPProcessor(pictures, tiny_hf.tiny_tokenizer())
    )
    with pytest.raises(AraCLIPError, match=message):
        export(saved, tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(("crops", "said"), [
    (False, f"squashed to {tiny_hf.SIZE} × {tiny_hf.SIZE} |"), (True, "cut out of the middle |"),
])  # fmt: skip
def test_the_card_says_how_pictures_become_squares(bert: Traced, tmp_path: Path, crops: bool, said: str) -> None:
    square, side = {"height": tiny_hf.SIZE, "width": tiny_hf.SIZE}, {"shortest_edge": tiny_hf.SIZE}
    how = {"resample": 3, "image_mean": list(MEAN), "image_std": list(STD)}
    cropped, squashed = CLIPImageProcessor(size=side, crop_size=square, **how), ViTImageProcessor(size=square, **how)
    made = AraCLIPProcessor(cropped if crops else squashed, tiny_hf.tiny_tokenizer(), max_tokens=TOKENS)
    saved = tiny_hf.saved(tmp_path / "saved", bert.model, made)
    config = export(saved, tmp_path / "model", weights="float32").config
    assert config.image.resize == ("shortest" if crops else "squash")
    assert said in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


# ------------------------------------------------------------------ the command


@pytest.fixture
def araclip(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return caller(monkeypatch, capsys)


def test_the_command_prints_figures_and_fills_the_card(bert: Traced, tmp_path: Path, araclip: Run) -> None:
    dev = picture_set(tmp_path / "dev", AraCLIP.load(bert.folder))
    about = tmp_path / "about.toml"
    about.write_text(
        'license = "CC0-1.0"\ntraining_data = ["six pictures"]\ntext_tower = "tiny BERT"\n'
        'notes = "## Limits\\n\\nMany."\n',
        encoding="utf-8",
    )
    ran = araclip(
        "export", bert.saved, tmp_path / "model", "--name", "mini", "--version", "2", "--dev", dev,
        "--weights", "float32", "--about", about,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    model = AraCLIP.load(tmp_path / "model")
    assert model.config.label in ran.out
    stored = (tmp_path / "model" / "text.onnx").stat().st_size / 1e6
    assert re.search(rf"MB as stored\D+{stored:.1f} ", ran.out)
    assert re.search(r"ms each, in batches\D+\d+\.\d \(of 32\)\D+\d+\.\d \(of 16\)", ran.out)
    assert re.search(r"least cosine to PyTorch, float32\D+(1\.0000|0\.9999)\d\d\D+(1\.0000|0\.9999)\d\d", ran.out)
    assert "R@1 1.0000 in float32, 1.0000 as float32: dev dev, 6 pictures" in ran.out
    assert str(tmp_path / "model") in ran.out
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    for part in ("# mini", "version 2", "CC0-1.0", "- six pictures", "tiny BERT", "## Limits", "Many."):
        assert part in card
    assert model.config.license == "CC0-1.0"
    assert model.config.training_data == ("six pictures",)


def test_the_command_refuses_in_one_line(bert: Traced, tmp_path: Path, araclip: Run) -> None:
    ran = araclip("export", tmp_path, tmp_path / "model")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert "no trained model" in ran.err
    assert not (tmp_path / "model").exists()


def test_about_is_checked(tmp_path: Path) -> None:
    about = tmp_path / "about.toml"
    for text, message in (("licence = 'MIT'", "licence"), ("license = 3", "license"), ("x =", "TOML")):
        about.write_text(text, encoding="utf-8")
        with pytest.raises(RecipeError, match=message):
            read_about(about)
    with pytest.raises(RecipeError, match=r"gone\.toml"):
        read_about(tmp_path / "gone.toml")
