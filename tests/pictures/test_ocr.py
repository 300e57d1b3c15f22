"""OCR: which pictures are read, what is stored, and what if the program that reads hangs, fails or is missing."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pictures
from araclip import AraCLIP, Gallery
from araclip.cli import main
from araclip.errors import InputError, OcrFailed
from araclip.gallery.results import Update
from araclip.pictures.ocr import engines
from araclip.pictures.ocr.detector import looks_like_text
from araclip.pictures.ocr.engines import RapidOcr, Tesseract
from araclip.pictures.ocr.worker import join_lines as lines_of_page
from araclip.pictures.ocr.worker import reading_order
from command_line import caller
from ocr_program import HEAD, LINES, Program, page

NEEDS_RAPIDOCR = pytest.mark.skipif("ARACLIP_TEST_OCR" not in os.environ, reason="make test-ocr runs it")
NEEDS_TESSERACT = pytest.mark.skipif(shutil.which("tesseract") is None, reason="make test-ocr installs it")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    pictures.solid(folder / "red.png", pictures.RED, (64, 48))
    page(*LINES).save(folder / "page.png")
    return folder


@pytest.fixture(autouse=True)
def looked_for_again() -> Iterator[None]:
    engines.find_tesseract.cache_clear()
    yield
    engines.find_tesseract.cache_clear()


def on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_only_pictures_that_look_like_text_are_read_once(
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
def test_a_picture_that_breaks_ocr_is_named_and_given_up(
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


NO_ARABIC = "Error opening data file /usr/share/tessdata/ara.traineddata"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("rm -f", None),  # the program is gone
        ("echo liblept.so.5: cannot open shared object file >&2; exit 127", "liblept.so.5"),
        (f"echo {NO_ARABIC} >&2; echo Could not initialize tesseract. >&2; exit 1", NO_ARABIC),
        (f"echo {NO_ARABIC} >&2", NO_ARABIC),  # Tesseract reads on in the other language
    ],
)
def test_an_engine_that_does_not_work_gives_up_no_picture(
    tmp_path: Path, root: Path, model: AraCLIP, script: str, reason: str | None
) -> None:
    page(*LINES, "Another page").save(root / "other.png")
    broken = Program(tmp_path / "broken", script)
    if reason is None:
        broken.path.unlink()
    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        gallery.update([root])
        with pytest.raises(InputError, match=r"does not work .* Install Tesseract and its languages again") as stopped:
            gallery.ocr(engine=Tesseract(str(broken.path), ("ara", "eng")))
        assert str(broken.path) in str(stopped.value) and (reason or "tesseract") in str(stopped.value)
        report = gallery.ocr(engine=Tesseract(str(Program(tmp_path / "bin").path), ("ara", "eng")))
        assert (report.read, report.without, report.skipped) == (2, 1, [])


class BreaksAfter:
    """An engine that reads so many pictures, then breaks."""

    name = "breaks"

    def __init__(self, most: int) -> None:
        self.most, self.reads = most, 0

    def read(self, picture: bytes, seconds: float) -> str:
        self.reads += 1
        if self.reads > self.most:
            raise InputError("it does not work")
        return "نص"


def test_what_was_read_before_an_engine_broke_is_kept(tmp_path: Path, root: Path, model: AraCLIP) -> None:
    model = AraCLIP(model.folder, threads=1)  # pictures are read one after the other
    for number in range(5):
        page(*LINES, f"Page number {number}").save(root / f"{number}.png")
    with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
        gallery.update([root])
        with pytest.raises(InputError, match="it does not work"):
            gallery.ocr(engine=BreaksAfter(3))
        rest = BreaksAfter(100)
        report = gallery.ocr(engine=rest)
    assert report.read == rest.reads == 6 - 3


def test_an_update_and_a_watch_go_on_where_ocr_does_not_work(
    tmp_path: Path, root: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_path(monkeypatch, Program(tmp_path / "bin", "exit 127").path.parent)
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path / "data"))
    run = caller(monkeypatch, capsys)
    indexed = run("index", root, "--ocr", "--model", tiny_model)
    assert indexed.code == 2
    assert "2 pictures indexed" in indexed.out and "tesseract does not work" in indexed.err
    assert str(root / "red.png") in run("search", "red", "--paths").out  # without --gallery, in what was just indexed

    def follow(gallery: Gallery, roots: list[Path], *, updated: Callable[[Update], None], skip: object) -> None:
        updated(gallery.update(roots))
        updated(gallery.update(roots))

    monkeypatch.setattr("araclip.gallery.watch.watch", follow)
    watched = run("watch", root, "--ocr", "--model", tiny_model)
    assert watched.code == 0
    assert watched.out.count("2 pictures indexed") == watched.err.count("does not work") == 2


def test_a_run_that_is_stopped_goes_on_where_it_was(
    tmp_path: Path, root: Path, model: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = Program(tmp_path / "bin")
    on_path(monkeypatch, program.path.parent)
    monkeypatch.setattr("araclip.gallery.ingest.ocr.COMMIT_EVERY", 1)
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


def test_without_tesseract_the_command_says_how_to_install_it(
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
        engines.find_tesseract()


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
    words = ((1, 90, "one\u200f"), (1, 80, "\u200etwo"), (2, 95, "three"))
    rows = [f"5\t1\t1\t1\t{line}\t1\t0\t0\t9\t9\t{sure}\t{word}" for line, sure, word in words]
    table = [HEAD, *rows, "cut short", "4\t1\t1\t1\t2\t0\t0\t0\t9\t9\t-1\t"]
    assert engines.lines_of_sure_words(engines.parse_words("\n".join(table))) == "one two\nthree"


def test_numbers_are_those_that_are_surely_read_as_english() -> None:
    def word(text: str, left: int, sure: float = 90) -> engines.Word:
        return engines.Word(text, ("1",), (left, 10, 40, 20), sure)

    read = [word("السعر", 300), word("YOV", 200), word("١١", 100), word("5566", 0), word("A4", 400)]
    as_english = [word("3366", 2, 85), word("200", 102, 60), word("77", 700), word("A4", 400, 71)]
    shown = engines.with_sure_numbers(read, as_english)
    assert [found.text for found in shown] == ["السعر", "YOV", "3366", "A4"]
    assert {found.line for found in shown} == {("1",)}


@NEEDS_TESSERACT
def test_tesseract_reads_a_page(tmp_path: Path) -> None:
    page(*LINES).save(tmp_path / "page.png")
    if engines.find_tesseract().languages != ("ara", "eng"):
        pytest.skip("Tesseract without English")
    read = engines.find_tesseract().read((tmp_path / "page.png").read_bytes(), 60)
    assert "Electricity bill" in read and "4711" in read
    page("السعر ٤٥٠ جنيه", "Total 4711 EGP").save(tmp_path / "digits.png")
    read = engines.find_tesseract().read((tmp_path / "digits.png").read_bytes(), 60)
    assert re.findall(r"\d+", read) == ["4711"]  # no other digits in the place of ٤٥٠
    with pytest.raises(OcrFailed, match=r"ended with|took more"):
        engines.find_tesseract().read(b"no picture", 60)


# ------------------------------------------------------------------ RapidOCR


def test_a_local_recogniser_goes_before_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(tmp_path / "bin")
    on_path(monkeypatch, program.path.parent)
    monkeypatch.setenv("ARACLIP_DATA", str(tmp_path))
    monkeypatch.delenv(engines.VARIABLE, raising=False)
    assert engines.find_engine().name == "tesseract ara+eng"
    (tmp_path / engines.MODEL).write_bytes(b"")
    monkeypatch.setattr("araclip.pictures.ocr.engines.find_spec", lambda name: object())
    assert engines.find_engine().name == "rapidocr ocr"
    monkeypatch.setattr("araclip.pictures.ocr.engines.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'araclip\[ocr\]'"):
        engines.find_engine()
    monkeypatch.setenv(engines.VARIABLE, str(tmp_path / "none.onnx"))
    with pytest.raises(InputError, match=r"none\.onnx: no such file"):
        engines.find_engine()


def test_a_file_that_is_no_recogniser_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "broken.onnx"
    model.write_bytes(b"no graph")
    monkeypatch.setattr("araclip.pictures.ocr.engines.find_spec", lambda name: object())
    with pytest.raises(InputError, match=r"broken\.onnx: RapidOCR cannot use this recogniser \(\w+: "):
        RapidOcr(model).read(b"", 60)


@pytest.mark.parametrize(
    ("seen", "read"),
    [
        ("ءابرهكلا ةروتاف", "فاتورة الكهرباء"),
        ("رانيد 4711.50 غلبملا", "المبلغ 4711.50 دينار"),
        ("Wi-Fi 5 ةكبش", "شبكة Wi-Fi 5"),
        ("لاير 10,000 رعسلا", "السعر 10,000 ريال"),
        ("مهرد ٣٫٥ ،رانيد ١٠٬٠٠٠", "١٠٬٠٠٠ دينار، ٣٫٥ درهم"),
        ("info@site.com ديربلا", "البريد info@site.com"),
        ("انه user_name باسح", "حساب user_name هنا"),
        ("سيراب Café ىهقم", "مقهى Café باريس"),
        ("AT&T ةكرش", "شركة AT&T"),
        ("سملت don't", "don't تلمس"),
        ("2024 ,2023 ,2022 تاونس", "سنوات 2022, 2023, 2024"),
        ("انه 4 & 3 مقر", "رقم 3 & 4 هنا"),
        ("انه 4×3 ساقم", "مقاس 3×4 هنا"),
        ("انه Paris, London ندم", "مدن Paris, London هنا"),
        ("Amount due 4711", "Amount due 4711"),
        ("", ""),
    ],
)
def test_lines_from_left_to_right_are_put_into_reading_order(seen: str, read: str) -> None:
    assert reading_order(seen) == read


def test_boxes_become_lines_the_right_one_first_in_arabic() -> None:
    found = [
        ((0, 40, 90, 60), "دينار"),
        ((100, 41, 190, 61), "المبلغ"),
        ((60, 0, 99, 20), "two"),
        ((0, 2, 50, 22), "one"),
    ]
    assert lines_of_page(found) == "one two\nالمبلغ دينار"


@NEEDS_RAPIDOCR
def test_rapidocr_reads_pages_in_a_process_with_a_deadline(tmp_path: Path, root: Path, model: AraCLIP) -> None:
    import rapidocr

    reader = RapidOcr(Path(rapidocr.__file__).parent / "models" / "PP-OCRv6_rec_small.onnx")
    try:
        with Gallery.open(tmp_path / "g", model=model, create=True) as gallery:
            gallery.update([root])
            assert gallery.ocr(engine=reader).read == 1
            best = gallery.search("electricity bill", 1)[0]
            assert Path(best.path).name == "page.png" and best.matched[0].field == "ocr"
        data = (root / "page.png").read_bytes()
        with pytest.raises(OcrFailed, match="took more than"):
            reader.read(data, 0.001)
        with pytest.raises(OcrFailed, match="cannot identify image"):
            reader.read(b"no picture", 60)
        assert "4711" in reader.read(data, 60)  # by a new process
    finally:
        reader.close()
