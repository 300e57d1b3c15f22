"""`araclip explain` and `gallery.explain`: which words brought a picture, which texts matched, how a query was read."""

import json
from pathlib import Path

import numpy as np
import pytest

from araclip.errors import AraCLIPError, InputError
from command_line import Run, caller


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return caller(monkeypatch, capsys)


def test_the_word_that_a_picture_shows_has_the_largest_share(gallery) -> None:
    best = gallery.search("شكل أحمر", 1, text_weight=0)[0]
    found = gallery.explain("شكل أحمر", best.path)
    assert found.path == best.path
    assert found.score == pytest.approx(best.score, abs=1e-3)
    assert found.relevance == pytest.approx(best.relevance, abs=1e-3)
    assert [each.word for each in found.words] == ["شكل", "أحمر"]
    assert found.words[1].share > found.words[0].share
    (alone,) = gallery.explain("أحمر", best.path).words
    assert alone.share == pytest.approx(gallery.explain("أحمر", best.path).score, abs=1e-5)


def test_a_hit_by_text_explains_the_relevance_of_its_search(gallery) -> None:
    path = gallery.search("أحمر", 1)[0].path
    found = gallery.search(f"شيء {Path(path).stem}", 1)[0]
    explained = gallery.explain(f"شيء {Path(path).stem}", found.path)
    assert found.matched and explained.matched == found.matched
    assert explained.relevance == pytest.approx(found.relevance, abs=1e-3)


def test_a_relative_path_is_the_picture_of_the_gallery(gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(gallery.search("أحمر", 1)[0].path)
    whole = gallery.explain(f"شيء {path.stem}", path)
    monkeypatch.chdir(path.parent)
    relative = gallery.explain(f"شيء {path.stem}", path.name)
    assert whole.matched and relative.matched == whole.matched
    assert relative.relevance == pytest.approx(whole.relevance, abs=1e-3)


def test_shortened_queries_are_encoded_at_once_and_bounded(
    gallery,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    encode = type(gallery.model).encode_text
    monkeypatch.setattr(type(gallery.model), "encode_text", lambda self, texts: calls.append(1) or encode(self, texts))
    found = gallery.explain(" ".join(["أحمر"] * 1000), gallery.search("أحمر", 1)[0].path)
    assert len(found.words) == 32
    calls.clear()
    gallery.explain("أحمر وأزرق - أخضر", gallery.search("أحمر", 1)[0].path)
    assert len(calls) <= 3  # the search's, the query's, the shortened ones


def test_a_picture_outside_the_gallery_is_explained(
    gallery,
    tmp_path: Path,
) -> None:
    inside = gallery.search("أحمر", 1)[0].path
    outside = tmp_path / "outside.png"
    outside.write_bytes(Path(inside).read_bytes())
    assert gallery.explain("أحمر", outside).score == pytest.approx(gallery.explain("أحمر", inside).score, abs=1e-2)
    (tmp_path / "no.png").write_bytes(b"no picture")
    with pytest.raises((AraCLIPError, OSError)):
        gallery.explain("أحمر", tmp_path / "no.png")
    with pytest.raises(InputError):
        gallery.explain("", inside)


def test_command_prints_words_texts_and_how_query_was_read(run: Run, gallery) -> None:
    path = gallery.search("أحمر", 1)[0].path
    name = Path(path).stem
    asked = ("explain", f"احمر {name}", path, "--gallery", gallery.folder, "--model", gallery.model.folder)
    printed = run(*asked)
    assert printed.code == 0
    assert "share" in printed.out
    found = json.loads(run(*asked, "--json").out)
    assert found["path"] == path
    assert len(found["words"]) == 2
    assert found["matched"][0]["field"] == "name"
    assert found["interpretation"]["literal"] is False
    assert np.isfinite(found["score"])
