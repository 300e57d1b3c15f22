"""The gate of a branch that contributes only on pictures of its own kind: a logistic regression on its features.

Written here because the extra `train` does not install scikit-learn, whose LogisticRegression gives nearly the same
numbers for the same sample weights and penalty.
"""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

OTHERS = 8.0  # weight of other pictures: an open gate costs more there than a closed one does on the expert's own
PENALTY = 1e-3  # of the squared weights, for features of unit spread
STEPS = 100  # of L-BFGS, at most
MISSED = 1e-3  # share of the expert's own pictures that its router may take for others
PASSED = 1e-2  # share of others that may pass it, where it tells the two kinds apart
ROUNDING = 1e-3  # of a logit, in a graph or in another batch


@torch.enable_grad()
def logistic(own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (W,) and bias () of the logistic regression of (N, W) against (M, W), which count `OTHERS` times."""
    rows = torch.cat([own, others]).double()
    targets = torch.cat([torch.ones(len(own)), torch.zeros(len(others))]).double()
    sample_weights = torch.where(targets > 0, 1 / len(own), OTHERS / len(others)) * len(rows) / (1 + OTHERS)
    centre, spread = rows.mean(dim=0), rows.std(dim=0) + 1e-3
    scaled = (rows - centre) / spread
    weight = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = cross_entropy(scaled @ weight + bias, targets, weight=sample_weights) + PENALTY * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    unscaled = (weight / spread).detach()
    return unscaled.float(), (bias.detach() - unscaled @ centre).float()


def router(own: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (W,) and bias () of a logit that is above 0 for all but `MISSED` of (N, W), and for few of (M, W).

    Where the two kinds are apart, 0 lies midway between them, for the sake of pictures of either kind not seen here.
    """
    weight, bias = logistic(own, others)
    lowest = torch.quantile(own @ weight + bias, MISSED, interpolation="lower")
    highest = torch.quantile(others @ weight + bias, 1 - PASSED)
    return weight, bias - torch.minimum(lowest - ROUNDING, (lowest + highest) / 2)
