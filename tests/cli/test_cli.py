"""The command line as its users meet it: what it prints, where, and with which exit code."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import pictures
from araclip import AraCLIP, cli, demo
from araclip.core import atomic
from araclip.gallery.catalog import writer_lock
from araclip.gallery.gallery import Gallery
from command_line import Run
from tiny import write_tiny_model

ROOT = Path(__file__).parents[2]


def test_index_then_search_without_naming_a_gallery(run: Run, folder: Path) -> None:
    indexed = run("index", str(folder))
    assert indexed.code == 0
    assert "3 pictures indexed: 3 new or changed, 0 unchanged, 0 gone, 0 skipped" in indexed.out
    found = run("search", "أزرق")
    assert found.code == 0
    lines = [line for line in found.out.splitlines() if str(folder) in line]
    assert "blue [1].gif" in lines[0]  # brackets are no markup


def test_json_has_the_query_and_results_with_path_score_and_rank(run: Run, folder: Path) -> None:
    run("index", str(folder))
    answer = json.loads(run("search", "أحمر", "--json", "-k", "2").out)
    assert answer["query"] == "أحمر"
    assert [result["rank"] for result in answer["results"]] == [1, 2]
    assert answer["results"][0]["path"] == str(folder / "أحمر.jpg")
    assert answer["results"][0]["score"] > answer["results"][1]["score"]


def test_paths_prints_nothing_but_paths_best_first(run: Run, folder: Path) -> None:
    run("index", str(folder))
    lines = run("search", "أخضر", "--paths").out.splitlines()
    assert lines[0] == str(folder / "green.png")
    assert sorted(lines) == sorted(str(path) for path in folder.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not Unicode")
def test_a_name_that_is_not_utf8_survives_every_form_of_output(run: Run, folder: Path, tmp_path: Path) -> None:
    raw = os.fsencode(folder) + b"/\xe9.png"
    pictures.solid(tmp_path / "red.png").rename(os.fsdecode(raw))
    (folder / "أحمر.jpg").unlink()
    assert run("index", str(folder)).code == 0
    assert os.fsencode(json.loads(run("search", "أحمر", "--json").out)["results"][0]["path"]) == raw
    assert "\\xe9.png" in run("search", "أحمر").out


def test_a_bidi_override_in_a_file_name_is_shown_escaped(run: Run, folder: Path) -> None:
    (folder / "أحمر.jpg").rename(folder / "a\u202egpj.jpg")
    run("index", str(folder))
    assert "a\\u202egpj.jpg" in run("search", "red").out


def test_gallery_of_working_folder_comes_before_latest(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    (other / "below").mkdir(parents=True)
    pictures.solid(other / "white.png", (255, 255, 255))
    run("index", str(other))
    run("index", str(folder))
    assert "white.png" not in run("search", "صورة").out
    monkeypatch.chdir(other / "below")
    assert "white.png" in run("search", "صورة").out


def test_a_gallery_named_by_an_option(run: Run, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "my gallery"
    assert f"--gallery '{place}'" in run("index", str(folder), "--gallery", str(place)).out
    assert run("search", "أحمر", "--gallery", str(place)).code == 0
    assert run("search", "أحمر").code == 2  # nothing in the user's data directory


def test_a_bad_file_costs_one_line_on_stderr_and_the_run_exits_0(run: Run, folder: Path) -> None:
    pictures.truncated(folder / "cut.jpg", keep=0.3)
    indexed = run("index", str(folder))
    assert indexed.code == 0
    assert "1 skipped" in indexed.out
    (line,) = [line for line in indexed.err.splitlines() if "cut.jpg" in line]
    assert "damaged or cut short" in line


def test_command_says_for_whom_it_waits_and_gives_up_in_one_line(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("--gallery", str(tmp_path / "g"))
    run("index", str(folder), *place)
    monkeypatch.setattr(atomic, "NOTICE_S", 0.0)
    monkeypatch.setattr(writer_lock, "PATIENCE_S", 0.2)
    for command in (("index", str(folder)), ("remove", str(folder / "green.png")), ("compact",), ("repair",)):
        with writer_lock.writer_lock(tmp_path / "g"):
            ran = run(*command, *place)
        assert (ran.code, ran.out) == (2, "")
        said, refused = [line for line in ran.err.splitlines() if "is being written" in line]
        assert f"by process {os.getpid()} on " in said
        assert "Waiting 0 s at most" in said
        assert refused.startswith(f"araclip: {tmp_path / 'g'} is being written by process {os.getpid()} on ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["index", "nowhere"], "no such folder"),
        (["index", "EMPTY"], "no pictures in"),
        (["search", "قطة"], "araclip index"),
        (["search", "قطة", "--gallery", "nowhere"], "no gallery at"),
        (["search", "   ", "--gallery", "GALLERY"], "the query is empty"),
        (["search", "قطة", "--gallery", "GALLERY", "-k", "0"], "العدد k هو 0، وأقله 1"),
        (["search", "قطة", "--gallery", "GALLERY", "--json", "--paths"], "exclude each other"),
        (["search", "قطة", "--gallery", "GALLERY", "--model", "OTHER"], "made by|holds 8-wide"),
        (["search", "قطة", "--gallery", "GALLERY", "--model", "no-such"], "araclip-mini"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_2(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    run("index", str(folder), "--gallery", str(tmp_path / "gallery"))
    places = {
        "EMPTY": str(tmp_path / "empty"),
        "GALLERY": str(tmp_path / "gallery"),
        "OTHER": str(write_tiny_model(tmp_path / "other", width=12, seed=1, name="other")),
    }
    monkeypatch.chdir(tmp_path)
    ran = run(*(places.get(argument, argument) for argument in arguments), model="--model" not in arguments)
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert line.startswith("araclip: ")
    assert re.search(message, line)
    assert len(run("search", "أحمر", "--gallery", str(tmp_path / "gallery"), "--paths").out.splitlines()) == 3


def test_output_into_a_closed_pipe_ends_quietly(run: Run, folder: Path, tmp_path: Path, tiny_model: Path) -> None:
    run("index", str(folder), "--gallery", str(tmp_path / "gallery"))
    command = [sys.executable, "-m", "araclip", "search", "أحمر", "--gallery", str(tmp_path / "gallery")]
    read, write = os.pipe()
    os.close(read)  # as `araclip search … | head -0` would have it
    for form in (["--paths"], ["--json"], []):
        whole = [*command, *form, "--model", str(tiny_model)]
        ran = subprocess.run(whole, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
    for whole in ([*command[:3], "--help"], [*command[:4], "--help"]):
        ran = subprocess.run(whole, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, "")
    os.close(write)


def test_a_search_in_an_empty_gallery_says_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    assert run("index", str(tmp_path / "empty")).code == 2
    monkeypatch.chdir(tmp_path / "empty")
    found = run("search", "أحمر")
    assert (found.code, found.out) == (2, "")
    assert "holds no pictures yet" in found.err


def test_the_command_that_index_suggests_works_when_pasted(run: Run, folder: Path, tmp_path: Path) -> None:
    out = run("index", str(folder), "--gallery", str(tmp_path / "my gallery")).out
    words = shlex.split(out.split("Search it: ")[1])
    assert run(*words[1:], model=False).code == 0


def test_a_folder_named_like_the_bundled_model_is_no_obstacle(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "araclip-mini").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "no gallery at" in run("search", "أحمر", "--gallery", "none", model=False).err


def test_version_and_help(run: Run) -> None:
    assert run("--version", model=False).out.startswith("araclip 0.")
    assert "search" in run("--help", model=False).out
    embed = run("embed", "--help", model=False).out
    assert "`araclip index --from OUT` then fills a gallery." in embed  # broken by the terminal, not by the docstring
    assert "[default: araclip-mini]" in embed
    assert "by default a folder in your user data directory" in run("index", "--help", model=False).out
    assert "else the one indexed last" in run("verify", "--help", model=False).out


def test_the_demo_updates_a_sample_gallery_of_an_earlier_model(
    run: Run, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = demo.available
    some = [*range(11), -1]  # the photographs, and a drawing that no query names
    monkeypatch.setattr(demo, "available", lambda folder: [everything(folder)[at] for at in some])
    home = tmp_path / "data" / "demo"
    monkeypatch.setattr(demo, "FIRST", 11)  # the drawing comes after the first answers
    demo.sample_pictures(home / "pictures", lambda done, total: None, limit=11)
    with Gallery.open(home / "gallery", model=AraCLIP.load(tiny_model), create=True) as gallery:
        gallery.update([home / "pictures"])
    first = run("demo", model=False)
    assert first.code == 0, first.err
    assert "11 pictures encoded again" in first.out
    assert "The best of 11 pictures; 1 more follows" in first.out
    assert first.out.index("12 pictures indexed: 1 new") > first.out.index(demo.QUERIES[-1])
    assert f"12 pictures for «{demo.QUERIES[0]}»" in first.out  # from the page's API
    assert first.out.index(demo.OPENMOJI_CREDIT[:20]) > first.out.index("12 pictures indexed")  # licences last
    again = run("demo", model=False).out
    assert "The best of 12 pictures" in again
    assert "encoded again" not in again and "more follow" not in again


def test_the_demo_is_complete_though_two_flags_are_drawn_alike(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = demo.available
    flags = ("1F1EB-1F1F7.png", "1F1F2-1F1EB.png")  # France, and Saint Martin
    monkeypatch.setattr(demo, "available", lambda home: [one for one in everything(home) if one.path.name in flags])
    monkeypatch.setattr(demo, "FIRST", len(flags))
    ran = run("demo", model=False)
    assert ran.code == 0, ran.err
    assert "The best of 1 picture\n" in re.sub(r" +\n", "\n", ran.out)
    assert "more follow" not in ran.out


def commands() -> dict[str, Any]:
    return typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


def test_every_option_model_completes_the_models_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path))
    found = {
        name: [item.value for item in parameter.shell_complete(command.context_class(command), "araclip-")]
        for name, command in commands().items()
        for parameter in command.params
        if "--model" in parameter.opts
    }
    assert len(found) > 15
    assert {name for name, models in found.items() if models != ["araclip-mini"]} == set()


def test_every_command_and_option_has_help_and_stands_in_docs() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert sorted(commands()) == sorted(re.findall(r"^## araclip (\S+)$", page, re.MULTILINE))
    for name, command in commands().items():
        assert command.help, f"araclip {name} has no help"
        section = page.split(f"## araclip {name}\n", 1)[1].split("\n## ", 1)[0]
        assert not command.params or f"<!-- options: {name} -->\n" in section, f"{name} lacks its table of options"
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"araclip {name} {parameter.opts[0]} has no help"
    written = ROOT / "docs" / "site" / "command_options.py"
    checked = subprocess.run([sys.executable, written, "--check"], check=False, capture_output=True, text=True)
    assert checked.returncode == 0, f"{checked.stderr}run: python docs/site/command_options.py"


def test_help_lists_commands_in_the_order_of_the_docs() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    listing = (
        "from araclip.cli.commands import app; print(*(each.callback.__name__ for each in app.registered_commands))"
    )
    names = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True).stdout.split()
    # A process of its own: here other tests may have imported a command first.
    assert [name.replace("_", "-") for name in names] == re.findall(r"^## araclip (\S+)$", page, re.MULTILINE)
