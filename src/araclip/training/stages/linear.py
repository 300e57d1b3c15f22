"""The stage of the linear map: the text head alone, in closed form, on a frozen text tower.

It is the baseline of every distillation, and can be its start.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from araclip.errors import DataError, RecipeError
from araclip.training.data.text import Mixture
from araclip.training.loop.processes import accelerator_for
from araclip.training.model.towers import fingerprint
from araclip.training.recipe.stages import Linear
from araclip.training.stages import starting_model
from araclip.training.stages.dev_recall import locked_recall
from araclip.training.stages.stage_run import stage_run
from araclip.training.stages.starting_model import StageContext, cached_teacher
from araclip.training.stages.texts import LearningTexts, text_features

Array = NDArray[np.floating]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

BLOCK = 16_384  # rows taken to float64 at a time: 100 MB at 768 wide
STRENGTHS = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # candidates, as parts of the mean of X'X's diagonal
MAX_HELD_OUT = 20_000  # a mean cosine over more rows moves in its fourth digit only


@dataclass(frozen=True)
class LinearMap:
    """`features @ weight.T + bias`: what a `nn.Linear(H, D)` is initialised with.

    Attributes:
        weight: (D, H).
        bias: (D,), zeros without intercept.
        penalty: the ridge penalty it was solved with.
        held_out_cosine: mean cosine to the teacher on the held-out rows, of the map of this penalty without them.
    """

    weight: Floats = field(repr=False)
    bias: Floats = field(repr=False)
    penalty: float
    held_out_cosine: float


class Moments:
    """Sums over rows of features (N, H) and targets (N, D) that ridge regression needs, in float64.

    They are taken about the first block's mean, so that features far from zero lose no digits.
    """

    def __init__(self) -> None:
        self.rows = 0

    def add(self, features: Array, targets: Array) -> None:
        """Add a block of (n, H) features and (n, D) targets."""
        x, y = features.astype(np.float64), targets.astype(np.float64)
        if not self.rows:
            self._x0, self._y0 = x.mean(axis=0), y.mean(axis=0)
            self._x, self._y = np.zeros_like(self._x0), np.zeros_like(self._y0)
            self._xx, self._xy = np.zeros((len(self._x), len(self._x))), np.zeros((len(self._x), len(self._y)))
        x -= self._x0
        y -= self._y0
        self._x += x.sum(axis=0)
        self._y += y.sum(axis=0)
        self._xx += x.T @ x  # (H, H)
        self._xy += x.T @ y  # (H, D)
        self.rows += len(x)

    def solver(self, intercept: bool) -> "Solver":
        """The system with its eigenvalues, solvable for any penalty."""
        x, y = self._x / self.rows, self._y / self.rows  # means about the first block's
        mean_x, mean_y = x + self._x0, y + self._y0
        xx = self._xx - self.rows * np.outer(x, x)
        xy = self._xy - self.rows * np.outer(x, y)
        if not intercept:
            xx += self.rows * np.outer(mean_x, mean_x)
            xy += self.rows * np.outer(mean_x, mean_y)
            mean_x, mean_y = np.zeros_like(mean_x), np.zeros_like(mean_y)
        values, vectors = np.linalg.eigh(xx)
        return Solver(values, vectors, vectors.T @ xy, mean_x, mean_y)


@dataclass(frozen=True)
class Solver:
    """X'X = V diag(λ) V', so that each penalty costs one product."""

    values: Doubles  # (H,)
    vectors: Doubles  # (H, H)
    rotated: Doubles  # (H, D), V'X'Y
    mean_x: Doubles  # (H,)
    mean_y: Doubles  # (D,)

    @property
    def scale(self) -> float:
        """Mean of X'X's diagonal; 1 where all rows are alike."""
        return float(self.values.mean()) or 1.0

    def solve(self, penalty: float) -> tuple[Doubles, Doubles]:
        """Weight (D, H) and bias (D,). Directions without spread get no weight: penalty 0 is the shortest map."""
        floor = len(self.values) * np.finfo(np.float64).eps * max(self.values.max(), 0.0)
        spread = self.values > floor
        inverse = np.zeros_like(self.values)
        inverse[spread] = 1.0 / (self.values[spread] + penalty)
        weight = (self.vectors * inverse @ self.rotated).T  # (D, H)
        return weight, self.mean_y - weight @ self.mean_x


def fit_linear_map(
    features: Array,
    targets: Array,
    penalties: Sequence[float] | None = None,
    *,
    held_out: float = 0.1,
    seed: int = 0,
    intercept: bool = True,
    block: int = BLOCK,
) -> LinearMap:
    """Minimise Σ‖y − Wx − b‖² + penalty · ‖W‖² (Hoerl and Kennard 1970); the bias is not penalised.

    The penalty is the candidate whose map has the highest mean cosine to the targets on held-out rows; the map is then
    solved with all rows. Rows are read `block` at a time, so memory-mapped float16 matrices of any length do.

    Args:
        features, targets: (N, H) and (N, D), N ≥ 2. Equal texts on both sides of the split favour small penalties: pass
            distinct ones.
        penalties: candidates; by default eight, from 1e-8 to 1 of the mean of X'X's diagonal.
        held_out: part of the rows that is held out, drawn by `seed`; at most 20,000 rows.
        intercept: whether there is a bias.

    Raises:
        DataError: fewer than 2 rows, not as many features as targets, or a row that is not finite; its number is named.
        RecipeError: no candidate, a penalty that is negative or no number, or a part outside 0…1.
    """
    train, held = _split(_check_rows(features, targets), held_out, seed)
    moments = Moments()
    _add(moments, features, targets, train, block)
    penalty, cosine = _best_penalty(moments, features, targets, held, penalties, intercept, block)
    _add(moments, features, targets, held, block)
    weight, bias = moments.solver(intercept).solve(penalty)
    return LinearMap(weight.astype(np.float32), bias.astype(np.float32), penalty, cosine)


def _best_penalty(
    moments: Moments,
    features: Array,
    targets: Array,
    held: NDArray[np.intp],
    penalties: Sequence[float] | None,
    intercept: bool,
    block: int,
) -> tuple[float, float]:
    """The candidate with the highest mean cosine on the held-out rows, and that cosine."""
    solver = moments.solver(intercept)
    candidates = [part * solver.scale for part in STRENGTHS] if penalties is None else list(penalties)
    if not candidates:
        raise RecipeError("no penalty to choose from. Give at least one, or none at all for the usual eight.")
    for penalty in candidates:
        if not 0 <= penalty < np.inf:
            raise RecipeError(f"penalty is {penalty}, expected a number from 0 up.")
    maps = [solver.solve(penalty) for penalty in candidates]
    sums = np.zeros(len(candidates))
    for rows in _blocks(held, block):
        x, y = _finite("features", features, rows), _finite("targets", targets, rows)
        for i, (weight, bias) in enumerate(maps):
            sums[i] += _cosines(x @ weight.T + bias, y).sum()
    best = int(sums.argmax())
    return candidates[best], float(sums[best] / len(held))


def _cosines(left: Doubles, right: Doubles) -> Doubles:
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    cosines: Doubles = (left * right).sum(axis=1) / np.maximum(lengths, 1e-12)
    return cosines


def _split(rows: int, held_out: float, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    if rows < 2:
        raise DataError(f"{rows} row cannot be split in two. Give at least 2 texts, better 10 a feature.")
    if not 0 < held_out < 1:
        raise RecipeError(f"held_out is {held_out}, expected a part of the rows, such as 0.1.")
    count = min(max(1, round(held_out * rows)), rows - 1, MAX_HELD_OUT)
    shuffled = np.random.default_rng(seed).permutation(rows)
    return np.sort(shuffled[count:]), np.sort(shuffled[:count])  # rising, for memory-mapped files


def _add(moments: Moments, features: Array, targets: Array, rows: NDArray[np.intp], block: int) -> None:
    for part in _blocks(rows, block):
        moments.add(_finite("features", features, part), _finite("targets", targets, part))


def _blocks(rows: NDArray[np.intp], block: int) -> list[NDArray[np.intp]]:
    return [rows[start : start + block] for start in range(0, len(rows), block)]


def _finite(what: str, matrix: Array, rows: NDArray[np.intp]) -> Doubles:
    values = np.asarray(matrix[rows], np.float64)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise DataError(f"{what}, row {rows[int(finite.argmin())]}: not all numbers are finite. Leave the text out.")
    return values


def _check_rows(features: Array, targets: Array) -> int:
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets) or 0 in features.shape + targets.shape:
        raise DataError(
            f"features have shape {features.shape}, targets {targets.shape}; expected (N, H) and (N, D) with the same "
            "N, none of them 0. Make both from the same texts."
        )
    return len(features)


def linear(stage: Linear, context: StageContext) -> dict[str, float]:
    """Fit the text projection to the teacher's vectors by ridge regression, over the first `rows` of the mixture.

    Returns:
        Dev recall. The model lies in `runs/<name>/model`.

    Raises:
        TrainingError: see its children.
    """
    accelerator = accelerator_for()
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    mixture = Mixture(stage.sources, stage.seed)
    rows = list({(r.text, r.english): r for r in mixture.batch(0, stage.rows)}.values())
    data = {"start": fingerprint(model), "pairs": mixture.fingerprint}
    texts = LearningTexts(model, processor, 0)
    with accelerator.main_process_first():  # it computes what is cached, the others read that
        english, width = [row.english for row in rows], model.config.projection_dim
        teacher = cached_teacher(stage, context, english, width, accelerator.device)
        recall = None
        if stage.dev:
            recall = locked_recall(stage.dev, (model, processor), texts.vectors, context.cache, context.reporter.log)
    context.reporter.log(f"text features of {len(rows):,} rows")
    features = text_features(model, processor, [row.text for row in rows]).numpy()  # (N, H)
    targets = teacher.lookup(english)  # (N, D)
    fitted = fit_linear_map(features, targets, None if stage.penalty is None else [stage.penalty], seed=stage.seed)
    with torch.no_grad():
        model.text_projection.weight.copy_(torch.from_numpy(fitted.weight))
        model.text_projection.bias.copy_(torch.from_numpy(fitted.bias))
    measured = recall() if recall else {}
    data["teacher"] = teacher.fingerprint
    with stage_run(stage, context, data, (model, processor), accelerator) as run:
        run.resume()
        run.log(1, held_out_cosine=fitted.held_out_cosine, penalty=fitted.penalty, **measured)
    return measured
