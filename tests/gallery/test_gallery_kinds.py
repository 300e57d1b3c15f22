"""A folder and PostgreSQL answer alike: the same random queries and filters over the same pictures in both kinds."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

import pictures
from araclip import AraCLIP, Gallery, open_gallery
from araclip.errors import InputError
from araclip.gallery.base import BaseGallery
from araclip.gallery.results import Hit
from postgres_server import needs_server, new_address

pytestmark = needs_server
SEARCHES = 3_600
NEARLY = 2e-3  # of scores and of relevance
PLACES = ((24.7136, 46.6753), (30.0444, 31.2357), (-33.9, 18.4), (0.0, 0.0))
CAMERAS = ("Canon EOS R6", "iPhone 14 Pro", "SM-G991B")
FOLDERS = ("رحلة البحر", "عمل", "IMG 2024", "a.b", "صور/قديم")
ALBUMS = ("عيد", "summer trip", 7, 10**20, 2.5, -0.0, True, ["عيد", 3, False], "10", "1e20", 'ألبوم "أول"')
ASKED = ("عيد", "7", "10", str(10**20), "2.5", "0.0", "-0.0", "true", "false", "3", "1e20", "1.0e+20")
NAMES = ("بحر", "red car", "IMG_0001", "صورة٢", "photoOfDog", "naïve", "ة")
WORDS = (
    "أحمر", "أزرق", "بحر", "سيارة", "red", "a blue sea", "بدون", "صور", "رحلة البحر", "عمل", "في", "2023", "السنة",
    "مايو", "عيد", "IMG", "كلب", "مو", "+", "-", "قديم", "مجلد", "folder", "Canon", "\"بحر\"", "ألبوم", "naive", "٢",
)  # fmt: skip


def photograph(path: Path, draw: random.Random) -> None:
    """A picture with a colour, and with a date, a camera and a place or without."""
    image = Image.new("RGB", (draw.choice((32, 48)), 40), tuple(draw.randrange(256) for _ in range(3)))
    exif = Image.Exif()
    if draw.random() < 0.6:
        day = f"{draw.randint(2021, 2024)}:{draw.randint(1, 12):02}:{draw.randint(1, 28):02}"
        taken = f"{day} 10:00:{draw.randrange(60):02}"
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = taken
    if draw.random() < 0.6:
        exif[ExifTags.Base.Model] = draw.choice(CAMERAS)
    if draw.random() < 0.5:
        latitude, longitude = draw.choice(PLACES)
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        for at, value, (plus, minus) in ((1, latitude, "NS"), (3, longitude, "EW")):
            gps[at], gps[at + 1] = plus if value >= 0 else minus, (abs(value), 0.0, 0.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, exif=exif)


def filled(gallery: BaseGallery, root: Path) -> None:
    """Index, upload, describe, hide and remove: the same for both kinds."""
    draw = random.Random(2)
    gallery.update([root])
    paths = sorted(str(path) for path in root.rglob("*.jpg"))
    gallery.add(paths[:30], metadata=[{"album": draw.choice(ALBUMS), "n": draw.choice(ALBUMS)} for _ in range(30)])
    for number, name in enumerate(NAMES):
        gallery.add([np.full((24, 24, 3), 40 + 7 * number, np.uint8)], metadata={"name": f"{name}.png"})
    gallery.remove(paths[:3])  # one whose copy inherits what was said of it
    gallery.hide(paths[10:14])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Iterator[tuple[BaseGallery, BaseGallery]]:
    """One gallery of each kind, with the same pictures."""
    folder, draw = tmp_path_factory.mktemp("kinds"), random.Random(1)
    root, model = folder / "صور", AraCLIP.load(tiny_model, threads=1)
    for number in range(60):
        photograph(root / draw.choice(FOLDERS) / f"{draw.choice(NAMES)} {number}.jpg", draw)
    for number, path in enumerate(sorted(root.rglob("*.jpg"))[:6]):
        shutil.copy(path, root / f"copy {number}.jpg")
    for number in range(12):
        pictures.solid(root / "ties" / f"{number:02}.png", (60 * (number // 4), 90, 90), (32, 32 * (1 + number % 4)))
    (root / "ties" / "00.txt").write_text("برج الساعة في البحر", encoding="utf-8")
    galleries = (
        Gallery.open(folder / "gallery", model=model, create=True),
        open_gallery(new_address(), model=model, create=True),
    )
    for gallery in galleries:
        filled(gallery, root)
    yield galleries
    for gallery in galleries:
        gallery.close()


def one_filter(draw: random.Random, root: str) -> str:
    """A filter as it is typed, of a value that some picture has or none."""
    year, month = draw.randint(2020, 2025), draw.randint(1, 12)
    latitude, longitude = draw.choice(PLACES)
    choices: tuple[Callable[[], str], ...] = (
        lambda: f"folder={draw.choice([root, f'{root}/{draw.choice(FOLDERS)}', root[:-1], '/'])}",
        lambda: f"folder!={draw.choice([f'{root}/{draw.choice(FOLDERS)}', *FOLDERS[:4], 'ties'])}",
        lambda: f"captured={draw.choice([f'{year}', f'{year}-{month:02}', f'{year}..', f'..{year}-{month:02}-15'])}",
        lambda: f"month={month}",
        lambda: f"day={draw.randint(1, 31)}",
        lambda: f"added={draw.choice(['2020..', '..2020', '2026-11..', '2026..2030'])}",
        lambda: f"size={draw.choice(['..1k', '500..', '0..', '1k..2k', '9G..'])}",
        lambda: f"format={draw.choice(['jpg', 'PNG', 'webp', 'MP4'])}",
        lambda: f"orientation={draw.choice(['landscape', 'portrait', 'square'])}",
        lambda: f"camera={draw.choice([*CAMERAS, 'canon', '14', 'r6 EOS', 'nikon'])}",
        lambda: f"name={draw.choice([*NAMES, '*.png', '?? *', 'dog', 'copy', '*بحر*', '0[0-3]*', 'صوره', 'IMG'])}",
        lambda: f"near={latitude},{longitude},{draw.choice(['1m', '10km', '3000km', '20000km'])}",
        lambda: f"kind={draw.choice(['picture', 'video'])}",
        lambda: f"hidden={draw.choice(['yes', 'no', 'any'])}",
        lambda: f"scenes={draw.choice(['all', 'best'])}",
        lambda: f"meta.{draw.choice(['album', 'n', 'none'])}={draw.choice(ASKED)}",
    )  # fmt: skip
    return draw.choice(choices)()


def answer(gallery: BaseGallery, query: str, k: int, **options: Any) -> list[Hit] | str:
    """The hits, or the refusal."""
    try:
        return gallery.search(query, k, **options)
    except InputError as error:
        return str(error)


def rating(hit: Hit) -> float:
    """What hits are ordered by: a name that matches raises the relevance, not the score."""
    return hit.score if hit.relevance is None else hit.relevance


def alike(one: list[Hit] | str, other: list[Hit] | str) -> bool:
    """Whether two answers are the same but for the order of hits whose ratings are as good as equal, also across an end
    of the page: the two kinds add the products of float16 in another order."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    if len(one) != len(other) or any(abs(rating(a) - rating(b)) > NEARLY for a, b in zip(one, other, strict=True)):
        return False
    about = [{hit.path: (hit.copies, hit.near, hit.matched) for hit in hits} for hits in (one, other)]
    scores = [{hit.path: hit.score for hit in hits} for hits in (one, other)]
    shared = about[0].keys() & about[1].keys()
    beyond = [hit for hits, others in ((one, about[1]), (other, about[0])) for hit in hits if hit.path not in others]
    ends = [rating(hits[at]) for hits in (one, other) for at in (0, -1) if hits]
    return all(
        about[0][path] == about[1][path] and abs(scores[0][path] - scores[1][path]) <= NEARLY for path in shared
    ) and all(any(abs(rating(hit) - end) < NEARLY for end in ends) for hit in beyond)


def test_an_exclusion_in_postgres_is_judged_within_the_glob(
    both: tuple[BaseGallery, BaseGallery],
) -> None:
    in_folder, on_server = (answer(each, "سيارة - folder بدون", 12, where=["name=*.png"]) for each in both)
    assert isinstance(in_folder, list) and len(in_folder) == 12
    assert alike(in_folder, on_server)


def test_random_filters_have_the_same_answer_in_both_stores(
    both: tuple[BaseGallery, BaseGallery],
) -> None:
    draw, different, found = random.Random(3), [], 0
    root = str(Path(next(path for path in both[0]._catalog.files() if "ties" in path)).parents[1])
    for _ in range(SEARCHES):
        query = " ".join(draw.choices(WORDS, k=draw.randint(1, 4)))
        options = {
            "where": [one_filter(draw, root) for _ in range(draw.choice((0, 1, 1, 2)))],
            "offset": draw.choice((0, 0, 5)),
            "literal": draw.random() < 0.2,
        }
        one, other = (answer(gallery, query, 12, **options) for gallery in both)
        found += bool(one) and not isinstance(one, str)
        if not alike(one, other):
            different.append((query, options, one, other))
    assert not different, f"{len(different)} differ: {different[:3]}"
    assert found > SEARCHES // 3
    assert both[0].hidden() == both[1].hidden()
    assert both[0]._catalog.overview().folders == both[1]._catalog.overview().folders
