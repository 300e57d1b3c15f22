"""What every test shares: no network, repeatable property tests, one real and tiny model."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import pictures
from command_line import Ran, Run, caller
from tiny import write_tiny_model

if TYPE_CHECKING:
    from araclip import AraCLIP
    from warm import Warm

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and a console that finds it when made never asks again

if (workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1 and hasattr(os, "sched_getaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    share = set(cores[: max(1, len(cores) // workers)])  # ONNX Runtime's threads spin while they wait for each other
    os.sched_getaffinity = lambda pid: share  # type: ignore[assignment]

settings.register_profile("araclip", derandomize=True, deadline=None)  # a slow machine is no failure
settings.register_profile("few", derandomize=True, deadline=None, max_examples=15)  # of other versions of libraries
settings.load_profile("araclip")


SLOW_FILES = (  # begun first, so that no worker is left with one of them at the end
    "test_unpack.py",
    "test_export.py",
    "test_stage_finetune.py",
    "test_stage_ensemble.py",
    "test_stage_resume.py",
    "test_stage_processes.py",
    "test_trainable.py",
    "test_pull.py",
    "test_peers.py",
    "test_teacher.py",
    "test_server_contract.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first, then as they are; whole files move, so their own order stays."""
    rank = {name: place for place, name in enumerate(SLOW_FILES)}
    items.sort(key=lambda item: rank.get(item.path.name, len(SLOW_FILES)))


def pytest_collection_finish() -> None:
    """What the test modules have imported stays: a search for cycles among all of it takes a second, each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def of_this_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this run have."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def checked_models(of_this_run: Path) -> None:
    """A cache of this run: a model folder is tried in a process of its own once, not once a test."""
    os.environ["ARACLIP_CHECKED_MODELS"] = str(of_this_run / "checked-models")


@pytest.fixture(scope="module")
def traced_once(of_this_run: Path) -> Iterator[None]:
    """A tower that was traced is not traced again; see traced."""
    from traced import remembered_in

    with remembered_in(of_this_run / "traced"):
        yield


@pytest.fixture(scope="module")
def traced_quickly() -> Iterator[None]:
    """Towers are traced by the earlier exporter; see traced."""
    from traced import quickly

    with quickly():
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that finds red, green and blue pictures in two languages. Read only: copy it to break it."""
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> "AraCLIP":
    """The model of that folder."""
    from araclip import AraCLIP

    return AraCLIP(tiny_model, threads=2)


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be changed or broken."""
    return shutil.copytree(tiny_model, tmp_path / "copy")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A gallery of `serving.photo_album`, for the tests of a server; tests of galleries have their own."""
    from serving import make_gallery, photo_album

    folder = tmp_path_factory.mktemp("served")
    return Path(make_gallery(folder / "gallery", photo_album(folder / "album"), tiny_model))


@pytest.fixture(scope="module")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """open_clip knows tiny models by name; see tiny_peers."""
    from tiny_peers import small_open_clip

    with small_open_clip(tmp_path_factory.mktemp("open_clip")):
        yield


@pytest.fixture
def unreadable_data_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data directory lies in the folder of another user, which a process that is not root may not enter."""
    (tmp_path / "of another").mkdir(mode=0o700)
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "of another" / "araclip"))


@pytest.fixture(scope="session")
def interpreter() -> Iterator["Warm"]:
    """An interpreter that has PyTorch, for programs that are killed or work together."""
    from warm import warm

    rooms = "araclip.training.loop.run_folder, araclip.training.teachers.teacher"
    with warm(f"import pytest, hypothesis, torch.nn.parallel, torch.distributed, {rooms}") as made:
        yield made


@pytest.fixture
def seeded() -> None:
    """PyTorch's random weights are the same in every run."""
    import torch

    torch.manual_seed(0)


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where in PostgreSQL no gallery is yet; for tests that `needs_server` marks."""
    import postgres_server

    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    return postgres_server.new_address()


# ------------------------------------------------------------------ stages of a recipe, see toy_training and toy_stages


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """The results of one process are those of another, bit for bit."""
    import torch
    from transformers.utils import logging

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    yield
    torch.set_num_threads(before)
    logging.enable_progress_bar()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy world: towers, pictures, parallel text."""
    from toy_training import make_world

    return make_world(tmp_path_factory.mktemp("toy") / "world")


@pytest.fixture(scope="session")
def taught(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder in which the teacher, an English model with pictures, is trained. Read only: see `runs`."""
    from araclip.training.stages.dispatch import run_stage
    from toy_training import Notes, recipe
    from traced import quickly

    folder = tmp_path_factory.mktemp("taught")
    with quickly():
        run_stage(recipe(world), "teacher", folder, Notes())
    return folder


@pytest.fixture
def runs(taught: Path, tmp_path: Path) -> Path:
    """A copy of `taught` to write in."""
    return shutil.copytree(taught, tmp_path / "runs")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_model: Path) -> Run:
    """Call `araclip` with the tiny model, a data directory of its own, and a wide terminal."""
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    call = caller(monkeypatch, capsys, columns=400)

    def with_model(*arguments: str, model: bool = True) -> Ran:
        return call(*arguments, *(["--model", str(tiny_model)] if model else []))

    return with_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "صور العائلة"
    root.mkdir()
    pictures.solid(root / "أحمر.jpg")
    pictures.solid(root / "green.png", (0, 255, 0))
    pictures.solid(root / "blue [1].gif", (0, 0, 255))
    return root
