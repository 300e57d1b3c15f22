"""The commands on a gallery that is on a server."""

import json
import shlex
from pathlib import Path

import pytest

import pictures
from command_line import Run
from postgres_server import needs_server

pytest.importorskip("pg8000")


@needs_server
def test_every_command_takes_an_address_for_a_gallery(run: Run, folder: Path, address: str, tmp_path: Path) -> None:
    there = ("--gallery", address)
    (folder / "copy.png").write_bytes((folder / "green.png").read_bytes())
    pictures.text_as_picture(folder / "text.jpg")
    ran = run("index", str(folder), *there)
    assert ran.code == 0, ran.err
    assert "text.jpg" in ran.err
    assert f"araclip search --gallery {shlex.quote(address)}" in ran.out
    hits = json.loads(run("search", "أخضر", "--json", "-k", "1", *there).out)["results"]
    assert [Path(path).name for path in (hits[0]["path"], *hits[0]["copies"])] == ["copy.png", "green.png"]
    assert run("search", "أحمر", "--paths", "-w", "format=GIF", *there).out.splitlines() == [
        str(folder / "blue [1].gif")
    ]
    likes = json.loads(run("similar", str(folder / "green.png"), "--json", *there).out)["results"]
    assert str(folder / "green.png") not in [like["path"] for like in likes]
    numbers = json.loads(run("stats", "--json", *there).out)
    assert (numbers["folder"], numbers["files"]) == (address, numbers["pictures"] + 1)
    assert run("verify", "--contents", *there).code == 0
    assert "1 group, " in run("duplicates", "--kind", "exact", *there).out
    assert run("repair", *there).code == run("compact", *there).code == 0
    assert run("export-gallery", str(tmp_path / "out"), *there).code == 0
    assert "1 path removed" in run("remove", str(folder / "copy.png"), *there).out
    (folder / "green.png").unlink()
    assert run("verify", *there).code == 1


@needs_server
def test_an_address_without_a_gallery_is_one_line_and_exit_2(
    run: Run, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("search", "أحمر", "--gallery", address)
    assert (ran.code, ran.out) == (2, "")
    make = f"araclip index FOLDER --gallery {shlex.quote(address)}"
    assert make in " ".join(ran.err.split())
    ran = run("restore", "backup", "--yes", "--gallery", address, model=False)
    assert (ran.code, ran.out) == (2, "")
    assert "Restore its dump with psql" in " ".join(ran.err.split())
    empty = tmp_path / "empty"
    pictures.solid(empty / "a.png")
    run("index", str(empty), "--gallery", address)
    run("remove", str(empty), "--gallery", address)
    assert f"Fill it with `{make}`" in " ".join(run("search", "أحمر", "--gallery", address).err.split())
    from araclip.gallery.postgres import database

    monkeypatch.setattr(database, "PAUSE", 0.001)
    ran = run("stats", "--gallery", "postgresql://me@127.0.0.1:9/pictures")
    assert (ran.code, ran.out) == (2, "")
    assert "does not answer" in ran.err
