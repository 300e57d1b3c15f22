"""What AraCLIPModel returns, in the classes and under the names of transformers 5's CLIPModel."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_map_only
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput


@dataclass
class AraCLIPOutput(ModelOutput):  # type: ignore[misc]
    """What `AraCLIPModel` returns; N texts and M pictures; parts that were not computed are None.

    loss: scalar, where `return_loss`.
    logits_per_image, logits_per_text: (M, N) and (N, M), scaled cosine similarities, plus the bias where there is one.
    text_embeds, image_embeds: (N, D) and (M, D), rows of unit length.
    text_model_output, vision_model_output: what `get_text_features` and `get_image_features` returned.
    hidden_states, attentions: the tower's, of texts alone or pictures alone, where they were asked for; of both, they
        are in the two outputs above.
    """

    loss: Tensor | None = None
    logits_per_image: Tensor | None = None
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    image_embeds: Tensor | None = None
    text_model_output: BaseModelOutputWithPooling | None = None
    vision_model_output: BaseModelOutputWithPooling | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None

    def to_tuple(self) -> tuple[Any, ...]:
        """The parts that were computed, the towers' outputs as tuples as well."""
        return tuple(part.to_tuple() if isinstance(part, ModelOutput) else part for part in self.values())


@dataclass
class TowerOutput(BaseModelOutputWithPooling):  # type: ignore[misc]
    """What `get_text_features` and `get_image_features` return; functions of torch read it as its `pooler_output`.

    The latter is for folders that earlier releases saved for sentence-transformers: their configuration expects the
    features themselves, as these releases returned them.
    """

    @property
    def ndim(self) -> int:
        """Dimensions of the features: 2."""
        return int(self.pooler_output.ndim)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by a function of torch that one of these is passed to."""
        args, kwargs = tree_map_only(cls, lambda output: output.pooler_output, (args, kwargs or {}), is_leaf=_is_output)
        return func(*args, **kwargs)


def _is_output(value: Any) -> bool:
    return isinstance(value, TowerOutput)


def with_features(output: Any, features: Tensor) -> TowerOutput:
    """A tower's output with the projected features (B, D) in the place of what the tower pooled, as CLIPModel does."""
    states = getattr(output, "hidden_states", None)
    return TowerOutput(
        last_hidden_state=output.last_hidden_state,
        pooler_output=features,
        hidden_states=None if states is None else tuple(states),
        attentions=getattr(output, "attentions", None),
    )


def first_rows(output: TowerOutput, rows: int) -> TowerOutput:
    """The output for the first `rows` pictures of a batch."""
    return TowerOutput(**{
        name: part[:rows] if isinstance(part, Tensor) else tuple(layer[:rows] for layer in part)
        for name, part in output.items()
    })  # fmt: skip


def one_towers_states(text: Any, image: Any) -> dict[str, Any]:
    """`hidden_states` and `attentions` of the one tower's output that there is; nothing where there are two."""
    alone = text if image is None else image if text is None else None
    return {} if alone is None else {"hidden_states": alone.hidden_states, "attentions": alone.attentions}
