"""Layouts of other programs: what they read of an exported folder gives the model's own vectors."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from tokenizers import Tokenizer
from typer.testing import CliRunner

import hostile_folders as hostile
import tiny
import tiny_hf
import tiny_published
from araclip import AraCLIP
from araclip.cli.commands import app
from araclip.errors import ExportRejected, InputError
from araclip.layouts.layout import LAYOUTS, write_layout
from araclip.layouts.sentence_transformers_module import AraCLIPModule
from araclip.models.folder import NO_NORMALIZER
from araclip.peers.conversion import make_model_folder

pytestmark = pytest.mark.usefixtures("seeded", "traced_once", "traced_quickly")

TEXTS = ["أحمر قطة", "قِطّةٌ أخضر", "blue CAT", "كلب ٣", "", "أزرق " * 30]
PAD = tiny.SPECIAL.index("<pad>")


def fixed_length(folder: Path) -> Path:
    """A model as SigLIP is: texts are padded to one length, and the padding counts."""
    graph = onnx.load(folder / "text.onnx")
    mask = next(value for value in graph.graph.input if value.name == "attention_mask")
    graph.graph.input.remove(mask)
    ones = [
        helper.make_node("Mul", ["input_ids", "nothing"], ["zeros"]),
        helper.make_node("Add", ["zeros", "one"], ["attention_mask"]),
    ]
    nodes = list(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend([*ones, *nodes])
    for name, value in (("nothing", 0), ("one", 1)):
        graph.graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), name))
    onnx.save(graph, folder / "text.onnx")
    tiny.rehash(folder)
    hostile.config(text__padding="max_length", text__attention_mask=False, text__normalizer=NO_NORMALIZER)(folder)
    return folder


def padded_with_the_end(folder: Path) -> Path:
    """A model as CLIP is: the token that ends a text is the padding, too."""
    hostile.config(text__pad_id=tiny.SPECIAL.index("</s>"))(folder)
    return folder


@pytest.fixture(params=["masked", "fixed length", "padded with the end"])
def model(request: pytest.FixtureRequest, tmp_path: Path, tiny_model: Path) -> AraCLIP:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    changes = {"fixed length": fixed_length, "padded with the end": padded_with_the_end}
    return AraCLIP(changes.get(request.param, Path)(folder), threads=1)


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def tokenizer_of(folder: Path, length: int | None = None) -> Tokenizer:
    """As fastembed opens it: the padding by its token, cut to the length of the configuration."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    tokenizer.enable_truncation(length or config["model_max_length"])
    pad = config["pad_token"]
    tokenizer.enable_padding(length=length, pad_token=pad, pad_id=tokenizer.token_to_id(pad))
    return tokenizer


def vectors_in_batches(graph: Path, tokenizer: Tokenizer, cut: int | None = None) -> Any:
    """As clients do that pad to the longest text of a batch; `cut`: as transformers.js does, with the end token."""
    run, encodings = session(graph), tokenizer.encode_batch(TEXTS)
    for encoding in encodings if cut else ():
        encoding.truncate(cut)  # what was made already; special tokens are not put back
    every = {"input_ids": [e.ids for e in encodings], "attention_mask": [e.attention_mask for e in encodings]}
    return run.run(None, {node.name: np.array(every[node.name], np.int64) for node in run.get_inputs()})[0]


def pixels(model: AraCLIP) -> Any:
    side = model.image_size
    return np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)


def test_transformers_js_gets_models_vectors_from_clips_classes(model: AraCLIP, tmp_path: Path) -> None:
    folder = write_layout(model.folder, tmp_path / "out", "transformers.js")
    assert json.loads((folder / "config.json").read_text())["model_type"] == "clip"
    how = json.loads((folder / "preprocessor_config.json").read_text())
    assert how["size"] == {"height": tiny.SIZE, "width": tiny.SIZE}
    assert (how["do_center_crop"], how["do_normalize"], how["resample"]) == (False, False, 3)
    whole = tokenizer_of(folder)
    whole.no_truncation()
    for cut in (None, model.config.text.max_tokens):
        found = vectors_in_batches(folder / "onnx" / "text_model.onnx", whole, cut)
        np.testing.assert_allclose(found, model.encode_text(TEXTS), atol=1e-5)
    run, squares = session(folder / "onnx" / "vision_model.onnx"), pixels(model)
    assert [node.name for node in (*run.get_inputs(), *run.get_outputs())] == ["pixel_values", "image_embeds"]
    found = run.run(None, {"pixel_values": squares.transpose(0, 3, 1, 2) / np.float32(255)})[0]
    np.testing.assert_allclose(found, model.encode_pixels(squares), atol=1e-5)
    assert (folder / "onnx" / "text_model_quantized.onnx").samefile(folder / "onnx" / "text_model.onnx")


def test_sentence_transformers_and_fastembed_open_the_layout(model: AraCLIP, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import AutoTokenizer

    folder = write_layout(model.folder, tmp_path / "out", "sentence-transformers")
    client = SentenceTransformer(str(folder), trust_remote_code=True, device="cpu")
    picture = tiny_hf.picture()
    picture.save(tmp_path / "a.png")
    seen = client.encode([picture, str(tmp_path / "a.png"), {"image": picture}])
    np.testing.assert_allclose(seen, model.encode_image([picture] * 3), atol=1e-6)
    others = [tmp_path / name for name in ("scan.tif", "photo.AVIF", "photo.jfif")]  # pictures to us alone
    for path in others:
        picture.save(path, path.suffix[1:].lower().replace("jfif", "jpeg").replace("tif", "tiff"))
    np.testing.assert_allclose(client.encode([*map(str, others)]), model.encode_image(others), atol=1e-6)
    np.testing.assert_allclose(client.encode(TEXTS), model.encode_text(TEXTS), atol=1e-6)
    assert client.get_embedding_dimension() == model.width
    with pytest.raises(ValueError, match="trust_remote_code"):
        SentenceTransformer(str(folder))
    again = SentenceTransformer(modules=[AraCLIPModule(model)], device="cpu")
    again.save(str(tmp_path / "saved"))
    saved = SentenceTransformer(str(tmp_path / "saved"), trust_remote_code=True, device="cpu")
    np.testing.assert_allclose(saved.encode("قطة"), model.encode_text("قطة"), atol=1e-6)

    assert json.loads((folder / "config.json").read_text())["pad_token_id"] == model.config.text.pad_id
    found = vectors_in_batches(folder / "onnx" / "model.onnx", tokenizer_of(folder))
    np.testing.assert_allclose(found, model.encode_text(TEXTS), atol=1e-5)
    ids = AutoTokenizer.from_pretrained(folder)(TEXTS, truncation=True)["input_ids"]
    assert ids == [e.ids for e in model._text.tokenizer.encode(tuple(TEXTS))]


def test_padding_that_is_ordinary_piece_is_cut_out_of_no_text(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    published = tiny_published.write_clip_of_open_clip(tmp_path / "published")  # it pads with "!"
    model = AraCLIP(make_model_folder(str(published), tmp_path / "model", languages=("ar", "en")))  # as in test_pull
    texts = ["a black cat!", "12 DOGS!! on a table", "!", "قطة"]
    for layout, graph in (("sentence-transformers", "model"), ("transformers.js", "text_model")):
        folder = write_layout(model.folder, tmp_path / layout, layout)
        ids = AutoTokenizer.from_pretrained(folder)(texts, padding=True, truncation=True)["input_ids"]
        (found,) = session(folder / "onnx" / f"{graph}.onnx").run(None, {"input_ids": np.array(ids)})
        np.testing.assert_allclose(found, model.encode_text(texts), atol=1e-5)


def test_a_graph_keeps_its_weights_in_the_file_beside_it(tmp_path: Path, tiny_model: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    for tower in ("text", "image"):
        graph = onnx.load(folder / f"{tower}.onnx")
        onnx.save(graph, folder / f"{tower}.onnx", save_as_external_data=True, location=f"{tower}.onnx.data",
                  size_threshold=200)  # fmt: skip
    files = ("tokenizer.json", *(f"{t}.onnx{end}" for t in ("text", "image") for end in ("", ".data")))
    config = tiny.read_config(folder)
    tiny.write_config(folder, {**config, "files": {part: tiny.sha256(folder / part) for part in files}})
    for layout in LAYOUTS:
        out = write_layout(folder, tmp_path / layout, layout)
        assert any(path.suffix in (".data", ".onnx_data") for path in out.rglob("*"))
    assert json.loads((tmp_path / "transformers.js" / "config.json").read_text())["transformers.js_config"]


def test_a_picture_that_is_cut_from_the_middle_is_said_so(tmp_path: Path, tiny_model: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    hostile.config(image__resize="shortest", image__interpolation="bilinear")(folder)
    js = write_layout(folder, tmp_path / "js", "transformers.js")
    how = json.loads((js / "preprocessor_config.json").read_text())
    assert (how["size"], how["do_center_crop"], how["resample"]) == ({"shortest_edge": tiny.SIZE}, True, 2)


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="no layout 'immich'"):
        write_layout(tiny_model, tmp_path / "out", "immich")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    with pytest.raises(InputError, match="is there already"):
        write_layout(tiny_model, tmp_path / "full", "transformers.js")
    assert not (tmp_path / "out").exists()


def test_graph_that_gives_other_vectors_in_layout_is_not_written(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_text = AraCLIP.encode_text
    monkeypatch.setattr(AraCLIP, "encode_text", lambda self, texts: -encode_text(self, texts))
    with pytest.raises(ExportRejected, match="another text vector than the model"):
        write_layout(tiny_model, tmp_path / "out", "transformers.js")
    assert not (tmp_path / "out").exists()


def test_command_writes_layout_of_model_and_of_trained_one(tmp_path: Path, tiny_model: Path) -> None:
    done = CliRunner().invoke(app, ["export", str(tiny_model), str(tmp_path / "a"), "--layout", "transformers.js"])
    assert done.exit_code == 0, done.output
    assert "transformers.js reads the model in" in " ".join(done.output.split())
    refused = CliRunner().invoke(
        app, ["export", str(tiny_model), str(tmp_path / "c"), "--layout", "transformers.js", "--weights", "float32"]
    )
    assert "--weights has no effect" in str(refused.exception)
    assert not (tmp_path / "c").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    taken = CliRunner().invoke(
        app, ["export", str(tmp_path / "none"), str(tmp_path / "full"), "--layout", "transformers.js"]
    )
    assert "is there already" in str(taken.exception)  # before the model to export is looked at
    trained = tiny_hf.saved(tmp_path / "trained", tiny_hf.model_of_distinct_weights(), tiny_hf.tiny_processor())
    done = CliRunner().invoke(
        app, ["export", str(trained), str(tmp_path / "b"), "--layout", "sentence-transformers", "--weights", "float32"]
    )
    assert done.exit_code == 0, done.output
    assert "The model is in" not in done.output  # a temporary folder
    exported = AraCLIP(tmp_path / "b" / "0_AraCLIP", threads=1)
    assert (exported.name, exported.config.text.normalizer) == ("b", NO_NORMALIZER)
