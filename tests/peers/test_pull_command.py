"""`araclip pull` of published models: from a hub on this machine, with their own libraries, to a search."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import tiny_published
from araclip import AraCLIP
from araclip.core.installed_models import pulled
from command_line import Run
from fake_hub import FakeHub, serving
from tiny_peers import small_open_clip

pytestmark = pytest.mark.usefixtures("traced_quickly")


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with serving(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A SigLIP 2 of open_clip, tiny and random. Read only."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("published") / "siglip2"
    with small_open_clip(tmp_path_factory.mktemp("open_clip")):
        yield tiny_published.write_siglip2_of_open_clip(place)


def test_a_published_model_is_pulled_indexed_and_named_if_gone(
    run: Run, online: FakeHub, published: Path, folder: Path
) -> None:
    online.add("someone/SigLIP2", published)
    online.licenses["someone/SigLIP2"] = "cc-by-nc-4.0"
    ran = run("pull", "hf:someone/SigLIP2", "--weights", "float32 + int8", model=False)
    assert ran.code == 0, ran.err
    assert "siglip2 is ready" in ran.out
    assert "forbids commercial use: cc-by-nc-4.0" in ran.out
    model, library = AraCLIP.load("siglip2"), AraCLIP.load(str(published))
    assert float(model.encode_text("قطة") @ library.encode_text("قطة")) > 0.9999
    row = next(
        row for row in json.loads(run("models", "--json", model=False).out)["models"] if row["name"] == "siglip2"
    )
    assert (row["state"], row["weights"], row["languages"]) == ("pulled", "float32 + int8", ["ar", "en"])
    assert run("index", str(folder), "--model", "siglip2", model=False).code == 0
    assert run("search", "أحمر", model=False).code == 0
    assert run("models", "--remove", "siglip2", "-y", model=False).code == 0
    lost = run("search", "أحمر", model=False)
    (again,) = re.findall(r"`araclip (pull hf:someone/SigLIP2 .*?)`", lost.err)
    assert run(*shlex.split(again), model=False).code == 0
    assert run("search", "أحمر", model=False).code == 0


@pytest.mark.parametrize("model", ["siglip2-b16-256", "hf:someone/SigLIP2"])
def test_unknown_languages_are_refused_before_a_download(
    run: Run, online: FakeHub, published: Path, model: str
) -> None:
    online.add("someone/SigLIP2", published)
    ran = run("pull", model, "--languages", "ar,xx", model=False)
    assert (ran.code, online.sent) == (2, 0)
    assert "'xx', known are" in ran.err


def test_a_model_not_pulled_is_used_and_pulling_is_named(run: Run, published: Path, folder: Path) -> None:
    ran = run("index", str(folder), "--model", str(published), model=False)
    assert ran.code == 0, ran.err
    assert "runs on PyTorch, which every search of the gallery then needs. `araclip pull`" in ran.err


def test_an_unfit_transformers_checkpoint_names_its_tensor(run: Run, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    tiny_published.write_siglip(damaged)
    weights = damaged / "model.safetensors"
    whole, tensors = weights.read_bytes(), load_file(weights)
    bad = next(name for name in tensors if "text_model" in name and "fc1.weight" in name)
    shape = tuple(tensors[bad].shape)
    others = {name: tensor for name, tensor in tensors.items() if name != bad}
    misshapen = f"the weight {bad} is (3, 5), config.json asks for {shape}"
    for instead, says in (({}, bad), ({bad: torch.zeros(3, 5)}, misshapen)):
        save_file(others | instead, weights, {"format": "pt"})
        ran = run("pull", str(damaged), model=False)
        assert ran.code == 2
        assert says in ran.err
    weights.write_bytes(whole[: len(whole) // 2])
    ran = run("pull", str(damaged), model=False)
    assert ran.code == 2
    assert "copy the folder again" in ran.err
    assert pulled() == {}
