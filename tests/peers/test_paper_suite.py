"""The paper's table on tiny checkpoints in the published layouts and small sets in the published forms."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import torch
from typer.testing import CliRunner

import pictures
import tiny_published
from araclip.cli.commands import app
from araclip.peers.paper_suite import ROWS
from tiny_peers import small_open_clip, write_araclip, write_mclip

CAPTIONS = {"1.jpg": ("قطة حمراء", "red cat"), "2.jpg": ("كلب أخضر", "a green dog"), "3.jpg": ("بيت أزرق", "blue")}
COLOURS = {"1.jpg": pictures.RED, "2.jpg": pictures.GREEN, "3.jpg": pictures.BLUE}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """XTD with its pictures in COCO's folders, and Flickr8k-Arabic with its lists."""
    folder = tmp_path_factory.mktemp("sets")
    xtd, flickr = folder / "XTD10", folder / "flickr" / "Flickr8k_text"
    for made in (xtd, flickr):
        made.mkdir(parents=True)
    (xtd / "test_image_names.txt").write_text("\n".join(CAPTIONS) + "\n", "utf-8")
    (xtd / "test_1kcaptions_ar.txt").write_text("\n".join(texts[0] for texts in CAPTIONS.values()) + "\n", "utf-8")
    lines = [f"{name}#{i}\t{text}\n" for name, texts in CAPTIONS.items() for i, text in enumerate(texts)]
    (flickr / "Flickr8k.arabic.full.txt").write_text("".join(lines), "utf-8")
    (flickr / "Flickr_8k.testImages.txt").write_text("\n".join(CAPTIONS) + "\n", "utf-8")
    for name, colour in COLOURS.items():
        pictures.solid(folder / "coco" / "train2014" / name, colour)
        pictures.solid(folder / "flickr" / "Flicker8k_Dataset" / name, colour)
    return [
        "--set", f"xtd-ar={xtd},{folder / 'coco'}", "--set", f"flickr8k-ar-eljundi={folder / 'flickr'}",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    folder = tmp_path_factory.mktemp("models")
    with small_open_clip(tmp_path_factory.mktemp("open_clip")):
        torch.manual_seed(0)
        image = folder / "image.pt"
        torch.save(open_clip.create_model("araclip-tiny-clip", load_weights=False).state_dict(), image)
        write_mclip(folder / "mclip")
        tiny_published.write_altclip(folder / "altclip")
        write_araclip(folder / "araclip")
        yield [
            "--model", f"mCLIP=m-clip:{folder / 'mclip'}+open_clip:araclip-tiny-clip/{image}",
            "--model", f"AltCLIP=altclip:{folder / 'altclip'}", "--model", f"AraCLIP={folder / 'araclip'}",
        ]  # fmt: skip


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def run(*words: str) -> tuple[int, str, str]:
    ran = CliRunner().invoke(app, ["evaluate", "--suite", "paper", *words])
    return ran.exit_code, ran.stdout, " ".join(f"{ran.stderr} {ran.exception or ''}".split())


def test_every_row_is_measured_on_every_set(places: list[str], models: list[str]) -> None:
    code, printed, _ = run(*places, *models)
    assert code == 0
    for words in ("xtd-ar · 3 texts", "flickr8k-ar-eljundi · 6 texts", ".452/.683/.542", ".553/.789/.631"):
        assert printed.count(words) == (1 if "texts" in words else 2)
    assert "not ours" in " ".join(printed.split())
    assert "Missing" not in printed
    _, printed, _ = run(*places, *models, "--json")
    told = json.loads(printed)
    assert [(one["row"], one["set"]) for one in told["results"]] == [
        (row.name, name) for row in ROWS for name in ("xtd-ar", "flickr8k-ar-eljundi")
    ]
    assert {one["loaded"] for one in told["results"]} == {"PyTorch"}
    assert told["claimed"]["rows"]["AltCLIP"] == {"R@1": 0.487, "R@5": 0.715, "MRR": 0.567}
    assert "not reproduced" in told["claimed"]["what"]


def test_a_pulled_model_is_taken_and_a_missing_one_is_named(
    places: list[str], tiny_model: Path, own_data: Path
) -> None:
    shutil.copytree(tiny_model, own_data / "models" / "altclip-m18")
    code, printed, _ = run(*places[:2], "--json")
    assert code == 0
    told = json.loads(printed)
    assert [(one["row"], one["loaded"]) for one in told["results"]] == [("AltCLIP", "model folder")]
    missing = {one["what"]: one["why"] for one in told["missing"]}
    assert missing.keys() == {"mCLIP (m-clip-b16plus)", "AraCLIP (araclip-published)"}
    assert "araclip pull araclip-published (915 MB)" in missing["AraCLIP (araclip-published)"]


def test_a_model_found_damaged_in_use_is_named(places: list[str], tiny_model: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(tiny_model, tmp_path / "damaged")
    with (damaged / "image.onnx").open("ab") as file:
        file.write(b"x")
    chosen = [f"--model={row}={place}" for row, place in (("mCLIP", tiny_model), ("AltCLIP", damaged))]
    code, out, err = run(*places[:2], *chosen, f"--model=AraCLIP={tiny_model}", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert [row["row"] for row in found["results"]] == ["mCLIP", "AraCLIP"]
    assert [each["what"] for each in found["missing"]] == [f"AltCLIP ({damaged})"]


def test_without_sets_or_models_what_is_missing_is_said(places: list[str]) -> None:
    code, _, said = run()
    assert code != 0
    assert "xtd-ar: no path was given" in said
    assert "data/xtd200/arb_Arab.txt" in said  # of XTD200: XTD has no Arabic
    assert "--set flickr8k-ar-eljundi=FOLDER[,PICTURES]" in said
    code, _, said = run(*places)
    assert code != 0
    assert "araclip pull m-clip-b16plus (2,711 MB)" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "xtd-ar"], "not written NAME=VALUE"),
        (["--model", "araclip-mini"], "such as AraCLIP=MODEL"),
    ],
)
def test_options_that_are_not_pairs_are_refused(words: list[str], message: str) -> None:
    code, _, said = run(*words)
    assert code != 0
    assert message in said


def test_an_unknown_suite_or_row_is_refused(places: list[str]) -> None:
    ran = CliRunner().invoke(app, ["evaluate", "--suite", "all"])
    assert "there is one suite: paper" in str(ran.exception)
    code, _, said = run(*places, "--model", "SigLIP=araclip-mini")
    assert code != 0
    assert "no row 'SigLIP'" in said
