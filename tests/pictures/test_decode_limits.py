"""Pictures made to be expensive: each is refused at once, with both numbers and a remedy."""

import io
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

import pictures
from araclip.errors import ImageTooLarge, UnreadableImage
from araclip.pictures import images, limits
from araclip.pictures.images import open_image, square
from araclip.pictures.limits import ByteBudget


def jpeg(size: tuple[int, int], passes: int = 0, exif_blocks: int = 0) -> bytes:
    """A progressive JPEG with `passes` superfluous scans."""
    stream = io.BytesIO()
    Image.new("RGB", size, "red").save(stream, "JPEG", progressive=True)
    whole = stream.getvalue()
    body, end = whole[:-2], whole[-2:]
    block = b"\xff\xe1" + struct.pack(">H", 2 + 6 + 40) + b"Exif\0\0" + bytes(40)
    return body[:2] + block * exif_blocks + body[2:] + body[body.rfind(b"\xff\xda") :] * passes + end


def test_a_jpeg_with_too_many_scans_is_refused_at_once() -> None:
    assert open_image(io.BytesIO(jpeg((2000, 1500), 60)), 224).mode == "RGB"
    bomb = jpeg((2000, 1500), 3000)
    assert len(bomb) < 100_000
    start = time.process_time()
    with pytest.raises(ImageTooLarge, match=r"3 megapixels in 3,010 passes, the limit is 1,000 passes.*Save it again"):
        open_image(io.BytesIO(bomb), 224, name="bomb.jpg")
    assert time.process_time() - start < 1


def test_scans_behind_the_end_of_a_jpeg_do_not_count() -> None:
    whole = jpeg((2000, 1500), 60)
    assert open_image(io.BytesIO(whole + b"\xff\xda\x00\x10" * 5000), 224).mode == "RGB"  # a motion photo's video
    table = b"\xff\xe2\x00\x04\xff\xd9"  # bytes of a segment that look like the end
    at = whole.index(b"\xff\xda")
    bomb = whole[:at] + table + whole[at:-2] + jpeg((2000, 1500), 3000)[2:]
    with pytest.raises(ImageTooLarge, match="passes"):
        open_image(io.BytesIO(bomb), 224)
    assert {limits.count_scans(io.BytesIO(whole[:cut])) for cut in (0, 1, 2, 5, at)} == {0}
    padded = whole[:at] + b"\xff\xe2\xff\xf0" + bytes(0xFFEE) + b"\xff" * 5 + whole[at:]
    assert limits.count_scans(io.BytesIO(padded)) == limits.count_scans(io.BytesIO(whole)) == 70


def test_a_jpeg_with_thousands_of_exif_blocks_is_refused() -> None:
    assert open_image(io.BytesIO(jpeg((8, 8), exif_blocks=60)), 224).size == (8, 8)
    with pytest.raises(UnreadableImage, match=r"5,000 EXIF blocks, 64 at most.*Restore it"):
        open_image(io.BytesIO(jpeg((8, 8), exif_blocks=5000)), 224)


def test_a_small_tiff_with_a_huge_tile_is_refused(tmp_path: Path) -> None:
    entries = (
        (256, 40),
        (257, 30),
        (258, 8),
        (259, 5),
        (262, 1),
        (277, 1),
        (322, 40_000),
        (323, 40_000),
        (324, 8),
        (325, 9),
    )
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    path = pictures.written(tmp_path / "tile.tiff", b"II*\0\x08\0\0\0" + body + bytes(4))
    with pytest.raises(ImageTooLarge, match=r"1600 megapixels, the limit is 150"):
        open_image(path, 224)


def test_a_picture_above_the_free_memory_is_refused_with_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pictures.solid(tmp_path / "large.png", size=(6000, 5000))
    monkeypatch.setattr(limits, "free_memory", lambda: 500_000_000)
    match = r"6000 × 5000 \(30 megapixels\) takes 0\.5 GB to decode, and of 0\.5 GB of free memory 50%"
    with pytest.raises(ImageTooLarge, match=match):
        open_image(path)
    assert square(open_image(path, 32), 32).shape == (32, 32, 3)  # reduced in strips, a third of that
    usual = pictures.solid(tmp_path / "usual.png", size=(4000, 3000))  # below LARGE, so not checked
    assert open_image(usual).mode == "RGB"


def test_a_jpeg_decoded_at_a_fraction_needs_only_that_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "free_memory", lambda: 0)
    path = pictures.solid(tmp_path / "large.jpg", size=(8000, 6000))
    assert open_image(path, 224).size == (1000, 750)
    with pytest.raises(ImageTooLarge, match=r"0\.0 GB of free memory"):
        open_image(path)


def test_pictures_that_threads_decode_share_one_budget_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of 500 fit into 1,000 bytes; none larger than the budget runs beside another."""
    inside, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2)  # broken by a pair that is not let in together

    def watched(image: Image.Image, factors: tuple[int, int], name: str) -> Image.Image:
        nonlocal inside, most
        with lock:
            inside, most = inside + 1, max(most, inside + 1)
        both.wait(30)
        with lock:
            inside -= 1
        return image.convert("RGB")

    monkeypatch.setattr(images, "DECODING", ByteBudget(1000))
    monkeypatch.setattr(images, "bytes_to_decode", lambda *_: 500)
    monkeypatch.setattr(images, "upright_rgb", watched)
    path = pictures.solid(tmp_path / "one.png")
    threads = [threading.Thread(target=open_image, args=(path, 16)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_who_waits_for_the_budget_is_served_in_turn() -> None:
    budget, served = ByteBudget(10), list[str]()

    def take(name: str, amount: int) -> None:
        with budget.hold(amount):
            served.append(name)

    with pytest.raises(ImageTooLarge), budget.hold(10):
        raise ImageTooLarge
    with budget.hold(6):
        large = threading.Thread(target=take, args=("large", 99))  # more than the budget: all of it
        large.start()
        while not budget._waiting:
            time.sleep(0.001)
        small = threading.Thread(target=take, args=("small", 1))  # would fit, but came later
        small.start()
        while len(budget._waiting) < 2:
            time.sleep(0.001)
    large.join()
    small.join()
    assert served == ["large", "small"]


def test_libtiff_prints_nothing_about_a_damaged_picture(tmp_path: Path) -> None:
    whole = bytearray((pictures.grey(tmp_path / "fax.tiff", 1, "1")).read_bytes())
    Image.effect_noise((300, 300), 90).convert("1").save(tmp_path / "fax.tiff", compression="group4")
    whole = bytearray((tmp_path / "fax.tiff").read_bytes())
    for at in range(500, 900):
        whole[at] ^= 0x5A
    (tmp_path / "fax.tiff").write_bytes(whole)
    code = (
        "import sys\nfrom araclip.errors import ImageError\nfrom araclip.pictures.images import open_image\n"
        "try: open_image(sys.argv[1], 16)\nexcept ImageError: pass"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "fax.tiff"], capture_output=True, text=True, check=True
    )
    if "Fax" in ran.stderr and not list(Path(Image.__file__).parents[1].glob("pillow.libs/libtiff*")):
        pytest.skip("Pillow's libtiff is the system's here")
    assert ran.stderr == ""


@pytest.mark.parametrize("size", [(1, 1), (30_000, 2), (2, 30_000), (12_000, 1)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_every_mode_and_shape_ends_as_a_square(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    path = tmp_path / ("any.tiff" if mode == "CMYK" else "any.png")
    Image.new("RGB", size, "gray").convert("L" if mode == "I;16" else mode).convert(mode).save(path)
    assert square(open_image(path, 64), 64).shape == (64, 64, 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_averaging_early_gives_square_that_averaging_late_would(tmp_path: Path, mode: str) -> None:
    import numpy as np

    with Image.open(pictures.photograph(tmp_path / "photo.png", (1400, 1000))) as photo:
        if mode == "I;16":
            picture = Image.fromarray(np.asarray(photo.convert("L"), np.uint16) * 257)
        else:
            picture = photo.convert("RGBA")
            picture.putalpha(photo.convert("L").point(lambda level: 128 + level // 2))
            picture = picture.convert(mode)
    path = tmp_path / "any.png"
    picture.save(path)
    early, late = square(open_image(path, 64), 64).astype(int), square(open_image(path), 64)
    assert np.abs(early - late).max() <= 3
