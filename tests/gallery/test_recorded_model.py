"""A gallery knows its model: --model is named once, when the gallery is made."""

import json
import shutil
from pathlib import Path

import pytest

from araclip import AraCLIP, Gallery
from araclip.errors import ModelNotFound, WidthMismatch
from araclip.gallery.catalog.records import RecordedModel
from araclip.gallery.open import encoder_of, open_gallery, reembed_gallery
from araclip.gallery.recorded_model import recorded_encoder
from araclip.server.settings import Settings
from command_line import Run
from postgres_server import needs_server
from serving import place_of, serving
from tiny import write_tiny_model


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where pulled models are, with the environment that `run` sets."""
    return tmp_path / "data" / "models"


@pytest.fixture
def indexed(run: Run, folder: Path, tmp_path: Path) -> Path:
    """The gallery of a picture folder, made with a model of the user's own, in a folder of its own."""
    own = write_tiny_model(tmp_path / "own" / "model", name="own")
    assert run("index", str(folder), "--model", str(own), model=False).code == 0
    return next((tmp_path / "data" / "galleries").glob("*-*"))


def best(run: Run, *arguments: str) -> str:
    ran = run("search", "أحمر", "--paths", *arguments, model=False)
    assert ran.code == 0, ran.err
    return Path(ran.out.splitlines()[0]).name


@pytest.mark.parametrize(
    "command",
    [
        ["similar", "PICTURE", "--paths"],
        ["stats"],
        ["verify"],
        ["duplicates"],
        ["index", "FOLDER"],
        ["compact"],
        ["repair"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_uses_the_model_of_the_gallery(run: Run, indexed: Path, folder: Path, command: list[str]) -> None:
    named = {"PICTURE": str(folder / "green.png"), "FOLDER": str(folder)}
    ran = run(*(named.get(word, word) for word in command), model=False)
    assert ran.code == 0, ran.err


def test_search_and_python_use_the_model_of_the_gallery(run: Run, indexed: Path) -> None:
    assert best(run) == "أحمر.jpg"
    with Gallery.open(indexed) as gallery:
        assert gallery.model.name == "own"
    assert encoder_of(indexed).name == "own"


def test_the_line_that_says_how_to_search_names_no_model(run: Run, folder: Path) -> None:
    ran = run("index", str(folder))
    assert "araclip search 'قطة" in ran.out
    assert "--model" not in ran.out


def test_a_server_uses_the_model_of_its_gallery(run: Run, indexed: Path) -> None:
    settings = Settings.read(gallery=indexed, decoders=1)
    with serving(settings) as client:
        assert client.get("/v1/models").json()["data"][0]["id"].startswith("own@")
        assert len(client.get("/search", params={"q": "أحمر"}).json()["results"]) == 3


def test_a_model_pulled_meanwhile_is_found_by_fingerprint(run: Run, indexed: Path, home: Path, tmp_path: Path) -> None:
    home.mkdir(parents=True)
    (tmp_path / "own" / "model").rename(home / "another-name")
    assert best(run) == "أحمر.jpg"


def test_a_model_that_is_gone_is_named_with_its_source(run: Run, indexed: Path, tmp_path: Path) -> None:
    with Gallery.open(indexed) as gallery:
        label = gallery.model.label
    shutil.rmtree(tmp_path / "own")
    ran = run("search", "أحمر", model=False)
    assert ran.code == 2
    for part in (label, "not on this machine", str(tmp_path / "own"), "--model FOLDER", "--reembed"):
        assert part in ran.err
    gone = RecordedModel("nowhere", "f" * 12, 768, "nowhere", "nowhere --weights int8")
    with pytest.raises(ModelNotFound, match=r"nowhere@f+, and that model is not on .*`araclip pull nowhere --weights"):
        recorded_encoder(gone, "g")
    moved = RecordedModel("moved", "f" * 12, 8, f"transformers:{tmp_path / 'was here'}")
    with pytest.raises(ModelNotFound, match=r"It was transformers:.*was here\. Copy its model folder here"):
        recorded_encoder(moved, "g")


@pytest.mark.parametrize("release", ["no", "another"])
def test_a_gallery_without_its_model_can_be_looked_after(
    run: Run, indexed: Path, folder: Path, tmp_path: Path, home: Path, release: str
) -> None:
    shutil.rmtree(tmp_path / "own")
    if release == "another":  # as after an upgrade of this package, which brings a new model of the same name
        write_tiny_model(home / "own", width=12, seed=5, name="own")
    assert json.loads(run("stats", "--json", model=False).out)["pictures"] == 3
    for command in (
        ["verify"], ["duplicates"], ["remove", str(folder / "green.png")], ["compact"],
        ["export-gallery", str(tmp_path / "out")],
    ):  # fmt: skip
        ran = run(*command, model=False)
        assert ran.code == 0, (command, ran.err)


def test_a_folder_that_holds_another_model_now_is_not_taken(run: Run, indexed: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "own")
    write_tiny_model(tmp_path / "own" / "model", width=12, seed=5, name="own")
    with pytest.raises(ModelNotFound, match="not on this machine"):
        Gallery.open(indexed)


def test_another_release_of_a_model_is_refused_by_fingerprint(run: Run, indexed: Path, home: Path) -> None:
    write_tiny_model(home / "own", width=12, seed=5, name="own")
    shutil.rmtree(indexed.parents[2] / "own")
    with pytest.raises(WidthMismatch, match=r"8-wide vectors of own@\w+, but own@\w+ makes 12-wide"):
        Gallery.open(indexed)


@pytest.mark.parametrize("origin", ["translate:os:getcwd/araclip-mini", "transformers:some/repository", "models/own"])
def test_gallery_of_stranger_loads_neither_code_nor_downloads(origin: str) -> None:
    record = RecordedModel("unknown", "f" * 12, 8, origin)
    with pytest.raises(ModelNotFound, match="not on this machine"):
        recorded_encoder(record, "gallery")


def test_another_model_for_a_gallery_is_told_with_its_time(
    run: Run, indexed: Path, folder: Path, tmp_path: Path
) -> None:
    other = str(write_tiny_model(tmp_path / "other", width=12, seed=1, name="other"))
    refused = run("index", str(folder), "--model", other, model=False)
    assert refused.code == 2
    assert "Its 3 pictures take about 0 s here with --reembed" in refused.err
    assert "pictures a second" in refused.err
    assert run("index", str(folder), "--model", other, "--reembed", model=False).code == 0
    assert best(run) == "أحمر.jpg"  # with the new model, which nobody has named
    assert json.loads(run("stats", "--json", model=False).out)["model"].startswith("other@")


def test_a_moved_model_is_recorded_anew_with_the_next_write(
    run: Run, indexed: Path, folder: Path, tmp_path: Path
) -> None:
    moved = shutil.move(tmp_path / "own" / "model", tmp_path / "moved")
    assert run("search", "أحمر", model=False).code == 2
    assert run("index", str(folder), "--model", str(moved), model=False).code == 0
    assert best(run) == "أحمر.jpg"


@needs_server
def test_a_gallery_on_a_server_knows_its_model_too(tmp_path: Path) -> None:
    own = write_tiny_model(tmp_path / "own", name="own")
    other = write_tiny_model(tmp_path / "other", width=12, seed=1, name="other")
    with place_of("postgres", tmp_path) as place:
        open_gallery(place, model=own, create=True).close()
        with open_gallery(place) as gallery:
            assert gallery.model.name == "own"
        assert encoder_of(place).name == "own"
        reembed_gallery(place, AraCLIP(other))
        with open_gallery(place) as gallery:
            assert gallery.model.name == "other"
