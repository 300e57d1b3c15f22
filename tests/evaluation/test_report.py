"""The report: one file without scripts or anything loaded, in which foreign text stays text."""

import base64
import io
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

import pictures
from araclip.errors import InputError
from araclip.evaluation import report
from araclip.evaluation import report as single
from araclip.evaluation.leaks import Copy, Leaks
from araclip.evaluation.scores import Cost
from araclip.evaluation.significance import json_of, shared_protocol, summarise
from measured import evaluated

BAD = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202egnp.\u2066{{ 7*7 }}"
VOID = {"meta", "img", "br", "path", "use", "rect"}
ALLOWED = {"href": "#", "src": "data:image/jpeg;base64,"}  # nothing else may be loaded or followed


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails on one that is not nested right."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("images")
    return [pictures.solid(folder / f"{i}.jpg", (i * 12, 0, 255 - i * 12)) for i in range(20)]


@pytest.fixture(scope="module")
def alone(photographs: list[Path]) -> Page:
    return page(evaluated(pictures=photographs))


@pytest.fixture(scope="module")
def both(photographs: list[Path]) -> Page:
    return page(evaluated(pictures=photographs), evaluated("b", seed=2, pictures=photographs))


def page(*models: Any, dialects: list[str | None] | None = None) -> Page:
    return Page(report.render(summarise(models), dialects))


def decoded(uri: str | None) -> bytes:
    assert uri is not None
    return base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"), validate=True)


# ------------------------------------------------------------------ the page


def test_report_is_one_page_with_numbers_intervals_and_p_values(tmp_path: Path, photographs: list[Path]) -> None:
    first, second = evaluated("mini", pictures=photographs), evaluated("أكبر", skill=0.2, seed=3, pictures=photographs)
    rows = summarise([first, second])
    path = tmp_path / "report.html"
    report.write_report(path, rows)
    assert list(tmp_path.iterdir()) == [path]
    text = Page(path.read_text(encoding="utf-8")).text
    for row in rows:
        assert f"{row.t2i.values['R@1']:.1%}".replace("%", " %") in text
        low, high = row.t2i.ci95["R@10"]
        assert f"{100 * low:.1f}–{100 * high:.1f}" in text
    p = rows[1].t2i.p["MRR"]
    assert ("p < .001" if p < 0.001 else f"p = {p:.3f}") in text
    assert rows[0].t2i.p == {}
    assert shared_protocol([first, second])["id"] in text


def test_nothing_is_run_loaded_or_followed(both: Page) -> None:
    tags = {tag for tag, _ in both.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "form", "a", "base"}
    for _, attributes in both.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src", "xlink:href", "srcset", "poster", "action", "data"):
            if name in attributes:
                assert str(attributes[name]).startswith(ALLOWED[name.removeprefix("xlink:")])
    assert not re.search(r"@import|url\((?!#)", " ".join(str(a.get("style", "")) for _, a in both.tags))
    policy = next(meta["content"] for meta in both.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none';")


def test_every_id_is_used_once_and_every_reference_has_a_target(photographs: list[Path]) -> None:
    made = page(evaluated(pictures=photographs), evaluated("b", seed=2, pictures=photographs))
    ids = [str(attributes["id"]) for _, attributes in made.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {str(a[name])[1:] for _, a in made.tags for name in ("href", "xlink:href") if name in a}
    used |= {
        target for _, a in made.tags for value in a.values() for target in re.findall(r"url\(#([^)]+)\)", value or "")
    }
    assert used <= set(ids)


def test_hostile_captions_names_and_licences_come_out_inert(tmp_path: Path) -> None:
    name = BAD.replace("/", "")
    files = [pictures.solid(tmp_path / f"{i}{name}.png") if sys.platform == "linux" else Path(name) for i in range(20)]
    model = evaluated(BAD, pictures=files, queries=[BAD] * 40, license=BAD)
    model = replace(model, protocol=replace(model.protocol, dataset=BAD, split=BAD, caption_field=BAD))
    made = page(model, evaluated_like(model, "_$x$\n\\frac{$"), dialects=[BAD] * 39 + [None])
    assert {tag for tag, _ in made.tags} & {"script", "b", "i"} == set()
    assert all("onerror" not in attributes for _, attributes in made.tags)
    assert all(str(image["src"]).startswith("data:image/jpeg") for image in made.of("img"))
    assert "<script>alert(1)</script>" in made.text  # as letters
    assert "{{ 7*7 }}" in made.text
    assert "\\u202egnp" in made.text
    everything = made.text + "".join(str(value) for _, attributes in made.tags for value in attributes.values())
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", everything)


def evaluated_like(model: Any, name: str) -> Any:
    other = evaluated(name, seed=5, queries=model.queries, pictures=model.pictures)
    return replace(other, protocol=replace(model.protocol, model=name))


def test_arabic_runs_from_the_right_inside_an_english_page(alone: Page, photographs: list[Path]) -> None:
    assert alone.of("html") == [{"lang": "en", "dir": "ltr"}]
    queries = [attributes for attributes in alone.of("p") if attributes.get("class") == "query"]
    assert queries
    assert all(attributes["dir"] == "auto" and attributes["lang"] == "ar" for attributes in queries)
    english = page(evaluated(pictures=photographs, queries=["a cat"] * 40))
    assert all("lang" not in attributes for attributes in english.of("p"))


def test_light_and_dark_are_the_readers_choice(alone: Page) -> None:
    assert "prefers-color-scheme: dark" in alone.text
    drawings = re.findall(r"<svg.*?</svg>", alone.source, re.DOTALL)
    assert len(drawings) >= 4
    for drawing in drawings:
        assert "var(--ink)" in drawing
        assert not re.search(r"#(?!000000|ffffff)[0-9a-f]{6}\b", drawing)  # no colour that the page does not set


def test_equal_input_gives_equal_bytes(alone: Page, photographs: list[Path]) -> None:
    assert report.render(summarise([evaluated(pictures=photographs)])) == alone.source


def test_what_is_printed_is_light_and_has_its_pictures(both: Page) -> None:
    assert all("loading" not in attributes for attributes in both.of("img"))  # a lazy picture below is not printed
    printed = both.source[both.source.index("@media print") :]
    assert "color-scheme: light" in printed
    assert "details-content" in printed
    assert "display: none" not in printed


# ------------------------------------------------------------------ what it says


def test_title_and_heading_name_the_set_and_the_models(photographs: list[Path]) -> None:
    made = page(evaluated(pictures=photographs), evaluated("أكبر", seed=2, pictures=photographs))
    dataset = evaluated(pictures=photographs).protocol.dataset
    for tag in ("title", "h1"):
        text = re.sub(r"<[^>]+>|\s+", " ", made.source[made.source.index(f"<{tag}>") : made.source.index(f"</{tag}>")])
        assert all(name in text for name in (dataset, "araclip-mini", "أكبر")), text


def test_pictures_of_an_arabic_query_run_from_right_to_left(alone: Page, photographs: list[Path]) -> None:
    assert {attributes.get("dir") for attributes in alone.of("article")} == {"rtl"}
    english = page(evaluated(pictures=photographs, queries=["a cat"] * 40))
    assert {attributes.get("dir") for attributes in english.of("article")} == {None}


def test_one_model_is_not_called_pareto_optimal(alone: Page, both: Page) -> None:
    assert "Pareto" not in alone.text
    assert "Pareto-optimal" in both.text


def test_leaks_of_the_training_data_stand_at_the_top(alone: Page, photographs: list[Path], tmp_path: Path) -> None:
    def with_leaks(*copies: Copy) -> Page:
        leaks = Leaks(pictures=copies, captions=(), n_pictures=20, n_training=7, n_captions=40, unread=1, flat=0)
        return Page(report.render(summarise([evaluated(pictures=photographs)]), leaks=leaks))

    assert "Leaks" not in alone.text
    one = with_leaks(Copy(photographs[0], tmp_path, 2)).text
    assert "1 of 20 test pictures has a near copy among 7 training pictures" in one
    assert "score too high" in one
    assert "1 picture that cannot be opened" in one
    assert "score too high" not in with_leaks().text


def test_one_model_has_no_p_values_and_no_pareto_plot(alone: Page, both: Page) -> None:
    for words in ("p =", "permutation test"):
        assert words in both.text
        assert words not in alone.text
    assert ['id="pareto-' in made.source for made in (alone, both)] == [False, True]


def test_unmeasured_costs_are_dashes_and_not_in_the_front(photographs: list[Path]) -> None:
    free = Cost(megabytes=1.0, width=8, text_ms=None, image_ms=None)
    dear = Cost(megabytes=5000.0, width=8, text_ms=99.0, image_ms=999.0)
    made = page(
        evaluated("a", pictures=photographs, skill=0.3),
        evaluated("unknown", pictures=photographs, cost=free),
        evaluated("dear", pictures=photographs, skill=0.0, cost=dear),
    )
    rows = dict(
        re.findall(
            r"(a|unknown|dear) (?:[\d,.]+|–) 8?(?:384)? (?:[\d.]+|–) (?:[\d.]+|–) [\d.]+ % (✓ yes|no|–)", made.text
        )
    )
    assert rows == {"a": "✓ yes", "unknown": "–", "dear": "no"}


def test_missing_pictures_ties_and_stated_dialects_are_reported(alone: Page, photographs: list[Path]) -> None:
    model = evaluated(pictures=photographs, missing=3)
    tied = replace(model, t2i=replace(model.t2i, level=np.array([1] * 4 + [0] * 36)))
    made = page(tied, dialects=["Sudanese", "MSA"] * 20)
    assert "3 pictures of the list had no file" in made.text
    assert "exactly the same score, counted at their expected place: araclip-mini : 4." in made.text
    assert "Sudanese" in made.text
    for words in ("had no file", "exactly the same score", "Sudanese"):
        assert words not in alone.text


def test_a_guessed_dialect_is_called_a_guess(alone: Page) -> None:
    assert "guessed from marker words" in alone.text
    assert "Grouped by dialect, all 40 queries are one group: no dialect marker." in alone.text


@pytest.mark.parametrize("images", [1, 2])
def test_a_tiny_pool_makes_a_report_too(photographs: list[Path], images: int) -> None:
    text = page(evaluated(images=images, each=1, pictures=photographs[:images])).text
    assert f" {images} text{'' if images == 1 else 's'} (field" in text
    assert ("best wrong ones" in text) == (images > 1)  # one picture alone has no rival


def test_numbers_of_two_protocols_are_refused(photographs: list[Path]) -> None:
    one, other = evaluated("a", pictures=photographs), evaluated("b", pictures=photographs)
    other = replace(other, protocol=replace(other.protocol, captions="first"))
    with pytest.raises(InputError, match=r"a was measured with captions 'all', b with 'first'.*evaluate both anew"):
        summarise([one, other])
    with pytest.raises(InputError, match="no model to report on"):
        summarise([])


# ------------------------------------------------------------------ thumbnails


def test_thumbnails_are_small_and_keep_nothing_but_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "SECRET camera"
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (900, 300), "red").save(
        tmp_path / "a.jpg", exif=exif, comment=b"SECRET word", icc_profile=b"SECRET"
    )
    made = decoded(single.thumbnail(tmp_path / "a.jpg"))
    assert b"SECRET" not in made
    with Image.open(io.BytesIO(made)) as small:
        assert (small.size, small.format, len(small.getexif())) == ((64, 192), "JPEG", 0)  # upright


def test_picture_that_cannot_be_opened_leaves_gap_with_its_name(tmp_path: Path) -> None:
    assert single.thumbnail(tmp_path / "nowhere.jpg") is None
    for content in (b"", b"not a picture", b"\xff\xd8\xff\xe0 cut short"):
        (tmp_path / "bad.jpg").write_bytes(content)
        assert single.thumbnail(tmp_path / "bad.jpg") is None
    made = page(evaluated(pictures=[tmp_path / "bad.jpg"] * 20))
    assert made.of("img") == []
    gaps = [attributes for attributes in made.of("span") if attributes.get("class") == "gone"]
    assert gaps[0]["title"] == "bad.jpg"  # the name, not where it lies


@pytest.mark.parametrize("models", [1, 5, 30])
def test_the_number_of_pictures_in_a_report_is_capped(photographs: list[Path], models: int) -> None:
    made = single.examples([evaluated(f"m{i}", seed=i, pictures=photographs) for i in range(models)])
    cases = [case for model in made for case in (*model.worst, *model.best)]
    assert all(model.worst and model.best for model in made)
    assert single.CASES / 2 <= len(cases) <= single.CASES
    assert all(len(case.others) <= single.OTHERS for case in cases)


def test_models_of_one_name_are_told_apart() -> None:
    same = [evaluated("mini", seed=seed) for seed in range(3)]
    same[2] = replace(same[2], protocol=replace(same[2].protocol, model="mini@ffff"))
    assert [row.evaluated.name for row in summarise(same)] == ["mini@3f2a (1)", "mini@3f2a (2)", "mini@ffff"]


def test_example_shows_right_picture_its_rank_and_best_of_others(photographs: list[Path]) -> None:
    model = evaluated(skill=0.0, pictures=photographs)
    shown = single.examples([model])[0].worst[0]
    row = int(np.lexsort((model.t2i.margin, -model.t2i.ranks))[0])
    assert shown.query == model.queries[row]
    assert shown.right.name == photographs[model.owner[row]].name
    assert shown.right.rank == model.t2i.ranks[row] > 4
    assert [other.name for other in shown.others] == [photographs[i].name for i in model.t2i.found[row, :4]]
    assert [other.rank for other in shown.others] == [1, 2, 3, 4]
    found = single.examples([evaluated(skill=0.5, pictures=photographs)])[0].best[0]
    assert (found.right.rank, [other.rank for other in found.others]) == (1, [2, 3, 4, 5])  # not shown twice


# ------------------------------------------------------------------ refusals, and JSON


def test_report_without_its_libraries_is_refused_with_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "NEEDED", ("matplotlib", "no_such_library"))
    with pytest.raises(InputError, match=r"needs no_such_library\. .*pip install 'araclip\[report\]'"):
        report.check_ready(tmp_path / "r.html")
    monkeypatch.undo()
    monkeypatch.setattr(report, "SHAPES_ARABIC", (99, 0))
    with pytest.raises(InputError, match=r"draws Arabic letters apart.*Upgrade"):
        report.check_ready(tmp_path / "r.html")


def test_a_report_cannot_be_a_folder_or_lie_in_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder.*report\.html"):
        report.check_ready(tmp_path)
    with pytest.raises(InputError, match=r"is no folder.*Make it first"):
        report.check_ready(tmp_path / "nowhere" / "r.html")
    report.check_ready(tmp_path / "r.html")


def test_an_old_report_stays_when_the_new_one_fails(tmp_path: Path, photographs: list[Path]) -> None:
    path = tmp_path / "r.html"
    path.write_text("old", encoding="utf-8")
    model = evaluated(pictures=photographs)
    with pytest.raises(ValueError, match="dialects"):
        report.write_report(path, summarise([model]), dialects=["MSA"])
    assert path.read_text(encoding="utf-8") == "old"


def test_json_has_the_shared_protocol_and_each_models_numbers() -> None:
    models = [evaluated("a"), evaluated("b", seed=4)]
    made = json.loads(json.dumps(json_of(summarise(models))))
    assert set(made) == {"protocol", "models"}
    assert made["protocol"]["id"] == shared_protocol(models[:1])["id"]  # whatever the models are
    assert "model" not in made["protocol"]
    assert made["protocol"]["n_queries"] == 40
    one, two = made["models"]
    assert (one["name"], two["name"]) == ("a", "b")
    assert {"R@1", "R@5", "R@10", "MRR", "MRR@10", "nDCG@10", "median rank"} <= set(one["t2i"]) == set(one["i2t"])
    for metric, (low, high) in one["ci95"].items():
        assert low <= one["t2i"][metric] <= high
    assert one["p_vs_first"] == {}
    assert all(0 < p <= 1 for p in two["p_vs_first"].values())
    assert (one["n_queries"], one["n_images"], one["missing"]) == (40, 20, 0)
