"""Re-embedding a gallery: new vectors beside the old ones, an atomic switch, resumption after a stop."""

from pathlib import Path

import pytest

import pictures
from araclip import AraCLIP, Gallery
from araclip.errors import GalleryError, GalleryLocked, GalleryNotFound, WidthMismatch
from araclip.gallery.catalog import writer_lock
from araclip.gallery.ingest import reembed as module
from araclip.gallery.ingest.reembed import reembed
from tiny import write_tiny_model


@pytest.fixture
def old(tiny_model: Path) -> AraCLIP:
    return AraCLIP.load(tiny_model, threads=1)


@pytest.fixture
def new(tmp_path: Path) -> AraCLIP:
    return AraCLIP.load(write_tiny_model(tmp_path / "new-model", width=12, seed=1, name="new"), threads=1)


@pytest.fixture
def place(tmp_path: Path, old: AraCLIP) -> Path:
    """A gallery of nine files, one of them a copy, and one picture without a file."""
    for i in range(8):
        pictures.solid(tmp_path / "p" / f"{i}.png", (30 * i, 255 - 30 * i, 7))
    (tmp_path / "p" / "copy.png").write_bytes((tmp_path / "p" / "0.png").read_bytes())
    with Gallery.open(tmp_path / "g", model=old, create=True) as gallery:
        gallery.update([tmp_path / "p"])
        gallery.add([pictures.solid(tmp_path / "kept.png", pictures.BLUE).read_bytes()], metadata={"album": "رحلة"})
    return tmp_path / "g"


def test_after_the_switch_the_old_model_is_refused(place: Path, old: AraCLIP, new: AraCLIP) -> None:
    with pytest.raises(WidthMismatch, match=r"tiny@\w+, but new@\w+.*--reembed"):
        Gallery.open(place, model=new)
    assert reembed(place, new) == 9
    with pytest.raises(WidthMismatch, match=r"new@\w+, but tiny@\w+"):
        Gallery.open(place, model=old)
    with Gallery.open(place, model=new) as gallery:
        assert len(gallery) == 9
        assert gallery.verify(contents=True) == []
        query = new.encode_text(["أحمر"])[0]
        for hit in gallery.search("أحمر", 20):
            if not hit.path.startswith("picture:"):
                assert hit.score == pytest.approx(float(new.encode_image([hit.path])[0] @ query), abs=2e-3)
        kept = gallery.search("أزرق", 1)[0].path
        assert gallery.metadata(kept) == {"album": "رحلة"}
    assert reembed(place, new) == 0  # nothing to do


def stopped(done: int, total: int) -> None:
    """The progress of a run that is stopped after six pictures."""
    if done == 6:
        raise KeyboardInterrupt


def test_a_stopped_run_leaves_the_old_vectors_in_use_and_resumes(
    place: Path, old: AraCLIP, new: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMIT_EVERY", 2)
    with Gallery.open(place, model=old) as reader:
        wanted = reader.search("أحمر")
        with pytest.raises(KeyboardInterrupt):
            reembed(place, new, progress=stopped)
        assert reader.search("أحمر") == wanted
    with Gallery.open(place, model=old) as gallery:
        assert gallery.search("أحمر") == wanted
    assert 0 < reembed(place, new) < 9
    with Gallery.open(place, model=new) as gallery:
        assert gallery.verify() == []


@pytest.mark.parametrize("first", ["lower", "higher"])
def test_vectors_of_another_models_stopped_run_are_not_used(
    place: Path, new: AraCLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.setattr(module, "COMMIT_EVERY", 2)
    third = AraCLIP.load(write_tiny_model(tmp_path / "third", width=12, seed=2, name="third"), threads=1)
    before, after = sorted([new, third], key=lambda model: model.fingerprint, reverse=first == "higher")
    with pytest.raises(KeyboardInterrupt):
        reembed(place, before, progress=stopped)
    assert reembed(place, after) == 9


def test_a_run_given_up_leaves_nothing_for_the_old_model(
    place: Path, old: AraCLIP, new: AraCLIP, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMMIT_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        reembed(place, new, progress=stopped)
    with Gallery.open(place, model=old) as gallery:
        assert gallery._catalog.rows("SELECT count(*) FROM next_vectors")[0][0]
    assert reembed(place, old) == 0
    with Gallery.open(place, model=old) as gallery:
        assert gallery._catalog.rows("SELECT count(*) FROM next_vectors") == [(0,)]
        assert gallery.verify() == []
    assert reembed(place, new) == 9


def test_a_missing_picture_keeps_the_old_model_for_a_while(
    place: Path, old: AraCLIP, new: AraCLIP, tmp_path: Path
) -> None:
    missing, away = tmp_path / "p" / "3.png", tmp_path / "away.png"
    missing.rename(away)
    lines: list[str] = []
    with pytest.raises(GalleryError, match=r"1 picture of .*--forget-missing"):
        reembed(place, new, skip=lines.append)
    assert "3.png: cannot be encoded again" in lines[0]
    with Gallery.open(place, model=old) as gallery:
        assert len(gallery) == 9
    pictures.solid(missing, pictures.WHITE)  # another picture in its place is not taken for it
    with pytest.raises(GalleryError, match="1 picture of "):
        reembed(place, new)
    assert reembed(place, new, forget_missing=True) == 0
    with Gallery.open(place, model=new) as gallery:
        assert len(gallery) == 8
        assert gallery.update([tmp_path / "p"]).pictures == 9


def test_there_must_be_a_gallery_and_no_other_writer(
    place: Path, new: AraCLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(GalleryNotFound):
        reembed(tmp_path / "nowhere", new)

    monkeypatch.setattr(writer_lock, "PATIENCE_S", 0)
    with writer_lock.writer_lock(place), pytest.raises(GalleryLocked):
        reembed(place, new)


def test_a_run_that_is_overtaken_by_a_re_embedding_is_refused(
    place: Path, old: AraCLIP, new: AraCLIP, tmp_path: Path
) -> None:
    pictures.solid(tmp_path / "p" / "new.png", (1, 2, 3))

    def overtake(done: int, found: int) -> None:
        if done == found:
            reembed(place, new)

    with Gallery.open(place, model=old) as gallery, pytest.raises(WidthMismatch, match="Open it again"):
        gallery.update([tmp_path / "p"], progress=overtake)
    with Gallery.open(place, model=new) as gallery:
        assert gallery.verify() == []
