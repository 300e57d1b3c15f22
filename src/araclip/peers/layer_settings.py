"""Settings of layers that change vectors and stand in no weight, for the fingerprint of a model on PyTorch."""

from collections.abc import Iterator
from typing import Any

from torch import nn
from transformers.configuration_utils import PreTrainedConfig

_OF_CONFIGS = (
    "hidden_act", "hidden_activation", "activation", "activation_function", "dense_act_fn", "scale_embedding",
    "text_pooling", "vision_mirror",
)  # fmt: skip
_EPSILON = 1e-5  # a smaller one, in front of a variance, is lost in the rounding of a gallery's float16
_TEXT_POOLS = (("argmax", True), ("last", False))  # of open_clip's CLIP and SigLIP, and whether attention is causal


def unusual_settings(model: nn.Module) -> list[str]:
    """Activations, heads, epsilons and poolings that are not as is usual, in a fixed order; nothing of a usual model.

    Usual are the defaults of transformers' configurations and of open_clip, heads of 64 numbers and 16 of them above a
    width of 1,024, the mean of sentence-transformers' tokens. So the fingerprint of a model that is so hangs on
    weights and tokens alone, as it did in earlier releases.
    """
    return sorted({line for name, layer in model.named_modules() for line in _of_layer(name, layer)})


def _of_layer(name: str, layer: Any) -> Iterator[str]:
    library = type(layer).__module__.partition(".")[0]
    kind = type(layer).__name__
    epsilon = getattr(layer, "eps", None) or getattr(layer, "variance_epsilon", None)
    if isinstance(epsilon, float) and epsilon > _EPSILON:
        yield f"{name} epsilon {epsilon}"
    if isinstance(config := getattr(layer, "config", None), PreTrainedConfig):
        yield from _of_config(config)
    if library == "transformers":
        return  # its layers are as their configuration says
    if kind == "QuickGELU":
        yield f"{name} {kind}"
    heads, each = getattr(layer, "num_heads", None), getattr(layer, "head_dim", None)
    if isinstance(heads, int):
        yield from _of_heads(name, heads * each if isinstance(each, int) else getattr(layer, "embed_dim", None), heads)
    if library == "open_clip":
        yield from _of_open_clip(name, layer, kind)
    elif library == "sentence_transformers":
        if (mode := getattr(layer, "pooling_mode", "mean")) != "mean":
            yield f"{name} pooling {mode}"
        if (applied := type(getattr(layer, "activation_function", nn.Identity())).__name__) != "Identity":
            yield f"{name} {applied}"


def _of_config(config: PreTrainedConfig) -> Iterator[str]:
    usual = type(config)() if not getattr(config, "has_no_defaults_at_init", False) else None
    for key in _OF_CONFIGS:
        if hasattr(config, key) and (value := getattr(config, key)) != getattr(usual, key, None):
            yield f"{config.model_type} {key} {value}"
    heads = getattr(config, "num_attention_heads", None)
    yield from _of_heads(config.model_type, getattr(config, "hidden_size", None), heads)


def _of_heads(name: str, width: Any, heads: Any) -> Iterator[str]:
    if isinstance(width, int) and isinstance(heads, int) and heads != min(width // 64, 16):
        yield f"{name} {heads} heads"


def _of_open_clip(name: str, layer: Any, kind: str) -> Iterator[str]:
    pool = getattr(layer, "text_pool_type", None) or getattr(layer, "pool_type", None)
    if pool is not None:
        texts = hasattr(layer, "attn_mask")
        if (pool, layer.attn_mask is not None) not in _TEXT_POOLS if texts else pool != "tok":
            yield f"{name} pooling {pool} {'of texts, causal' if texts and layer.attn_mask is not None else ''}"
    if kind == "HFTextEncoder":
        pooler = type(layer.pooler).__name__
        if pooler != ("ClsPooler" if layer.config.model_type == "m2m_100" else "MeanPooler"):
            yield f"{name} {pooler}"
