"""An exported model becomes a model again: the same vectors, trainable weights, an error where weights are lost."""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.functional import normalize as l2_normalize
from transformers import AutoModel, TimmWrapperConfig, TimmWrapperModel

import tiny_hf
import traced
from araclip import AraCLIP, AraCLIPConfig, AraCLIPModel, AraCLIPProcessor
from araclip.errors import ModelMismatch, ModelNotFound, RecipeError
from araclip.models import folder as model_folder
from araclip.training.export import export as exporting
from araclip.training.export import graphs
from araclip.training.export.export import export
from araclip.training.export.model_card import About
from araclip.training.model import unpack as unpacking
from araclip.training.model.branches import joined
from araclip.training.model.preprocessing import square_processor
from araclip.training.model.saved_models import load_model, save_model, unpack
from araclip.training.stages.dispatch import run_stage
from araclip.training.stages.starting_model import StageContext, saved_model
from command_line import caller
from toy_training import Notes, make_world, recipe

pytestmark = pytest.mark.usefixtures("traced_once")

TEXTS = ["قطة جالسة على طاولة", "cat", "a dog on a table في بيت " * 5]
WITH_A_BANK = "modernbert cls + timm resnet, mirrored, with a bank"
WITH_BRANCHES = "xlm-roberta + branches, one behind a gate"
TOWERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert + siglip": ("bert", "siglip", {"logit_bias_init": -5.0}),
    WITH_A_BANK: ("modernbert", "timm resnet", {}),  # see tiny_hf.model_with_a_bank
    WITH_BRANCHES: ("xlm-roberta", "branches", {}),
    "bert + swin": ("bert", "swin", {}),
}  # fmt: skip
AS_EVER = (WITH_A_BANK, WITH_BRANCHES)  # written as `araclip export` does, see traced.quickly


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "SECONDS", 0.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model with random weights, and what was exported of it beside: `model` and `exported`."""
    known: dict[str, Path] = {}

    def of(pair: str) -> Path:
        if pair not in known:
            known[pair] = tmp_path_factory.mktemp("saved")
            text, image, options = TOWERS[pair]
            torch.manual_seed(0)
            if pair == WITH_A_BANK:
                model = tiny_hf.model_with_a_bank()
            else:
                model = with_branches(text) if image == "branches" else tiny_hf.tiny_model(text, image, **options)
                for weight in model.parameters():  # tables that begin as zeros, norms that begin as ones
                    weight.data += 0.02 * torch.randn_like(weight)
            model.logit_scale.data.fill_(3.25)
            if image == "swin":  # only its image tower is of interest
                siglip, _ = load_model(of("bert + siglip") / "model")
                model.text_model, model.text_projection = siglip.text_model, siglip.text_projection
            save_model(known[pair] / "model", model.eval(), of_squares(pair))
            with nullcontext() if pair in AS_EVER else traced.quickly(texts_alone=image == "swin"):
                export(known[pair] / "model", known[pair] / "exported")
        return known[pair]

    return of


@pytest.fixture(scope="module")
def mini() -> AraCLIPModel:
    """araclip-mini as any pretrained model; read only."""
    return AraCLIPModel.from_pretrained("araclip-mini")


def of_squares(pair: str) -> AraCLIPProcessor:
    """Scaled by channel, but for the model whose first convolution reads bytes."""
    mean, std = ((0.5,) * 3, (0.5,) * 3) if pair == WITH_BRANCHES else ((0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
    square = square_processor(tiny_hf.SIZE, tiny_hf.SIZE, mean, std)
    return AraCLIPProcessor(square, tiny_hf.tiny_tokenizer(), max_tokens=24)


def with_branches(text: str) -> AraCLIPModel:
    tower = TimmWrapperModel(TimmWrapperConfig(architecture="test_efficientnet", num_labels=0, do_pooling=True)).eval()
    both = joined([tower, tower], 2)
    expert = both.branches[1]
    expert.gate, expert.router = (nn.Linear(tower.timm_model.head_hidden_size, 1) for _ in range(2))
    nn.init.constant_(expert.router.bias, 1e4)  # for all pictures
    both.config.gated = both.config.routed = [1]
    one_layer = AraCLIPConfig({**tiny_hf.TEXT_TOWERS[text], "num_hidden_layers": 1}, None, projection_dim=8)
    return AraCLIPModel.from_towers(AraCLIPModel(one_layer).eval().text_model, both, 8)


def vectors(model: AraCLIPModel, processor: AraCLIPProcessor) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        texts = model.get_text_features(**processor(text=TEXTS, return_tensors="pt")).pooler_output
        images = model.get_image_features(**processor(images=pictures(), return_tensors="pt")).pooler_output
    return l2_normalize(texts, dim=-1).numpy(), l2_normalize(images, dim=-1).numpy()


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 256, (tiny_hf.SIZE, tiny_hf.SIZE, 3), dtype=np.uint8)) for _ in range(5)]


def test_an_int8_model_comes_back_with_its_stored_weights(saved: Callable[[str], Path], tmp_path: Path) -> None:
    """Smoothed products, convolutions whose first reads bytes, corrected biases; and once more, which moves nothing."""
    place = saved(WITH_BRANCHES)
    model, processor = load_model(place / "model")
    (tmp_path / "photos").mkdir()
    for number, picture in enumerate(pictures()):
        picture.save(tmp_path / "photos" / f"{number}.png")
    folders, weights = [tmp_path / "photos"], "smooth-int8 + static-int8"
    export(place / "model", tmp_path / "one", weights=weights, calibrate=folders)
    once, processor = unpack(tmp_path / "one")
    save_model(tmp_path / "again", once, processor)
    with traced.quickly(texts_alone=True):
        export(tmp_path / "again", tmp_path / "two", weights=weights, calibrate=folders)
    exported = AraCLIP(tmp_path / "one")
    for mine, theirs in zip(vectors(once, processor), vectors(model, processor), strict=True):
        assert (mine * theirs).sum(axis=1).min() > 0.99
    for mine, theirs in zip(
        (exported.encode_text(TEXTS), exported.encode_image(pictures())), vectors(once, processor), strict=True
    ):
        assert (mine * theirs).sum(axis=1).min() > 0.98
    twice, _ = unpack(tmp_path / "two")
    for mine, theirs in zip(vectors(twice, processor), vectors(once, processor), strict=True):
        assert (mine * theirs).sum(axis=1).min() > 0.999


def test_every_copy_of_weights_states_licence_and_data(mini: AraCLIPModel, tmp_path: Path) -> None:
    stated, model = AraCLIP("araclip-mini").config, mini
    for name in ("once", "twice"):
        folder = tmp_path / name
        model.save_pretrained(folder)
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert f'license: other\nlicense_name: "{stated.license}"\n' in card
        for line in (stated.license, *stated.training_data):
            assert line in card.split("limits, licence")[1]
        model = AraCLIPModel.from_pretrained(folder)
        assert (model.config.license, tuple(model.config.training_data)) == (stated.license, stated.training_data)
    plain = AraCLIPModel(AraCLIPConfig(tiny_hf.TEXT_TOWERS["bert"], None, projection_dim=8))
    plain.save_pretrained(tmp_path / "plain")
    assert "license" not in (tmp_path / "plain" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(RecipeError, match="license must be a text"):
        AraCLIPConfig(license=7)


def test_an_exported_model_states_its_weights_licence(saved: Callable[[str], Path], tmp_path: Path) -> None:
    place = saved("bert + siglip")
    model, processor = load_model(place / "model")
    model.config.license, model.config.training_data = "CC-BY-4.0", ["ten photographs"]
    save_model(tmp_path / "model", model, processor)
    with traced.quickly():
        config = export(tmp_path / "model", tmp_path / "out", weights="float32").config
    assert (config.license, config.training_data) == ("CC-BY-4.0", ("ten photographs",))
    assert unpack(tmp_path / "out")[0].config.license == "CC-BY-4.0"
    with traced.quickly():
        config = export(tmp_path / "model", tmp_path / "own", weights="float32", about=About(license="MIT")).config
    assert (config.license, config.training_data) == ("MIT", ("ten photographs",))
    about = About(training_data=("more photographs",))
    with traced.quickly():
        config = export(tmp_path / "model", tmp_path / "data", weights="float32", about=about).config
    assert (config.license, config.training_data) == ("CC-BY-4.0", ("more photographs",))


@pytest.mark.parametrize("pair", [name for name in TOWERS if "swin" not in name])
def test_the_model_gives_the_folders_vectors_and_all_weights(saved: Callable[[str], Path], pair: str) -> None:
    place = saved(pair)
    before, _ = load_model(place / "model")
    model, processor = unpack(place / "exported")
    assert all(weight.grad is None for weight in model.parameters())
    exported = AraCLIP(place / "exported")
    texts, images = vectors(model, processor)
    np.testing.assert_allclose(exported.encode_text(TEXTS), texts, atol=1e-5)
    np.testing.assert_allclose(exported.encode_image(pictures()), images, atol=1e-5)
    began = {"logit_scale_init_value": 0, "logit_bias_init": 0}  # those of the model it was made of, as it was then
    assert {**model.config.to_dict(), **began} == {**before.config.to_dict(), **began}
    learned = model.state_dict()
    for name, weight in before.state_dict().items():
        if name.startswith("text_"):  # pictures' convolutions may have taken in the norms that follow them
            assert torch.allclose(weight, learned[name], atol=0.01), name  # half a step of int8, or the same
    for scalar in ("logit_scale", "logit_bias"):
        assert hasattr(model, scalar) == hasattr(before, scalar)
        assert getattr(model, scalar, None) == getattr(before, scalar, None)


def test_weights_above_a_files_limit_lie_beside_their_graph(
    saved: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, large = saved("bert + siglip"), tmp_path / "large"
    before, processor = load_model(place / "model")
    monkeypatch.setattr(graphs, "MAX_BYTES", 10_000)  # of many times as much
    with traced.quickly():
        export(place / "model", large, weights="float32")
    assert model_folder.read_config(large).data_files == model_folder.DATA_FILES
    texts, images = vectors(before, processor)
    np.testing.assert_allclose(AraCLIP(large).encode_text(TEXTS), texts, atol=1e-5)
    np.testing.assert_allclose(AraCLIP(large).encode_image(pictures()), images, atol=1e-5)
    learned = unpack(large)[0].state_dict()
    assert all(torch.equal(learned[name], weight) for name, weight in before.state_dict().items())
    graph = onnx.load(str(large / "text.onnx"), load_external_data=False)
    for entry in (entry for tensor in graph.graph.initializer for entry in tensor.external_data):
        entry.value = f"../{entry.value}" if entry.key == "location" else entry.value
    onnx.save(graph, str(large / "text.onnx"))
    shutil.copyfile(large / "text.onnx.data", tmp_path / "text.onnx.data")
    model_folder.write_config(large, replace(model_folder.read_config(large), files=model_folder.hashes(large)))
    with pytest.raises(ModelMismatch, match=r"\.\./text\.onnx\.data"):  # in a folder of its own, or not at all
        AraCLIP(large).encode_text("قطة")


def test_bundled_and_own_models_load_as_any_pretrained_model(saved: Callable[[str], Path], mini: AraCLIPModel) -> None:
    folder = saved("bert + siglip") / "exported"
    for source, model in (("araclip-mini", mini), (folder, AraCLIPModel.from_pretrained(folder))):
        exported, processor = AraCLIP(model_folder.find(source)), AraCLIPProcessor.from_pretrained(source)
        texts, images = vectors(model, processor)
        if exported.config.in_int8("text"):
            assert ((exported.encode_text(TEXTS) * texts).sum(axis=1) > 0.98).all()
        else:
            np.testing.assert_allclose(exported.encode_text(TEXTS), texts, atol=1e-4)
        least = 0.98 if exported.config.in_int8("image") else 0.9999  # two libraries resize
        assert ((exported.encode_image(pictures()) * images).sum(axis=1) > least).all()
        assert not model.training and all(weight.requires_grad for weight in model.parameters())

    half, report = AraCLIPModel.from_pretrained(folder, dtype=torch.bfloat16, output_loading_info=True)
    assert half.dtype == torch.bfloat16
    assert not report["missing_keys"] and not report["unexpected_keys"]


def test_a_folder_compared_once_is_not_compared_again(
    saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved("bert + siglip") / "exported"
    AraCLIPModel.from_pretrained(folder)

    def compared(*given: Any, **options: Any) -> None:
        raise ModelMismatch("compared")

    monkeypatch.setattr(unpacking, "probes", compared)
    AraCLIPModel.from_pretrained(folder)
    monkeypatch.setattr(unpacking.transformers, "__version__", "0.0")
    with pytest.raises(ModelMismatch, match="compared"):
        AraCLIPModel.from_pretrained(folder)


def test_what_was_folded_away_is_named_and_refused(saved: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ModelMismatch, match=r"relative_position_bias_table was folded away .* saved AraCLIPModel"):
        unpack(saved("bert + swin") / "exported")
    place = saved("bert + siglip")
    old = shutil.copytree(place / "exported", tmp_path / "old")
    graph = onnx.load(str(old / "text.onnx"))
    del graph.metadata_props[:]
    onnx.save(graph, str(old / "text.onnx"))
    config = json.loads((old / "config.json").read_text(encoding="utf-8"))
    config["files"]["text.onnx"] = model_folder.sha256(old / "text.onnx")
    (old / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelMismatch, match=r"text\.onnx does not say what model it was made of"):
        unpack(old)
    damaged = shutil.copytree(place / "exported", tmp_path / "نموذج")
    (damaged / "image.onnx").write_bytes((damaged / "image.onnx").read_bytes()[:1000])
    with pytest.raises(ModelMismatch, match=r"image\.onnx has hash .* is damaged or belongs to another model"):
        unpack(damaged)
    with pytest.raises(ModelNotFound):
        unpack(tmp_path / "nothing")


def test_recipe_starts_from_exported_model_or_takes_its_towers(tmp_path: Path) -> None:
    world = make_world(tmp_path / "world")
    start = recipe(world, "teacher.steps=2")
    run_stage(start, "teacher", tmp_path / "runs", Notes())
    with traced.quickly(texts_alone=True):
        export(tmp_path / "runs" / "teacher", tmp_path / "exported")
    pictures = "pictures=[{folder = 'shapes', split = 'train'}]"
    named = f"'{tmp_path / 'exported'}'"
    towers = f"{{text = {named}, vision = {named}, projection_dim = 16}}"
    read = recipe(
        world, f"more.start={named}", "more.steps=1", f"more.{pictures}", "more.kind='finetune'", "more.batch=8",
        f"own.model={towers}", f"own.{pictures}", "own.kind='finetune'", "own.batch=8", "own.steps=1",
        "own.train_text='locked'", "own.train_text_head=false", f"distill.teacher={named}", f"distill.start={named}",
        "distill.steps=1",
    )  # fmt: skip
    exported = AraCLIP(tmp_path / "exported")
    context = StageContext(read, "more", tmp_path / "more")
    with ThreadPoolExecutor(3) as pool:  # as processes that begin together
        unpacked = list(
            pool.map(lambda _: saved_model(context, str(tmp_path / "exported"), "more starts from"), range(3))
        )
    assert len(set(unpacked)) == 1
    wanted = exported.encode_text(["red circle", "دائرة حمراء"])
    for stage in ("more", "own", "distill"):
        run_stage(read, stage, tmp_path / "more", Notes())
    model, processor = load_model(tmp_path / "more" / "own" / "model")
    with torch.inference_mode():
        found = model.get_text_features(
            **processor(text=["red circle", "دائرة حمراء"], return_tensors="pt")
        ).pooler_output
    np.testing.assert_allclose(l2_normalize(found, dim=-1).numpy(), wanted, atol=1e-4)
    assert [folder.name for folder in (tmp_path / "more" / "cache").glob("exported@*")] == [exported.config.label]
    config = json.loads((tmp_path / "exported" / "config.json").read_text(encoding="utf-8"))
    config["name"] = "../../../escaped"
    (tmp_path / "exported" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    unpacked = saved_model(context, str(tmp_path / "exported"), "more starts from")
    assert unpacked.is_relative_to(tmp_path / "more" / "cache") and not (tmp_path.parent / "escaped").exists()


def test_the_command_writes_a_folder_that_transformers_loads(
    saved: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call, exported = caller(monkeypatch, capsys), saved("bert + siglip") / "exported"
    ran = call("unpack", exported, tmp_path / "in" / "here")
    assert ran.code == 0 and str(tmp_path / "in" / "here") in ran.out.replace("\n", "")
    model = AutoModel.from_pretrained(tmp_path / "in" / "here")
    texts, _ = vectors(model, AraCLIPProcessor.from_pretrained(tmp_path / "in" / "here"))
    np.testing.assert_allclose(AraCLIP(exported).encode_text(TEXTS), texts, atol=1e-5)
    before = sorted((tmp_path / "in" / "here").iterdir())
    again = call("unpack", exported, tmp_path / "in" / "here")
    assert again.code == 2 and "exists already" in again.err
    assert sorted((tmp_path / "in" / "here").iterdir()) == before
