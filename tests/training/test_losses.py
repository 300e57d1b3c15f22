"""The losses against hand-computed numbers, numerical gradients and invariances."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize as l2_normalize

from araclip.errors import DataError, RecipeError
from araclip.training.losses import (
    DISTILLATION_LOSSES,
    affinity_loss,
    all_captions_loss,
    concept_loss,
    contrastive_loss,
    cosine_loss,
    distillation_contrastive_loss,
    forgetting_loss,
    matryoshka,
    mse_loss,
    same_pairs,
    sigmoid_loss,
    unit_mse_loss,
    weighted_sum,
)

ZERO = torch.tensor(0.0)
EYE = torch.eye(2)
SWAPPED = EYE.flip(0)


def vectors(rows: int, width: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def units(rows: int, width: int = 5, seed: int = 0) -> Tensor:
    return l2_normalize(vectors(rows, width, seed), dim=-1)


# ------------------------------------------------------------------ by hand


def test_cosine_loss_is_zero_one_and_two_for_known_rows() -> None:
    assert [cosine_loss(EYE, other).item() for other in (EYE, SWAPPED, -EYE)] == [0.0, 1.0, 2.0]


def test_mse_loss_by_hand_counts_lengths() -> None:
    assert mse_loss(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), EYE).item() == pytest.approx(4 / 4)


def test_unit_mse_loss_by_hand_does_not_count_lengths() -> None:
    assert unit_mse_loss(torch.tensor([[3.0, 0.0], [0.0, 7.0]]), 2 * EYE).item() == pytest.approx(0.0)
    assert unit_mse_loss(5 * SWAPPED, EYE).item() == pytest.approx(2.0)


def test_affinity_loss_by_hand() -> None:
    # target: softmax of (1, 0) = (p, 1 − p); student: of (0, 1); the divergence is (2p − 1) · log(p / (1 − p)) = 2p − 1
    p = math.e / (1 + math.e)
    assert affinity_loss(SWAPPED, EYE, temperature=1.0).item() == pytest.approx(2 * p - 1, rel=1e-5)
    assert affinity_loss(EYE, EYE).item() == pytest.approx(0.0, abs=1e-6)


def test_distillation_contrastive_loss_by_hand() -> None:
    assert distillation_contrastive_loss(EYE, EYE, 1.0).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert distillation_contrastive_loss(SWAPPED, EYE, 0.5).item() == pytest.approx(math.log(1 + math.exp(2)))


def test_a_text_twice_in_the_batch_is_no_negative_of_itself() -> None:
    rows = torch.eye(3)[[0, 0, 1]]  # the same text twice
    same = same_pairs(["a", "a", "b"])
    pair, alone = math.log(1 + math.exp(-1)), math.log(1 + 2 * math.exp(-1))
    loss = distillation_contrastive_loss(rows, rows, 1.0, same)
    assert loss.item() == pytest.approx((2 * pair + alone) / 3)
    assert loss.item() < distillation_contrastive_loss(rows, rows, 1.0).item()


def test_contrastive_loss_by_hand_on_three_rows() -> None:
    # each row of logits is (1, 0, 0) turned: −log(e / (e + 2)) both ways
    loss = contrastive_loss(torch.eye(3), torch.eye(3), ZERO)
    assert loss.item() == pytest.approx(math.log(1 + 2 * math.exp(-1)))
    one_less = contrastive_loss(torch.eye(3), torch.eye(3), ZERO, same_pairs(["a", "a", "b"]))
    masked, full = math.log(1 + math.exp(-1)), math.log(1 + 2 * math.exp(-1))
    assert one_less.item() == pytest.approx((2 * masked + full) / 3)


def test_two_captions_of_picture_are_no_negatives_of_each_other() -> None:
    # Pictures e0, e1; captions e0, e0, e1. Text to picture: all −log(e / (e + 1)). Picture 0 picks either of its
    # captions against e1 alone: the same. Picture 1 picks e1 against two captions: −log(e / (e + 2)).
    loss = contrastive_loss(EYE[[0, 0, 1]], EYE, ZERO, owner=torch.tensor([0, 0, 1]))
    pair, three = math.log(1 + math.exp(-1)), math.log(1 + 2 * math.exp(-1))
    assert loss.item() == pytest.approx((pair + (2 * pair + three) / 3) / 2)


def test_a_picture_without_caption_is_a_negative_only() -> None:
    loss = contrastive_loss(EYE[:1], EYE, ZERO, owner=torch.tensor([0]))
    assert loss.item() == pytest.approx((math.log(1 + math.exp(-1)) + 0.0) / 2)


def test_same_takes_text_of_equal_picture_out_of_both_directions() -> None:
    text, image = torch.eye(3)[[0, 0, 1]], torch.eye(3)  # pictures 0 and 1 have the same caption
    same = same_pairs(["a", "a", "b"], ["a", "a", "b"])
    free = contrastive_loss(text, image, ZERO, same, torch.arange(3))
    assert free.item() == pytest.approx(contrastive_loss(text, image, ZERO, same).item())
    assert free.item() < contrastive_loss(text, image, ZERO).item()


def test_sigmoid_loss_by_hand() -> None:
    # logits 1 on the diagonal, 0 elsewhere, bias −1: two questions −log σ(0) on it, two −log σ(1) off it
    loss = sigmoid_loss(EYE, EYE, ZERO, torch.tensor(-1.0))
    assert loss.item() == pytest.approx(math.log(2) + math.log(1 + math.exp(-1)))
    masked = sigmoid_loss(EYE, EYE, ZERO, torch.tensor(-1.0), torch.ones(2, 2, dtype=torch.bool))
    assert masked.item() == pytest.approx(math.log(2))


def test_sigmoid_loss_counts_every_caption_as_positive() -> None:
    loss = sigmoid_loss(EYE[[0, 0, 1]], EYE, ZERO, ZERO, owner=torch.tensor([0, 0, 1]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)) + math.log(2))


def test_all_captions_loss_by_hand_on_two_pictures() -> None:
    # Captions e0 of picture e0, and e1 twice of picture e1; at an inverse temperature of 2 the logits are
    #   picture 0: (2, 0, 0)   log-sum-exp log(e² + 2) = 2.239545, its caption 2            0.239545
    #   picture 1: (0, 2, 2)   log-sum-exp log(2e² + 1) = 2.758624, its captions (2 + 2)/2  0.758624
    # mean 0.499084, less log(3 / 2) = 0.405465
    belongs = torch.tensor([[True, False, False], [False, True, True]])
    loss = all_captions_loss(EYE, EYE[[0, 1, 1]], torch.tensor(math.log(2.0)), belongs)
    assert loss.item() == pytest.approx(0.093619, abs=1e-6)


def test_all_captions_loss_takes_mean_logit_of_pictures_captions() -> None:
    # picture e0, captions e0 and e1, both its own: logits (1, 0), log(e + 1) = 1.313262 less the mean 0.5 less log 2
    loss = all_captions_loss(EYE[:1], EYE, ZERO, torch.tensor([[True, True]]))
    assert loss.item() == pytest.approx(1.313262 - 0.5 - 0.693147, abs=1e-6)


@pytest.mark.parametrize("captions", [3, 30])
def test_all_captions_loss_at_chance_is_that_of_the_batch(captions: int) -> None:
    belongs = torch.arange(captions) == torch.arange(3)[:, None]  # the first caption of all is picture 0's, and so on
    loss = all_captions_loss(torch.eye(3), torch.zeros(captions, 3), ZERO, belongs)
    assert loss.item() == pytest.approx(math.log(3))


def test_forgetting_loss_by_hand_on_two_pictures_and_two_classes() -> None:
    # picture 0: probabilities were (3/4, 1/4), are (1/2, 1/2): 3/4 · log(3/2) + 1/4 · log(1/2) = 0.304099 − 0.173287
    # picture 1: probabilities are (1/2, 1/2) as they were, whatever was added to both logits: 0
    before, now = torch.tensor([[math.log(3.0), 0.0], [5.0, 5.0]]), torch.zeros(2, 2)
    assert forgetting_loss(now, before).item() == pytest.approx((0.130812 + 0.0) / 2, abs=1e-6)
    # the other way round: 1/2 · log(2/3) + 1/2 · log 2 = −0.202733 + 0.346574, so the direction counts
    assert forgetting_loss(before, now).item() == pytest.approx((0.143841 + 0.0) / 2, abs=1e-6)


def test_concept_loss_by_hand_on_two_names_of_three_classes() -> None:
    # each name among three classes: logits (1, 0, 0) turned; each of the two classes among the two names: (1, 0) turned
    among_classes, among_names = math.log(1 + 2 * math.exp(-1)), math.log(1 + math.exp(-1))
    for classes in ([0, 1], [2, 0]):
        loss = concept_loss(torch.eye(3)[classes], torch.eye(3), torch.tensor(classes), ZERO)
        assert loss.item() == pytest.approx((among_classes + among_names) / 2)


def test_same_pairs_marks_equal_keys_of_rows_and_columns() -> None:
    assert same_pairs(["a", "b", "a"]).tolist() == [[True, False, True], [False, True, False], [True, False, True]]
    assert same_pairs(["x", "y"], ["y", "z", "y"]).tolist() == [[False, False, False], [True, False, True]]


def test_matryoshka_is_the_mean_over_prefixes_of_unit_length() -> None:
    left, right = torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]])
    assert matryoshka(cosine_loss, [1, 2])(left, right).item() == pytest.approx((0.0 + (1 - 3 / 5)) / 2)


def test_matryoshka_passes_on_what_else_the_loss_takes() -> None:
    text, image, scale = vectors(3), vectors(2, seed=1), torch.tensor(1.0, dtype=torch.float64)
    owner = torch.tensor([0, 1, 1])
    nested = matryoshka(contrastive_loss, [5])(text, image, scale, owner=owner)
    plain = contrastive_loss(l2_normalize(text, dim=-1), l2_normalize(image, dim=-1), scale, owner=owner)
    torch.testing.assert_close(nested, plain)


def test_weighted_sum_adds_the_losses_it_names() -> None:
    student, teacher = 3 * vectors(4), units(4, seed=1)
    same = same_pairs("abab")
    loss = weighted_sum({"cosine": 1.0, "affinity": 0.5, "mse": 2, "contrastive": 0.25})(student, teacher, same)
    s = l2_normalize(student, dim=-1)
    wanted = (
        cosine_loss(s, teacher)
        + 0.5 * affinity_loss(s, teacher)
        + 2 * mse_loss(student, teacher)
        + 0.25 * distillation_contrastive_loss(s, teacher, same=same)
    )
    torch.testing.assert_close(loss, wanted)


# ------------------------------------------------------------------ gradients

LOG_SCALE = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
BIAS = torch.tensor(-0.4, dtype=torch.float64, requires_grad=True)
OWNER = torch.tensor([0, 2, 2, 1])
SAME = torch.tensor([[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)


@pytest.mark.parametrize(
    "loss",
    [
        cosine_loss,
        mse_loss,
        unit_mse_loss,
        lambda s, t: affinity_loss(s, t, 0.5),
        lambda s, t: distillation_contrastive_loss(s, t, 0.5, same_pairs("aba")),
        matryoshka(cosine_loss, [2, 5]),
        weighted_sum(dict.fromkeys(DISTILLATION_LOSSES, 0.5)),
    ],
)
def test_gradients_of_distillation_losses(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    assert torch.autograd.gradcheck(loss, (vectors(3).requires_grad_(), vectors(3, seed=1).requires_grad_()))


def test_gradients_of_losses_over_pictures() -> None:
    text, image = vectors(4).requires_grad_(), vectors(3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda t, i, a: contrastive_loss(t, i, a, SAME, OWNER), (text, image, LOG_SCALE))
    assert torch.autograd.gradcheck(
        lambda t, i, a, b: sigmoid_loss(t, i, a, b, SAME, OWNER), (text, image, LOG_SCALE, BIAS)
    )


def test_gradients_of_losses_of_captions_concepts_and_forgetting() -> None:
    text, image = vectors(4).requires_grad_(), vectors(3, seed=1).requires_grad_()
    belongs, classes = OWNER[None] == torch.arange(3)[:, None], torch.tensor([2, 0, 1])
    assert torch.autograd.gradcheck(lambda i, t, a: all_captions_loss(i, t, a, belongs), (image, text, LOG_SCALE))
    assert torch.autograd.gradcheck(lambda n, c, a: concept_loss(n, c, classes, a), (image, text, LOG_SCALE))
    assert torch.autograd.gradcheck(lambda now: forgetting_loss(now, vectors(4, seed=2)), (text,))


def test_a_masked_pair_gets_no_gradient() -> None:
    text = units(2).requires_grad_()
    contrastive_loss(text, units(2, seed=1), ZERO.double(), torch.ones(2, 2, dtype=torch.bool)).backward()
    assert text.grad is not None
    assert text.grad.abs().max().item() < 1e-12  # each text has but its own picture to choose from


# ------------------------------------------------------------------ invariances


@given(st.integers(0, 1000), st.permutations(range(4)))
def test_the_order_of_texts_does_not_matter(seed: int, order: list[int]) -> None:
    text, image, scale = units(4, seed=seed), units(3, seed=seed + 1), torch.tensor(1.5, dtype=torch.float64)
    for loss in (contrastive_loss, lambda *a: sigmoid_loss(*a[:3], BIAS, *a[3:])):
        before = loss(text, image, scale, SAME, OWNER)
        torch.testing.assert_close(loss(text[order], image, scale, SAME[order], OWNER[order]), before)


@given(st.integers(0, 1000), st.permutations(range(3)))
def test_the_order_of_pictures_does_not_matter(seed: int, order: list[int]) -> None:
    text, image, scale = units(4, seed=seed), units(3, seed=seed + 1), torch.tensor(1.5, dtype=torch.float64)
    place = torch.argsort(torch.tensor(order))
    before = contrastive_loss(text, image, scale, SAME, OWNER)
    torch.testing.assert_close(contrastive_loss(text, image[order], scale, SAME[:, order], place[OWNER]), before)


@given(st.integers(0, 1000))
def test_with_one_caption_a_picture_owner_changes_nothing(seed: int) -> None:
    text, image, scale = units(4, seed=seed), units(4, seed=seed + 1), torch.tensor(1.5, dtype=torch.float64)
    plain = contrastive_loss(text, image, scale)
    assert contrastive_loss(text, image, scale, owner=torch.arange(4)).item() == plain.item()
    torch.testing.assert_close(contrastive_loss(image, text, scale), plain)


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_turning_all_vectors_together_changes_no_loss(seed: int, scale: float) -> None:
    student, teacher = vectors(3, seed=seed), units(3, seed=seed + 1)
    turn = torch.linalg.qr(vectors(5, seed=seed + 2)).Q
    for name in DISTILLATION_LOSSES:
        loss = weighted_sum({name: 1.0})
        torch.testing.assert_close(loss(student @ turn, teacher @ turn), loss(student, teacher))
        if name != "mse":
            torch.testing.assert_close(loss(student * scale, teacher), loss(student, teacher))


@given(st.integers(0, 1000))
def test_unit_mse_is_twice_the_cosine_loss(seed: int) -> None:
    student, teacher = units(3, seed=seed), units(3, seed=seed + 1)
    torch.testing.assert_close(unit_mse_loss(student, teacher), 2 * cosine_loss(student, teacher))


# ------------------------------------------------------------------ what cannot be asked for


@pytest.mark.parametrize("loss", [contrastive_loss, lambda t, i, s: sigmoid_loss(t, i, s, ZERO)])
def test_more_texts_than_pictures_need_an_owner(loss: Callable[..., Tensor]) -> None:
    with pytest.raises(DataError, match=r"3 texts and 2 pictures.*Say which picture"):
        loss(units(3), units(2), ZERO)


def test_an_unknown_loss_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"'cosin' is unknown.*cosine, mse, unit_mse, affinity, contrastive"):
        weighted_sum({"cosin": 1.0})


@pytest.mark.parametrize("weight", [0, -1.0, math.nan, math.inf, True, "1"])
def test_a_weight_that_is_no_positive_number_is_refused(weight: object) -> None:
    with pytest.raises(RecipeError, match="expected a positive number"):
        weighted_sum({"cosine": weight})  # type: ignore[dict-item]


def test_no_loss_at_all_is_refused() -> None:
    with pytest.raises(RecipeError, match="no loss is named"):
        weighted_sum({})


@pytest.mark.parametrize("dims", [[], [0, 4], [4, 4], [8, 4]])
def test_matryoshka_widths_that_do_not_rise_are_refused(dims: list[int]) -> None:
    with pytest.raises(RecipeError, match="expected rising positive numbers"):
        matryoshka(cosine_loss, dims)


def test_a_matryoshka_width_beyond_the_vectors_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"width 8 exceeds the vectors' 5"):
        matryoshka(cosine_loss, [2, 8])(vectors(2), vectors(2))
