"""What araclip-mini's recipe prepares: names of emoji and classes, sets written whole, means out of a classifier."""

import importlib
import json
import lzma
import runpy
import sys
import tarfile
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from araclip.errors import InputError
from araclip.evaluation.sets import read_pictures

RECIPES = Path(__file__).parents[2] / "recipes" / "mini"

for needed in ("timm", "torch", "resvg_py"):  # extras train and demo
    pytest.importorskip(needed)
mini_sets, mini_packages, mini_emoji, mini_concepts, mini_held, mini_siblings, mini_data = map(
    importlib.import_module,
    ("sets", "packages", "emoji_drawings", "concepts", "held", "siblings", "data"),
)

arabic_words = st.text("ابتةحدرسشعقكلمنهوي", min_size=1, max_size=8)


# ── emoji ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_keywords_of_several_emoji_are_left_out() -> None:
    names = {"🐈": "cat", "🐕": "dog", **{chr(0x1F600 + i): f"face {i}" for i in range(6)}}
    keywords = {"🐈": ["animal", "kitten", "dog", "cat", "ca"], "🐕": ["animal"]}
    keywords |= {face: ["face"] for face in names if face not in keywords}
    chosen = mini_emoji.distinct_keywords(names, keywords)
    assert chosen["🐈"] == ("cat", "animal", "kitten")
    assert chosen[chr(0x1F600)] == ("face 0",)  # six faces share it


@given(st.dictionaries(st.sampled_from("abcdefgh"), arabic_words), st.lists(arabic_words))
def test_every_emoji_keeps_its_name_first_and_has_no_text_twice(names: dict[str, str], words: list[str]) -> None:
    chosen = mini_emoji.distinct_keywords(names, dict.fromkeys(names, words))
    for emoji, texts in chosen.items():
        assert texts[0] == names[emoji]
        assert len(set(texts)) == len(texts) <= 1 + mini_emoji.KEYWORDS


def test_artists_spell_code_points_each_their_way() -> None:
    assert mini_emoji.from_code("2764-fe0f-200d-1f525") == mini_emoji.from_code("2764-200d-1f525") == "❤\u200d🔥"
    assert mini_emoji.from_code("0023-fe0f-20e3") == mini_emoji.from_code("23-20e3") == "#\u20e3"
    assert mini_emoji.from_code("1f3f4-e0067_e0062") == "🏴\U000e0067\U000e0062"


def test_drawings_become_squares_on_white_listed_with_both_names(tmp_path: Path) -> None:
    webp = BytesIO()
    Image.new("RGBA", (255, 255), (0, 0, 255, 0)).save(webp, "WEBP")
    tall = {"body": '<path fill="#f00" d="M0 0H10V20H0z"/>', "width": 10, "height": 20}
    drawings = [("🐈", mini_emoji.svg_of(tall, {"width": 5})), ("🐕", webp.getvalue()), ("🦄", "unnamed")]
    names = {"🐈": mini_emoji.Names(("cat",), ("قطة",)), "🐕": mini_emoji.Names(("dog", "pet"), ("كلب",))}
    art = mini_emoji.Art("art@1.0.0", "MIT")
    assert mini_sets.write_set(tmp_path / "art", {}, lambda folder: mini_emoji.draw(iter(drawings), names, art, folder))
    cat, dog = read_pictures(tmp_path / "art", ("caption_en",), ("caption_ar",))
    assert (cat.english, cat.arabic, dog.english) == (("cat",), ("قطة",), ("dog", "pet"))
    pixels = np.asarray(Image.open(cat.path))
    assert pixels.shape == (224, 224, 3)
    assert pixels[112, 112].tolist() == [255, 0, 0]
    assert pixels[112, 10].tolist() == [255, 255, 255]  # beside the tall drawing
    assert np.asarray(Image.open(dog.path)).min() == 255  # all transparent


def test_art_without_code_points_goes_by_names(tmp_path: Path) -> None:
    body = {"body": '<path d="M0 0H9V9H0z"/>'}
    icons = {
        "icons": {"cat-face": body, "flag-for-cote-divoire": body, "flag-for-flag-china": body, "unheard-of": body},
        "aliases": {"kitty-face": {"parent": "cat-face"}, "gone": {"parent": "nowhere"}},
        "width": 9,
    }
    names = {
        "🐱": mini_emoji.Names(("kitty face",), ("وجه قطة",)),
        "🇨🇮": mini_emoji.Names(("flag: Côte d’Ivoire",), ("علم: كوت ديفوار",)),
        "🇨🇳": mini_emoji.Names(("flag: China",), ("علم: الصين",)),
        "🐕": mini_emoji.Names(("gone",), ("كلب",)),
    }
    archive = tmp_path / "art-1.0.0.tgz"
    for chars, found in (({}, ["🐱", "🇨🇮", "🇨🇳"]), ({"1f415": "unheard-of"}, ["🐕"])):
        with tarfile.open(archive, "w:gz") as package:
            for name, content in (("icons", icons), ("chars", chars)):
                (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
                package.add(tmp_path / name, f"package/{name}.json")
        drawings = dict(mini_emoji.vector_drawings(archive, names))
        assert sorted(drawings) == sorted(found)
        assert all(drawing.startswith("<svg") for drawing in drawings.values())


def test_art_without_one_named_emoji_is_refused(tmp_path: Path) -> None:
    art = mini_emoji.Art("art@1.0.0", "MIT")
    with pytest.raises(InputError, match=r"art@1\.0\.0 draws no emoji that has a name"):
        mini_sets.write_set(tmp_path / "art", {}, lambda folder: mini_emoji.draw(iter([]), {}, art, folder))
    assert not (tmp_path / "art").exists()


# ── packages ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_npm_the_script_leaves_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    script = [str(RECIPES / "data.py"), "--data", str(tmp_path), "--out", str(tmp_path / "data")]
    monkeypatch.setattr(sys, "argv", script)
    with pytest.raises(SystemExit) as done:  # not a Python of its own: it would import PyTorch anew for seconds
        runpy.run_path(script[0], run_name="__main__")
    assert done.value.code == 2
    assert capsys.readouterr().err.startswith("npm is not installed")


def test_an_archive_that_is_there_is_used_without_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    archive = tmp_path / "iconify-json-noto-1.2.9.tgz"
    archive.touch()
    assert mini_packages.fetched("@iconify-json/noto@1.2.9", tmp_path) == archive


def test_a_damaged_archive_is_named_with_the_remedy(tmp_path: Path) -> None:
    archive = tmp_path / "art-1.0.0.tgz"
    content = tmp_path / "icons.json"
    content.write_text("{}" * 50_000)
    with tarfile.open(archive, "w:gz", compresslevel=0) as package:
        package.add(content, "package/icons.json")
    with pytest.raises(InputError, match=r"art-1\.0\.0\.tgz is damaged .*chars\.json.*npm fetches it anew"):
        mini_packages.read(archive, "package/chars.json")
    archive.write_bytes(archive.read_bytes()[:60_000])
    with pytest.raises(InputError, match="is damaged"):
        mini_packages.read(archive, "package/icons.json")


# ── sets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_set_is_made_once_and_again_for_other_input(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    calls = []

    def fill(part: Path) -> Iterable[dict[str, str]]:
        calls.append(part)
        (part / "a.png").write_bytes(b"picture")
        return [{"image": "a.png", "caption_ar": "قطة"}]

    assert mini_sets.write_set(folder, {"version": 1}, fill)
    assert not mini_sets.write_set(folder, {"version": 1}, fill)
    assert mini_sets.write_set(folder, {"version": 2}, fill)
    assert len(calls) == 2
    assert [p.arabic for p in read_pictures(folder, (), ("caption_ar",))] == [("قطة",)]
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_set_that_was_cut_off_leaves_old_one_and_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "set"

    def cut_off(part: Path) -> Iterable[dict[str, str]]:
        (part / "left over").touch()
        raise KeyboardInterrupt

    mini_sets.write_set(folder, {"version": 1}, lambda part: [{"image": "old.png"}])
    with pytest.raises(KeyboardInterrupt):
        mini_sets.write_set(folder, {"version": 2}, cut_off)
    assert "old.png" in (folder / "captions.jsonl").read_text()
    assert mini_sets.write_set(folder, {"version": 2}, lambda part: [{"image": "new.png"}])
    assert sorted(p.name for p in folder.iterdir()) == ["captions.jsonl", "origin.json"]


def test_a_malformed_line_of_a_listing_is_named(tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text('{"image": "a.jpg"}\n{"label": "cat"}\n')
    with pytest.raises(InputError, match=r"captions\.jsonl line 2: KeyError\('image'\)"):
        list(mini_sets.read_rows(tmp_path))


def test_a_table_with_a_row_too_narrow_or_cut_short_is_named(tmp_path: Path) -> None:
    table = tmp_path / "names.tsv.xz"
    table.write_bytes(lzma.compress("en\tar\ncat\tقطة\n".encode()))
    assert mini_sets.read_table(table, 2) == [("cat", "قطة")]
    with pytest.raises(InputError, match=r"names\.tsv\.xz line 1 has 2 columns, not 3"):
        mini_sets.read_table(table, 3)
    table.write_bytes(table.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"names\.tsv\.xz: .*--data is the folder"):
        mini_sets.read_table(table, 2)
    with pytest.raises(InputError, match=r"gone\.tsv\.xz"):
        mini_sets.read_table(tmp_path / "gone.tsv.xz", 2)


@given(st.lists(st.integers()))
def test_a_quarter_is_held_out_and_nothing_is_on_both_sides(numbers: list[int]) -> None:
    rows = [{"image": str(i), "number": n} for i, n in enumerate(numbers)]
    train, held = mini_data.split(rows)
    assert len(held) == len(rows) // 4
    assert sorted(train + held, key=lambda row: int(row["image"])) == rows


def test_a_missing_part_of_the_data_is_named_again_and_again(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match=r"flickr8k-compressed is missing\. --data is the folder that holds"):
            mini_sets.link(tmp_path / "link", tmp_path / "flickr8k-compressed")
    assert not (tmp_path / "link").is_symlink()


def test_copies_of_same_pictures_are_read_from_another_folder(tmp_path: Path) -> None:
    rows = [{"image": "/pictures/images/قطة.jpg", "split": "train", "caption_ar": ["قطة"]}]
    assert mini_data.copies(rows, tmp_path) == [{**rows[0], "image": str(tmp_path / "قطة.jpg")}]


# ── what no training may see ──────────────────────────────────────────────────────────────────────────────────────


@given(st.sets(st.integers(0, 20_000), max_size=200), st.sampled_from([3, 600]), st.data())
def test_the_choice_split_is_every_tenth_picture_by_name(numbers: set[int], most: int, data: st.DataObject) -> None:
    rows = [{"image": f"/x/{n}.jpg", "split": data.draw(st.sampled_from(["train", "dev"]))} for n in numbers]
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(mini_held, "CHOICE", most)
        learned, held = mini_held.choice_split(data.draw(st.permutations(rows)))
    train = sorted(row["image"] for row in rows if row["split"] == "train")
    assert [row["image"] for row in held] == train[::10][:most]
    assert sorted(row["image"] for row in [*learned, *held]) == train


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), unique_by=lambda row: row[0]), st.data())
def test_a_fifth_of_a_labelled_set_is_held_out_without_overlap(
    pictures: list[tuple[int, str]], data: st.DataObject
) -> None:
    rows = [{"image": f"{number}.jpg", "label": label} for number, label in pictures]
    rows += [dict(row) for row in rows[:3]]  # listed twice
    train, held = mini_held.held_fifth(data.draw(st.permutations(rows)))
    names = [{row["image"] for row in side} for side in (train, held)]
    assert not names[0] & names[1] and len(names[1]) == len(pictures) // 5
    assert len(train) + len(held) == len(rows)


def test_text_of_held_pictures_is_in_no_training_text(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    (data / "parallel").mkdir(parents=True)
    out.mkdir()
    rows = [
        ("A man at an entry way.", "رجل عند الباب", "train"),  # Flickr8k has it as "a man at an entry way ."
        ("A woman sits .", "امرأة تجلس", "train"),
        ("Some other text.", "اِمْرَأَة تجلس هنا.", "train"),  # an Arabic caption of the held picture, vocalised
        ("A dog.", "كلب", "dev"),
    ]
    for name in (*mini_held.CAPTIONED, "tatoeba.tsv.xz"):
        lines = "en\tar\tsplit\n" + "".join("\t".join(row) + "\n" for row in rows)
        (data / "parallel" / name).write_bytes(lzma.compress(lines.encode()))
    held = [{"caption_en": ["a man at an entry way ."], "caption_ar_eljundi": ["امرأة تجلس هنا"]}]
    (out / "parallel").symlink_to(data / "parallel")  # as an earlier release left it
    said = mini_held.write_parallel(data, out, held)
    assert said.count(" 2") == 4 and mini_held.write_parallel(data, out, held) == said
    for name in mini_held.CAPTIONED:
        assert mini_sets.read_table(out / "parallel" / name, 3) == [rows[1], rows[3]]
        assert len(mini_sets.read_table(data / "parallel" / name, 3)) == 4
    assert (out / "parallel" / "tatoeba.tsv.xz").is_symlink()
    data.rename(tmp_path / "moved")
    mini_held.write_parallel(tmp_path / "moved", out, [])
    assert (out / "parallel" / "tatoeba.tsv.xz").resolve() == tmp_path / "moved" / "parallel" / "tatoeba.tsv.xz"
    assert len(mini_sets.read_table(out / "parallel" / "flickr8k_rev.tsv.xz", 3)) == 4


def test_a_labelled_picture_has_its_bare_name_beside_the_caption(tmp_path: Path) -> None:
    labelled = {"image": "a.jpg", "label": "Bedroom", "class_ar": "غرفة نوم", "caption_en": ["a photo of a bedroom"]}
    named = mini_data.with_bare_name(labelled)
    assert (named["caption_en"], named["caption_ar"]) == (["bedroom", "a photo of a bedroom"], ["غرفة نوم"])
    drawn = {"image": "a.jpg", "label": "cat", "caption_en": ["cat"], "caption_ar": ["قطة"]}
    assert mini_data.with_bare_name(drawn)["caption_ar"] == ["قطة"]


# ── concepts ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "ways"),
    [
        ("القرش الأبيض الكبير", ("القرش الأبيض الكبير", "قرش أبيض كبير")),
        ("سمك التنش", ("سمك التنش",)),
        ("المنارة أو الفنار", ("المنارة أو الفنار", "المنارة", "الفنار", "منارة", "فنار")),
        ("الزلاجة التي تجرها الكلاب", ("الزلاجة التي تجرها الكلاب",)),
    ],
)
def test_class_names_are_known_with_and_without_article(name: str, ways: tuple[str, ...]) -> None:
    assert mini_concepts.name_variants(name) == ways


@given(st.lists(arabic_words, min_size=1))
def test_every_variant_of_a_name_is_there_once(words: Sequence[str]) -> None:
    name = " ".join(words)
    ways = mini_concepts.name_variants(name)
    assert ways[0] == name
    assert len(set(ways)) == len(ways)
    assert all(ways)


def test_labels_in_another_order_than_the_names_are_refused() -> None:
    english = [("tench",), ("goldfish", "Carassius auratus")]
    order = {"n01440764": 0, "n01443537": 1}
    right = {"image": "a.jpg", "wnid": "n01443537", "label": "goldfish"}
    mini_concepts.check_order(english, order, [right])
    with pytest.raises(InputError, match=r"labelled 'goldfish' .* class 1 is called 'tench'"):
        mini_concepts.check_order(english[::-1], order, [right])


def test_class_means_come_back_out_of_their_discriminant() -> None:
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(12, 12)) / 12
    photographs = (5 + rng.normal(size=(4000, 12)) @ spread).astype(np.float32)
    covariance = np.cov(photographs, rowvar=False)
    means = 5 + rng.normal(size=(40, 12)) * 0.3
    weights = np.linalg.solve(covariance, (means - means.mean(0)).T).T / 7  # of unknown length, as weight decay leaves
    known = {c: means[c].astype(np.float32) for c in range(40)}
    concepts = mini_concepts.invert_discriminants(
        weights.astype(np.float32), photographs, known, dict.fromkeys(known, 3)
    )
    assert concepts.power == 1
    assert concepts.scale == pytest.approx(7, rel=1e-3)
    np.testing.assert_allclose(concepts.features, means, atol=1e-3)
    assert mini_concepts.nearest(means.astype(np.float32), concepts.features).tolist() == list(range(40))


def test_the_fit_weighs_classes_by_their_pictures() -> None:
    rng = np.random.default_rng(1)
    photographs = (5 + rng.normal(size=(10_000, 2))).astype(np.float32)  # Σ near 1, whatever the power
    weights = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], np.float32)
    known = {c: 5 + (1 if c < 2 else 3) * weights[c] for c in range(4)}  # the two pairs ask for s = 1 and s = 3

    def scale(first: int, last: int) -> float:
        counts = {0: first, 1: first, 2: last, 3: last}
        return float(mini_concepts.invert_discriminants(weights, photographs, known, counts).scale)

    assert scale(100, 1) == pytest.approx((100 * 1 + 1 * 3) / 101, rel=0.05)
    assert scale(1, 100) == pytest.approx((1 * 1 + 100 * 3) / 101, rel=0.05)


def test_class_means_are_those_of_the_pictures_of_each_class() -> None:
    features = np.array([[1, 2], [3, 4], [10, 20]], np.float32)
    means, counts = mini_concepts.class_means(features, [7, 7, 9])
    assert counts == {7: 2, 9: 1}
    assert {c: mean.tolist() for c, mean in means.items()} == {7: [2, 3], 9: [10, 20]}


@given(st.integers(0, 50), st.integers(1, 20))
def test_rows_are_thinned_evenly_and_never_repeated(length: int, count: int) -> None:
    rows = [{"image": str(i)} for i in range(length)]
    kept = mini_concepts.spread(rows, count)
    assert len(kept) == min(length, count)
    places = [int(row["image"]) for row in kept]
    assert places == sorted(set(places))


def test_pictures_to_measure_with_carry_the_published_name_alone() -> None:
    row = {"image": "a.jpg", "label": "hen", "class_ar": "دجاجة", "caption_en": ["a photo of hen"]}
    assert mini_data.as_published(row) == {**row, "caption_en": ["hen"], "caption_ar": ["دجاجة"]}
    named = mini_data.with_names(row, ("hen", "biddy"), ("دجاجة",))
    assert json.loads(json.dumps(named))["caption_en"] == ["hen", "biddy", "a photo of hen"]


# ── captions of one picture ───────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.booleans(), min_size=2, max_size=40), st.lists(st.integers(0, 39), max_size=4), st.data())
def test_captions_are_grouped_and_never_across_pictures(
    known: list[bool], short: list[int], data: st.DataObject
) -> None:
    sizes = [4 if picture in short else 5 for picture in range(len(known))]
    rows = [(f"{picture} {place}.", "نص", "train") for picture, size in enumerate(sizes) for place in range(size)]
    keys = [[f"{picture} {place}" for place in range(5)] for picture, chosen in enumerate(known) if chosen]
    groups = list(mini_siblings.grouped(rows, data.draw(st.permutations(keys))))
    pictures = [{english.split()[0] for english, _, _ in group} for group in groups]
    assert all(len(names) == 1 and len(group) == 5 for names, group in zip(pictures, groups, strict=True))
    if not short and all(known):
        assert len(groups) == len(known) - 1  # the last has no neighbour that tells where it ends


def test_captions_of_dev_pictures_stay_out_of_the_set(tmp_path: Path) -> None:
    def table(name: str, rows: Iterable[Sequence[str]]) -> None:
        (tmp_path / "parallel").mkdir(exist_ok=True)
        with lzma.open(tmp_path / "parallel" / name, "wt", encoding="utf-8") as file:
            file.writelines("\t".join(row) + "\n" for row in (("en", "ar", "split"), *rows))

    texts = [[f"Text {picture} {place}." for place in range(5)] for picture in range(4)]
    splits = ["train", "dev", "train", "train"]
    table(mini_siblings.FILE, [(t, f"نص {t}", splits[p]) for p, of in enumerate(texts) for t in of])
    table(mini_siblings.BETTER, [("text 0 1", "أفضل", "train")])
    for folder, pictures in zip(mini_siblings.KNOWN, (texts[:2], texts[2:]), strict=True):
        (tmp_path / folder).mkdir(parents=True)
        lines = [json.dumps({"image": f"{n}.jpg", "caption_en": of}) for n, of in enumerate(pictures)]
        (tmp_path / folder / "captions.jsonl").write_text("\n".join(lines))
    assert mini_siblings.write_siblings(tmp_path, tmp_path / "out") == "2 pictures' captions, made"
    assert mini_siblings.write_siblings(tmp_path, tmp_path / "out") == "2 pictures' captions, there already"
    first, third = read_pictures(tmp_path / "out" / "siblings", ("caption_en",), ("caption_ar",))
    held = mini_held.keys_of([{"caption_en": ["Text 2 3 ."]}])
    assert mini_siblings.write_siblings(tmp_path, tmp_path / "out2", held) == "1 pictures' captions, made"
    assert [text.casefold() for text in first.english] == [text.casefold() for text in texts[0]]
    assert len(first.arabic) == 6 and len(third.arabic) == 5
