"""The stage `linear`: fits the text head in closed form, by ridge regression, on a frozen text tower.

Its result is the baseline of every distillation, and a distillation can start from it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from araclip.errors import DataError
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

BLOCK = 16_384  # rows converted to float64 at a time: 100 MB for rows of 768 numbers
STRENGTHS = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # penalties to try, relative to the mean of X'X's diagonal
# limit of the rows held out to choose the penalty; more would change only the fourth digit of the mean cosine
MAX_HELD_OUT = 20_000


@dataclass(frozen=True)
class LinearMap:
    """A fitted map, `features @ weight.T + bias`; a `nn.Linear(H, D)` is initialised with it."""

    weight: Floats = field(repr=False)  # (D, H)
    bias: Floats = field(repr=False)  # (D,)
    penalty: float  # the ridge penalty that the map was solved with
    held_out_cosine: float  # mean cosine to the teacher on held-out rows, of a map fitted without these rows


class Moments:
    """Sums over rows (features of width H, targets of width D), in float64, from which ridge regression is solved.

    The first block's mean is subtracted from every row before summing, so that features far from zero lose no digits.
    """

    def __init__(self) -> None:
        self.rows = 0

    def add(self, features: Array, targets: Array) -> None:
        """Add n further rows to the sums: their features (n, H) and their targets (n, D)."""
        x, y = features.astype(np.float64), targets.astype(np.float64)  # copies, since -= below changes them
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

    def solver(self) -> "Solver":
        """Return a `Solver`, which computes the linear map from features to targets for any ridge penalty."""
        x, y = self._x / self.rows, self._y / self.rows  # means, relative to the first block's mean
        mean_x, mean_y = x + self._x0, y + self._y0
        xx = self._xx - self.rows * np.outer(x, x)
        xy = self._xy - self.rows * np.outer(x, y)
        values, vectors = np.linalg.eigh(xx)
        return Solver(values, vectors, vectors.T @ xy, mean_x, mean_y)


@dataclass(frozen=True)
class Solver:
    """Solves the ridge regression for any penalty cheaply, from X'X = V diag(λ) V' (X: the centred features (N, H))."""

    values: Doubles  # (H,)
    vectors: Doubles  # (H, H)
    rotated: Doubles  # (H, D), V'X'Y: features times targets, along the axes `vectors`
    mean_x: Doubles  # (H,)
    mean_y: Doubles  # (D,)

    @property
    def scale(self) -> float:
        """The mean of the diagonal of X'X (X: centred features), for relative penalties; 1 if all rows are equal."""
        return float(self.values.mean()) or 1.0

    def solve(self, penalty: float) -> tuple[Doubles, Doubles]:
        """Return weight (D, H) and bias (D,).

        Directions in which the features do not vary get weight 0, so that penalty 0 gives the map of least norm.
        """
        floor = len(self.values) * np.finfo(np.float64).eps * max(self.values.max(), 0.0)
        spread = self.values > floor
        inverse = np.zeros_like(self.values)
        inverse[spread] = 1.0 / (self.values[spread] + penalty)
        weight = (self.vectors * inverse @ self.rotated).T  # (D, H)
        return weight, self.mean_y - weight @ self.mean_x


def fit_linear_map(
    features: Array, targets: Array, penalties: Sequence[float] | None = None, *, seed: int = 0, block: int = BLOCK
) -> LinearMap:
    """Minimise Σ‖y − Wx − b‖² + penalty · ‖W‖² (Hoerl and Kennard 1970); the bias is not penalised.

    A tenth of the rows (at most MAX_HELD_OUT), drawn by `seed`, is held out. The penalty whose map has the highest mean
    cosine to the held-out targets is chosen; the map is then solved with all rows. Rows are read `block` at a time, so
    memory-mapped float16 matrices of any length can be passed.

    Args:
        features, targets: (N, H) and (N, D), N ≥ 2. Pass distinct texts: a text on both sides of the split would favour
            small penalties.
        penalties: the penalties to try; by default eight, from 1e-8 to 1 times the mean of X'X's diagonal.

    Raises:
        DataError: there are fewer than two rows, or a number is not finite.
    """
    if len(features) < 2:
        raise DataError(f"{len(features)} row cannot be split in two. Give at least 2 texts, better 10 a feature.")
    count = min(max(1, round(0.1 * len(features))), MAX_HELD_OUT)
    shuffled = np.random.default_rng(seed).permutation(len(features))
    train, held = np.sort(shuffled[count:]), np.sort(shuffled[:count])  # sorted, to read files front to back
    moments = Moments()
    for x, y in _blocks(features, targets, train, block):
        moments.add(x, y)
    solver = moments.solver()
    candidates = [part * solver.scale for part in STRENGTHS] if penalties is None else list(penalties)
    maps = [solver.solve(penalty) for penalty in candidates]
    sums = np.zeros(len(candidates))
    for x, y in _blocks(features, targets, held, block):
        for i, (weight, bias) in enumerate(maps):
            found = x @ weight.T + bias  # (n, D)
            lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(y, axis=1)
            sums[i] += ((found * y).sum(axis=1) / np.maximum(lengths, 1e-12)).sum()
        moments.add(x, y)
    best = int(sums.argmax())
    weight, bias = moments.solver().solve(candidates[best])
    cosine = float(sums[best] / len(held))
    return LinearMap(weight.astype(np.float32), bias.astype(np.float32), candidates[best], cosine)


def _blocks(features: Array, targets: Array, rows: NDArray[np.intp], block: int) -> Iterator[tuple[Doubles, Doubles]]:
    """Yield these rows of both matrices in float64, `block` at a time; raise DataError if a number is not finite."""
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        both = [np.asarray(matrix[part], np.float64) for matrix in (features, targets)]
        for what, values in zip(("features", "targets"), both, strict=True):
            finite = np.isfinite(values).all(axis=1)
            if not finite.all():
                row = part[int(finite.argmin())]
                raise DataError(f"{what}, row {row}: not all numbers are finite. Leave the text out.")
        yield both[0], both[1]


def linear(stage: Linear, context: StageContext) -> dict[str, float]:
    """Fit the text projection to the teacher's vectors by ridge regression, on the mixture's first `rows` rows.

    Return the dev recall, empty without a dev set.
    """
    accelerator = accelerator_for()
    model, processor = starting_model.start_of(stage, context)
    model.to(accelerator.device)
    (mixture,) = context.told(stage.mixtures())
    rows = list({(r.text, r.english): r for r in mixture.batch(0, stage.rows)}.values())
    data = {"start": fingerprint(model), "pairs": mixture.fingerprint, "templates": mixture.templates_fingerprint}
    texts = LearningTexts(model, processor, 0)
    with accelerator.main_process_first():  # the main process computes the cached vectors, the others read them
        english, width = [row.english for row in rows], model.config.projection_dim
        teacher = cached_teacher(stage, context, english, width, accelerator.device)
        recall = locked_recall(stage, context, (model, processor), texts.vectors)
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
