"""docs/evaluation.md and evaluation-sets.md: the examples run as they stand, and the table names every known set."""

import json
import re
from pathlib import Path

import pytest

import pictures
from araclip import AraCLIP
from araclip.evaluation.published_sets import KNOWN

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = "".join((DOCS / page).read_text(encoding="utf-8") for page in ("evaluation.md", "evaluation-sets.md"))
COLOURS = {"أحمر": (255, 0, 0), "أخضر": (0, 255, 0), "أزرق": (0, 0, 255)}


def test_the_examples_run(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for place, (name, colour) in enumerate(COLOURS.items()):
        pictures.solid(tmp_path / "imagenet" / "val" / f"n0{place}" / "1.JPEG", colour)
        for split in ("train", "dev"):
            image = pictures.photograph(tmp_path / "flickr8k" / f"{split}{name}.jpg", (64, 64)).name
            rows.append({"image": image, "split": split, "caption_ar": [name, f"صورة {name}"]})
    (tmp_path / "flickr8k" / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    (tmp_path / "babel_imagenet.json").write_text(json.dumps({"AR": [[0, 1, 2], list(COLOURS)]}), "utf-8")
    (tmp_path / "templates_ar.json").write_text(json.dumps(["{c}", "صورة {c}"]), "utf-8")
    monkeypatch.chdir(tmp_path)
    model = AraCLIP.load(tiny_model)
    monkeypatch.setattr(AraCLIP, "load", lambda: model)
    names: dict[str, object] = {}
    for example in re.findall(r"(?<!-->\n)```python\n(.*?)```", GUIDE, re.DOTALL):
        exec(example, names)
    said = capsys.readouterr().out
    assert "+0.000 [+0.000, +0.000] 1.0 1.0" in said
    assert "1.0 1.0 1.0 " in said  # the tiny model knows its colours
    assert "3 of 3 test pictures have a near copy among 3 training pictures" in said


def test_every_known_set_is_in_table_with_its_hub_and_licence() -> None:
    lines = {name: line for line in GUIDE.splitlines() for name in KNOWN if line.startswith(f"| `{name}`")}
    assert set(lines) == set(KNOWN)
    for name, source in KNOWN.items():
        assert source.hub is None or f"`{source.hub.id}`" in lines[name]
        assert source.license is None or source.license in lines[name]
