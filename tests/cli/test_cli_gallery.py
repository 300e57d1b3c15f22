"""The commands on galleries as their users meet them: filters, similarity, maintenance, and JSON output."""

import io
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import pictures
from araclip.cli.options import complete_hidden_picture
from command_line import Run
from tiny import write_tiny_model


@pytest.fixture
def indexed(run: Run, folder: Path, tmp_path: Path) -> Path:
    """The gallery of three colours, one of them twice, among twelve shades of grey."""
    for i in range(12):
        pictures.solid(folder / "grey" / f"{i:02}.png", (20 * i, 20 * i, 20 * i), (30, 40))
    (folder / "grey" / "copy.png").write_bytes((folder / "green.png").read_bytes())
    assert run("index", str(folder)).code == 0
    return next((tmp_path / "data" / "galleries").glob("*-*"))


def paths(run: Run, *arguments: str) -> list[str]:
    ran = run("search", "أحمر", "--paths", *arguments)
    assert ran.code == 0, ran.err
    return [Path(line).name for line in ran.out.splitlines()]


def test_where_offset_threshold_and_collapse_narrow_a_search(run: Run, indexed: Path, folder: Path) -> None:
    assert len(paths(run, "-k", "50")) == 15
    assert set(paths(run, "--where", "format=jpg,gif")) == {"أحمر.jpg", "blue [1].gif"}
    assert len(paths(run, "-w", "orientation=portrait", "-k", "50")) == 12
    assert paths(run, "-w", f"folder={folder}/grey", "-w", "format=gif") == []
    assert paths(run, "-k", "2", "--offset", "1") == paths(run, "-k", "3")[1:]
    assert paths(run, "-t", "1") in ([], ["أحمر.jpg"])
    assert len(paths(run, "--collapse", "-k", "50")) == 15  # flat pictures are no near-duplicates


def test_near_duplicates_stand_behind_the_best_for_people(run: Run, indexed: Path, folder: Path) -> None:
    saved = pictures.photograph(folder / "photograph.jpg", (640, 480))
    Image.open(saved).resize((320, 240)).save(folder / "smaller.jpg")
    assert run("index", str(folder)).code == 0
    for command, query, alike in (("search", "صورة", 1), ("similar", str(folder / "green.png"), 1)):
        table = run(command, query, "-k", "50").out
        assert ("photograph.jpg" in table) != ("smaller.jpg" in table)
        assert table.count("(+1 alike)") == alike
        for arguments in (["--no-collapse"], ["--paths"], ["--json"]):
            listed = run(command, query, "-k", "50", *arguments).out
            assert "photograph.jpg" in listed and "smaller.jpg" in listed, arguments
            assert "alike" not in listed


def test_an_invalid_filter_is_one_line_and_exit_2(run: Run, indexed: Path) -> None:
    ran = run("search", "أحمر", "--where", "album=x")
    assert (ran.code, ran.out) == (2, "")
    assert "meta.KEY" in ran.err
    ran = run("search", "قطة + - كلب")
    assert (ran.code, ran.out) == (2, "")
    assert "جزء فارغ" in ran.err
    assert "empty part" in run("search", "cat + - dog").err


def test_a_query_may_name_a_picture_file(
    run: Run,
    indexed: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    answer = json.loads(run("search", "./blue [1].gif", "--json", "-k", "1").out)
    assert answer["results"][0]["path"] == str(folder / "blue [1].gif")
    assert set(answer["results"][0]) == {
        "path",
        "score",
        "rank",
        "copies",
        "relevance",
        "weak",
        "captured_at",
        "matched",
    }
    likes = json.loads(run("similar", "grey/05.png", "--json", "-k", "2").out)["results"]
    assert str(folder / "grey" / "05.png") not in [like["path"] for like in likes]
    assert all("grey" in like["path"] for like in likes)


def test_a_folder_of_pictures_named_as_gallery_means_its_own(run: Run, folder: Path) -> None:
    run("index", str(folder))
    found = run("search", "أحمر", "-k", "1", "--paths", "-g", str(folder))
    assert (found.code, found.out.strip()) == (0, str(folder / "أحمر.jpg"))
    refused = run("search", "أحمر", "-g", str(folder.parent))
    assert refused.code == 2


def test_the_recall_of_an_empty_gallery_is_not_called_perfect(run: Run, tmp_path: Path) -> None:
    pictures.solid(tmp_path / "few" / "a.png")
    assert run("index", str(tmp_path / "few")).code == 0
    assert "1.000" in run("stats").out
    assert run("remove", str(tmp_path / "few")).code == 0
    empty = run("stats")
    assert (empty.code, "1.000" in empty.out) == (0, False)


def test_nothing_found_is_reported_on_stderr(run: Run, indexed: Path) -> None:
    ran = run("search", "أحمر", "-w", "captured=1900")
    assert (ran.code, ran.out) == (0, "")
    assert "لا نتائج" in ran.err


@pytest.mark.parametrize("locale", ["C.UTF-8", "ar_EG.UTF-8", "en_GB.UTF-8"])
def test_a_search_is_told_of_in_the_language_of_its_query(
    run: Run, indexed: Path, monkeypatch: pytest.MonkeyPatch, locale: str
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    english, arabic, arabizi = (run("search", q).err for q in ("dogs without snow", "كلاب بدون ثلج", "2otta soda"))
    assert "left out: snow" in english and not re.search("[ء-ي]", english)
    assert "استبعدنا: ثلج" in arabic and "left out" not in arabic
    assert "بحثنا أيضًا عن: قطة" in arabizi and "also searched" not in arabizi
    for query, said in (("dog", "no picture has the folder"), ("كلب", "لا صورة في المجلد")):
        refused = run("search", query, "-w", "folder=nowhere")
        assert refused.code == 2 and said in refused.err
    for words in (("كلب", "-k", "0"), ("كلب", "--threshold", "5"), ("كلب", "--offset", "-1"), ('"قطة',)):
        refused = run("search", *words)
        assert refused.code == 2 and re.search("[ء-ي]{3}", refused.err.replace("كلب", "").replace("قطة", ""))


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_without_agreement_a_restore_changes_nothing(
    run: Run, indexed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    run("backup", str(tmp_path / "backup"), model=False)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    refused = run("restore", str(tmp_path / "backup"), model=False)
    assert (refused.code, refused.out.strip()) == (1, "")
    assert refused.err.endswith("Nothing was changed.\n")


def test_drive_that_is_away_is_said_in_place_of_blaming_words(run: Run, indexed: Path, folder: Path) -> None:
    away = folder.with_name("away")
    folder.rename(away)
    ran = run("search", "أحمر")
    assert f"لا يوجد أي ملف من ملفات الصور في {folder}" in " ".join(ran.err.split())
    assert "fewer filters" not in ran.err
    for form in ("--json", "--paths"):
        told = run("search", "أحمر", form)
        assert f"لا يوجد أي ملف من ملفات الصور في {folder}" in " ".join(told.err.split())
        assert json.loads(told.out)["away"] == str(folder) if form == "--json" else told.out == ""
    away.rename(folder)
    found = run("search", "أحمر", "--json")
    assert (json.loads(found.out)["away"], found.err) == (None, "")
    assert "لا نتائج" in run("search", "أحمر", "--where", "captured=1999").err
    assert "Nothing found. Try fewer filters" in run("search", "red", "--where", "captured=1999").err


def test_pictures_of_a_year_are_listed_with_their_dates(run: Run, indexed: Path, folder: Path) -> None:
    (folder / "grey" / "00.png").rename(folder / "grey" / "IMG-20210302-WA0001.png")
    ran = run("index", str(folder))
    assert "1 file has the very picture of another" in " ".join(ran.out.split())
    listed = run("search", "صور 2021").out
    assert "2021-03-02" in listed and "0.000" not in listed and "score" not in listed


def test_stats_for_people_and_programs(run: Run, indexed: Path) -> None:
    assert "15 in 16 files" in run("stats").out
    numbers = json.loads(run("stats", "--json").out)
    assert (numbers["pictures"], numbers["files"], numbers["formats"]["PNG"]) == (15, 16, 13)


def test_verify_exits_1_with_a_line_for_each_fault(
    run: Run,
    indexed: Path,
    folder: Path,
) -> None:
    assert run("verify", "--contents").code == 0
    (folder / "grey" / "03.png").unlink()
    ran = run("verify")
    assert ran.code == 1
    assert "03.png: is gone" in ran.out
    (fault,) = json.loads(run("verify", "--json").out)["faults"]
    assert fault["repairable"] is False
    assert "Nothing to do" in run("repair").out


def test_a_damaged_catalogue_asks_for_repair_which_saves_it(run: Run, indexed: Path, folder: Path) -> None:
    path = indexed / "catalog.sqlite"
    (indexed / "catalog.sqlite.damaged").write_bytes(path.read_bytes())
    path.write_bytes(b"junk" * 2000)
    damaged = run("search", "أحمر")
    assert damaged.code == 2
    assert "araclip repair" in damaged.err
    assert run("repair").code == 2  # nothing of this file can be read
    path.unlink()
    saved = run("repair", "--gallery", str(indexed))
    assert saved.code == 0, saved.err
    assert "contents: 15 rows saved." in saved.out
    assert paths(run)[0] == "أحمر.jpg"


def test_duplicates_are_reported_and_kept(run: Run, indexed: Path, folder: Path) -> None:
    ran = run("duplicates")
    assert "exact" in ran.out
    assert str(folder / "grey" / "copy.png") in ran.out
    told = json.loads(run("duplicates", "--json").out)
    spare = {kind: sum(g["spare_bytes"] for g in told["groups"] if g["kind"] == kind) for kind in ("exact", "near")}
    assert (told["exact_bytes"], told["near_bytes"]) == (spare["exact"], spare["near"])
    assert f"{spare['exact']:,} bytes of exact copies could be freed" in ran.out
    (group,) = json.loads(run("duplicates", "--kind", "exact", "--json").out)["groups"]
    assert {Path(path).name for path in group["paths"]} == {"green.png", "copy.png"}
    assert group["spare_bytes"] == (folder / "green.png").stat().st_size
    assert all(os.path.exists(path) for path in group["paths"])  # noqa: PTH110


def test_remove_compact_and_export(run: Run, indexed: Path, folder: Path, tmp_path: Path) -> None:
    assert "13 paths removed" in run("remove", str(folder / "grey")).out
    assert run("remove", str(folder / "grey")).code == 2
    assert "bytes freed" in run("compact").out
    assert "3 pictures written" in run("export-gallery", str(tmp_path / "out")).err
    assert np.load(tmp_path / "out" / "vectors.npy").shape == (3, 8)
    assert run("export-gallery", str(folder)).code == 2


def refuse_empty(run: Run, *commands: str) -> None:
    for command in commands:
        ran = run(*(word.replace("EMPTY", "") for word in command.split()), model=False)
        assert (ran.code, ran.out) == (2, ""), command
        assert "path is empty" in ran.err or "no model ''" in ran.err, (command, ran.err)


def test_an_empty_path_of_a_variable_that_is_not_set_is_refused(
    run: Run, indexed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(indexed.parent.rglob("*")), sorted(folder.rglob("*"))
    refuse_empty(
        run,
        "index EMPTY", "index --from EMPTY", "index . --gallery EMPTY", "watch EMPTY", "stats --gallery EMPTY",
        "doctor --gallery EMPTY", "serve --gallery EMPTY", "serve --index EMPTY", "serve --cache=EMPTY",
        "similar EMPTY", "explain أحمر EMPTY", "search أحمر --lexicon EMPTY", "backup EMPTY",
        "export-gallery EMPTY", "classify EMPTY", "evaluate --dataset EMPTY", "evaluate --dataset . --images EMPTY",
        "index . --model EMPTY",
    )  # fmt: skip
    assert (sorted(indexed.parent.rglob("*")), sorted(folder.rglob("*"))) == before


def test_an_empty_path_is_refused_by_commands_of_the_extras(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("torch", "ray"):
        pytest.importorskip(package)
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    refuse_empty(
        run,
        "embed EMPTY out", "embed . EMPTY", "embed file://EMPTY out", "train distill EMPTY", "export EMPTY out",
        "export . EMPTY", "unpack x EMPTY", "pull x --out EMPTY", "push EMPTY me/x",
    )  # fmt: skip
    assert sorted(folder.rglob("*")) == before


def test_hidden_pictures_are_listed_completed_and_shown_again(
    run: Run, indexed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert run("hide", "أحمر.jpg").out == "1 picture hidden.\n"
    assert run("hide", "أحمر.jpg").out == "Nothing changes: already hidden.\n"
    assert "أحمر.jpg" not in paths(run, "-k", "50")
    assert run("hide", "--list").out == f"{folder / 'أحمر.jpg'}\n"
    assert json.loads(run("hide", "grey", "--json").out) == {"changed": 13}
    assert len(json.loads(run("hide", "--list", "--json").out)["hidden"]) == 15  # of the same bytes both paths
    undone = SimpleNamespace(params={"undo": True, "gallery": None})
    assert complete_hidden_picture(undone, "أ") == ["أحمر.jpg"]  # type: ignore[arg-type]
    assert complete_hidden_picture(undone, f"{folder}/أ") == [f"{folder}/أحمر.jpg"]  # type: ignore[arg-type]
    assert run("hide", str(folder), "--undo").out == "14 pictures shown again.\n"
    assert run("hide", "blue [1].gif").code == 0
    with monkeypatch.context() as completing:
        completing.setenv("_ARACLIP_COMPLETE", "complete_bash")
        assert complete_hidden_picture(undone, "b") == [r"blue\ \[1\].gif"]  # type: ignore[arg-type]
    for wrong in (("hide",), ("hide", "--list", "grey"), ("hide", "--list", "--undo"), ("hide", "none.jpg")):
        assert run(*wrong).code == 2


def test_index_says_what_it_hides_as_edited(run: Run, indexed: Path, folder: Path) -> None:
    run("hide", str(folder / "أحمر.jpg"))
    with Image.open(folder / "أحمر.jpg") as opened:
        pictures.saved(opened.resize((50, 40)), folder / "أحمر.jpg")
    said = run("index", str(folder)).out
    assert "1 new file looks like the hidden picture whose place it took, and stays hidden" in said
    assert run("hide", "--list").out == f"{folder / 'أحمر.jpg'}\n"


def test_index_reembed_gives_a_gallery_another_model(run: Run, indexed: Path, folder: Path, tmp_path: Path) -> None:
    other = str(write_tiny_model(tmp_path / "other", width=12, seed=1, name="other"))
    refused = run("search", "أحمر", "--model", other, model=False)
    assert refused.code == 2
    assert "--reembed" in refused.err
    idle = run("index", str(folder), "--forget-missing")
    assert (idle.code, "--forget-missing has no effect without --reembed" in idle.err) == (2, True)
    ran = run("index", str(folder), "--reembed", "--model", other, model=False)
    assert ran.code == 0, ran.err
    assert "15 pictures encoded again" in ran.out
    assert run("search", "أحمر", "--model", other, model=False).code == 0
    assert run("search", "أحمر").code == 2
