"""Duplicates: the same bytes, the same picture saved otherwise, the same scene; and searches that show each once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import InputError
from araclip.gallery import near_hashes
from araclip.gallery.catalog.filters import Filters
from araclip.gallery.maintenance.duplicates import connected_rows, find_duplicates, scene_pairs
from araclip.gallery.near_hashes import NEAR, SeenHashes, near_pairs
from araclip.pictures import phash
from araclip.pictures.images import square


def scene(seed: int, size: tuple[int, int] = (480, 360)) -> Image.Image:
    """Smooth shapes, another picture for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "صور"
    root.mkdir()
    for seed in range(6):
        scene(seed).save(root / f"{seed}.png")
    (root / "sub").mkdir()
    (root / "sub" / "نسخة.png").write_bytes((root / "0.png").read_bytes())
    scene(0).save(root / "0 small.jpg", quality=60)
    scene(0).resize((240, 180)).save(root / "0 half.webp", quality=80)
    scene(1).save(root / "1.jpg", quality=30)
    return root


@pytest.fixture
def gallery(tmp_path: Path, tiny_model: Path, folder: Path) -> Iterator[Gallery]:
    with Gallery.open(tmp_path / "g", model=AraCLIP.load(tiny_model, threads=1), create=True) as opened:
        opened.update([folder])
        yield opened


def named(gallery: Gallery, *kinds: str) -> list[tuple[str, set[str]]]:
    return [(group.kind, {Path(path).name for path in group.paths}) for group in gallery.duplicates(kinds)]


def test_exact_and_near_copies_are_grouped_apart_from_others(gallery: Gallery, folder: Path) -> None:
    assert named(gallery, "exact") == [("exact", {"0.png", "نسخة.png"})]
    near = named(gallery, "near")
    assert [kind for kind, _ in near] == ["near", "near"]
    assert {frozenset(names) for _, names in near} == {
        frozenset({"0.png", "0 small.jpg", "0 half.webp"}),
        frozenset({"1.png", "1.jpg"}),
    }
    assert gallery.duplicates() == gallery.duplicates(("exact", "near"))


def test_the_largest_picture_of_a_group_comes_first(gallery: Gallery, folder: Path) -> None:
    (group,) = [group for group in gallery.duplicates(["near"]) if "0" in Path(group.paths[0]).name]
    assert [Path(path).name for path in group.paths] == ["0.png", "0 small.jpg", "0 half.webp"]
    assert group.spare_bytes == sum((folder / name).stat().st_size for name in ("0 small.jpg", "0 half.webp"))


TEXTS = (4, 7, 8)  # three pages whose perceptual hashes are near each other


def page(text: int) -> Image.Image:
    """Lines of words on white paper: one layout, other letters for each text."""
    layout, rng, paper = np.random.default_rng(0), np.random.default_rng(text), np.full((900, 600), 255, np.uint8)
    for top in range(60, 860, int(layout.integers(40, 80))):
        right = int(layout.integers(100, 540))
        letters = rng.integers(0, 2, (9, 150), dtype=np.uint8).repeat(2, axis=0).repeat(3, axis=1)
        paper[top : top + 18, 60:right] -= 235 * letters[:, : right - 60]
    return Image.fromarray(paper)


def test_pages_of_one_layout_are_no_copies_of_each_other(gallery: Gallery, folder: Path) -> None:
    for text in TEXTS:
        page(text).save(folder / f"page {text}.png")
    page(TEXTS[2]).resize((300, 450)).save(folder / "page 8 small.jpg", quality=75)
    gallery.update([folder])
    hashes = phash.phash(np.stack([square(page(text).convert("RGB"), phash.SIZE) for text in TEXTS]))
    assert near_hashes.mask_near(hashes, hashes[2]).all()  # by these alone they would be copies
    groups = [names for _, names in named(gallery, "near") if any(name.startswith("page") for name in names)]
    assert groups == [{"page 8.png", "page 8 small.jpg"}]


def test_an_unopened_near_copy_is_named_and_not_counted(gallery: Gallery, folder: Path) -> None:
    (folder / "1.jpg").write_bytes(b"gone")
    (group,) = [group for group in gallery.duplicates(["near"]) if "1" in Path(group.paths[0]).name]
    assert [Path(path).name for path in group.paths] == ["1.png", "1.jpg"]
    assert group.uncompared == (str(folder / "1.jpg"),)
    assert group.spare_bytes == 0


def test_flat_pictures_of_other_colours_are_no_duplicates(tmp_path: Path, tiny_model: Path) -> None:
    for i, colour in enumerate((pictures.RED, pictures.GREEN, (254, 0, 0))):
        pictures.solid(tmp_path / "flat" / f"{i}.png", colour)
    with Gallery.open(tmp_path / "flat-g", model=AraCLIP.load(tiny_model), create=True) as gallery:
        gallery.update([tmp_path / "flat"])
        assert gallery.duplicates() == []
        assert named(gallery, "semantic") == [("semantic", {"0.png", "2.png"})]


def test_a_stored_picture_is_not_a_duplicate_file(gallery: Gallery, folder: Path) -> None:
    gallery.add([(folder / "5.png").read_bytes()])
    assert len(gallery.duplicates(["exact"])) == 1


def test_a_copy_gone_from_the_disk_makes_no_duplicate(gallery: Gallery, folder: Path) -> None:
    (folder / "sub" / "نسخة.png").unlink()
    (folder / "1.jpg").unlink()
    assert named(gallery, "exact") == []
    assert named(gallery, "near") == [("near", {"0.png", "0 small.jpg", "0 half.webp"})]


def test_links_to_a_file_are_no_duplicates_of_it(gallery: Gallery, folder: Path) -> None:
    (folder / "2 link.png").symlink_to(folder / "2.png")
    (folder / "3 hard.png").hardlink_to(folder / "3.png")
    (folder / "sub" / "2 copy.png").write_bytes((folder / "2.png").read_bytes())
    gallery.update([folder])
    groups = {frozenset(names) for _, names in named(gallery, "exact")}
    assert groups == {frozenset({"0.png", "نسخة.png"}), frozenset({"2.png", "2 copy.png"})}  # by the file's own name


def test_an_unknown_kind_is_refused(gallery: Gallery) -> None:
    with pytest.raises(InputError, match=r"'blurred'.*exact, near, semantic"):
        gallery.duplicates(["near", "blurred"])


def test_collapsed_hits_show_each_picture_once_whatever_the_page(gallery: Gallery) -> None:
    assert len(gallery.search("صورة", 50)) == 9
    whole = gallery.search("صورة", 50, where=Filters(collapse=True))
    assert len({Path(hit.path).name[0] for hit in whole}) == len(whole) == 6
    pages = [hit for at in range(0, 6, 2) for hit in gallery.search("صورة", 2, where=Filters(collapse=True), offset=at)]
    assert pages == whole
    near = {Path(hit.path).name[0]: hit.near for hit in whole}
    dated = gallery.search("أحدث الصور", 50, where=Filters(collapse=True))
    assert all(hit.relevance is None for hit in dated)
    assert {Path(hit.path).name[0]: hit.near for hit in dated} == near and any(near.values())


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29))))
def test_groups_are_the_connected_parts_each_row_at_most_once(count: int, pairs: list[tuple[int, int]]) -> None:
    pairs = [(a % count, b % count) for a, b in pairs]
    found = connected_rows(count, pairs)
    rows = [row for group in found for row in group]
    assert len(rows) == len(set(rows))
    assert all(len(group) > 1 and group == sorted(group) for group in found)
    where = {row: i for i, group in enumerate(found) for row in group}
    for a, b in pairs:
        assert a == b or where[a] == where[b]
    assert connected_rows(count, pairs[::-1]) == found


@given(st.integers(0, 100), st.integers(2, 40))
def test_pairs_are_those_of_a_plain_comparison(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.abs(rng.normal(size=(count, 4))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    above = [(a, b) for a in range(count) for b in range(a + 1, count) if cosines[a, b] >= 0.9]
    masks = rng.integers(0, 1 << 63, 3, np.uint64)
    hashes = np.array(
        [rng.choice(masks) ^ np.uint64(rng.integers(0, 1 << 14)) for _ in range(count)] + [0, 0], np.uint64
    )
    differ = [[(int(a) ^ int(b)).bit_count() for b in hashes] for a in hashes]
    close = [(a, b) for a in range(count) for b in range(a + 1, count) if differ[a][b] <= NEAR]
    tied = list(near_pairs(hashes))
    assert set(tied) <= set(close)
    assert len(tied) == len(set(tied))
    assert connected_rows(len(hashes), tied) == connected_rows(len(hashes), close)
    scenes = list(scene_pairs(vectors, hashes[:count]))
    apart = [pair for pair in above if pair not in close]
    assert set(scenes) <= set(apart)
    assert connected_rows(count, scenes) == connected_rows(count, apart)


def test_a_thousand_pictures_of_one_scene_cost_a_thousand_pairs() -> None:
    vectors = np.ones((1000, 1), np.float32)
    hashes = np.random.default_rng(0).integers(1 << 32, 1 << 63, 1000, np.uint64)
    assert len(list(scene_pairs(vectors, hashes))) < 2000


def test_pictures_that_come_and_go_join_no_other_group() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 1, 1, 2]]
    files = {n: [(f"/{n}.jpg", 1, 1)] for n in (1, 2, 3, 4)}
    hashes = np.array([1, 2, 4, 8], np.uint64) << np.uint64(32) | np.array([0, 0xFFFF, 0xFF00FF, 0xFFFF0000], np.uint64)
    for gone in ((), (1,), (4,)):
        seen = np.array([n for n in (1, 2, 3, 4) if n not in gone])
        groups = find_duplicates(
            files, lambda: (np.arange(1, 5), hashes), lambda seen=seen: (seen, vectors[seen - 1]), ["semantic"]
        )
        assert [group.paths for group in groups] == [("/2.jpg", "/3.jpg")]


@given(st.lists(st.integers(0, 3) | st.sampled_from([0b11 << 20, 1 << 63, (1 << 64) - 1, 0x7F0]), max_size=200))
def test_of_seen_hashes_each_is_far_from_those_before_it(hashes: list[int]) -> None:
    seen, kept = SeenHashes(), list[int]()
    for own in hashes:
        near = any(own and other and (own ^ other).bit_count() <= NEAR for other in kept)
        assert seen.add_unless_near(own) == (not near)
        kept += [] if near else [own]


@given(st.integers(0, 1000))
def test_near_hashes_are_paired_whichever_bits_differ(seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.integers(1, 1 << 63, 60, np.uint64)
    flips = [sum(1 << int(bit) for bit in rng.choice(64, i % (NEAR + 3), replace=False)) for i in range(60)]
    other = base ^ np.array(flips, np.uint64)
    found = set(near_pairs(np.concatenate([base, other])))
    for row, flip in enumerate(flips):
        assert ((row, row + 60) in found) == (flip.bit_count() <= NEAR)


def test_a_thousand_copies_cost_a_thousand_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = np.full(1000, 0xF0F0F0F0F0F0F0F0, np.uint64)
    assert sorted(near_pairs(copies)) == [(0, row) for row in range(1, 1000)]
    few = np.random.default_rng(0).integers(0, 1 << 12, 500, np.uint64) | np.uint64(1 << 40)
    whole = sorted(near_pairs(few))
    monkeypatch.setattr(near_hashes, "AT_ONCE", 64)
    assert sorted(near_pairs(few)) == whole
    assert len(whole) > 500
