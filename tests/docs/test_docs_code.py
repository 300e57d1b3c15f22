"""Every code block of the READMEs and of docs/ is run, or stands under a mark that says why not, and is counted.

It takes a minute, so `make test-docs` runs the blocks and the tutorials; `make test` counts the marks.
"""

import functools
import json
import os
import runpy
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import pictures
from araclip.gallery.locations import gallery_of
from araclip.models import inference
from araclip.models.folder import DEFAULT_MODEL
from araclip.server.settings import Settings
from documented import ROOT, Blocks, not_run, ran
from serving import listening
from tiny_hf import tiny_model, tiny_processor

PAGES = sorted(
    [*ROOT.glob("README*.md"), ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("docs/ar/*.md")]
)
MAX_NOT_RUN = 45  # blocks; raising it is a decision
at_length = pytest.mark.skipif("ARACLIP_DOCS" not in os.environ, reason="make test-docs runs these")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user with a few pictures, indexed, and graphs of the bundled model that are opened once for all pages."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("USERPROFILE", str(home))
        patch.setenv("ARACLIP_DATA", str(home / "data"))
        patch.setattr(inference, "open_session", functools.cache(inference.open_session))
        for name in ("cat.jpg", "2023/beach.jpg", "صور رحلة/sea.png", "WhatsApp Images/card.jpg"):
            pictures.photograph(home / "Pictures" / name, (96, 64))
        ran(["index", str(home / "Pictures")])
        yield home


@pytest.fixture(scope="module")
def desk(home: Path) -> Path:
    """A working folder with the files that examples name."""
    desk = home / "desk"
    for name in ("cat.jpg", "dog.jpg", "sofa.jpg", "new.jpg", "a.jpg", "b.png", "photos/may.jpg"):
        pictures.photograph(desk / name, (96, 64))
    rows = []
    for split in ("train", "dev"):
        for number in range(3):
            image = pictures.photograph(desk / "flickr8k" / f"{split}{number}.jpg", (64 + 8 * number, 64)).name
            rows.append({"image": image, "split": split, "caption_ar": [f"صورة {number}", f"قطة {number}"]})
    (desk / "flickr8k" / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    for place, colour in enumerate((pictures.RED, pictures.GREEN, pictures.BLUE)):
        pictures.solid(desk / "imagenet" / "val" / f"n0{place}" / "1.JPEG", colour)
    names = {"AR": [[0, 1, 2], ["أحمر", "أخضر", "أزرق"]]}
    (desk / "babel_imagenet.json").write_text(json.dumps(names), "utf-8")
    (desk / "templates_ar.json").write_text(json.dumps(["{c}", "صورة {c}"]), "utf-8")
    for run in ("mini", "araclip-lit-base"):
        tiny_model().save_pretrained(desk / "runs" / run / "finetune" / "model")
        tiny_processor().save_pretrained(desk / "runs" / run / "finetune" / "model")
    return desk


@pytest.fixture(scope="module")
def blocks(home: Path, desk: Path) -> Iterator[Blocks]:
    with ExitStack() as stack:

        @functools.cache
        def server() -> str:
            settings = Settings.read(
                gallery=gallery_of(home / "Pictures"), model=DEFAULT_MODEL, decoders=1, decode_seconds=60, uploads=True
            )
            return stack.enter_context(listening(settings)).removeprefix("http://")

        yield Blocks(server)


@at_length
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_blocks_of_a_page_run(
    page: Path, blocks: Blocks, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shutil.copytree(desk, tmp_path / "desk"))
    for example in blocks.of(page).examples():
        example.evaluate()


def test_blocks_that_are_not_run_are_few_and_each_says_why() -> None:
    blocks = Blocks(server=lambda: "")
    found = Counter(not_run(example) for page in PAGES for example in blocks.of(page).examples())
    del found[""]
    assert found.total() <= MAX_NOT_RUN, found


@at_length
@pytest.mark.parametrize(
    ("tutorial", "said"),
    [
        ("search_your_photographs", "40 pictures, 40 of them new"),
        ("compare_models", "R@10: "),
        ("train_a_pair_of_towers", "دائرة حمراء → ['red-circle-5'"),
    ],
)
def test_a_tutorial_runs_as_it_stands(
    tutorial: str,
    said: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    script = ROOT / "docs" / "tutorials" / f"{tutorial}.py"
    monkeypatch.setattr("sys.argv", [str(script)])
    runpy.run_path(str(script))
    assert said in capsys.readouterr().out
