"""Every benchmark runs: at toy size where it needs no published data, else as far as its own description."""

import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from araclip import Gallery

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TOY = {  # arguments; DATA is a small picture set, HELD a list of labelled pictures, GALLERY a gallery
    "hybrid": "names --data DATA --work WORK",
    "indexing": "--pictures 3 --large 1 --published 0 --rounds 1",
    "indexing memory": "--memory DATA/images",
    "install_size": "",
    "names classes": "classes --data DATA --held HELD --among HELD",
    "names probabilities": "probabilities --data DATA --held HELD",
    "page suggestions": "suggestions --pictures 40",
    "queries": "--gallery GALLERY --page WORK/page.html",
    "retrieval": "--data DATA",
    "retrieval changed": "--data DATA --changed --copies DATA/images",
    "scoring": "--queries 40 --pictures 60 --threads 1",
    "serving": "--pictures 30 --clients 2 --seconds 0.3",
    "tables": "--check",
    "understanding": "--data DATA --kind spelling",
    "understanding dialects": "--dialects WORK/dialects.tsv",
    "watching": "--pictures 3 --changes 1",
}
SLOW = {"serving", "watching"}  # run by `make trials`, since they start processes and wait
# these need published data, a browser, Tesseract or other systems, or have no small size
DESCRIBED = {
    "ablation", "bulk", "composition", "duplicates", "everyday_words", "exclusion", "gradcache", "labels", "million",
    "ocr", "page", "places", "regressions", "relevance", "scale", "speed", "video",
}  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A picture set of sixty pictures, the list of its classes, a gallery and a work folder."""
    root = tmp_path_factory.mktemp("toy")
    data, work = root / "data", root / "work"
    (data / "images").mkdir(parents=True)
    (data / "more" / "nips17_ccby").mkdir(parents=True)
    work.mkdir()
    rng, rows, classes = np.random.default_rng(0), [], []
    for i in range(60):
        name = f"{i:02}.jpg"
        blocks = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        blocks.resize((96, 72), Image.Resampling.NEAREST).save(data / "images" / name)
        split = "dev" if i < 56 else "train"
        row = {"image": f"images/{name}", "split": split, "caption_ar": [f"قطة رقم {i} على طاولة", f"قط {i}"]}
        rows.append(row | {"caption_en": [f"cat {i} on a table", f"a cat {i}"]})
        classes.append({"image": name, "class_ar": f"صنف {i % 52}", "label": f"class {i % 52}"})
    for path, lines in ((data / "captions.jsonl", rows), (data / "held.jsonl", classes)):
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    (data / "more" / "nips17_ccby" / "images").symlink_to(data / "images")
    (work / "dialects.tsv").write_text("ar\tdialect\nعايز قهوة\tegyptian\nأريد قهوة\tmsa\n", encoding="utf-8")
    with Gallery.open(root / "gallery", create=True) as gallery:
        gallery.update([data / "images"])
    return {
        "DATA": str(data), "HELD": str(data / "held.jsonl"), "GALLERY": str(root / "gallery"), "WORK": str(work),
    }  # fmt: skip


def run(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments])
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    try:
        runpy.run_path(str(BENCHMARKS / f"{name}.py"), run_name="__main__")
    except SystemExit as end:
        assert not end.code, end.code


@pytest.mark.parametrize("case", TOY)
def test_a_benchmark_runs_at_toy_size(
    case: str, places: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if case in SLOW and not os.environ.get("ARACLIP_TRIALS"):
        pytest.skip("run by `make trials`")
    arguments = TOY[case]
    for name, place in places.items():
        arguments = arguments.replace(name, place)
    run(case.split(maxsplit=1)[0], arguments.split(), monkeypatch)
    assert capsys.readouterr().out or case == "tables"


@pytest.mark.parametrize("name", sorted(DESCRIBED))
def test_a_benchmark_of_published_data_describes_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(name, ["--help"], monkeypatch)
    assert "python benchmarks/" in capsys.readouterr().out


def test_every_benchmark_is_run() -> None:
    names = {path.stem for path in BENCHMARKS.glob("*.py")}
    assert names == {case.split()[0] for case in TOY} | DESCRIBED
    assert len(names) <= 28
