"""The contrastive loss of a model: InfoNCE or the sigmoid loss, with its temperature, bias and Matryoshka prefixes."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from araclip.errors import RecipeError
from araclip.training.losses.contrastive import contrastive_loss, matryoshka, sigmoid_loss


def objective(model: Any, loss: str | None = None, prefixes: bool | None = None) -> Callable[..., Tensor]:
    """A model's contrastive loss, for `AraCLIPModel` and for the stages that train one.

    Args:
        model: an AraCLIPModel.
        loss: "infonce" (CLIP, Radford et al. 2021) or "sigmoid" (SigLIP, Zhai et al. 2023); None is the model's own:
            the sigmoid loss where it has a bias.
        prefixes: whether the loss is the mean over the Matryoshka prefixes and the full width; None is the model's own:
            yes where it names prefixes.

    Returns:
        A function of (text, image, same=None, owner=None), unit rows (T, D) and (I, D) → scalar; `same` and `owner` are
        those of `losses.contrastive_loss`.

    Raises:
        RecipeError: the sigmoid loss of a model without bias, or prefixes of a model that names none.
    """
    has_bias = model.config.logit_bias_init is not None
    kind: Callable[..., Tensor] = contrastive_loss
    learned = [model.logit_scale]
    if loss == "sigmoid" or (loss is None and has_bias):
        if not has_bias:
            raise RecipeError("the sigmoid loss needs a bias, and the model has none. Set [model] logit_bias = -10.0.")
        kind, learned = sigmoid_loss, [model.logit_scale, model.logit_bias]
    if prefixes or (prefixes is None and model.config.matryoshka_dims):
        kind = matryoshka(kind, matryoshka_widths(model))
    return lambda text, image, **pairs: kind(text, image, *learned, **pairs)


def matryoshka_widths(model: Any) -> list[int]:
    """The Matryoshka prefixes and the full width, rising.

    Raises:
        RecipeError: the model names none.
    """
    if not model.config.matryoshka_dims:
        raise RecipeError("matryoshka = true, but the model has no widths for it. Set [model] matryoshka_dims.")
    return sorted({*model.config.matryoshka_dims, model.config.projection_dim})
