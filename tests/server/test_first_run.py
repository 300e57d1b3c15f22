"""The first run of `araclip serve`: what it offers in a folder that was never indexed, and who may accept it."""

import io
import sys
from pathlib import Path

import httpx2
import pytest
from rich.console import Console

import pictures
from araclip import AraCLIP, Gallery, cli
from araclip.cli import commands
from araclip.cli import serve as command
from araclip.client import Client
from araclip.errors import EmptyFolder
from araclip.gallery import locations
from araclip.gallery.locations import is_unindexed, may_have_pictures
from araclip.server import run as running
from araclip.server.settings import Settings
from serving import READ, WRITE, bearer, end_of_indexing, listening, photo_album, problem, serving, settings_for


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: pictures of a family, never indexed."""
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    folder = tmp_path / "صور العائلة"
    (folder / "صيف").mkdir(parents=True)
    pictures.solid(folder / "صيف" / "بحر.png", (0, 0, 255))
    monkeypatch.chdir(folder)
    return folder


def indexed(folder: Path, model: Path) -> Path:
    """The folder's own gallery, filled, and the one indexed last."""
    with Gallery.open(locations.gallery_of(folder), model=AraCLIP(model), create=True) as gallery:
        gallery.update([folder])
    locations.make_default(locations.gallery_of(folder))
    return locations.gallery_of(folder)


# ------------------------------------------------------------------ the command


class Asked:
    """`araclip serve` up to the moment it would listen: the settings it chose, what it said, and its exit code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str | None) -> None:
        self.settings: Settings | None = None
        self.code = 0
        terminal = io.StringIO(answer or "")
        terminal.isatty = lambda: answer is not None  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(command, "err", Console(stderr=True, highlight=False, force_terminal=answer is not None))
        monkeypatch.setattr(sys, "argv", ["araclip", "serve", "--port", "0"])
        monkeypatch.setattr(running, "serve", lambda settings, ready: setattr(self, "settings", settings))
        try:
            cli.main()
        except SystemExit as stop:
            self.code = int(stop.code or 0)
        self.said = capsys.readouterr().err


@pytest.mark.parametrize(("answer", "accepted"), [("y\n", True), ("\n", True), ("n\n", False)])
def test_in_a_terminal_it_asks_whether_to_index_this_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: str, accepted: bool
) -> None:
    asked = Asked(monkeypatch, capsys, answer)
    assert str(folder) in asked.said
    assert "Index them now?" in asked.said
    if accepted:
        assert asked.settings is not None
        assert (asked.settings.index, asked.settings.gallery) == ((folder,), locations.gallery_of(folder))
    else:
        assert (asked.code, asked.settings) == (2, None)
        assert "araclip index FOLDER" in asked.said


def typed(monkeypatch: pytest.MonkeyPatch, answer: str | None, *arguments: str) -> int:
    """Call `araclip` in a terminal in which this is typed, or without one; return its exit code."""
    terminal = io.StringIO(answer or "")
    terminal.isatty = lambda: answer is not None  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(commands, "err", Console(stderr=True, highlight=False, force_terminal=answer is not None))
    monkeypatch.setattr(sys, "argv", ["araclip", *arguments])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_without_a_command_a_terminal_is_asked_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[object] = []
    monkeypatch.setattr(commands.indexing, "index", called.append)
    monkeypatch.setattr(commands.searching, "search", called.append)
    monkeypatch.setattr(commands.serve, "serve", lambda: called.append("serve"))
    assert typed(monkeypatch, "1\nقطة على طاولة\n") == 0
    assert called == [folder, ["قطة على طاولة"]]  # it was never indexed
    said = capsys.readouterr().err
    assert f"search the pictures in {folder}" in said and "البحث في صور" in said
    assert typed(monkeypatch, "2\n") == typed(monkeypatch, "3\n") == 0
    assert called[2:] == [folder, "serve"]
    assert typed(monkeypatch, "4\n") == 0
    assert "classify" in capsys.readouterr().out
    assert typed(monkeypatch, "9\n") == 2
    assert "Choose 1 to 4" in capsys.readouterr().err
    assert typed(monkeypatch, "") == 1  # the terminal was closed
    assert len(called) == 4


def test_without_command_and_terminal_commands_are_listed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, None) == 2
    assert "classify" in capsys.readouterr().out
    assert typed(monkeypatch, "2\n", "--version") == 0  # an option asks nothing


def test_without_a_terminal_the_page_offers_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Asked(monkeypatch, capsys, None).settings
    assert settings is not None
    assert (settings.index, settings.offer, settings.gallery) == ((), folder, locations.gallery_of(folder))


def test_a_gallery_indexed_before_is_served_without_a_question(
    folder: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = indexed(folder, tiny_model)
    for here, answer, followed in (  # below it; elsewhere, as a service
        (folder / "صيف", "y\n", (folder,)), (folder.parent, None, ()),
    ):  # fmt: skip
        monkeypatch.chdir(here)
        asked = Asked(monkeypatch, capsys, answer)
        assert asked.settings is not None
        assert "Index them now?" not in asked.said
        assert (asked.settings.gallery, asked.settings.offer, asked.settings.index) == (gallery, None, followed)
        assert asked.settings.follows is bool(followed)


def test_an_empty_folder_in_a_terminal_is_one_line_that_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "فارغ").mkdir()
    monkeypatch.chdir(tmp_path / "فارغ")
    asked = Asked(monkeypatch, capsys, "y\n")
    assert asked.code == 2
    assert "there are no pictures in" in asked.said
    assert "araclip serve --index FOLDER" in asked.said


def test_a_gallery_without_pictures_counts_as_never_indexed(folder: Path, tiny_model: Path) -> None:
    Gallery.open(locations.gallery_of(folder), model=AraCLIP(tiny_model), create=True).close()
    assert is_unindexed(folder)
    indexed(folder, tiny_model)
    assert not is_unindexed(folder)
    assert not is_unindexed(folder / "صيف")


def test_a_folder_too_large_to_look_through_may_have_pictures(tmp_path: Path) -> None:
    assert not may_have_pictures(tmp_path)
    (tmp_path / ".hidden").mkdir()
    pictures.solid(tmp_path / ".hidden" / "a.png")
    (tmp_path / "notes.txt").touch()
    assert not may_have_pictures(tmp_path)
    assert may_have_pictures(tmp_path, most=0)
    pictures.solid(tmp_path / "b" / "a.PNG")
    assert may_have_pictures(tmp_path)


# ------------------------------------------------------------------ the server


def test_an_offered_folder_is_indexed_when_a_client_asks_for_it(folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    photo_album(folder)
    with listening(settings_for(tmp_path / "gallery", tiny_model, offer=folder)) as address, Client(address) as client:
        offered = httpx2.get(f"{address}/index").json()
        assert offered == {
            "state": "offered", "cause": None, "unread": {}, "folders": ["صور العائلة"], "allowed": True, "newest": [],
        }  # fmt: skip
        assert httpx2.post(f"{address}/index").json()["state"] == "running"
        assert end_of_indexing(client) == "done"
        assert httpx2.get(f"{address}/index").json()["state"] == "done"


def test_only_who_may_write_starts_it(folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "gallery", tiny_model, offer=folder, token_read=READ, token_write=WRITE)
    with serving(settings) as client:
        reader, writer = bearer(READ), bearer(WRITE)
        assert client.get("/index", headers=reader).json()["allowed"] is False
        problem(client.post("/index", headers=reader), "forbidden")
        assert client.get("/index", headers=writer).json()["state"] == "offered"
        assert client.post("/index", headers=writer).status_code == 202


def test_a_server_without_folders_has_nothing_to_index(folder: Path, tiny_model: Path) -> None:
    with serving(settings_for(indexed(folder, tiny_model), tiny_model)) as client:
        assert client.get("/index").json()["state"] is None
        problem(client.post("/index"), "nothing-to-index")


def test_an_empty_folder_is_no_failure_and_may_be_filled_later(tmp_path: Path, tiny_model: Path) -> None:
    empty = tmp_path / "فارغ"
    empty.mkdir()
    with (
        Gallery.open(tmp_path / "other", model=AraCLIP(tiny_model), create=True) as gallery,
        pytest.raises(EmptyFolder, match="no pictures in"),
    ):
        gallery.update([empty])
    with (
        listening(settings_for(tmp_path / "gallery", tiny_model, index=(empty,))) as address,
        Client(address) as client,
    ):
        assert (end_of_indexing(client), httpx2.get(f"{address}/index").json()["state"]) == ("empty", "empty")
        pictures.solid(empty / "جديدة.png")
        assert httpx2.post(f"{address}/index").json()["state"] == "running"
        next(data for kind, data in client.events() if kind == "indexing" and data["state"] == "done")
