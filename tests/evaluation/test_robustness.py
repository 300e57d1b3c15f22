"""Robustness: captions misspelt, in dialects and in Latin letters, and what a model loses by it."""

import json
import random
from pathlib import Path

import numpy as np
import pytest

import pictures
from araclip.errors import InputError
from araclip.evaluation import rewriting
from araclip.evaluation.rewriting import DIALECTS, KINDS, held_out, kinds_by_name, lexicon, read_lexicon
from araclip.evaluation.robustness import CLEAN, measure
from araclip.evaluation.sets import read_set
from araclip.models.encoder import AraCLIP
from araclip.models.encoder_base import Vectors
from araclip.text.normalization import normalize
from command_line import Run, caller
from tiny import ARABIC, COLOURS

CAPTION = "طفلة صغيرة ترتدي قميصا أحمر تلعب أمام الشاطئ مع كلبي"
DRAW = random.Random(0)


class FromLetters:
    """A text tower of random weights: a vector from the letters that a text has, as a peer might give."""

    width, label = 16, "letters@0"

    def encode_text(self, texts: list[str]) -> Vectors:
        table = np.random.default_rng(0).standard_normal((1 << 12, self.width))
        return self._unit([table[[ord(letter) % len(table) for letter in text]].sum(axis=0) for text in texts])

    def encode_image(self, paths: list[Path]) -> Vectors:
        return self.encode_text([path.stem for path in paths])

    def _unit(self, rows: list[np.ndarray]) -> Vectors:
        vectors = np.array(rows, np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return caller(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {"image": f"{name}.png", "caption_ar": [f"بيت {ARABIC[name]}", f"سيارة {ARABIC[name]}"]} for name in COLOURS
    ]
    (tmp_path / "set").mkdir()
    for row in rows:
        pictures.solid(tmp_path / "set" / row["image"], COLOURS[Path(row["image"]).stem])
    lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (tmp_path / "set" / "captions.jsonl").write_text(lines, encoding="utf-8")
    return tmp_path / "set"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_rewrites_a_caption_alike_and_never_to_nothing(kind) -> None:
    assert kind(CAPTION) == kind(CAPTION)
    assert kind(CAPTION).strip()
    assert kind("") == ""
    assert kind("😀") == "😀"
    if kind.name != "without tashkeel":
        assert kind(CAPTION) != CAPTION


def test_spelling_changes_what_its_name_says() -> None:
    assert rewriting.without_hamza("أحمر على شاطئ ومؤذن، سماء") == "احمر على شاطي وموذن، سما"
    assert rewriting.ha_for_ta_marbuta("قطة كبيرة") == "قطه كبيره"
    assert rewriting.alef_maqsura_for_ya("صبي يجري بيت") == "صبى يجرى بيت"
    assert normalize(rewriting.with_tashkeel(CAPTION, DRAW)) == CAPTION
    assert rewriting.joined_words("قطة نائمة", DRAW) == "قطةنائمة"
    assert rewriting.split_word(CAPTION, DRAW).replace(" ", "") == CAPTION.replace(" ", "")
    assert len(rewriting.repeated_letter(CAPTION, DRAW)) > len(CAPTION)
    assert abs(len(rewriting.typo(CAPTION, DRAW)) - len(CAPTION)) <= 1


def test_a_dialect_takes_words_with_articles_and_inflections() -> None:
    assert rewriting.in_dialect("المرأة والطفل يلعبان بالكرة", "Egyptian") == "الست والعيل بيلعبوا بالكورة"
    assert rewriting.in_dialect("سيدة تجلس وتقرأ", "Levantine") == "ست قاعدة وعم تقرا"
    assert rewriting.in_dialect("نظارات شمسية", "Iraqi") == "مناظر شمسية"
    assert rewriting.in_dialect("درس في الكيمياء", "Gulf") == "درس في الكيمياء"


def test_arabizi_leaves_no_arabic_letter() -> None:
    assert rewriting.in_latin_letters("طفل يلعب", random.Random(0)) == "tefl yel3ab"
    assert not any("\u0600" <= letter <= "\u06ff" for letter in rewriting.in_latin_letters(CAPTION + " ڤيلا گاز", DRAW))


def test_a_third_of_the_words_is_held_out_by_whole_words() -> None:
    share = np.mean([entry.held_out for entry in lexicon().values()])
    assert 0.2 < share < 0.45
    assert held_out("طفل") == held_out("أطفال") == held_out("طفلتان")
    for dialect in DIALECTS:
        changed = rewriting.in_dialect("طفل كلب سيارة نافذة حذاء حقيبة رجل", dialect, only_held_out=True).split()
        for word, new in zip(["طفل", "كلب", "سيارة", "نافذة", "حذاء", "حقيبة", "رجل"], changed, strict=False):
            assert word == new or held_out(word)


def test_a_lexicon_with_a_wrong_line_names_it(tmp_path: Path) -> None:
    (tmp_path / "words.tsv").write_text("# words\nn\tرجل\tragol\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"words\.tsv line 2: 3 columns"):
        read_lexicon(tmp_path / "words.tsv")


def test_a_text_tower_of_random_weights_gets_its_losses(folder: Path) -> None:
    result = measure(FromLetters(), read_set(folder, "caption_ar"))
    assert [loss.kind for loss in result.losses] == [CLEAN, *(kind.name for kind in KINDS)]
    for loss in result.losses:
        for k, lost in loss.loss.items():
            assert lost == pytest.approx(result.losses[0].recall[k] - loss.recall[k])
            assert loss.interval[k][0] <= lost <= loss.interval[k][1]
            assert loss.changed or lost == 0
    assert result == measure(FromLetters(), read_set(folder, "caption_ar"))


def test_the_pictures_are_encoded_once_and_a_damaged_file_again(
    folder: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, dataset, cache, calls = AraCLIP.load(tiny_model), read_set(folder, "caption_ar"), tmp_path / "cache", []
    encode = AraCLIP.encode_image
    monkeypatch.setattr(AraCLIP, "encode_image", lambda self, images: calls.append(1) or encode(self, images))
    kinds = kinds_by_name(["one typo"])
    first = measure(model, dataset, kinds=kinds, cache=cache)
    assert measure(model, dataset, kinds=kinds, cache=cache) == first
    assert len(calls) == 1
    (stored,) = cache.glob("*.pictures")
    stored.write_bytes(stored.read_bytes()[:-3])
    assert measure(model, dataset, kinds=kinds, cache=cache) == first
    assert len(calls) == 2


def test_the_command_prints_losses_as_table_json_and_report(run: Run, folder: Path, tiny_model: Path) -> None:
    asked = ("evaluate", "--dataset", folder, "--model", tiny_model, "--robustness", "--kind", "dialect")
    table = run(*asked)
    assert table.code == 0
    assert "Egyptian" in table.out
    assert "typo" not in table.out
    page = folder.parent / "report.html"
    found = json.loads(run(*asked, "--json", "--report", page).out)["robustness"]
    assert [loss["kind"] for loss in found[0]["losses"]][:2] == [CLEAN, "Egyptian"]
    assert found[0]["losses"][1]["changed"] == 6  # احمر, ازرق, اخضر
    assert "<h2>Robustness</h2>" in page.read_text(encoding="utf-8")
    assert "no kind of robustness" in run(*asked[:-1], "spellling").err


def test_a_report_is_written_where_no_text_changes(run: Run, folder: Path, tiny_model: Path) -> None:
    page = folder.parent / "report.html"
    asked = ("evaluate", "--dataset", folder, "--model", tiny_model, "--kind", "without tashkeel", "--report", page)
    assert run(*asked).code == 0
    written = page.read_text(encoding="utf-8")
    assert "without tashkeel" in written
    assert "Loss of R@10 by kind" not in written  # a chart without a row
