"""`araclip evaluate` as its users meet it: tables, JSON, the report, and every way to ask for what cannot be."""

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import pictures
from araclip import AraCLIP
from araclip.evaluation.sets import stated_dialects
from command_line import Run, caller
from tiny import ARABIC, COLOURS, write_tiny_model


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return caller(monkeypatch, capsys)


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "other", seed=1, name="آخر")


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Three pictures in split dev, two captions each, and one picture in split train."""
    return picture_set(
        tmp_path / "ألوان",
        *(
            {"image": f"{name}.png", "split": "dev", "caption_ar": [ARABIC[name], f"صورة {ARABIC[name]}"], "en": name}
            for name in COLOURS
        ),
        {"image": "red.png", "split": "train", "caption_ar": "أحمر"},
    )


def picture_set(folder: Path, *rows: dict[str, Any]) -> Path:
    folder.mkdir()
    for row in rows:
        pictures.solid(folder / row["image"], COLOURS.get(Path(row["image"]).stem, (9, 9, 9)))
    write_rows(folder, *rows)
    return folder


def write_rows(folder: Path, *rows: dict[str, Any]) -> None:
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "captions.jsonl").write_text(lines, encoding="utf-8")


# ------------------------------------------------------------------ what it prints


def test_one_model_is_a_row_with_intervals_and_its_protocol(run: Run, tiny_model: Path, colours: Path) -> None:
    ran = run("evaluate", "--model", tiny_model, "--dataset", colours, "--split", "dev")
    assert ran.code == 0
    assert "Text → picture · ألوان, dev · 6 texts (caption_ar, all), 3 pictures" in ran.out
    assert re.search(r"│ tiny +│ +1\.000 │ +1\.000 │ +1\.000 │ +1\.000 │ +1 │", ran.out)
    assert "1.000–1.000" in ran.out
    assert "p = " not in ran.out
    assert "Picture → text" not in ran.out


def test_further_models_are_tested_both_ways_against_the_first(
    run: Run, tiny_model: Path, other_model: Path, colours: Path
) -> None:
    ran = run("evaluate", "--model", tiny_model, "--model", other_model, "--dataset", colours, "--both")
    assert ran.out.index("Text → picture") < ran.out.index("Picture → text")
    assert ran.out.count("p = ") == 8
    assert "آخر" in ran.out


def test_models_of_a_training_run_are_named_by_their_stages(run: Run, colours: Path, tmp_path: Path) -> None:
    stages = [write_tiny_model(tmp_path / "run" / name / "model", name="model") for name in ("distill", "finetune")]
    ran = run("evaluate", "--model", stages[0], "--model", stages[1], "--dataset", colours, "--json")
    assert [each["name"] for each in json.loads(ran.out)["models"]] == ["distill", "finetune"]


def test_json_is_all_that_stands_on_stdout(run: Run, tiny_model: Path, other_model: Path, colours: Path) -> None:
    models = ["--model", tiny_model, "--model", other_model]
    ran = run("evaluate", *models, "--dataset", colours, "--split", "dev", "--captions", "first", "--json")
    (line,) = ran.out.splitlines()
    assert "آخر: pictures" in ran.err.replace(str(other_model), "آخر")  # bars, on stderr
    made = json.loads(line)
    expected = {"dataset": "ألوان", "split": "dev", "caption_field": "caption_ar", "captions": "first", "n_queries": 3}
    assert expected.items() <= made["protocol"].items()
    assert len(made["protocol"]["id"]) == 12
    tiny, other = made["models"]
    assert (tiny["name"], other["name"]) == ("tiny", "آخر")
    assert tiny["t2i"]["R@1"] == tiny["i2t"]["R@1"] == 1.0
    assert tiny["ci95"]["R@1"] == [1.0, 1.0]
    assert (tiny["n_queries"], tiny["n_images"]) == (3, 3)
    assert tiny["model"] == AraCLIP.load(tiny_model).config.label
    assert set(other["p_vs_first"]) >= {"R@1", "R@5", "R@10", "MRR"}


def test_another_caption_field_is_another_protocol(run: Run, tiny_model: Path, colours: Path) -> None:
    def protocol(*options: str) -> Any:
        return json.loads(run("evaluate", "--model", tiny_model, "--dataset", colours, "--json", *options).out)[
            "protocol"
        ]

    arabic, english = protocol("--split", "dev"), protocol("--split", "dev", "--caption-field", "en")
    assert (english["caption_field"], english["n_queries"]) == ("en", 3)
    assert arabic["id"] != english["id"]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc cannot be written, and is no full disk")
def test_a_report_that_cannot_be_written_loses_no_result(run: Run, tiny_model: Path, colours: Path) -> None:
    ran = run("evaluate", "--model", tiny_model, "--dataset", colours, "--report", "/proc/r.html", "--json")
    assert ran.code == 2
    if os.access("/proc", os.W_OK):  # as root; another user is told before
        assert json.loads(ran.out)["models"]


def test_the_report_is_written_and_named(run: Run, tiny_model: Path, colours: Path, tmp_path: Path) -> None:
    rows = [{"image": f"{name}.png", "caption_ar": ARABIC[name], "dialect": "Sudanese"} for name in ("red", "blue")]
    write_rows(colours, *rows, {"image": "green.png", "caption_ar": "أخضر"})
    ran = run("evaluate", "--model", tiny_model, "--dataset", colours, "--report", tmp_path / "r [1].html")
    assert ran.code == 0
    assert "r [1].html" in ran.err  # brackets are no markup
    page = (tmp_path / "r [1].html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "ألوان" in page
    assert "Sudanese" in page
    rows = [{"image": "red.png", "caption_ar": "أحمر", "dialect": each} for each in ("Egyptian", "Gulf")]
    write_rows(colours, *rows)
    assert stated_dialects(colours, [colours / "red.png"]) is None  # so they are guessed
    assert "not stated" in page


@pytest.mark.parametrize("report", [(), ("--report", "r.html")])
def test_a_split_is_measured_whatever_stands_in_rows_of_another(
    run: Run, tiny_model: Path, colours: Path, tmp_path: Path, report: tuple[str, ...]
) -> None:
    rows = [{"image": f"{name}.png", "split": "dev", "caption_ar": ARABIC[name], "dialect": "Gulf"} for name in COLOURS]
    write_rows(colours, *rows, {"image": "../train/9.jpg", "split": "train", "caption_ar": "قطة", "dialect": 7})
    place = [tmp_path / part if part.endswith("html") else part for part in report]
    ran = run("evaluate", "--model", tiny_model, "--dataset", colours, "--split", "dev", *place)
    assert (ran.code, "3 pictures" in ran.out) == (0, True)
    if report:
        assert "Gulf" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_what_of_test_side_stands_in_training_data_is_counted(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    for name in ("test", "one", "two"):
        (tmp_path / name).mkdir()
    copied, fresh = (tmp_path / "test" / f"{name}.png" for name in ("copied", "fresh"))
    pictures.photograph(copied, (64, 64))
    noise = np.random.default_rng(5).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((64, 64)).save(fresh)
    shutil.copy(copied, tmp_path / "one" / "renamed.png")
    write_rows(
        tmp_path / "test",
        {"image": copied.name, "caption_ar": ["قِطّة", "صورة أحمر"]},
        {"image": fresh.name, "caption_ar": "أزرق"},
    )
    write_rows(
        tmp_path / "one",
        {"image": "renamed.png", "caption_ar": "قطة", "split": "train"},
        {"image": "renamed.png", "caption_ar": "أزرق", "split": "dev"},  # no training data
    )
    pictures.solid(tmp_path / "two" / "red.png")
    write_rows(tmp_path / "two", {"image": "red.png", "caption_ar": "كلب"})
    training = ["--train-data", tmp_path / "one", "--train-data", tmp_path / "two"]
    ran = run("evaluate", "--model", tiny_model, "--dataset", tmp_path / "test", *training)
    assert "1 of 2 test pictures have a near copy among 2 training pictures" in ran.out
    assert "copied.png ~ " in ran.out
    assert "1 of 3 test captions are training captions too" in ran.out
    made = json.loads(run("evaluate", "--model", tiny_model, "--dataset", tmp_path / "test", *training, "--json").out)
    assert made["leaks"] == {
        "pictures": 1, "captions": 1, "test_pictures": 2, "test_captions": 3, "training_pictures": 2, "not_compared": 0,
    }  # fmt: skip
    assert "leaks" not in json.loads(
        run("evaluate", "--model", tiny_model, "--dataset", tmp_path / "test", "--json").out
    )


def test_missing_training_pictures_are_said(run: Run, tiny_model: Path, colours: Path) -> None:
    rows = [json.loads(line) for line in (colours / "captions.jsonl").read_text(encoding="utf-8").splitlines()]
    write_rows(colours, *rows, {"image": "gone.png", "split": "train", "caption_ar": ARABIC["blue"]})
    ran = run("evaluate", "--model", tiny_model, "--dataset", colours, "--split", "dev", "--train-data", colours)
    assert "1 training picture is missing: neither they nor their captions are looked for" in ran.err


def test_training_data_of_the_same_set_lies_where_the_set_does(run: Run, tiny_model: Path, tmp_path: Path) -> None:
    texts, coco = tmp_path / "texts", tmp_path / "pictures"
    texts.mkdir()
    (texts / "Flickr8k.arabic.full.txt").write_text("red.png#0\tأحمر\nblue.png#0\tأزرق\n", "utf-8")
    for split, name in (("test", "red"), ("train", "blue")):
        (texts / f"Flickr_8k.{split}Images.txt").write_text(f"{name}.png\n", "utf-8")
        pictures.solid(coco / f"{name}.png", COLOURS[name])
    known = ["--dataset", "flickr8k-ar-eljundi", "--path", texts, "--images", coco, "--split", "test"]
    ran = run("evaluate", "--model", tiny_model, *known, "--train-data", "flickr8k-ar-eljundi", "--json")
    assert (ran.code, json.loads(ran.out)["leaks"]["training_pictures"]) == (0, 1)
    rows = [{"image": f"{name}.png", "split": name, "caption_ar": ARABIC["red"]} for name in ("test", "train")]
    write_rows(texts, *rows)
    for name in ("test", "train"):
        pictures.solid(coco / f"{name}.png")
    ran = run("evaluate", "--model", tiny_model, "--dataset", texts, "--images", coco, "--train-data", texts, "--json")
    assert json.loads(ran.out)["leaks"]["training_pictures"] == 1


def test_a_tilde_is_the_home_folder_in_every_place(
    run: Run, tiny_model: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "here")
    places = ["--cache=~/results", "--report=~/report.html"]
    assert run("evaluate", "--model", tiny_model, "--dataset", colours, *places).code == 0
    assert {path.name for path in (tmp_path / "home").iterdir()} == {"results", "report.html"}
    assert not list((tmp_path / "here").iterdir())


def test_picture_that_is_not_there_is_counted_and_takes_no_part(run: Run, tiny_model: Path, colours: Path) -> None:
    (colours / "green.png").unlink()
    ran = run("evaluate", "--model", tiny_model, "--dataset", colours, "--split", "dev", "--json")
    assert ran.code == 0
    assert "1 picture of the list is missing and left out." in ran.err
    (model,) = json.loads(ran.out)["models"]
    assert (model["n_images"], model["n_queries"], model["missing"]) == (2, 4, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_would_fool_a_terminal_are_shown_not_obeyed(run: Run, tmp_path: Path, tiny_model: Path) -> None:
    folder = picture_set(tmp_path / "a\u202eb[red]\x1b[2J", {"image": "red.png", "caption_ar": "أحمر"})
    ran = run("evaluate", "--model", tiny_model, "--dataset", folder)
    assert "a\\u202eb[red]\\u001b[2J" in ran.out
    assert not re.search("[\u202e\x1b]", ran.out)


# ------------------------------------------------------------------ what is kept


def test_what_was_measured_is_kept_in_the_cache(
    run: Run, tiny_model: Path, other_model: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["evaluate", "--dataset", colours, "--json", "--cache", tmp_path / "new" / "cache", "--model", tiny_model]
    first = run(*asked)
    monkeypatch.setattr(AraCLIP, "encode_pixels", lambda *_: pytest.fail("measured twice"))
    (measured,), (kept,) = (json.loads(ran.out)["models"] for ran in (first, run(*asked)))
    assert kept.pop("cost") == {**measured.pop("cost"), "text_ms": None, "image_ms": None}  # times are of one run
    assert kept == measured
    monkeypatch.undo()
    assert len(json.loads(run(*asked, "--model", other_model).out)["models"]) == 2


@pytest.mark.parametrize("cache", [True, False])
def test_ctrl_c_says_what_is_measured_and_how_to_go_on(
    run: Run, tiny_model: Path, other_model: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    cache: bool,
) -> None:  # fmt: skip
    encode = AraCLIP.encode_pixels

    def stop_at_the_second(model: AraCLIP, pixels: Any) -> Any:
        if model.folder == other_model:
            raise KeyboardInterrupt
        return encode(model, pixels)

    monkeypatch.setattr(AraCLIP, "encode_pixels", stop_at_the_second)
    options = ["--cache", tmp_path / "cache"] if cache else []
    ran = run("evaluate", "--model", tiny_model, "--model", other_model, "--dataset", colours, *options)
    assert (ran.code, ran.out) == (130, "")
    assert "Stopped. 1 of 2 models are measured; " in ran.err
    assert ("the same command resumes there" if cache else "with --cache") in ran.err


# ------------------------------------------------------------------ what cannot be done


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "SET", "--model", "MODEL", "--model", "no-such"], "no model 'no-such'.*araclip-mini"),
        (["--dataset", "SET", "--model", "MODEL", "--split", "test"], "no pictures.*split"),
        (["--dataset", "SET", "--model", "MODEL", "--caption-field", "caption_fr"], "caption in 'caption_fr'"),
        (["--dataset", "SET", "--model", "MODEL", "--captions", "some"], "'some', expected 'all' or 'first'"),
        (["--dataset", "SET", "--model", "MODEL", "--path", "FILE"], r"says where it lies; a path \(--path\)"),
        (["--suite", "paper", "--dataset", "SET", "--both"], "--dataset and --both have no effect with --suite"),
        (["--dataset", "GONE", "--model", "MODEL"], "none of its 1 pictures is there.*gone.png"),
        (["--dataset", "BROKEN", "--model", "MODEL"], r"captions.jsonl line 1: .*JSON"),
        (["--dataset", "DIALECT", "--model", "MODEL", "--report", "r.html"], "line 1: 'dialect' is 7, expected a text"),
        (["--dataset", "CUT", "--model", "MODEL"], r"cut\.png: damaged or cut short"),
        (["--dataset", "nowhere", "--model", "MODEL"], "no picture set 'nowhere'"),
        (["--dataset", "SET", "--model", "MODEL", "--report", "nowhere/r.html"], "nowhere is no folder"),
        (["--dataset", "SET", "--model", "MODEL", "--cache", "FILE"], "(?i)exists"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line_and_exit_2(
    run: Run, tiny_model: Path, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
    message: str,
) -> None:  # fmt: skip
    gone = picture_set(tmp_path / "gone", {"image": "gone.png", "caption_ar": "قطة"})
    (gone / "gone.png").unlink()
    cut = picture_set(tmp_path / "cut", {"image": "cut.png", "caption_ar": "قطة"})
    (cut / "cut.png").write_bytes((cut / "cut.png").read_bytes()[:60])
    broken = picture_set(tmp_path / "broken", {"image": "red.png", "caption_ar": "قطة"})
    (broken / "captions.jsonl").write_text("{", encoding="utf-8")
    dialect = picture_set(tmp_path / "dialect", {"image": "red.png", "caption_ar": "قطة", "dialect": 7})
    (tmp_path / "file").touch()
    made = {"GONE": gone, "BROKEN": broken, "CUT": cut, "FILE": tmp_path / "file", "DIALECT": dialect}
    places = {"SET": colours, "MODEL": tiny_model, **made}
    monkeypatch.chdir(tmp_path)
    ran = run("evaluate", *(places.get(argument, argument) for argument in arguments))
    assert (ran.code, ran.out) == (2, "")
    (line,) = [line for line in ran.err.splitlines() if line.startswith("araclip: ")]
    assert re.search(message, line)
    assert "Traceback" not in ran.err


def test_a_misspelt_second_model_costs_no_minutes_of_the_first(
    run: Run, tiny_model: Path, colours: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AraCLIP, "encode_pixels", lambda *_: pytest.fail("measured before all models were known"))
    assert run("evaluate", "--dataset", colours, "--model", tiny_model, "--model", "no-such").code == 2
