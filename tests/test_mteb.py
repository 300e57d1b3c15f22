"""mteb runs our models: its own evaluation over a task of six pictures, and its protocol."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from araclip import AraCLIP, cli
from araclip.errors import InputError
from araclip.evaluation.scores import measures, score
from tiny import ARABIC, COLOURS, VOCABULARY

with warnings.catch_warnings(action="ignore"):  # of its own dependencies, while they are loaded
    mteb = pytest.importorskip("mteb")
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval, AbsTaskSTS
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.models_protocols import EncoderProtocol

from araclip.evaluation.mteb_model import MTEBModel, run_tasks, tasks_by_name

ABOUT: dict[str, Any] = {
    "description": "Colours.",
    "reference": "https://example.org/colours",
    "dataset": {"path": "nowhere/colours", "revision": "1"},
    "type": "Any2AnyRetrieval",
    "modalities": ["text", "image"],
    "eval_splits": ["test"],
    "eval_langs": ["ara-Arab"],
    "main_score": "ndcg_at_10",
    "date": ("2024-01-01", "2024-12-31"),
    "domains": ["Written"],
    "task_subtypes": ["Image Text Retrieval"],
    "license": "cc0-1.0",
    "annotations_creators": "derived",
    "dialect": [],
    "sample_creation": "created",
    "bibtex_citation": "",
}
_ABOUT_STS = ABOUT | {"type": "STS", "modalities": ["text"], "main_score": "cosine_spearman", "task_subtypes": []}
PICTURES = [Image.new("RGB", (20, 10), colour) for colour in COLOURS.values()]
WORDS = [ARABIC[name] for name in COLOURS]


def texts(*wrong: int) -> Dataset:
    """The colour words, red for another where asked: then the model must fail."""
    words = [WORDS[0] if i in wrong else word for i, word in enumerate(WORDS)]
    return Dataset.from_dict({"id": [f"t{i}" for i in range(3)], "text": words})


def images() -> Dataset:
    return Dataset.from_list([{"id": f"i{i}", "image": picture} for i, picture in enumerate(PICTURES)])


def task(queries: Callable[[], Dataset], corpus: Callable[[], Dataset], category: str) -> AbsTaskRetrieval:
    """Row i of the queries is answered by row i of the corpus."""

    class Colours(AbsTaskRetrieval):
        metadata = TaskMetadata(name=f"Colours{category}Retrieval", category=category, **ABOUT)

        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            asked, answers = queries(), corpus()
            relevant = {a: {b: 1} for a, b in zip(asked["id"], answers["id"], strict=True)}
            data = RetrievalSplitData(queries=asked, corpus=answers, relevant_docs=relevant, top_ranked=None)
            self.dataset = {"default": {"test": data}}
            self.data_loaded = True

    return Colours()


@pytest.fixture
def model(tiny_model: Path) -> MTEBModel:
    return MTEBModel(str(tiny_model))


@pytest.mark.parametrize("category", ["t2i", "i2t"])
def test_mteb_finds_pictures_by_arabic_text_and_texts_by_picture(
    tmp_path: Path, tiny_model: Path, category: str
) -> None:
    sides = (texts, images) if category == "t2i" else (images, texts)
    (scores,) = run_tasks(tiny_model, [task(*sides, category)], tmp_path)
    assert (scores.task, scores.split, scores.subset) == (f"Colours{category}Retrieval", "test", "default")
    assert scores.values == {"nDCG@10": 1.0, "R@1": 1.0, "R@5": 1.0, "R@10": 1.0}
    assert list(tmp_path.rglob(f"Colours{category}Retrieval.json"))  # mteb's own file, for its leaderboard


def test_a_wrong_answer_costs_what_it_must(tmp_path: Path, tiny_model: Path) -> None:
    (scores,) = run_tasks(tiny_model, [task(lambda: texts(1), images, "t2i")], tmp_path)
    assert scores.values["R@1"] == pytest.approx(2 / 3, abs=1e-4)
    assert scores.values["R@5"] == 1.0


def test_mtebs_numbers_are_ours(tmp_path: Path, tiny_model: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = [Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(24)]
    words = [" ".join(rng.choice(VOCABULARY[4:], 3)) for _ in drawn]
    asked = Dataset.from_dict({"id": [f"t{i}" for i in range(24)], "text": words})
    pool = Dataset.from_list([{"id": f"i{i}", "image": picture} for i, picture in enumerate(drawn)])
    (theirs,) = run_tasks(tiny_model, [task(lambda: asked, lambda: pool, "t2i")], tmp_path)
    model = AraCLIP.load(tiny_model)
    ours = measures(score(model.encode_text(words), model.encode_image(drawn), [[i] for i in range(24)]))
    assert 0 < ours["R@1"] < ours["R@10"] < 1
    assert theirs.values == pytest.approx({name: ours[name] for name in theirs.values}, abs=1e-5)


def test_results_of_another_model_are_not_taken_for_this_one(tmp_path: Path, tiny_model: Path) -> None:
    meta = MTEBModel(tiny_model).mteb_model_meta
    assert (meta.name, meta.revision) == ("araclip/tiny", AraCLIP.load(tiny_model).config.fingerprint)
    assert set(meta.modalities) == {"text", "image"}


def test_the_model_is_an_encoder_in_mtebs_sense_and_gives_our_vectors(model: MTEBModel, tiny_model: Path) -> None:
    assert isinstance(model, EncoderProtocol)
    batches = [{"text": WORDS[:2]}, {"text": WORDS[2:]}]
    found = model.encode(batches, task_metadata=None, hf_split="test", hf_subset="default", batch_size=2)
    assert found == pytest.approx(AraCLIP.load(tiny_model).encode_text(WORDS))
    assert model.similarity(found, found).shape == (3, 3)
    assert model.similarity(found[0], found).shape == (1, 3)
    assert model.similarity_pairwise(found, found) == pytest.approx(np.ones(3), abs=1e-6)


def test_a_text_with_a_picture_lies_between_the_two_at_unit_length(model: MTEBModel) -> None:
    both = model.encode([{"text": WORDS, "image": PICTURES, "id": ["a", "b", "c"]}])
    text, image = model.encode([{"text": WORDS}]), model.encode([{"image": PICTURES}])
    assert np.linalg.norm(both, axis=1) == pytest.approx(np.ones(3), abs=1e-6)
    assert model.similarity_pairwise(both, text) == pytest.approx(model.similarity_pairwise(both, image), abs=1e-5)
    assert model.encode([]).shape == (0, model.encoder.width)


def test_a_modality_we_do_not_have_is_refused(model: MTEBModel) -> None:
    with pytest.raises(InputError, match="mteb passed audio; this model takes text and pictures"):
        model.encode([{"audio": [0]}])


def test_the_arabic_subsets_of_published_tasks_are_found_by_name() -> None:
    found = tasks_by_name(["XM3600T2IRetrieval", "WITT2IRetrieval"], ["ara"])
    assert [(task.metadata.name, list(task.hf_subsets)) for task in found] == [
        ("XM3600T2IRetrieval", ["ar"]),
        ("WITT2IRetrieval", ["ar"]),
    ]


@pytest.mark.parametrize(
    ("name", "languages", "message"),
    [
        ("NoSuchTask", [], r"mteb [\d.]+ has no task 'NoSuchTask'.*available-tasks"),
        ("XM3600T2IRetrieval", ["amh"], r"has nothing in amh.*Leave out --language"),
    ],
)
def test_an_unknown_task_or_language_is_refused_before_anything_is_encoded(
    name: str, languages: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        tasks_by_name([name], languages)


# ------------------------------------------------------------------ the command


def test_without_the_hub_the_command_says_so_in_one_line(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["araclip", "mteb", "XM3600T2IRetrieval", "--model", str(tiny_model), "--language", "ara"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    captured = capsys.readouterr()
    assert (stopped.value.code, captured.out) == (2, "")
    (line,) = [line for line in captured.err.splitlines() if line.startswith("araclip: ")]
    assert "mteb/xm3600" in line
    assert "go online" in line


def printed_by(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that succeeds prints."""
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code in (0, None)
    return capsys.readouterr().out


def test_the_command_prints_scores_or_json(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mteb, "get_tasks", lambda **_: [task(texts, images, "t2i")])  # the registry has no task of ours
    arguments = ["araclip", "mteb", "Colours", "--model", str(tiny_model), "--out", str(tmp_path)]
    printed = [printed_by([*arguments, *options], monkeypatch, capsys) for options in ([], ["--json"])]
    assert "Colourst2iRetrieval" in printed[0]
    made = json.loads(printed[1])
    assert made["results"][0]["values"]["R@1"] == 1.0


@pytest.mark.filterwarnings("ignore:An input array is constant")  # of scipy
def test_a_task_that_is_no_retrieval_has_its_main_score(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Alike(AbsTaskSTS):
        metadata = TaskMetadata(name="AlikeSTS", category="t2t", **_ABOUT_STS)
        scores = (5, 0, 0)

        def load_data(self, num_proc: int | None = None, **_: Any) -> None:
            pairs = {"sentence1": WORDS, "sentence2": [WORDS[0], WORDS[0], WORDS[0]], "score": list(self.scores)}
            self.dataset = {"default": {"test": Dataset.from_dict(pairs)}}
            self.data_loaded = True

    class Equal(Alike):  # there is no correlation with equal scores
        metadata = TaskMetadata(name="EqualSTS", category="t2t", **_ABOUT_STS)
        scores = (5, 5, 5)

    monkeypatch.setattr(mteb, "get_tasks", lambda **_: [Alike(), task(texts, images, "t2i"), Equal()])
    arguments = ["araclip", "mteb", "Alike", "--model", str(tiny_model), "--out", str(tmp_path)]
    printed = [printed_by([*arguments, *options], monkeypatch, capsys) for options in ([], ["--json"])]
    alike, colours, equal = json.loads(printed[1])["results"]
    assert 0 < alike["values"]["main score"] <= 1
    assert (colours["values"]["R@1"], equal["values"]) == (1.0, {})
    assert "AlikeSTS" in printed[0]
