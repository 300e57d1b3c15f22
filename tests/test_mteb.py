"""mteb runs an exported folder by its own wrapper of sentence-transformers: over tasks of a few pictures."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from araclip import AraCLIP
from araclip.evaluation.scores import measures, score
from araclip.layouts.layout import write_layout
from tiny import ARABIC, COLOURS, VOCABULARY

with warnings.catch_warnings(action="ignore"):  # of its own dependencies, while they are loaded
    mteb = pytest.importorskip("mteb")
    from datasets import Dataset
    from mteb.abstasks import AbsTaskRetrieval
    from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper

Scores = Callable[[AbsTaskRetrieval], dict[str, float]]
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
PICTURES = [Image.new("RGB", (20, 10), colour) for colour in COLOURS.values()]
WORDS = [ARABIC[name] for name in COLOURS]


def texts() -> Dataset:
    return Dataset.from_dict({"id": [f"t{i}" for i in range(3)], "text": WORDS})


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


@pytest.fixture(scope="module")
def scores(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path
) -> Callable[[AbsTaskRetrieval], dict[str, float]]:
    """Runs a task with the exported folder, as docs/evaluation-sets.md says."""
    folder = tmp_path_factory.mktemp("mteb")
    write_layout(tiny_model, folder / "st", "sentence-transformers")

    def run(asked: AbsTaskRetrieval) -> dict[str, float]:
        model = SentenceTransformerEncoderWrapper(str(folder / "st"), trust_remote_code=True, device="cpu")
        model.mteb_model_meta = model.mteb_model_meta.model_copy(update={"modalities": ["text", "image"]})
        (result,) = mteb.evaluate(
            model, [asked], cache=mteb.ResultCache(tmp_path_factory.mktemp("results"))
        ).task_results
        ((row,),) = result.scores.values()
        return {f"R@{k}": row[f"hit_rate_at_{k}"] for k in (1, 5, 10)}

    return run


@pytest.mark.parametrize("category", ["t2i", "i2t"])
def test_mteb_finds_pictures_by_arabic_text_and_texts_by_picture(scores: Scores, category: str) -> None:
    sides = (texts, images) if category == "t2i" else (images, texts)
    assert scores(task(*sides, category)) == {"R@1": 1.0, "R@5": 1.0, "R@10": 1.0}


def test_mtebs_numbers_are_ours(scores: Scores, tiny_model: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = [Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(24)]
    words = [" ".join(rng.choice(VOCABULARY[4:], 3)) for _ in drawn]
    asked = Dataset.from_dict({"id": [f"t{i}" for i in range(24)], "text": words})
    pool = Dataset.from_list([{"id": f"i{i}", "image": picture} for i, picture in enumerate(drawn)])
    model = AraCLIP.load(tiny_model)
    ours = measures(score(model.encode_text(words), model.encode_image(drawn), [[i] for i in range(24)]))
    assert 0 < ours["R@1"] < ours["R@10"] < 1
    theirs = scores(task(lambda: asked, lambda: pool, "t2i"))
    assert theirs == pytest.approx({name: ours[name] for name in theirs}, abs=1e-4)
