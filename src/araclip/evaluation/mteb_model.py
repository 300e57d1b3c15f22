"""Lets mteb (Massive Text Embedding Benchmark, Muennighoff et al. 2023) evaluate our encoders, also on pictures.

>>> import mteb
>>> from araclip.evaluation.mteb_model import MTEBModel
>>> mteb.evaluate(MTEBModel("araclip-mini"), mteb.get_tasks(["XM3600T2IRetrieval"], languages=["ara"]))
"""

import logging
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from araclip.errors import InputError
from araclip.evaluation.retrieval import label_of
from araclip.models.encoder import Encoder, ModelLike, as_encoder
from araclip.models.encoder_base import Vectors

if TYPE_CHECKING:
    from mteb.abstasks import AbsTask
    from mteb.models import ModelMeta

SCORES = {"nDCG@10": "ndcg_at_10", "R@1": "hit_rate_at_1", "R@5": "hit_rate_at_5", "R@10": "hit_rate_at_10"}
MAIN_SCORE = "main score"


class MTEBModel:
    """A dual encoder with mteb's `EncoderProtocol`: for text, pictures, or both in one input.

    Args:
        model: a name, a path or an encoder, as `AraCLIP.load` takes.
        revision, device: passed by mteb and ignored: a model has one revision, and `AraCLIP.load` chooses its device.
    """

    def __init__(self, model: ModelLike, revision: str | None = None, *, device: str | None = None, **_: Any) -> None:
        self.encoder: Encoder = as_encoder(model)

    def encode(self, inputs: Iterable[Mapping[str, Any]], **_: Any) -> Vectors:
        """Encode batches with `text` (strings), `image` (PIL pictures) or both: (n, D) float32 of unit length.

        A text with a picture gets the normalised sum of both vectors, as in mteb's own CLIP models.

        Raises:
            InputError: a batch has neither text nor pictures.
        """
        return np.concatenate([np.empty((0, self.encoder.width), np.float32), *map(self._encode, inputs)])

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Vectors:
        """Return the cosines of unit vectors (n, D) and (m, D) as (n, m); a vector (D,) counts as one row."""
        cosines: Vectors = np.atleast_2d(np.asarray(embeddings1)) @ np.atleast_2d(np.asarray(embeddings2)).T
        return cosines

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Vectors:
        """Return the cosines of unit vectors (n, D) and (n, D), row by row, as (n,)."""
        products = np.atleast_2d(np.asarray(embeddings1) * np.asarray(embeddings2))
        cosines: Vectors = products.sum(axis=-1, dtype=np.float32)
        return cosines

    @property
    def mteb_model_meta(self) -> "ModelMeta":
        """The name under which mteb stores results, with the fingerprint of the weights as the revision."""
        from mteb.models import ModelMeta
        from mteb.models.model_meta import ScoringFunction

        name, _, fingerprint = label_of(self.encoder, None).rpartition("@")
        return ModelMeta.create_empty(
            overwrites={
                "name": name if "/" in name else f"araclip/{name}",  # mteb wants organisation/model
                "revision": fingerprint,
                "languages": ["ara-Arab", "eng-Latn"],
                "embed_dim": self.encoder.width,
                "modalities": ["text", "image"],
                "framework": ["ONNX"],
                "similarity_fn_name": ScoringFunction.COSINE,
                "use_instructions": False,
            }
        )

    def _encode(self, batch: Mapping[str, Any]) -> Vectors:
        parts = []
        if "text" in batch:
            parts.append(self.encoder.encode_text(batch["text"]))
        if "image" in batch:
            parts.append(self.encoder.encode_image(batch["image"]))
        if not parts:
            raise InputError(
                f"mteb passed {', '.join(sorted(batch)) or 'nothing'}; this model takes text and pictures."
            )
        if len(parts) == 1:
            return parts[0]
        summed = parts[0] + parts[1]  # one row for each input in the batch
        normalized: Vectors = summed / np.linalg.norm(summed, axis=1, keepdims=True)
        return normalized


@dataclass(frozen=True)
class TaskScores:
    """Scores of one task, split and subset (language): nDCG@10, R@1, R@5 and R@10.

    R@k is the share of queries with any relevant item among the first k (mteb's hit rate). A task that is not retrieval
    has only `MAIN_SCORE`, mteb's main score. A score that mteb cannot compute is left out.
    """

    task: str
    split: str
    subset: str
    values: dict[str, float]


def tasks_by_name(names: Sequence[str], languages: Sequence[str]) -> "list[AbsTask]":
    """Return tasks of mteb, limited to some languages.

    Args:
        languages: ISO 639-3 codes such as "ara"; empty: all.

    Raises:
        InputError: mteb is not installed, has no such task, or the task has nothing in these languages.
    """
    if find_spec("mteb") is None:
        raise InputError("mteb is not installed. Install the extra: pip install 'araclip[mteb]'.")
    import mteb

    selected = []
    with warnings.catch_warnings(action="ignore"):  # mteb only warns if it leaves a task out; below, that is an error
        for name in names:
            try:
                tasks = list(mteb.get_tasks(tasks=[name], languages=list(languages) or None))
            except KeyError:
                raise InputError(
                    f"mteb {mteb.__version__} has no task '{name}'. `mteb available-tasks` lists them."
                ) from None
            if not tasks:
                named = ", ".join(languages)
                raise InputError(f"mteb's task '{name}' has nothing in {named}. Leave out --language to run all of it.")
            selected += tasks
    return selected


def run_tasks(model: ModelLike, tasks: "Sequence[AbsTask]", folder: Path) -> list[TaskScores]:
    """Run tasks of mteb and store mteb's result files in `folder`; a task with a result file is not run again.

    Raises:
        InputError: the hub cannot be reached and a task's data are not on this machine.
    """
    import mteb

    logging.getLogger("mteb").setLevel(logging.ERROR)
    try:
        results = mteb.evaluate(MTEBModel(model), tasks, cache=mteb.ResultCache(folder))
    except ConnectionError as error:  # raised by `datasets` if the hub cannot be reached
        raise InputError(
            f"{error}. mteb's tasks fetch their data from the Hugging Face hub; go online, or run `araclip evaluate` "
            "on a folder of your own."
        ) from None
    scores = []
    for result in results.task_results:
        for split, row in ((split, row) for split, rows in result.scores.items() for row in rows):
            values = {name: float(row[key]) for name, key in SCORES.items() if key in row}
            if len(values) < len(SCORES):
                values = {MAIN_SCORE: float(row["main_score"])}
            # leave out NaN, the correlation of equal scores, because JSON cannot express it
            values = {name: value for name, value in values.items() if not math.isnan(value)}
            scores.append(TaskScores(result.task_name, split, row["hf_subset"], values))
    return scores
