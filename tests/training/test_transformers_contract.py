"""What every model of transformers promises its callers, asked of AraCLIPModel with both towers and with one."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import normalize as l2_normalize
from transformers import AutoModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from araclip import AraCLIPConfig, AraCLIPModel
from araclip.errors import InputError
from araclip.training.model.configuration import BranchesConfig
from tiny_hf import (
    IMAGE_TOWERS,
    SIZE,
    TEXT_TOWERS,
    bright_and_dark,
    model_like_mini,
    tiny_config,
    tiny_model,
    tiny_processor,
)

# transformers 5.0 compiles a piece of ModernBERT when imported, and the compiler uses what torch deprecates
deprecated = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
pytestmark = [deprecated, pytest.mark.usefixtures("seeded")]

CAPTIONS = ["قطة جالسة على طاولة", "كلب", "a dog on a table"]
BOTH, TEXT = ("bert", "vit"), ("bert", None)
LAYERS = 2  # of either tower
Towers = tuple[str, str | None]
models = pytest.mark.parametrize("towers", [BOTH, ("xlm-roberta", "clip"), ("modernbert", "siglip"), TEXT])


def model_of(towers: Towers, **config: Any) -> AraCLIPModel:
    return tiny_model(*towers, attn_implementation="eager", **config)


def inputs(towers: Towers = BOTH, rows: int = 3) -> dict[str, torch.Tensor]:
    tokens = tiny_processor()(text=CAPTIONS[:rows], return_tensors="pt")
    return {**tokens, **({"pixel_values": torch.randn(rows, 3, SIZE, SIZE)} if towers[1] else {})}


def attention_of(model: AraCLIPModel) -> tuple[str | None, ...]:
    towers = [model.text_model, *([] if model.vision_model is None else [model.vision_model])]
    return (model.config._attn_implementation, *(tower.config._attn_implementation for tower in towers))


def tensors(value: Any) -> list[torch.Tensor]:
    """All tensors of an output, in its order, or of the tuple that stands for it."""
    if isinstance(value, torch.Tensor):
        return [value]
    return [found for part in getattr(value, "values", lambda: value)() for found in tensors(part)]


# ------------------------------------------------------------------ outputs


@models
def test_the_features_come_as_the_towers_output(towers: Towers) -> None:
    model, given = model_of(towers), inputs(towers)
    out = model(**given)
    pixels = given.pop("pixel_values", None)
    found = model.get_text_features(**given)
    tokens = given["input_ids"].shape[1]
    assert isinstance(found, BaseModelOutputWithPooling)
    assert found.last_hidden_state.shape == (3, tokens, 16) and found.pooler_output.shape == (3, 8)
    assert found.hidden_states is None and found.attentions is None
    assert not torch.allclose(found.pooler_output.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(l2_normalize(found.pooler_output, dim=-1), out.text_embeds)
    assert torch.equal(out.text_model_output.pooler_output, found.pooler_output)
    if pixels is not None:
        seen = model.get_image_features(pixels)
        assert isinstance(seen, BaseModelOutputWithPooling) and seen.pooler_output.shape == (3, 8)
        assert seen.last_hidden_state.shape[0] == 3 and seen.last_hidden_state.shape[-1] == 16
        assert torch.equal(out.vision_model_output.pooler_output, seen.pooler_output)
        torch.testing.assert_close(l2_normalize(seen.pooler_output, dim=-1), out.image_embeds)


@models
@pytest.mark.parametrize("said_by", ["call", "configuration"])
def test_hidden_states_and_attentions_are_given_if_asked_for(towers: Towers, said_by: str) -> None:
    model, given, asked = model_of(towers), inputs(towers), {"output_hidden_states": True, "output_attentions": True}
    if said_by == "configuration":
        for config in filter(None, (model.config.text_config, model.config.vision_config)):
            for name in asked:
                setattr(config, name, True)
        asked = {}
    out = model(**given, **asked)
    text = out.text_model_output
    tokens = given["input_ids"].shape[1]
    assert [tuple(state.shape) for state in text.hidden_states] == [(3, tokens, 16)] * (LAYERS + 1)
    assert [tuple(weights.shape) for weights in text.attentions] == [(3, 2, tokens, tokens)] * LAYERS
    if towers[1]:
        seen = out.vision_model_output
        assert len(seen.hidden_states) == LAYERS + 1 and len(seen.attentions) == LAYERS
        assert all(state.shape[0] == 3 for state in seen.hidden_states)
        assert out.hidden_states is None and out.attentions is None  # whose would they be?
    else:
        assert out.hidden_states is text.hidden_states and out.attentions is text.attentions


@pytest.mark.parametrize("image", ["timm resnet", "convnext", "swin", "timm vit"])
def test_towers_of_every_kind_give_their_hidden_states(image: str) -> None:
    out = tiny_model(image=image)(**inputs(), output_hidden_states=True)
    assert len(out.vision_model_output.hidden_states) > 1 and len(out.text_model_output.hidden_states) == LAYERS + 1


def test_a_tower_of_branches_gives_states_and_no_attention() -> None:
    vision = BranchesConfig("test_efficientnet", 2, 1, hidden_size=512)
    model = AraCLIPModel(AraCLIPConfig(TEXT_TOWERS["bert"], vision, projection_dim=8)).eval()
    seen = model.get_image_features(inputs()["pixel_values"], output_hidden_states=True)
    assert len(seen.hidden_states) == 1 and torch.equal(seen.hidden_states[0], seen.last_hidden_state)
    with pytest.raises(InputError, match="made of convolutions and has no attention"):
        model(**inputs(), output_attentions=True)


def test_a_mirrored_model_gives_the_states_of_the_picture_itself() -> None:
    model, pixels = model_of(BOTH, vision_mirror=True), inputs()["pixel_values"]
    seen = model.get_image_features(pixels, output_hidden_states=True)
    model.config.vision_mirror = False
    plain = model.get_image_features(pixels, output_hidden_states=True)
    for found, wanted in zip(seen.hidden_states, plain.hidden_states, strict=True):
        torch.testing.assert_close(found, wanted)


@models
def test_tuples_hold_what_the_outputs_hold(towers: Towers) -> None:
    model, given = model_of(towers), inputs(towers)
    asked = {"output_hidden_states": True, "output_attentions": True}
    out = model(**given, **asked)
    as_tuple = model(**given, **asked, return_dict=False)
    assert isinstance(as_tuple, tuple) and not any(isinstance(part, BaseModelOutputWithPooling) for part in as_tuple)
    for found, wanted in zip(tensors(as_tuple), tensors(out), strict=True):
        torch.testing.assert_close(found, wanted)
    assert not towers[1] or torch.equal(as_tuple[0], out.logits_per_image)
    model.config.return_dict = False
    assert isinstance(model(**given), tuple)
    given.pop("pixel_values", None)
    assert isinstance(model.get_text_features(**given), tuple)


def test_the_arguments_stand_in_the_order_of_clips() -> None:
    names = list(inspect.signature(AraCLIPModel.forward).parameters)
    assert names[1:6] == ["input_ids", "pixel_values", "attention_mask", "position_ids", "return_loss"]
    assert AraCLIPModel.main_input_name == "input_ids"


# ------------------------------------------------------------------ numbers


@models
def test_same_input_gives_same_numbers_whoever_stands_beside_it(towers: Towers) -> None:
    model, given = model_of(towers), inputs(towers)
    once, twice = (tensors(model(**given, output_hidden_states=True)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, twice, strict=True))
    for row in range(3):
        alone = model(**{name: value[row : row + 1] for name, value in given.items()})
        together = model(**given)
        for name in ("text_embeds", "image_embeds"):
            if name in together:
                torch.testing.assert_close(alone[name], together[name][row : row + 1], rtol=1e-4, atol=1e-5)


@models
def test_both_implementations_of_attention_give_the_same_numbers(towers: Towers) -> None:
    model, given = model_of(towers), inputs(towers)
    eager = model(**given)
    other = tiny_model(*towers, attn_implementation="sdpa")
    other.load_state_dict(model.state_dict())
    assert set(attention_of(model)) == {"eager"} and set(attention_of(other)) == {"sdpa"}
    fast = other(**given)
    for name in ("text_embeds", "image_embeds"):
        if name in eager:
            torch.testing.assert_close(fast[name], eager[name], rtol=1e-4, atol=1e-5)


def test_feed_forward_layers_in_chunks_give_the_same_numbers() -> None:
    model, given = model_of(BOTH), inputs()
    whole = model(**given)
    for layer in model.text_model.encoder.layer:
        layer.chunk_size_feed_forward = 1
    torch.testing.assert_close(model(**given).text_embeds, whole.text_embeds)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float16, 1e-3), (torch.bfloat16, 1e-2)])
@pytest.mark.parametrize("towers", ["mini", BOTH, ("modernbert", "siglip")])
def test_a_model_in_half_precision_gives_nearly_the_same_vectors(
    towers: Any, dtype: torch.dtype, near: float, tmp_path: Path
) -> None:
    model = model_like_mini() if towers == "mini" else model_of(towers)
    given = {**inputs(), "pixel_values": bright_and_dark(3)}
    whole = model(**given, return_loss=True)
    model.save_pretrained(tmp_path)
    half = AraCLIPModel.from_pretrained(tmp_path, dtype=dtype)
    assert {weight.dtype for weight in half.parameters()} == {dtype}
    rounded = half(**given, return_loss=True)
    for name in ("text_embeds", "image_embeds"):
        assert towers == "mini" or rounded[name].dtype == dtype  # whose heads compute in float32
        assert (1 - torch.cosine_similarity(rounded[name].float(), whole[name])).max() < near
    assert rounded.loss.isfinite()
    rounded.loss.backward()  # gradients flow through the casts


class Pictures(torch.nn.Module):
    """The picture side of a model, as one function of the pixels."""

    def __init__(self, model: AraCLIPModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.get_image_features(pixels).pooler_output


@torch.no_grad()
@pytest.mark.parametrize("way", ["export", "compile"])
def test_one_graph_is_made_of_a_model_of_routed_branches(way: str) -> None:
    pictures = Pictures(model_like_mini()).eval()
    both, dark = bright_and_dark(4), bright_and_dark(6)[1::2]  # of the dark ones none passes the router
    if way == "export":
        batch = torch.export.Dim("batch", min=2, max=64)
        made: Any = torch.export.export(pictures, (both,), dynamic_shapes=({0: batch},)).module()
    else:
        made = torch.compile(pictures, fullgraph=True, dynamic=True, backend="eager")
    for pixels in (both, dark):
        torch.testing.assert_close(made(pixels), pictures(pixels), rtol=1e-5, atol=1e-6)


def test_larger_pictures_pass_an_interpolating_tower() -> None:
    model = model_of(BOTH)
    larger = torch.randn(2, 3, 2 * SIZE, 2 * SIZE)
    assert model(pixel_values=larger, interpolate_pos_encoding=True).image_embeds.shape == (2, 8)
    with pytest.raises(ValueError, match="doesn't match model"):
        model(pixel_values=larger)


@pytest.mark.parametrize("towers", [BOTH, TEXT])
def test_the_vocabulary_can_grow_and_shrink(towers: Towers, tmp_path: Path) -> None:
    model, given = model_of(towers), inputs(towers)
    before = model(**given).text_embeds
    for size in (80, 30):
        model.resize_token_embeddings(size, mean_resizing=False)
        assert model.get_input_embeddings().weight.shape[0] == model.config.text_config.vocab_size == size
        torch.testing.assert_close(model(**given).text_embeds, before)
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(AraCLIPModel.from_pretrained(tmp_path)(**given).text_embeds, before)


# ------------------------------------------------------------------ training


@models
def test_hidden_states_and_attentions_keep_their_gradients(towers: Towers) -> None:
    model, given = model_of(towers), inputs(towers)
    out = model(**given, output_hidden_states=True, output_attentions=True)
    kept = [p for side in (out.text_model_output, out.vision_model_output) if side is not None
            for p in (side.hidden_states[0], side.attentions[0])]  # fmt: skip
    for part in kept:
        part.retain_grad()
    (out.text_embeds if towers[1] is None else out.logits_per_text).flatten()[0].backward()
    assert all(part.grad is not None for part in kept)


@pytest.mark.parametrize("reentrant", [None, False, True])
def test_every_weight_learns_with_and_without_checkpointing(reentrant: bool | None) -> None:
    model, given = model_of(BOTH).train(), inputs()
    if reentrant is not None:
        enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
        enable({"use_reentrant": reentrant})
        model.enable_input_require_grads()
    model(**given, return_loss=True).loss.backward()
    unused = {"text_model.embeddings.token_type_embeddings.weight"}  # all tokens have one type; its gradient is there
    assert {name for name, weight in model.named_parameters() if weight.grad is None} <= unused
    assert model.training and model.eval() is model and not model.text_model.training


# ------------------------------------------------------------------ loading


@models
def test_a_model_is_the_same_after_it_was_saved_twice(towers: Towers, tmp_path: Path) -> None:
    model, given = model_of(towers), inputs(towers)
    before = tensors(model(**given))
    configs = []
    for _ in range(2):
        model.save_pretrained(tmp_path)
        model = AraCLIPModel.from_pretrained(tmp_path, attn_implementation="eager")
        configs.append(json.loads((tmp_path / "config.json").read_text(encoding="utf-8")))
        for found, wanted in zip(tensors(model(**given)), before, strict=True):
            torch.testing.assert_close(found, wanted)
    assert configs[0]["text_config"]["model_type"] == configs[1]["text_config"]["model_type"] == towers[0]
    assert not model.training


def test_a_state_dict_makes_a_model_and_ties_no_weights() -> None:
    model = model_of(BOTH)
    again = AraCLIPModel.from_pretrained(None, config=model.config, state_dict=model.state_dict())
    ours, theirs = model.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert len({weight.data_ptr() for weight in model.parameters()}) == sum(1 for _ in model.parameters())


@pytest.mark.parametrize(("asked", "found"), [("auto", torch.bfloat16), (torch.float32, torch.float32),
                                              ("float16", torch.float16)])  # fmt: skip
def test_weights_load_in_the_type_that_is_asked_for(tmp_path: Path, asked: Any, found: torch.dtype) -> None:
    model_of(BOTH).to(torch.bfloat16).save_pretrained(tmp_path)
    again = AraCLIPModel.from_pretrained(tmp_path, dtype=asked)
    assert {weight.dtype for weight in again.parameters()} == {found}
    assert again.config.dtype == again.text_model.config.dtype == found


@pytest.mark.parametrize("load", [AraCLIPModel, AutoModel])
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("eager", ("eager", "eager", "eager")),
        ("sdpa", ("sdpa", "sdpa", "sdpa")),
        ({"text_config": "eager"}, ("sdpa", "eager", "sdpa")),
        ({"": "eager", "vision_config": "eager"}, ("eager", "sdpa", "eager")),
    ],
)
def test_attention_is_chosen_by_call_and_configuration(
    tmp_path: Path, load: Any, asked: Any, found: tuple[str, ...]
) -> None:
    tiny_model().save_pretrained(tmp_path)
    assert attention_of(load.from_pretrained(tmp_path, attn_implementation=asked)) == found
    if load is AraCLIPModel:
        assert attention_of(AraCLIPModel(tiny_config(attn_implementation=asked))) == found
        path = tmp_path / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "attn_implementation": asked}), "utf-8")
        assert attention_of(load.from_pretrained(tmp_path)) == found
        assert attention_of(load.from_pretrained(tmp_path, attn_implementation="sdpa")) == ("sdpa",) * 3


def test_the_implementation_of_attention_can_be_changed() -> None:
    model = model_of(BOTH)
    model.set_attn_implementation("sdpa")
    assert attention_of(model) == ("sdpa", "sdpa", "sdpa")
    model.set_attn_implementation({"vision_config": "eager"})
    assert attention_of(model) == ("sdpa", "sdpa", "eager")


def test_attention_settings_change_nothing_in_convolutions(
    tmp_path: Path,
) -> None:
    model, given = model_like_mini(), {**inputs(), "pixel_values": bright_and_dark(3)}
    model.save_pretrained(tmp_path)
    wanted = model(**given)
    for asked in ("sdpa", "eager", None):
        found = AraCLIPModel.from_pretrained(tmp_path, attn_implementation=asked)
        assert set(attention_of(found)) == {asked or "sdpa"}
        # Loaded weights lie elsewhere in memory, for which some processors round differently.
        torch.testing.assert_close(found(**given).image_embeds, wanted.image_embeds, rtol=0, atol=1e-6)
        torch.testing.assert_close(found(**given).text_embeds, wanted.text_embeds, rtol=1e-4, atol=1e-5)
    model.set_attn_implementation("eager")
    assert set(attention_of(model)) == {"eager"}
    assert torch.equal(model(**given).image_embeds, wanted.image_embeds)
    model.set_attn_implementation({"vision_config": "sdpa"})
    assert attention_of(model) == ("eager", "eager", "sdpa")
    with pytest.raises(InputError, match="made of convolutions and has no attention"):
        model.get_image_features(given["pixel_values"], output_attentions=True)


def test_one_towers_attention_stands_in_its_configuration(tmp_path: Path) -> None:
    text, vision = {**TEXT_TOWERS["bert"], "attn_implementation": "eager"}, IMAGE_TOWERS["vit"]
    assert attention_of(AraCLIPModel(AraCLIPConfig(text, vision, projection_dim=8))) == ("sdpa", "eager", "sdpa")


def test_caller_who_asks_for_report_of_missing_weights_gets_it(tmp_path: Path) -> None:
    model_of(TEXT).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["text_config"]["num_hidden_layers"] = LAYERS + 1
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    _, report = AraCLIPModel.from_pretrained(tmp_path, output_loading_info=True)
    assert {name.split(".")[3] for name in report["missing_keys"]} == {str(LAYERS)}


def test_a_model_can_be_laid_out_without_memory() -> None:
    with torch.device("meta"):
        assert {weight.device.type for weight in AraCLIPModel(tiny_config()).parameters()} == {"meta"}
