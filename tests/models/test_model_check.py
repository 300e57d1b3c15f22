"""Model folders of strangers are judged and tried before they are opened; wrong vectors are refused."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

import araclip
import hostile_folders as hostile
import pictures
import tiny
from araclip import AraCLIP, Gallery
from araclip.errors import AraCLIPError, InputError, InvalidVectors, ModelError, ModelMismatch, ModelNotFound
from araclip.models import folder as model_folder
from araclip.models import trial
from araclip.models.checks import check_model_folder
from araclip.models.encoder_base import MAX_LETTERS
from araclip.models.tokenizer_file import _fault_of_pattern
from araclip.models.trial import try_tower
from strange_values import strange_values

Change = Callable[[Path], None]


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The towers that were tried, in an empty cache."""
    monkeypatch.setenv("ARACLIP_CHECKED_MODELS", str(tmp_path / "cache"))
    tried: list[str] = []

    def counted(folder: Path, config: Any, tower: str) -> None:
        tried.append(tower)
        try_tower(folder, config, tower)

    monkeypatch.setattr("araclip.models.trial.try_tower", counted)
    return tried


def never(*arguments: object) -> None:
    """In place of the trial: what is judged by its bytes must not come to be tried."""
    raise AssertionError("a trial was begun")


# ------------------------------------------------------------------ judged, then tried


@pytest.mark.parametrize(("change", "says"), hostile.JUDGED.values(), ids=hostile.JUDGED)
def test_what_could_do_harm_is_refused_before_a_library_opens_it(
    copy: Path, change: Change, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("araclip.models.trial.try_tower", never)
    change(copy)
    with pytest.raises(ModelMismatch, match=says) as caught:
        check_model_folder(copy)
    assert str(copy) in str(caught.value)
    assert str(caught.value).isprintable()
    with pytest.raises(ModelMismatch, match=says):
        AraCLIP.load(copy).encode_text("قطة")


@pytest.mark.parametrize(("change", "says"), hostile.TRIED.values(), ids=hostile.TRIED)
def test_what_shows_when_it_runs_is_refused_by_a_trial(copy: Path, change: Change, says: str) -> None:
    change(copy)
    with pytest.raises(ModelError, match=says) as caught:
        AraCLIP.load(copy).encode_text("قطة")
    assert str(caught.value).isprintable()


@pytest.mark.usefixtures("trials")
def test_trial_takes_no_more_memory_than_this_machine_can_spare(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gigabyte = 1_000_000_000
    assert trial.memory_of_trial(50_000_000, 20 * gigabyte) == 1_500_000_000  # what its size explains
    assert trial.memory_of_trial(50_000_000, gigabyte) == 750_000_000  # of what is free
    assert trial.memory_of_trial(1 << 35, 1 << 40) == 16 * gigabyte
    monkeypatch.setattr(trial, "free_memory", lambda: 10_000_000)
    monkeypatch.setattr(trial, "MEMORY", 30_000_000)
    with pytest.raises(ModelMismatch, match=r"it may take 30 MB|needs more than 30 MB") as caught:
        check_model_folder(copy)
    assert "10 MB are free: end other programs" in str(caught.value)


def test_whole_folder_is_checked_and_its_configuration_returned(tiny_model: Path) -> None:
    assert check_model_folder(tiny_model).name == check_model_folder(str(tiny_model)).name == "tiny"
    assert check_model_folder(model_folder.DEFAULT_MODEL).width == 512
    for nothing in ("nothing", "~nobody/x", "x" * 5000, "a\0b"):
        for use in (check_model_folder, AraCLIP.load):
            with pytest.raises(ModelNotFound):
                use(nothing)
    with pytest.raises(InputError):
        check_model_folder(5)  # type: ignore[arg-type]


def test_a_content_is_tried_once_and_a_changed_one_again(copy: Path, trials: list[str]) -> None:
    check_model_folder(copy)
    assert trials == ["text", "image"]
    AraCLIP.load(shutil.copytree(copy, copy.parent / "same")).encode_text("قطة")
    hostile.config(name="other", measured={"x": 1})(copy)  # neither is opened or run
    check_model_folder(copy)
    assert trials == ["text", "image"]
    hostile.config(text__max_tokens=8)(copy)
    AraCLIP.load(copy).encode_text("قطة")
    assert trials == ["text", "image", "text"]


def test_remembered_folder_whose_file_is_another_now_is_refused(copy: Path) -> None:
    check_model_folder(copy)
    (copy / "text.onnx").write_bytes(b"garbage")
    with pytest.raises(ModelMismatch, match=r"text\.onnx has hash"):
        AraCLIP.load(copy).encode_text("قطة")


def test_the_bundled_model_is_known_without_a_cache(
    copy: Path, trials: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert AraCLIP.load().encode_text("قطة").shape == (512,)
    assert trials == []
    (copy.parent / "file").touch()
    monkeypatch.setenv("ARACLIP_CHECKED_MODELS", str(copy.parent / "file"))
    assert AraCLIP.load(copy).encode_text("قطة").shape == (8,)
    assert AraCLIP.load(copy).encode_text("قطة").shape == (8,)
    assert trials == ["text", "text"]


def test_a_folder_of_the_hugging_face_cache_links_to_its_blobs(tiny_model: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1a2b"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for part in model_folder.PARTS:
        shutil.copy(tiny_model / part, blobs / f"{part}-hash")
        (snapshot / part).symlink_to(Path("../../blobs") / f"{part}-hash")
    assert check_model_folder(snapshot).name == "tiny"


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", None),
        (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}]+(?i:'s|'t)?|\p{N}{1,3}|\s*[\r\n]+|\s+(?!\S)|\s+", None),
        (r"(?:ab|c)+[^]a*]{2,}\\(a{1,3})+{a}[[:alpha:]&&[b]]", None),
        (" {2,}", None),
        ("(a+)+$", "repeats a repetition"),
        ("(?:x(a|b*))*?", "repeats a repetition"),
        ("((a{2,})b?){3,}", "repeats a repetition"),
        ("(a+){3000}", "repeats a repetition"),
        ("(a+)(?#x)+[cd]", "has comments or free spacing"),
        ("(?ix)(a+) +[cd]", "has comments or free spacing"),
        (r"(?i:x)(?<x>a)\p{L}x", None),
        (r"(a)\1", "refers back to a group"),
        ("a" * 2001, "has 2001 characters"),
    ],
)
def test_nested_repetitions_of_tokenizers_are_refused(pattern: str, fault: str | None) -> None:
    assert _fault_of_pattern(pattern) == fault


# ------------------------------------------------------------------ errors of libraries


def test_panic_of_tokenizers_becomes_error_that_names_file(copy: Path) -> None:
    hostile.tokenizer(hostile.split("(?:a|a|aa)*[bc]$"))(copy)  # no repetition is repeated: nothing to see before
    model = AraCLIP.load(copy)
    assert model.encode_text("قطة").shape == (8,)
    with pytest.raises(ModelMismatch, match=r"tokenizer\.json cannot be used by tokenizers \(.*Export the model again"):
        model.encode_text("a" * 60 + "bx")


def test_what_onnx_runtime_prints_stands_in_the_error_alone(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def only_seven(model: Any) -> None:  # texts of the trial have less tokens, or more
        shape = hostile.constant("shape", [-1, 8])
        hostile.before_output(shape, helper.make_node("Reshape", ["embedding0", "shape"], ["embedding"]))(model)

    hostile.graph("text.onnx", only_seven)(copy)
    model = AraCLIP.load(copy)
    model.encode_text("قطة")
    hostile.tokenizer(lambda raw: raw["model"]["vocab"].update({"qqq": 999}))(copy)
    with pytest.raises(ModelMismatch, match=r"text\.onnx cannot be run by ONNX Runtime \(.*Gather.*\)\. Export"):
        AraCLIP.load(copy).encode_text("qqq")
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------ every field of config.json

RAW = (
    b"", b"null", b"[" * 100_000, b'{"a":' * 100_000, b'{"format": 1, "name": "\xff"}', b'{"format": 1e999}', b"\0" * 9,
    b'{"format": 1, "width": ' + b"9" * 5000 + b"}", b'{"format": NaN}', b'{"format": "\\ud800"}', b"\xef\xbb\xbf{}",
    b'{"a": 1' + b" " * 999_999,
)  # fmt: skip


def locations(value: Any) -> list[tuple[Any, ...]]:
    """The keys that lead to each value inside."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(key, *rest) for key, inner in inside for rest in [(), *locations(inner)]]


@settings(max_examples=60)
@given(st.data())
def test_any_configuration_works_or_its_file_is_named(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("mutated")
    for part in model_folder.PARTS:
        os.link(tiny_model / part, folder / part)
    raw = tiny.read_config(tiny_model)
    *above, last = data.draw(st.sampled_from(locations(raw)))
    inside: Any = raw
    for key in above:
        inside = inside[key]
    if data.draw(st.integers(0, 5)):
        inside[last] = data.draw(strange_values())
    else:
        del inside[last]
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    try:
        AraCLIP.load(folder)
    except AraCLIPError as error:
        assert str(folder / "config.json") in str(error)
        assert str(error).isprintable()
        assert len(str(error)) < 1000


@pytest.mark.parametrize("content", RAW, ids=lambda content: repr(content[:20]))
def test_whatever_config_json_is_an_error_of_ours_names_it(copy: Path, content: bytes) -> None:
    (copy / "config.json").write_bytes(content)
    with pytest.raises(ModelMismatch, match=r"config\.json") as caught:
        AraCLIP.load(copy)
    assert str(caught.value).isprintable()


# ------------------------------------------------------------------ vectors


class Broken:
    """An encoder of somebody else that makes `made` of a batch."""

    name, fingerprint, label, license = "broken", "f" * 12, "broken@ffffffffffff", None
    width, image_size, threads = 3, 4, 1

    def __init__(self, made: Callable[[int], Any]) -> None:
        self.made = made

    def encode_text(self, texts: Iterable[str], *, batch_size: int = 1) -> Any:
        return self.made(len(list(texts)))

    def encode_image(self, pictures: Iterable[Any], *, batch_size: int = 1) -> Any:
        return self.made(len(list(pictures)))

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> Any:
        return self.made(len(pixels))


def units(rows: int) -> NDArray[np.float32]:
    return np.eye(3, dtype=np.float32)[np.zeros(rows, int)]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda n: units(n) * np.nan, "not finite"),
        (lambda n: np.full((n, 3), np.inf, np.float32), "not finite"),
        (lambda n: units(n) * 0, "length 0 in place of 1"),
        (lambda n: units(n) * 1e30, "not finite|length"),
        (lambda n: units(1) if n > 1 else units(2), r"\([12], 3\) of float32"),
        (lambda n: units(n).astype(int), "of int64"),
        (lambda n: units(n)[:, :2], r"\(\d, 2\)"),
        (lambda n: units(n)[None], r"\(1, \d, 3\)"),
        (lambda n: None, "NoneType"),
    ],
)
def test_vectors_that_cannot_be_compared_are_not_stored(tmp_path: Path, made: Callable[[int], Any], says: str) -> None:
    for name, colour in (("red", pictures.RED), ("blue", pictures.BLUE)):
        pictures.solid(tmp_path / "pictures" / f"{name}.png", colour)
    broken = Broken(made)
    with Gallery.open(tmp_path / "g", model=broken, create=True) as gallery:
        with pytest.raises(InvalidVectors, match=rf"broken@f+ makes .*{says}.*[Ee]xport the model again"):
            gallery.update([tmp_path / "pictures"])
        assert gallery.stats().pictures == 0
        broken.made = units
        gallery.update([tmp_path / "pictures"])
        assert len(gallery.search("قطة")) == 2
        broken.made = made
        with pytest.raises(InvalidVectors, match=says):
            gallery.search("كلب")
        with pytest.raises(InvalidVectors, match=says):
            gallery.similar(pictures.solid(tmp_path / "green.png", pictures.GREEN))


def test_vectors_in_half_precision_are_taken(tmp_path: Path) -> None:
    pictures.solid(tmp_path / "pictures" / "red.png", pictures.RED)
    with Gallery.open(tmp_path / "g", model=Broken(lambda n: units(n).astype("<f2")), create=True) as gallery:
        gallery.update([tmp_path / "pictures"])
        assert len(gallery.search("قطة")) == 1


@pytest.mark.parametrize("part", ["text.onnx", "image.onnx"])
def test_a_graph_of_other_types_or_rank_is_refused(copy: Path, part: str) -> None:
    to_double = helper.make_node("Cast", ["embedding0"], ["embedding"], to=11)

    def edit(model: Any) -> None:
        hostile.before_output(to_double)(model)
        model.graph.output[0].type.tensor_type.elem_type = 11

    hostile.graph(part, edit)(copy)
    assert AraCLIP.load(copy).encode_text("قطة").dtype == np.float32
    assert AraCLIP.load(copy).encode_pixels(np.zeros((1, 16, 16, 3), np.uint8)).dtype == np.float32


# ------------------------------------------------------------------ long texts


def test_fifty_million_letters_are_cut_first(tiny_model: Path, tmp_path: Path) -> None:
    model = AraCLIP.load(tiny_model)
    long = "أحمر " * 10_000_000
    assert np.array_equal(model.encode_text(long), model.encode_text(long[:MAX_LETTERS]))
    assert model.count_tokens([long]) == [tiny.MAX_TOKENS]
    pictures.solid(tmp_path / "pictures" / "red.png", pictures.RED)
    with Gallery.open(tmp_path / "g", model=tiny_model, create=True) as gallery:
        gallery.update([tmp_path / "pictures"])
        with pytest.raises(InputError, match=r"50,000,000 letters, the most is 16,384\. Leave some out"):
            gallery.search(long)


@pytest.mark.parametrize("room", ["gallery", "server"])
def test_encoders_are_asked_only_where_vectors_are_checked(room: str) -> None:
    source = Path(araclip.__file__).parent / room
    asked = re.compile(r"\.encode_(text|pixels|image)\(|\.encode_(text|pixels|image)\b[^(`]")
    assert [path.name for path in source.rglob("*.py") if asked.search(path.read_text(encoding="utf-8"))] == []
