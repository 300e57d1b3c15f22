"""`araclip classify` as its users meet it: pictures named by their labels, accuracy on a labelled set, and refusals."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pictures
from araclip import AraCLIP
from araclip.errors import InputError
from araclip.evaluation.zeroshot import SCALE, label_probabilities, none_of, read_labels
from command_line import caller
from tiny import ARABIC, COLOURS

Run = Callable[..., tuple[int, str, str]]
WORDS = ",".join(ARABIC[name] for name in COLOURS)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny_model: Path) -> Run:
    call = caller(monkeypatch, capsys, "classify")

    def parts(*arguments: object) -> tuple[int, str, str]:
        ran = call(*arguments, "--model", tiny_model)
        return ran.code, ran.out, ran.err

    return parts


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [pictures.solid(tmp_path / f"{name}.png", colour) for name, colour in COLOURS.items()]


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Three pictures with the word of their colour, one with the word of another."""
    rows = [{"image": f"{name}.png", "label": ARABIC[name], "split": "dev"} for name in COLOURS]
    rows.append({"image": "odd.png", "label": ARABIC["red"], "split": "train"})
    for row in rows:
        pictures.solid(tmp_path / "set" / row["image"], COLOURS.get(Path(row["image"]).stem, pictures.BLUE))
    (tmp_path / "set" / "captions.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    return tmp_path / "set"


def test_each_picture_gets_its_best_labels_with_probabilities(run: Run, files: list[Path]) -> None:
    code, out, _ = run(*files, "--labels", WORDS, "-k", 2)
    assert code == 0
    lines = [line for line in out.splitlines() if "│" in line]
    assert len(lines) == 2 * len(files)
    for name, best in zip(COLOURS, lines[::2], strict=True):
        assert f"{name}.png" in best and ARABIC[name] in best and "1.00" in best


def test_json_has_the_labels_of_each_picture_best_first(run: Run, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("\ufeff" + WORDS.replace(",", "\n\n") + "\n", "utf-8")
    _, out, _ = run(*files, "--labels", tmp_path / "labels.txt", "--template", "صورة {}", "--json")
    made = json.loads(out)
    assert made["labels"] == WORDS.split(",")
    for path, name, found in zip(files, COLOURS, made["results"], strict=True):
        assert (found["path"], found["labels"][0]["label"]) == (str(path), ARABIC[name])
        shares = [entry["probability"] for entry in found["labels"]]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=1e-3)


def test_a_folder_is_classified_as_csv_and_damage_is_skipped(run: Run, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "torn.png").write_bytes(files[0].read_bytes()[:40])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, out, err = run(tmp_path, "--labels", WORDS, "--other", "--csv")
    assert code == 0
    assert err.startswith("skipped: ")
    assert "torn.png" in err
    header, *rows = list(csv.reader(out.splitlines()))
    assert header == ["path", "label", "probability", *WORDS.split(","), "أخرى"]
    assert {Path(row[0]).stem for row in rows} == set(COLOURS)
    for row in rows:
        assert sum(map(float, row[3:])) == pytest.approx(1, abs=1e-3)
        assert float(row[2]) == max(map(float, row[3:]))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before  # nothing is moved


def test_videos_of_a_folder_are_left_out_without_a_line(run: Run, files: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "clip.mp4").write_bytes(b"")
    code, out, err = run(tmp_path, "--labels", WORDS, "--csv")
    assert (code, len(out.splitlines()), err) == (0, 1 + len(files), "")
    (tmp_path / "videos").mkdir()
    (tmp_path / "clip.mp4").rename(tmp_path / "videos" / "clip.mp4")
    code, _, err = run(tmp_path / "videos", "--labels", WORDS)
    assert code == 2 and "holds no picture files" in err


def test_a_link_in_a_folder_that_leads_nowhere_is_named(run: Run, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "away.png").symlink_to(tmp_path / "unplugged" / "x.png")
    code, out, err = run(tmp_path, "--labels", WORDS, "--csv")
    assert (code, len(out.splitlines())) == (0, 1 + len(files))
    assert "away.png: cannot be read (the link leads nowhere" in " ".join(err.split())


def test_csv_names_files_as_they_are_called(run: Run, tmp_path: Path) -> None:
    picture = pictures.solid(tmp_path / "لقطة شاشة \u200f٩.png")  # the mark that macOS puts into such names
    _, out, _ = run(picture, "--labels", WORDS, "--csv")
    assert list(csv.reader(out.splitlines()))[1][0] == str(picture)


def test_other_is_likelier_near_everyday_words_and_many_labels() -> None:
    everyday = np.random.default_rng(0).normal(0, 0.1, (1, 100))

    def none(best: float, labels: int = 3) -> float:
        return float(none_of(np.full((1, labels), best), everyday)[0])

    assert none(0.5) < 0.1 < none(0.15) < none(0.0)
    assert none(0.3, 50) > none(0.3, 3)


def test_probabilities_are_the_softmax_of_scaled_cosines(tiny_model: Path, files: list[Path]) -> None:
    model = AraCLIP.load(tiny_model)
    labels = ["أحمر", "أزرق", "قطة"]
    cosines = model.encode_image(files) @ model.encode_text(labels).T
    odds = np.exp(SCALE * cosines.astype(np.float64))
    expected = odds / odds.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(label_probabilities(model, files, labels, ["{}"]), expected, atol=1e-5)


def test_labels_are_read_between_commas_of_either_script(tmp_path: Path) -> None:
    assert read_labels("قِطّة، كلب,سيارة حمراء ,,كلب") == ("قطة", "كلب", "سيارة حمراء")
    assert len(read_labels(",".join(f"كلمة {number}" for number in range(500)))) == 500  # longer than any file name
    with pytest.raises(InputError, match="names no labels"):
        read_labels(" ، ,")
    for names in (["قِطّة", "كلب"], {"AR": [[5, 3], ["قطة", "كلب"]]}):  # as --dataset takes them
        (tmp_path / "names.json").write_text(json.dumps(names, indent=1), "utf-8")
        assert read_labels(str(tmp_path / "names.json")) == ("قطة", "كلب")
    (tmp_path / "names.json").write_text("قطة", "utf-8")
    with pytest.raises(InputError, match="cannot be read as JSON"):
        read_labels(str(tmp_path / "names.json"))
    (tmp_path / "labels").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="cannot be read as UTF-8 text"):
        read_labels(str(tmp_path / "labels"))


def test_accuracy_is_measured_on_set_whose_list_names_classes(run: Run, labelled: Path) -> None:
    code, out, _ = run("--dataset", labelled)
    assert (code, out.splitlines()[0]) == (0, "set: 4 pictures of 3 classes")
    assert out.splitlines()[1] == "top 1 0.750, top 5 1.000, mean over classes of top 1 0.833"
    made = json.loads(run("--dataset", labelled, "--split", "dev", "--json")[1])
    assert (made["top1"], made["pictures"], made["classes"], made["missing"]) == (1.0, 3, 3, 0)
    assert (made["dataset"], made["split"], len(made["protocol"])) == ("set", "dev", 12)


def test_accuracy_is_measured_on_a_folder_a_class(run: Run, tmp_path: Path) -> None:
    for wnid, colour in zip(("n1", "n2", "n3"), COLOURS.values(), strict=True):
        pictures.solid(tmp_path / "val" / wnid / "1.jpg", colour)
    (tmp_path / "names.json").write_text(json.dumps(WORDS.split(",")), "utf-8")
    (tmp_path / "templates.json").write_text(json.dumps({"AR": ["{c}", "صورة {c}"]}), "utf-8")
    for labels in (WORDS, tmp_path / "names.json"):
        _, out, _ = run("--dataset", tmp_path / "val", "--labels", labels, "--template", tmp_path / "templates.json")
        assert "top 1 1.000" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name pictures to classify, or --dataset"),
        (["red.png", "--dataset", "set"], "one of the two"),
        (["red.png"], "name the labels to choose from"),
        (["red.png", "--labels", "أحمر"], "1 label to choose from: أحمر. Name at least two."),
        (["red.png", "--labels", ","], "names no labels"),
        (["red.png", "--labels", "nofile.txt"], "there is no file nofile.txt"),
        (["red.png", "--labels", "nofile.JSON"], "there is no file nofile.JSON"),
        (["red.png", "--labels", WORDS, "-k", "0"], "k is 0"),
        (["red.png", "--labels", WORDS, "--template", "صورة"], "where the name goes"),
        (["gone.png", "--labels", WORDS], "gone.png: no such file"),
        (["empty", "--labels", WORDS], "empty holds no picture files"),
        (["red.png", "--labels", WORDS, "--json", "--csv"], "--json and --csv exclude each other"),
        (["red.png", "--labels", WORDS, "--split", "dev"], "--split has no effect without --dataset"),
        (["--dataset", "set", "--other", "--csv"], "--other and --csv have no effect with --dataset"),
        (["--dataset", "set", "--labels", WORDS], "names the classes itself"),
        (["--dataset", "."], "Name the classes of its folders"),
        (["--dataset", ".", "--labels", WORDS, "--split", "dev"], "has no captions.jsonl, so a split"),
        (["--dataset", "set", "--label-field", "class"], "has a caption in 'class'"),
    ],
)
def test_what_cannot_be_classified_is_one_line_and_exit_2(
    run: Run, files: list[Path], labelled: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[Any], message: str
) -> None:
    monkeypatch.chdir(labelled.parent)
    (labelled.parent / "empty").mkdir()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
