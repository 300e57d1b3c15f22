"""OCR: which pictures are read, what is stored, and what if the program that reads hangs, fails or is missing."""

import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import pictures
from araclip import AraCLIP, Gallery
from araclip.cli import main
from araclip.errors import InputError, OcrFailed
from araclip.ocr import tesseract
from araclip.ocr.detector import looks_like_text

HEAD = "level\tpage\tblock\tpar\tline\tword\tleft\ttop\twidth\theight\tconf\ttext"
NEEDS_TESSERACT = pytest.mark.skipif(shutil.which("tesseract") is None, reason="make test-ocr installs it")


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> AraCLIP:
    return AraCLIP.load(tiny_model, threads=1)


def page(*lines: str, size: int = 28) -> Image.Image:
    """Lines of English text; Pillow's own font has no Arabic."""
    picture = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((30, 30 + 2 * size * number), line, fill="black", font=ImageFont.load_default(size))
    return picture


LINES = ("Electricity bill for March", "Amount due 4711 dinars", "Thank you for paying early")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    pictures.solid(folder / "red.png", pictures.RED, (64, 48))
    page(*LINES).save(folder / "page.png")
    return folder


class Program:
    """A program in place of Tesseract: prints a table, after some work of its own."""

    def __init__(self, folder: Path, script: str = "") -> None:
        rows = [(0, "noise"), (91, "فاتورة"), (88, "الكهرباء")]
        table = "\n".join([HEAD, *(f"5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t{sure}\t{word}" for sure, word in rows)])
        self.calls = folder / "calls"
        self.path = folder / "tesseract"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        (folder / "table").write_text(table, encoding="utf-8")
        body = 'if [ "$1" = --list-langs ]; then echo ara; echo eng; exit; fi\n'
        body += f'echo call >> "{self.calls}"\n{script or "cat > /dev/null"}\ncat "{folder / "table"}"\n'
        self.path.write_text(f"#!/bin/sh\n{body}", encoding="utf-8")
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    @property
    def count(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


@pytest.fixture(autouse=True)
def looked_for_again() -> Iterator[None]:
    tesseract.find.cache_clear()
    yield
    tesseract.find.cache_clear()


def on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_only_pictures_that_look_like_text_are_read_once_and_found_by_it(
    tmp_path: Path, root: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(tmp_path / "bin")
    on_path(monkeypatch, program.path.parent)
    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        gallery.update([root])
        report = gallery.ocr()
        assert (report.read, report.without, report.skipped, program.count) == (1, 1, [], 1)
        best = gallery.search("فاتوره كهرباء", 1)[0]
        assert Path(best.path).name == "page.png"
        assert [(match.field, match.text) for match in best.matched] == [("ocr", "فاتورة الكهرباء")]
        assert not gallery.search("noise", 1)[0].matched  # an unsure word
        again = gallery.ocr()
        assert (again.read, again.without, program.count) == (0, 0, 1)
        shutil.copyfile(root / "page.png", root / "copy.png")
        gallery.update([root])
        gallery.ocr()
        assert program.count == 1  # known by its content
        assert gallery.verify() == []
        gallery.remove([root])
        assert not gallery.search("فاتوره", 1)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("exec sleep 60", "took more than 1 s"),
        ("echo broken >&2; exit 3", r"ended with 3 \(broken\)"),
    ],
)
def test_a_picture_that_hangs_or_breaks_ocr_is_given_up_by_name_and_not_tried_again(
    tmp_path: Path, root: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    program = Program(tmp_path / "bin", script)
    on_path(monkeypatch, program.path.parent)
    lines: list[str] = []
    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        gallery.update([root])
        began = time.monotonic()
        report = gallery.ocr(seconds=1, skip=lines.append)
        assert time.monotonic() - began < 30
        assert report.skipped == lines
        (line,) = lines
        assert "page.png: OCR " in line and "not tried again" in line
        assert re.search(reason, line)
        assert gallery.ocr(seconds=1).skipped == []
        assert program.count == 1


def test_a_run_that_is_stopped_goes_on_where_it_was(
    tmp_path: Path, root: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(tmp_path / "bin")
    on_path(monkeypatch, program.path.parent)
    monkeypatch.setattr("araclip.gallery.ingest.reading.COMMIT_EVERY", 1)
    for number in range(4):
        page(*LINES, f"Page {number}").save(root / f"{number}.png")

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        gallery.update([root])
        with pytest.raises(KeyboardInterrupt):
            gallery.ocr(progress=stop)
        rest = gallery.ocr()
        assert rest.read + rest.without == 3
        assert len(gallery._catalog.rows("SELECT 1 FROM texts WHERE ocr_by IS NOT NULL")) == 6


def test_without_tesseract_the_command_says_how_to_install_it_before_any_work(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("sys.argv", ["araclip", "index", str(root), "--ocr"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "sudo apt install tesseract-ocr tesseract-ocr-ara" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(InputError, match="tesseract-ocr-ara"):
        tesseract.find()


def test_text_is_told_from_pictures_in_milliseconds() -> None:
    letters = np.asarray(page(*LINES).convert("L"))
    dark = 255 - letters
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (480, 640)).astype(np.uint8)
    slope = np.broadcast_to(np.linspace(0, 255, 640).astype(np.uint8), (480, 640))
    assert [looks_like_text(grey) for grey in (letters, dark)] == [True, True]
    assert [looks_like_text(grey) for grey in (noise, slope, np.zeros((3, 9), np.uint8))] == [False, False, False]
    began = time.process_time()
    for _ in range(10):
        looks_like_text(letters)
    assert (time.process_time() - began) / 10 < 0.02


def test_sure_words_of_a_table_are_joined_by_lines() -> None:
    words = ((1, 90, "one"), (1, 80, "two"), (2, 95, "three"))
    rows = [f"5\t1\t1\t1\t{line}\t1\t0\t0\t9\t9\t{sure}\t{word}" for line, sure, word in words]
    table = [HEAD, *rows, "cut short", "4\t1\t1\t1\t2\t0\t0\t0\t9\t9\t-1\t"]
    assert tesseract.lines_of("\n".join(table)) == "one two\nthree"


@NEEDS_TESSERACT
def test_tesseract_reads_a_page(tmp_path: Path) -> None:
    page(*LINES).save(tmp_path / "page.png")
    if tesseract.find().languages != ("ara", "eng"):
        pytest.skip("Tesseract without English")
    read = tesseract.find().read((tmp_path / "page.png").read_bytes(), 60)
    assert "Electricity bill" in read and "4711" in read
    with pytest.raises(OcrFailed, match=r"ended with|took more"):
        tesseract.find().read(b"no picture", 60)
