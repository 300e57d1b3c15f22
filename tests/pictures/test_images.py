"""Opening pictures: every format, bad files, the model's input, decoding in threads."""

import io
import itertools
import os
import random
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pictures
from araclip.errors import ImageError, ImageTooLarge, UnreadableImage, UnsupportedFormat
from araclip.pictures.formats import ALWAYS, SUFFIXES
from araclip.pictures.images import AHEAD, decode_ahead, map_ahead, open_image, square

REMEDIES = ("Convert", "Save a smaller copy", "Restore", "check the path", "Change its permissions")
SUFFIX_OF_FORMAT = sorted(pictures.SUFFIX_OF.items())


def close_to(pixel: object, colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    return bool(np.abs(np.asarray(pixel, int) - colour).max() <= tolerance)


# ------------------------------------------------------------------ what opens


def test_every_allowed_format_opens_as_rgb(tmp_path: Path) -> None:
    files = pictures.every_format(tmp_path)
    assert set(files) == set(ALWAYS)
    for path in files.values():
        opened = open_image(path)
        assert (opened.mode, opened.size) == ("RGB", (64, 48))
        assert close_to(opened.getpixel((5, 5)), pictures.RED)
        assert path.suffix in SUFFIXES


def test_path_text_file_object_and_picture_open_alike(tmp_path: Path) -> None:
    path = pictures.solid(tmp_path / "one.png")
    with Image.open(path) as memory:
        opened = [
            open_image(path),
            open_image(str(path)),
            open_image(io.BytesIO(path.read_bytes())),
            open_image(memory),
        ]
    assert len({image.tobytes() for image in opened}) == 1


def test_the_suffix_does_not_decide_what_a_file_is(tmp_path: Path) -> None:
    path = pictures.solid(tmp_path / "one.png").rename(tmp_path / "one.jpg")
    assert open_image(path).mode == "RGB"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_puts_the_picture_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    opened = open_image(pictures.oriented(tmp_path / f"turned{suffix}", orientation))
    assert opened.size == (64, 32)
    assert close_to(opened.getpixel((8, 4)), pictures.GREEN, 60)
    assert close_to(opened.getpixel((8, 28)), pictures.RED, 60)
    assert close_to(opened.getpixel((56, 28)), pictures.BLUE, 60)


def test_a_sixteen_bit_picture_is_put_upright_too(tmp_path: Path) -> None:
    ramp = Image.open(pictures.sixteen_bit(tmp_path / "ramp.png"))
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp.save(tmp_path / "turned.png", exif=exif)
    assert open_image(tmp_path / "turned.png").size == (16, 64)


def test_an_unreadable_exif_block_does_not_cost_the_picture(tmp_path: Path) -> None:
    Image.new("RGB", (32, 16), "red").save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    assert open_image(tmp_path / "odd.jpg").size == (32, 16)


def test_a_tag_pillow_cannot_write_does_not_prevent_turning(tmp_path: Path) -> None:
    width_as_text = b"\x01\x00\x00\x02\0\0\0\x04abc\0"
    orientation = b"\x01\x12\x00\x03\0\0\0\x01\x00\x06\0\0"
    block = b"Exif\0\0MM\0*\0\0\0\x08\x00\x02" + width_as_text + orientation + b"\0\0\0\0"
    Image.new("RGB", (32, 16), "red").save(tmp_path / "odd.jpg", exif=block)
    with Image.open(tmp_path / "odd.jpg") as odd, pytest.raises(Exception, match=r"integer|argument|str"):
        odd.getexif().tobytes()
    assert open_image(tmp_path / "odd.jpg").size == (16, 32)


def test_a_picture_put_upright_does_not_ask_to_be_turned_again(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png", ".webp", ".tiff"):
        assert 0x0112 not in open_image(pictures.oriented(tmp_path / f"turned{suffix}", 6)).getexif()


@pytest.mark.parametrize(
    ("mode", "suffix"), [("RGBA", ".png"), ("LA", ".png"), ("P", ".png"), ("P", ".gif"), ("RGBA", ".webp")]
)
def test_transparency_is_blended_onto_white(tmp_path: Path, mode: str, suffix: str) -> None:
    opened = open_image(pictures.transparent(tmp_path / f"glass{suffix}", mode))
    assert opened.mode == "RGB"
    assert close_to(opened.getpixel((10, 16)), (0, 0, 0))
    assert close_to(opened.getpixel((54, 16)), pictures.WHITE)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.asarray(open_image(pictures.sixteen_bit(tmp_path / f"ramp{suffix}")))[0, :, 0].astype(int)  # (64,)
    assert np.abs(ramp - np.linspace(0, 255, 64)).max() <= 1


def test_sixteen_bit_grey_with_a_transparent_level_is_not_white(tmp_path: Path) -> None:
    Image.open(pictures.sixteen_bit(tmp_path / "ramp.png")).save(tmp_path / "glass.png", transparency=0)
    for size in (None, 4):
        ramp = np.asarray(open_image(tmp_path / "glass.png", size))[0, :, 0].astype(int)
        assert np.abs(ramp - np.linspace(ramp[0], ramp[-1], len(ramp))).max() <= 2
        assert ramp[-1] - ramp[0] > 180


def test_cmyk_keeps_its_colour(tmp_path: Path) -> None:
    assert close_to(open_image(pictures.cmyk(tmp_path / "print.jpg")).getpixel((9, 9)), pictures.RED)
    assert close_to(open_image(pictures.cmyk(tmp_path / "print.tiff")).getpixel((9, 9)), pictures.RED)


def test_an_animation_is_its_first_frame(tmp_path: Path) -> None:
    for name in ("film.gif", "film.webp", "film.png"):
        assert close_to(open_image(pictures.animated(tmp_path / name)).getpixel((5, 5)), pictures.RED)


def test_a_jpeg_with_another_behind_it_is_its_first_one(tmp_path: Path) -> None:
    path = pictures.two_in_one(tmp_path / "phone.jpg")
    assert close_to(open_image(path).getpixel((5, 5)), pictures.RED)
    assert open_image(path, 64).size == (320, 240)


@pytest.mark.parametrize("mode", ["1", "L", "I;16", "F"])
def test_flat_greys_of_any_depth_open(tmp_path: Path, mode: str) -> None:
    assert open_image(pictures.grey(tmp_path / "grey.tiff", 1, mode)).mode == "RGB"


def test_floats_that_are_no_numbers_become_black_and_white() -> None:
    values = np.array([[np.nan, -np.inf, np.inf, 0.0, 1.0]], np.float32)
    opened = np.asarray(open_image(Image.fromarray(values)))[0, :, 0]
    assert opened.tolist() == [0, 0, 255, 0, 255]
    assert np.asarray(open_image(Image.fromarray(np.full((2, 2), np.nan, np.float32)))).max() == 0
    huge = np.array([[-3e38, 3e38]], np.float32)
    assert open_image(Image.fromarray(huge)).size == (2, 1)


# ------------------------------------------------------------------ what does not open


def ugly_files(folder: Path) -> dict[str, tuple[Path, type[ImageError]]]:
    secret = pictures.solid(folder / "secret.png")
    secret.chmod(0)
    return {
        "a text": (pictures.text_as_picture(folder / "text.jpg"), UnsupportedFormat),
        "an empty file": (pictures.written(folder / "empty.png", b""), UnsupportedFormat),
        "a format that is not allowed": (pictures.solid(folder / "old.ppm"), UnsupportedFormat),
        "a vector drawing": (
            pictures.written(folder / "drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            UnsupportedFormat,
        ),
        "a JPEG cut short": (pictures.truncated(folder / "short.jpg"), UnreadableImage),
        "a PNG cut short": (pictures.truncated(folder / "short.png"), UnreadableImage),
        "a TIFF cut short": (pictures.truncated(folder / "short.tiff"), UnreadableImage),
        "a BMP cut short": (pictures.truncated(folder / "short.bmp"), UnreadableImage),
        "a PNG with nonsense inside": (pictures.damaged_png(folder / "nonsense.png"), UnreadableImage),
        "a bomb past Pillow's cap": (pictures.bomb(folder / "bomb.png"), ImageTooLarge),
        "a bomb between our cap and Pillow's": (pictures.bomb(folder / "small.png", (13_000, 13_000)), ImageTooLarge),
        "a header that claims 100 megapixels": (pictures.bomb(folder / "claim.png", (10_000, 10_000)), UnreadableImage),
        "a missing file": (folder / "gone.jpg", UnreadableImage),
        "a folder": (folder, UnreadableImage),
        "a name that no file can have": (folder / "nul\0.jpg", UnreadableImage),
    } | ({} if os.access(secret, os.R_OK) else {"a file of somebody else": (secret, UnreadableImage)})


def test_every_bad_file_is_right_error_that_names_it_and_remedy(tmp_path: Path) -> None:
    for what, (path, expected) in ugly_files(tmp_path).items():
        for open_it in (open_image, lambda source: open_image(source, 32)):
            with pytest.raises(ImageError) as caught:
                open_it(path)
            assert type(caught.value) is expected, what
            assert str(path) in str(caught.value), what
            assert any(remedy in str(caught.value) for remedy in REMEDIES), f"{what}: {caught.value}"


def test_an_upload_is_called_by_the_name_it_came_with() -> None:
    with pytest.raises(UnsupportedFormat, match=r"holiday\.jpg"):
        open_image(io.BytesIO(b"nothing"), name="holiday.jpg")
    with pytest.raises(UnsupportedFormat, match="uploaded picture"):
        open_image(io.BytesIO(b"nothing"))


def test_a_too_large_picture_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(ImageTooLarge, match=r"13000 × 13000 is 169 megapixels, the limit is 150"):
        open_image(pictures.bomb(tmp_path / "bomb.png", (13_000, 13_000)))
    with pytest.raises(ImageTooLarge, match=r"3600 megapixels, the limit is 150\. Save a smaller copy"):
        open_image(pictures.bomb(tmp_path / "bomb.png"))


def test_a_damaged_picture_opened_elsewhere_is_an_image_error(tmp_path: Path) -> None:
    with (
        Image.open(pictures.truncated(tmp_path / "short.jpg")) as lazy,
        pytest.raises(UnreadableImage, match="in memory"),
    ):
        open_image(lazy)


def test_an_empty_picture_in_memory_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="empty"):
        open_image(Image.new("RGB", (0, 5)))


def mutations(content: bytes, count: int, seed: str) -> Iterator[bytes]:
    """Seeded damage: bits flipped, bytes set, stretches cut out, repeated or zeroed, ends lost."""
    rng = random.Random(seed)
    for _ in range(count):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            start = rng.randrange(len(damaged))
            end = min(len(damaged), start + rng.randint(1, 32))
            damage = rng.randrange(6)
            if damage == 0:
                damaged[start] ^= 1 << rng.randrange(8)
            elif damage == 1:
                damaged[start] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            elif damage == 2:
                del damaged[start:end]
            elif damage == 3:
                damaged[start:start] = damaged[start:end]
            elif damage == 4:
                damaged[start:end] = bytes(end - start)
            else:
                del damaged[max(1, start) :]
            damaged = damaged or bytearray(1)
        yield bytes(damaged)


@pytest.mark.parametrize(("kind", "suffix"), SUFFIX_OF_FORMAT)
def test_of_damaged_bytes_only_image_errors_escape(tmp_path: Path, kind: str, suffix: str) -> None:
    writers: list[Callable[[Path], Path]] = [lambda path: pictures.photograph(path, (40, 30))]
    if kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        writers.append(lambda path: pictures.oriented(path, 6))
    if kind in ("GIF", "PNG", "WEBP"):
        writers.append(pictures.animated)
    if kind in ("PNG", "TIFF"):
        writers.append(pictures.sixteen_bit)
    outcomes = set()
    for i, write in enumerate(writers):
        content = write(tmp_path / f"whole{i}{suffix}").read_bytes()
        for damaged in mutations(content, 600 // len(writers), f"{kind} {i}"):
            try:
                pixels = square(open_image(io.BytesIO(damaged), 16), 16)
                assert pixels.shape == (16, 16, 3)
                outcomes.add("opened")
            except ImageError as error:
                outcomes.add(type(error).__name__)
    assert {"opened", "UnreadableImage"} <= outcomes  # the damage was neither harmless nor total


# ------------------------------------------------------------------ the model's square


def test_square_has_shape_network_wants_whatever_proportions(tmp_path: Path) -> None:
    for size in ((64, 48), (1, 1), (500, 3), (3, 500), (16, 16)):
        pixels = square(open_image(pictures.solid(tmp_path / "any.png", pictures.GREEN, size)), 16)
        assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
        assert close_to(pixels[8, 8], pictures.GREEN)


def test_nothing_is_cropped_away() -> None:
    picture = Image.new("RGB", (400, 40), pictures.RED)
    picture.paste(pictures.BLUE, (360, 0, 400, 40))
    pixels = square(picture, 20)
    assert close_to(pixels[10, 0], pictures.RED)
    assert close_to(pixels[10, 19], pictures.BLUE)


def test_decoding_at_a_fraction_gives_nearly_the_same_square(tmp_path: Path) -> None:
    path = pictures.photograph(tmp_path / "large.jpg")
    small = open_image(path, 64)
    assert small.size == (200, 150)  # an eighth; a smaller one would be below 2 × 64
    difference = np.abs(square(small, 64).astype(int) - square(open_image(path), 64))
    assert difference.mean() < 1.5
    assert difference.max() < 24


def test_a_jpeg_is_never_decoded_below_twice_the_square(tmp_path: Path) -> None:
    for width in (100, 127, 128, 255, 256, 300, 513):
        path = pictures.solid(tmp_path / "any.jpg", size=(width, width))
        assert min(open_image(path, 64).size) >= min(width, 128)


# ------------------------------------------------------------------ decoding ahead


def test_squares_come_in_the_order_of_their_sources(tmp_path: Path) -> None:
    slow = pictures.photograph(tmp_path / "slow.png", (1200, 900))
    quick = [pictures.solid(tmp_path / f"{i}.png", (i, 0, 0), (8, 8)) for i in range(40)]
    decoded = list(decode_ahead([slow, *quick], 8, 4))
    assert [source for source, _ in decoded] == [slow, *quick]
    assert [int(pixels[0, 0, 0]) for _, pixels in decoded[1:]] == list(range(40))


def test_errors_come_as_values_in_their_place_and_rest_goes_on(tmp_path: Path) -> None:
    good, bad = pictures.solid(tmp_path / "good.png"), pictures.text_as_picture(tmp_path / "bad.jpg")
    with Image.open(pictures.truncated(tmp_path / "short.jpg")) as lazy:
        outcomes = [outcome for _, outcome in decode_ahead([good, bad, lazy, tmp_path / "gone.png", good], 8, 2)]
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [np.ndarray, UnsupportedFormat, UnreadableImage, UnreadableImage, np.ndarray]
    assert "bad.jpg" in str(outcomes[1])


def test_an_endless_iterator_is_read_a_bounded_number_ahead(tmp_path: Path) -> None:
    path, taken = pictures.solid(tmp_path / "one.png", size=(4, 4)), itertools.count()
    endless = (path for _ in taken)
    decoded = decode_ahead(endless, 4, 2)
    for _ in range(100):
        next(decoded)
    decoded.close()
    assert next(taken) <= 100 + AHEAD


def test_nothing_is_read_before_the_first_square_is_asked_for(tmp_path: Path) -> None:
    taken: list[int] = []
    sources = (taken.append(1) or tmp_path for _ in range(3))
    decoded = decode_ahead(sources, 4, 2)
    assert taken == []
    assert len(list(decoded)) == 3


def test_no_sources_give_no_squares() -> None:
    assert list(decode_ahead([], 8, 2)) == []


def test_a_consumer_that_stops_early_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    decoded = decode_ahead(itertools.repeat(pictures.solid(tmp_path / "one.png")), 8, 4)
    next(decoded)
    decoded.close()
    assert threading.active_count() == before


def test_an_error_of_the_iterator_itself_reaches_the_consumer(tmp_path: Path) -> None:
    def sources() -> Iterator[Path]:
        yield pictures.solid(tmp_path / "one.png")
        raise OSError("the drive was unplugged")

    with pytest.raises(OSError, match="unplugged"):
        list(decode_ahead(sources(), 8, 2))


def test_work_runs_ahead_in_order_and_several_at_once() -> None:
    together = threading.Barrier(4)

    def work(number: int) -> int:
        if number < 4:
            together.wait(timeout=60)  # passes only when four of them run at the same time
        time.sleep(0.0005 * (number % 3))
        return number * number

    assert list(map_ahead(work, range(50), 4)) == [(number, number * number) for number in range(50)]


# ------------------------------------------------------------------ warnings


def test_pillow_prints_no_warning_about_pictures_that_open(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(UnreadableImage):  # 100 megapixels: Pillow warns of a bomb at 89
            open_image(pictures.bomb(tmp_path / "claim.png", (10_000, 10_000)))
    assert heard == []


def test_decoding_in_threads_leaves_warning_filters_alone(tmp_path: Path) -> None:
    path = pictures.solid(tmp_path / "one.png", size=(4, 4))
    before = list(warnings.filters)
    for _ in decode_ahead([path] * 600, 4, 8):
        pass
    assert warnings.filters == before
