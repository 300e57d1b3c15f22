"""What a person does with models: models, pull, push, through the command line and against a hub on this machine."""

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from araclip import AraCLIP
from araclip.core import atomic
from araclip.core.installed_models import pulled
from araclip.core.paths import data_home
from araclip.errors import InputError
from araclip.models import downloads
from araclip.peers import model_registry, pull
from araclip.peers.model_registry import forbids_commerce
from command_line import Run
from fake_hub import TOKEN, FakeHub, serving
from tiny import read_config, write_config


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that can be reached."""
    with serving(tmp_path, monkeypatch) as fake:
        yield fake


@pytest.fixture
def finished(tiny_model: Path, tmp_path: Path) -> Path:
    """A finished model folder of somebody else."""
    return shutil.copytree(tiny_model, tmp_path / "theirs" / "Reds")


# ------------------------------------------------------------------ pull: finished folders


def test_a_finished_folder_is_pulled_indexed_and_searched(
    run: Run, finished: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "find_spec", lambda name: None)  # no PyTorch here
    (finished / "notes.txt").write_text("mine")
    ran = run("pull", str(finished), model=False)
    assert ran.code == 0, ran.err
    assert re.search(r"reds is ready: 8-wide vectors, 0 MB, in \d", ran.out)  # the weights of older folders are unknown
    assert "pictures a second" in ran.out
    assert "araclip index FOLDER --model reds" in ran.out
    assert not (pulled()["reds"] / "notes.txt").exists()
    assert run("index", str(folder), "--model", "reds", model=False).code == 0
    assert run("search", "أحمر", "--paths", model=False).out.splitlines()[0].endswith("أحمر.jpg")


def test_finished_folder_is_pulled_from_hub_without_pytorch(
    run: Run, online: FakeHub, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "find_spec", lambda name: None)
    (finished / "pytorch_model.bin").write_bytes(b"0" * 100_000)
    online.add("someone/Reds", finished)
    ran = run("pull", "hf:someone/Reds", "--json", model=False)
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["name"] == "reds"
    assert json.loads(ran.out)["model"] == AraCLIP(finished).label
    assert online.sent == sum(
        (finished / part).stat().st_size for part in downloads.MODEL_FOLDER_FILES if (finished / part).exists()
    )
    assert AraCLIP.load("reds").encode_text("red").shape == (8,)


def test_half_a_download_is_continued_by_the_next_run(
    run: Run, online: FakeHub, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "LARGE", 100)
    graph = (finished / "image.onnx").stat().st_size
    online.add("someone/reds", finished)
    online.cut = {"image.onnx": graph // 2}
    first = run("pull", "hf:someone/reds", model=False)
    assert first.code == 2
    assert "broke off" in first.err
    assert "run the same command again" in first.err
    online.down = False
    second = run("pull", "hf:someone/reds", model=False)
    assert second.code == 0, second.err
    assert online.ranges == [f"bytes={graph // 2}-"]
    assert "reds" in pulled()


def graph_of(online: FakeHub, finished: Path, tmp_path: Path) -> tuple[str, Path, int, str]:
    """A large file on the hub as `downloads.fetch` is told of it: address, place, bytes and hash."""
    online.add("someone/reds", finished)
    content = (finished / "image.onnx").read_bytes()
    url = f"{os.environ['HF_ENDPOINT']}/someone/reds/resolve/main/image.onnx"
    return url, tmp_path / "blobs" / "image", len(content), hashlib.sha256(content).hexdigest()


def test_network_that_goes_away_is_said_and_is_no_fault_of_file(
    online: FakeHub, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = graph_of(online, finished, tmp_path)

    def gone(*_: object) -> bytes:
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    with monkeypatch.context() as patched:
        patched.setattr(http.client.HTTPResponse, "read", gone)
        with pytest.raises(downloads.BrokenOff, match=r"No route to host after 0 of [\d,]+ bytes"):
            downloads.fetch(*about, token=None)
    downloads.fetch(*about, token=None)
    assert about[1].read_bytes() == (finished / "image.onnx").read_bytes()


def test_a_download_is_on_the_disk_before_it_has_its_name(
    online: FakeHub, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about, steps = graph_of(online, finished, tmp_path), list[str]()
    monkeypatch.setattr(atomic, "step", steps.append)
    downloads.fetch(*about, token=None)
    assert steps == ["fsync", "rename", "fsync folder"]


def test_a_file_that_another_process_downloads_is_left_to_it(
    online: FakeHub, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "PIECE", 100)
    about = graph_of(online, finished, tmp_path)
    refused = list[str]()

    def meanwhile(*_: object) -> None:
        if not refused:
            with pytest.raises(InputError) as error:
                downloads.fetch(*about, token=None)
            refused.append(str(error.value))

    downloads.fetch(*about, token=None, progress=meanwhile)
    assert "is being downloaded already" in refused[0]
    assert about[1].read_bytes() == (finished / "image.onnx").read_bytes()
    assert [each.name for each in about[1].parent.iterdir()] == ["image"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda place: (place / "text.onnx").write_bytes(b"0" * 99), "has hash"),
        (lambda place: (place / "tokenizer.json").unlink(), "tokenizer.json"),
        (lambda place: write_config(place, {**read_config(place), "width": 9}), "9"),
    ],
    ids=["another file", "a part missing", "another width"],
)
def test_a_folder_that_is_damaged_is_refused_and_leaves_nothing(
    run: Run, online: FakeHub, finished: Path, damage: object, message: str
) -> None:
    damage(finished)  # type: ignore[operator]
    online.add("someone/reds", finished)
    for source in (str(finished), "hf:someone/reds"):
        ran = run("pull", source, model=False)
        assert ran.code == 2
        assert message in ran.err
        assert ".tmp/" not in ran.err  # the folder that is damaged is named, not the copy that was begun
    assert pulled() == {}


def test_a_name_is_given_with_name_and_is_not_taken_twice(run: Run, finished: Path, tmp_path: Path) -> None:
    assert run("pull", str(finished), "--name", "mine", model=False).code == 0
    for again in (["pull", str(finished), "--name", "mine"], ["pull", "mine"]):
        refused = run(*again, model=False)
        assert refused.code == 2
        assert "a model mine is here already" in refused.err
        assert "araclip models --remove mine" in refused.err
    for bad in ("../mine", "araclip-mini", "-x"):
        assert run("pull", str(finished), f"--name={bad}", model=False).code == 2
    elsewhere = run("pull", str(finished), "--out", str(tmp_path / "elsewhere"), model=False)
    assert f"--model {tmp_path / 'elsewhere'}" in elsewhere.out
    assert list(pulled()) == ["mine"]


# ------------------------------------------------------------------ pull: what goes wrong


def test_an_unknown_name_is_answered_with_the_nearest_ones(run: Run) -> None:
    ran = run("pull", "siglip2-b16-265", model=False)
    assert ran.code == 2
    assert "Did you mean siglip2-b16-256" in ran.err
    assert (
        "Did you mean siglip2-b16-256"
        in run("classify", "a.jpg", "--labels", "قطة", "--model", "siglip2-b16-265", model=False).err
    )


@pytest.mark.parametrize("token", [None, TOKEN], ids=["no token", "a token"])
def test_a_gated_repository_says_where_its_terms_are(
    run: Run, online: FakeHub, finished: Path, token: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    online.add("someone/reds", finished)
    online.gated = {"someone/reds"}
    ran = run("pull", "hf:someone/reds", model=False)
    assert ran.code == 2
    for part in ("is gated", "/someone/reds", "hf auth login"):
        assert part in ran.err


def test_a_repository_that_is_absent_or_no_model_is_refused(run: Run, online: FakeHub, tmp_path: Path) -> None:
    assert "no repository someone/nothing" in run("pull", "hf:someone/nothing", model=False).err
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "README.md").write_text("a page")
    online.add("someone/page", tmp_path / "page")
    assert "holds no weights" in run("pull", "hf:someone/page", model=False).err


def test_without_a_network_the_cache_is_used(
    run: Run, online: FakeHub, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    online.add("someone/reds", finished)
    assert run("pull", "hf:someone/reds", "--name", "first", model=False).code == 0
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    sent = online.sent
    ran = run("pull", "hf:someone/reds", "--name", "second", model=False)
    assert ran.code == 0, ran.err
    assert "taken from the local cache" in ran.err
    assert online.sent == sent
    ran = run("pull", "hf:someone/greens", model=False)
    assert ran.code == 2
    assert "the hub cannot be reached" in ran.err
    assert "someone/greens is not in the local cache" in ran.err


def test_a_full_disk_is_found_before_anything_is_downloaded(
    run: Run, online: FakeHub, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    online.add("someone/reds", finished)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda place: usage(10**9, 10**9, 1000))
    for source, doing in (("hf:someone/reds", "downloading"), (str(finished), "copying")):
        ran = run("pull", source, model=False)
        assert ran.code == 2
        assert doing in ran.err
        assert "0 MB are free" in ran.err
    assert online.sent == 0


def test_a_published_model_says_what_to_install_before_download(
    run: Run, online: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "find_spec", lambda name: None)
    place = tmp_path / "published"
    place.mkdir()
    (place / "config.json").write_text('{"model_type": "siglip"}')
    (place / "model.safetensors").write_bytes(b"0" * 1000)
    online.add("someone/published", place)
    for source in ("siglip2-b16-256", "hf:someone/published", str(place)):
        ran = run("pull", source, model=False)
        assert ran.code == 2
        assert "pip install 'araclip[peers]'" in ran.err
    assert online.sent == 0


def test_a_licence_that_forbids_commercial_use_is_said_once(run: Run, finished: Path) -> None:
    write_config(finished, {**read_config(finished), "license": "CC-BY-NC-4.0"})
    ran = run("pull", str(finished), model=False)
    assert ran.out.count("forbids commercial use: CC-BY-NC-4.0") == 1
    assert [forbids_commerce(text) for text in ("CC-BY-NC-SA-4.0 (non-commercial research)", "MIT", None, "Apache-2.0")
            ] == [True, False, False, False]  # fmt: skip


def test_of_a_repository_one_form_of_the_weights_is_downloaded() -> None:
    files = dict.fromkeys(
        ["config.json", "README.md", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "flax_model.msgpack",
         "tokenizer.json", "onnx/model.onnx", "onnx/config.json", "2_Dense/config.json", "2_Dense/pytorch_model.bin"], 1
    )  # fmt: skip
    assert sorted(downloads.files_to_load(files)) == [
        "2_Dense/config.json", "2_Dense/pytorch_model.bin", "config.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    both = dict.fromkeys(["open_clip_config.json", "open_clip_model.safetensors", "model.safetensors"], 1)
    assert sorted(downloads.files_to_load(both)) == ["open_clip_config.json", "open_clip_model.safetensors"]


# ------------------------------------------------------------------ models


def test_models_lists_bundled_pulled_and_published_ones(run: Run, finished: Path) -> None:
    run("pull", str(finished), "--name", "siglip2-b16-256", model=False)
    ran = run("models", model=False)
    assert ran.code == 0, ran.err
    lines = {line.split()[0]: line for line in ran.out.splitlines() if len(line.split()) > 3}
    assert "bundled" in lines["araclip-mini"]
    assert "pulled" in lines["siglip2-b16-256"]
    assert "pictures/s" in lines["siglip2-b16-256"]
    assert "58.4/83.1/90.5 a" in lines["nllb-siglip-mrl-large"]
    assert "CC-BY-NC" in lines["nllb-siglip-mrl-large"]
    rows = {row["name"]: row for row in json.loads(run("models", "--json", model=False).out)["models"]}
    assert set(model_registry.BY_NAME) | {"araclip-mini"} == set(rows)
    assert (rows["siglip2-b16-256"]["state"], rows["siglip2-b16-256"]["speed"]["cores"] > 0) == ("pulled", True)
    assert rows["siglip2-so400m-384"]["recall"][0]["mean"] == 69.31
    assert rows["m-clip-labse-l14"]["recall"] == []


def test_a_narrow_terminal_lists_models_with_whole_licences(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("araclip.cli.models.out", Console(width=80))
    ran = run("models", model=False)
    assert ran.code == 0, ran.err
    lines = {line.split()[0]: line for line in ran.out.splitlines() if len(line.split()) > 3}
    assert "CC-BY-NC-4.0" in lines["nllb-siglip-mrl-large"]
    assert "Apache-2.0" in lines["siglip2-so400m-384"]


def test_published_figures_name_protocol_and_source() -> None:
    for table in (model_registry._FIRST_CAPTION_RECALL, model_registry._ALL_CAPTIONS_RECALL):
        assert set(table) <= set(model_registry.BY_NAME)
    for peer in model_registry.PEERS:
        for one in peer.recall:
            assert one.protocol in model_registry.PROTOCOLS
            assert one.source
            assert one.at is None or abs(sum(one.at) / 3 - one.mean) < 0.06


def test_the_registry_cites_published_recall_of_its_source() -> None:
    copied = json.loads((Path(__file__).parents[2] / "benchmarks" / "published_recall.json").read_text("utf-8"))[
        "models"
    ]
    cited = {
        name: one.at for name, one in model_registry._ALL_CAPTIONS_RECALL.items() if one.source == model_registry.BABEL
    }
    assert cited == {name: tuple(round(100 * value, 1) for value in row["recall"]) for name, row in copied.items()}


def test_a_removed_model_is_gone_and_its_galleries_are_named(run: Run, finished: Path, folder: Path) -> None:
    run("pull", str(finished), model=False)
    run("index", str(folder), "--model", "reds", model=False)
    run("pull", str(finished), "--name", "copy", model=False)
    copy = run("models", "--remove", "copy", "--yes", model=False)
    assert (copy.code, copy.err) == (0, "")  # the galleries find the other one
    ran = run("models", "--remove", "reds", "--yes", model=False)
    assert ran.code == 0, ran.err
    assert "was made with it" in ran.err
    assert pulled() == {}
    lost = run("search", "أحمر", model=False)
    assert lost.code == 2
    assert "not on this machine" in lost.err
    assert run("models", "--remove", "reds", "--yes", model=False).code == 2
    assert "cannot be removed" in run("models", "--remove", "araclip-mini", "--yes", model=False).err


def test_of_a_pulled_model_that_is_a_link_the_link_is_removed(run: Run, finished: Path, tmp_path: Path) -> None:
    run("pull", str(finished), model=False)
    place = pulled()["reds"].rename(tmp_path / "elsewhere")
    pulled_folder = data_home() / "models"
    (pulled_folder / "reds").symlink_to(place)
    ran = run("models", "--remove", "reds", "--yes", model=False)
    assert (ran.code, pulled(), [*pulled_folder.iterdir()]) == (0, {}, []), ran.err
    assert (place / "config.json").is_file()


def test_a_missing_model_with_a_peers_name_is_pulled_again(
    run: Run, online: FakeHub, finished: Path, folder: Path
) -> None:
    online.add("someone/reds", finished)
    assert run("pull", "hf:someone/reds", "--name", "altclip", model=False).code == 0
    assert run("index", str(folder), "--model", "altclip", model=False).code == 0
    assert run("models", "--remove", "altclip", "--yes", model=False).code == 0
    lost = run("search", "أحمر", model=False)
    assert lost.code == 2
    assert "Get it with `araclip pull hf:someone/reds" in lost.err


# ------------------------------------------------------------------ push


def test_a_pushed_model_is_pulled_by_somebody_else(
    run: Run, online: FakeHub, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (finished / "secret.txt").write_text("mine")
    ran = run("push", str(finished), "hf:me/reds", "--private", model=False)
    assert ran.code == 0, ran.err
    assert "araclip pull hf:me/reds" in ran.out
    assert set(online.uploads["me/reds"]) == {"config.json", "tokenizer.json", "text.onnx", "image.onnx", "README.md"}
    assert online.private["me/reds"]
    online.repositories["me/reds"] = online.uploads["me/reds"]
    assert run("pull", "hf:me/reds", model=False).code == 0
    assert AraCLIP.load("reds").label == AraCLIP(finished).label  # type: ignore[attr-defined]


def test_push_asks_for_a_token_a_name_and_a_whole_folder(
    run: Run, online: FakeHub, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "needs a token" in run("push", str(finished), "hf:me/reds", model=False).err
    assert "names no repository" in run("push", str(finished), "reds", model=False).err
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    refused = run("push", str(finished), "hf:me/reds", model=False)
    assert refused.code == 2
    assert "hub refused" in refused.err or "no repository" in refused.err
    (finished / "image.onnx").write_bytes(b"0")
    assert "has hash" in run("push", str(finished), "hf:me/reds", model=False).err
    assert not online.uploads.get("me/reds")
