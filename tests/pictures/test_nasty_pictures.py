"""Pictures made to harm: a sample of tests/trials, special files, and what errors keep, print and say."""

import io
import os
import random
import socket
import sys
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "trials"))
from nasty_corpus import KINDS
from nasty_parts import directory, jpeg, saved, segment, tiff

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import ImageTooLarge, UnreadableImage, UnsupportedFormat
from araclip.gallery.catalog.records import File
from araclip.gallery.ingest import intake
from araclip.gallery.ingest.intake import read_source
from araclip.gallery.ingest.update import unreadable_line
from araclip.pictures import images, limits, upright
from araclip.pictures.image_transform import ImageTransform
from araclip.pictures.images import decode_ahead, open_image, square
from araclip.pictures.limits import DECODING, PARSING, READING

EACH = {"polyglots": 3, "png chunks": 1, "exif bombs": 2, "bmp tricks": 11, "foreign": 4, "orientations": 4, "cut": 5}
CHEAP_FROM = {"bmp tricks": 7}
COSTLY = {"png texts", "profiles", "bombs", "tag bombs", "jpeg tricks"}  # left to the trial


@pytest.fixture
def gallery(tmp_path: Path, tiny_model: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "gallery", model=AraCLIP.load(tiny_model, threads=2), create=True) as opened:
        yield opened


def names(gallery: Gallery) -> set[str]:
    return {path for hit in gallery.search("صورة", 1000) for path in (hit.path, *hit.copies)}


# ------------------------------------------------------------------ files of strangers


def test_nasty_pictures_are_read_or_skipped_with_one_line(
    gallery: Gallery, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, count = tmp_path / "nasty", 0
    for kind, make in KINDS.items():
        if kind not in COSTLY:
            for name, content in islice(make(random.Random(kind)), CHEAP_FROM.get(kind, 0), EACH.get(kind, 2)):
                pictures.written(folder / f"{count} {kind} {name.replace('/', ' ')}.jpg", content)
                count += 1
    assert count >= 30
    report = gallery.update([folder])
    assert report.pictures + len(report.skipped) == count
    assert report.pictures > count // 3
    for line in report.skipped:
        assert line.startswith(str(folder)), line
        assert "\n" not in line and len(line) < 700, line
        assert any(word in line for word in ("Convert", "Restore", "Save")), line
    assert capfd.readouterr() == ("", "")


def test_pipes_and_devices_named_like_pictures_are_skipped(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "صور"
    pictures.solid(folder / "good.png")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "null.png").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(folder / "socket.webp"))  # the full path may be too long
        report = gallery.update([folder])
    assert report.pictures == 1
    assert sorted(line.split(": ", 1)[1].split(",")[0] for line in report.skipped) == [
        "a device",
        "a named pipe",
        "a socket",
    ]


def test_pipe_or_socket_in_place_of_picture_is_not_waited_for(gallery: Gallery, tmp_path: Path) -> None:
    """They take its place after the walk has seen a file."""
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket.jpg"))
        for name, kind in (("pipe.jpg", "a named pipe"), ("socket.jpg", "a socket")):
            for read in (open_image, lambda path: read_source(File(path, 100, 0), set(), ImageTransform(32))):
                with pytest.raises(UnreadableImage, match=f"{name}: {kind}, not a picture file"):
                    read(str(tmp_path / name))


@pytest.mark.skipif(sys.platform == "darwin", reason="names that are not UTF-8 cannot be made")
def test_hostile_file_names_are_indexed_and_named_as_they_are(gallery: Gallery, tmp_path: Path) -> None:
    folder = tmp_path / "أسماء"
    folder.mkdir()
    given = ["قطة ١", "a\u202egpj", "two\nlines", "\x1b[31m", os.fsdecode(b"\xff\xfe latin \xe9"), "ط" * 123, "a" * 245]
    for number, name in enumerate(given):
        pictures.solid(folder / f"{name}-g.png", (9 * number, 200, 0))
        pictures.written(folder / f"{name}-b.png", b"nothing")
    report = gallery.update([folder])
    assert names(gallery) == {str(folder / f"{name}-g.png") for name in given}
    assert {line.split(": not a ")[0] for line in report.skipped} == {str(folder / f"{name}-b.png") for name in given}
    assert gallery.update([folder]).unchanged == len(given)


def test_a_missing_permission_comes_with_a_remedy() -> None:
    line = unreadable_line("/photos/a.jpg", PermissionError(13, "Permission denied"))
    assert "Permission denied; give this user permission" in line
    assert "permission" not in unreadable_line("/photos/a.jpg", OSError(5, "Input/output error"))


# ------------------------------------------------------------------ memory and time


def test_the_budgets_add_up_to_less_than_the_declared_peak() -> None:
    assert READING.total + PARSING.total + DECODING.total < limits.PEAK
    assert READING.total >= intake.WHOLE


def test_pictures_beyond_the_budget_are_refused_in_megapixels(tmp_path: Path) -> None:
    column = pictures.bomb(tmp_path / "column.png", (1, 149_000_000))  # eight bytes a row besides its pixels
    with pytest.raises(ImageTooLarge, match=r"1 × 149000000 \(149 megapixels\) takes 1\.4 GB to decode, the limit is"):
        images.open_with_facts(column, 32, distort=True).__enter__()
    large = bytearray(saved("WEBP"))
    large[26:30] = (9000).to_bytes(2, "little") * 2
    with pytest.raises(ImageTooLarge, match=r"9000 × 9000 is 81 megapixels, the limit of WEBP is 65\."):
        open_image(io.BytesIO(large), 32)


def test_an_error_keeps_no_pixels_in_its_traceback(tmp_path: Path) -> None:
    """Errors wait for the consumer of a run; their frames would keep the full picture and its file."""
    short = tmp_path / "short.png"
    noise = Image.effect_noise((900, 900), 90)
    noise.save(short)
    short.write_bytes(short.read_bytes()[:-2000])
    for _, error in decode_ahead([short], 32, 1):
        assert isinstance(error, UnreadableImage)
        assert error.__traceback__ is None
        assert error.__cause__ is not None
        assert error.__cause__.__traceback__ is None


def test_an_extremely_long_picture_is_reduced_only_for_squares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upright, "ELONGATED", 100_000)
    assert upright.factors_for(40, 29_984, 16) == (1, 1)
    assert upright.factors_for(40, 29_984, 16, distort=True) == (1, 937)
    assert upright.factors_for(4000, 3000, 16, distort=True) == upright.factors_for(4000, 3000, 16) == (93, 93)
    ramp = np.tile(np.linspace(0, 255, 29_984).astype(np.uint8), (40, 1)).T
    stream = io.BytesIO()
    Image.fromarray(ramp).save(stream, "PNG")
    with images.open_with_facts(stream, 16, distort=True) as (short, facts):
        assert short.size == (40, 32)
        assert (facts.width, facts.height) == (40, 29_984)
        whole = square(open_image(stream), 16).astype(int)
        assert np.abs(square(short, 16) - whole).max() <= 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16"])
def test_reducing_in_strips_gives_the_same_pixels(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.effect_noise((331, 277), 90)
    picture = Image.fromarray(np.asarray(noise, np.uint16) * 257) if mode == "I;16" else noise.convert(mode)
    picture.save(tmp_path / "any.png")
    whole = open_image(tmp_path / "any.png", 16)
    monkeypatch.setattr(upright, "STRIP", 5_000)
    assert open_image(tmp_path / "any.png", 16).tobytes() == whole.tobytes()


def test_a_header_that_takes_too_long_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARSE_SECONDS", 0.02)
    with pytest.raises(ImageTooLarge, match=r"padded\.jpg: takes more than 0 s of processor time.*Save a smaller"):
        open_image(io.BytesIO(jpeg(b"\xff" * 1_000_000)), 32, name="padded.jpg")


def test_pixels_that_take_too_long_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "DECODE_SECONDS", 0)
    with pytest.raises(ImageTooLarge, match="processor time"):
        open_image(io.BytesIO(saved("PNG", (800, 800))), 32)


def test_a_large_file_is_decoded_from_disk_unless_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pictures.photograph(tmp_path / "large.png", (300, 200))
    file = File.of(str(path), path.stat())
    small = read_source(file, set(), ImageTransform(32))
    monkeypatch.setattr(intake, "WHOLE", 1000)
    large = read_source(file, set(), ImageTransform(32))
    assert (large.digest, large.file) == (small.digest, small.file)
    assert small.decoded and large.decoded
    assert np.array_equal(large.decoded.pixels, small.decoded.pixels)

    def written_to(*arguments: object, **options: object) -> object:
        with path.open("ab") as stream:
            stream.write(b"more")
        return opened(*arguments, **options)  # type: ignore[arg-type]

    opened = intake.open_with_facts
    monkeypatch.setattr(intake, "open_with_facts", written_to)
    with pytest.raises(UnreadableImage, match=r"large\.png: it changed while it was read"):
        read_source(file, set(), ImageTransform(32))


# ------------------------------------------------------------------ lines of others


def test_what_pillow_warns_about_is_part_of_our_line() -> None:
    broken = jpeg(segment(0xE2, b"MPF\0II*\0\x08\0\0\0" + directory([(0xB001, 4, 1, 9)])), size=(300, 300))[:-300]
    with warnings.catch_warnings(record=True) as seen, pytest.raises(UnreadableImage) as caught:
        warnings.simplefilter("always")
        open_image(io.BytesIO(broken), name="phone.jpg")
    assert seen == []
    assert "malformed MPO" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_pillow_logs_is_part_of_our_line(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a handler, Python prints it to stderr."""
    with pytest.raises(
        UnsupportedFormat, match=r"many\.tiff: not a .* picture \(More samples per pixel.*2000\)\. Convert"
    ):
        open_image(io.BytesIO(tiff((277, 4, 1, 2_000))), name="many.tiff")
    assert capfd.readouterr() == ("", "")


def test_warnings_of_others_pass_while_pictures_are_decoded() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with images.open_with_facts(io.BytesIO(saved("PNG"))):
            warnings.warn("ours", UserWarning, stacklevel=1)
    assert [str(each.message) for each in seen] == ["ours"]
