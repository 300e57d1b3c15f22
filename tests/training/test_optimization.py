"""Learning rates by parameter and step, weight decay, freezing, and averaged weights."""

import copy
from itertools import pairwise

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    ModernBertConfig,
    ModernBertModel,
    get_cosine_with_min_lr_schedule_with_warmup,
)

from araclip.errors import RecipeError
from araclip.training.loop.train_loop import Ema, Part, cosine_schedule, parameter_groups, set_lr
from araclip.training.model.towers import freeze

WARMUP_OF = st.integers(2, 2000).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total - 1)))


def bert(layers: int = 3) -> nn.Module:
    sizes = {"vocab_size": 30, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 16}
    return BertModel(BertConfig(num_hidden_layers=layers, **sizes), add_pooling_layer=False)


def clip_vision() -> nn.Module:
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "image_size": 8, "patch_size": 4}
    return CLIPVisionModel(CLIPVisionConfig(num_hidden_layers=3, **sizes))


def modern_bert() -> nn.Module:
    sizes = {"vocab_size": 30, "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "pad_token_id": 0}
    return ModernBertModel(ModernBertConfig(num_hidden_layers=3, cls_token_id=1, sep_token_id=2, **sizes))


def timm_vit() -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", embed_dim=8, depth=3, num_heads=2, img_size=32, num_classes=5)


def rates(groups: list[dict[str, object]], module: nn.Module, key: str = "lr") -> dict[str, float]:
    """Learning rate (or another value of the group) of each parameter by name."""
    names = {id(p): name for name, p in module.named_parameters()}
    return {names[id(p)]: group[key] for group in groups for p in group["params"]}  # type: ignore[attr-defined,misc]


# ------------------------------------------------------------------ groups


@pytest.mark.parametrize(
    ("make", "layer", "before", "after"),
    [
        (bert, "encoder.layer.{}.attention.self.query.weight", "embeddings.word_embeddings.weight", None),
        (modern_bert, "layers.{}.mlp.Wi.weight", "embeddings.tok_embeddings.weight", "final_norm.weight"),
        (clip_vision, "encoder.layers.{}.mlp.fc1.weight", "embeddings.patch_embedding.weight", "post_layernorm.weight"),
        (timm_vit, "blocks.{}.mlp.fc1.weight", "patch_embed.proj.weight", "head.weight"),
    ],
)
def test_each_layer_learns_slower_than_the_one_after_it(make, layer, before, after) -> None:  # type: ignore[no-untyped-def]
    tower = make()
    lr = rates(parameter_groups([Part(tower, 1.0, layer_decay=0.5)], 0.1), tower)
    if not any(name.startswith(layer.split(".{}")[0]) for name in lr):  # a transformers version nests it once more
        inner = next(name.split(".")[0] for name in lr)
        layer, before, after = f"{inner}.{layer}", f"{inner}.{before}", after and f"{inner}.{after}"
    assert [lr[layer.format(i)] for i in range(3)] == [0.25, 0.5, 1.0]
    assert lr[before] == 0.125
    assert after is None or lr[after] == 1.0
    assert set(lr) == {name for name, _ in tower.named_parameters()}


def test_stages_of_a_cnn_count_as_its_layers() -> None:
    cnn = timm.create_model("efficientnet_lite0", num_classes=0)
    lr = rates(parameter_groups([Part(cnn, 1.0, layer_decay=0.5)], 0.1), cnn)
    assert lr["blocks.6.0.conv_pw.weight"] == 1.0
    assert lr["blocks.5.0.conv_pw.weight"] == 0.5
    assert lr["conv_stem.weight"] == 0.5**7
    assert lr["conv_head.weight"] == 1.0


def test_layers_of_every_branch_count_from_its_own_last_one() -> None:
    branches = nn.Sequential(*(timm.create_model("test_efficientnet", num_classes=0) for _ in range(2)))
    lr = rates(parameter_groups([Part(branches, 1.0, layer_decay=0.5)], 0.1), branches)
    last = max(int(name.split(".")[2]) for name in lr if name.startswith("0.blocks."))
    for number in range(2):
        first, end = (f"{number}.blocks.{block}." for block in (0, last))
        assert {rate for name, rate in lr.items() if name.startswith(end)} == {1.0}
        assert {rate for name, rate in lr.items() if name.startswith(first)} == {0.5**last}


def test_only_matrices_and_filters_decay() -> None:
    tower = timm_vit()
    decay = rates(parameter_groups([Part(tower, 1.0)], 0.1), tower, "weight_decay")
    assert decay["blocks.0.mlp.fc1.weight"] == decay["patch_embed.proj.weight"] == decay["pos_embed"] == 0.1
    assert decay["blocks.0.mlp.fc1.bias"] == decay["blocks.0.norm1.weight"] == decay["cls_token"] == 0.0


def test_parts_learn_at_their_own_rates_and_frozen_ones_not() -> None:
    tower, scale = bert(), nn.Parameter(torch.tensor(2.0))
    tower.get_parameter("embeddings.word_embeddings.weight").requires_grad_(False)
    groups = parameter_groups([Part(tower, 1e-4), Part(scale, 1e-3)], 0.1)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert found[id(scale)] == (1e-3, 0.0)
    assert len(found) == len(list(tower.parameters()))  # one frozen, one scale
    assert len(groups) == 3  # few groups: the tower's matrices, the tower's rest, the scale


def test_groups_come_in_the_same_order_every_time() -> None:
    def shapes() -> list[list[tuple[int, ...]]]:
        groups = parameter_groups([Part(bert(), 1.0, 0.9)], 0.1)
        return [[tuple(p.shape) for p in group["params"]] for group in groups]

    assert shapes() == shapes()


def test_a_parameter_twice_or_nothing_to_train_is_an_error() -> None:
    tower = bert()
    with pytest.raises(RecipeError, match=r"dense.weight belongs to two parts"):
        parameter_groups([Part(tower.encoder, 1.0), Part(tower.encoder.layer[0].output, 2.0)], 0.1)  # type: ignore[union-attr,index,arg-type]
    with pytest.raises(RecipeError, match="nothing to train"):
        parameter_groups([Part(tower.requires_grad_(False), 1.0)], 0.1)
    with pytest.raises(RecipeError, match=r"Linear has no list of layers .*layer_decay to 1"):
        parameter_groups([Part(nn.Linear(2, 2), 1.0, layer_decay=0.9)], 0.1)


# ------------------------------------------------------------------ freezing


def test_frozen_layers_and_what_feeds_them_stop_learning() -> None:
    tower = bert()
    frozen = freeze(tower, 2)
    still = {name for name, p in tower.named_parameters() if p.requires_grad}
    assert still == {name for name, _ in tower.named_parameters() if name.startswith("encoder.layer.2.")}
    assert frozen == sum(p.numel() for p in tower.parameters() if not p.requires_grad)


def test_embeddings_freeze_alone_and_zero_layers_nothing() -> None:
    tower = bert()
    assert freeze(tower, 0) == 0
    assert all(p.requires_grad for p in tower.parameters())
    freeze(tower, 0, embeddings=True)
    assert {name.split(".")[0] for name, p in tower.named_parameters() if not p.requires_grad} == {"embeddings"}
    assert all(p.requires_grad for name, p in tower.named_parameters() if not name.startswith("embeddings"))


@pytest.mark.parametrize("count", [4, -1])
def test_more_layers_than_there_are_cannot_be_frozen(count: int) -> None:
    with pytest.raises(RecipeError, match=rf"{count} layers to freeze, but BertModel has 3"):
        freeze(bert(), count)


# ------------------------------------------------------------------ schedule


@given(WARMUP_OF, st.floats(0.0, 1.0))
def test_rate_rises_straight_to_its_peak_and_falls_to_floor(shape: tuple[int, int], floor: float) -> None:
    total, warmup = shape
    factors = [cosine_schedule(step, total, warmup, floor) for step in range(total)]
    assert factors[warmup] == pytest.approx(1.0)
    assert all(0.0 <= factor <= 1.0 + 1e-12 for factor in factors)
    rise, fall = factors[: warmup + 1], factors[warmup:]
    assert all(b - a == pytest.approx(1 / (warmup + 1)) for a, b in pairwise(rise))
    assert all(b <= a + 1e-12 for a, b in pairwise(fall))
    if warmup < total - 1:
        assert factors[-1] == pytest.approx(floor)
        assert cosine_schedule(total + 5, total, warmup, floor) == pytest.approx(floor)


@given(WARMUP_OF)
def test_half_of_the_fall_is_behind_at_half_of_the_way(shape: tuple[int, int]) -> None:
    total, warmup = shape
    if (total - 1 - warmup) % 2 == 0 and warmup < total - 1:
        assert cosine_schedule((total - 1 + warmup) // 2, total, warmup, 0.1) == pytest.approx(0.55)


@pytest.mark.parametrize(("total", "warmup"), [(40, 3), (40, 0), (40, 39), (2, 1)])
def test_the_schedule_is_that_of_transformers_bit_for_bit(total: int, warmup: int) -> None:
    optimizer = torch.optim.AdamW([{"params": nn.Parameter(torch.zeros(())), "lr": 1.0, "initial_lr": 1.0}])
    theirs = get_cosine_with_min_lr_schedule_with_warmup(optimizer, warmup + 1, total, min_lr_rate=0.02, last_epoch=0)
    for step in range(total):
        assert cosine_schedule(step, total, warmup) == optimizer.param_groups[0]["lr"]
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("step", "total", "warmup", "floor"), [(0, 5, 5, 0.0), (0, 0, 0, 0.0), (-1, 5, 1, 0.0), (0, 5, 1, 2.0)]
)
def test_an_impossible_schedule_is_refused(step: int, total: int, warmup: int, floor: float) -> None:
    with pytest.raises(RecipeError, match=rf"step {step} of {total} with {warmup} steps of warm-up"):
        cosine_schedule(step, total, warmup, floor)


def test_setting_the_rate_scales_every_groups_peak() -> None:
    head, scale = nn.Linear(2, 2), nn.Parameter(torch.zeros(()))
    optimizer = torch.optim.AdamW(parameter_groups([Part(head, 0.5), Part(scale, 2.0)], 0.1))
    for factor in (0.1, 0.5):
        set_lr(optimizer, factor)
        assert {group["lr"] for group in optimizer.param_groups} == {0.5 * factor, 2.0 * factor}
    again = torch.optim.AdamW(parameter_groups([Part(head, 0.5), Part(scale, 2.0)], 0.1))
    again.load_state_dict(optimizer.state_dict())
    set_lr(again, 1.0)
    assert {group["lr"] for group in again.param_groups} == {0.5, 2.0}


# ------------------------------------------------------------------ averaged weights


def averaged(ema: Ema, parameter: Tensor) -> Tensor:
    with ema.swapped():
        return parameter.detach().clone()


def test_mean_is_hand_computed_one_and_its_decay_warms_up() -> None:
    weight = nn.Parameter(torch.zeros(2))
    ema = Ema([weight], decay=0.15)
    wanted = 0.0
    for value, decay in ((1.0, 1 / 10), (2.0, 0.15), (3.0, 0.15)):  # (1 + n) / (10 + n) is .1, .18, .25: then .15
        with torch.no_grad():
            weight.fill_(value)
        ema.update()
        wanted = decay * wanted + (1 - decay) * value
    assert averaged(ema, weight).tolist() == pytest.approx([wanted] * 2)


@given(st.lists(st.floats(-100.0, 100.0), min_size=1, max_size=20), st.floats(0.0, 0.9999))
def test_mean_stays_between_smallest_and_largest_weight_seen(values: list[float], decay: float) -> None:
    weight = nn.Parameter(torch.tensor([values[0]]))
    ema = Ema([weight], decay)
    for value in values:
        with torch.no_grad():
            weight.fill_(value)
        ema.update()
    assert min(values) - 1e-4 <= averaged(ema, weight).item() <= max(values) + 1e-4


def test_own_weights_come_back_bit_for_bit_even_after_an_error() -> None:
    module = bert(1)
    before = copy.deepcopy(module.state_dict())
    ema = Ema(module.parameters(), 0.9)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1.1)
    own = copy.deepcopy(module.state_dict())

    def evaluate() -> None:
        with ema.swapped():
            assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate()
    assert all(torch.equal(module.state_dict()[name], value) for name, value in own.items())


def test_small_steps_of_bfloat16_weights_are_not_lost() -> None:
    weight = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    ema = Ema([weight], 0.999)
    with torch.no_grad():
        weight.fill_(1.0078125)  # the next bfloat16
    for _ in range(2000):
        ema.update()
    assert averaged(ema, weight).item() == 1.0078125


def test_averages_go_on_from_a_checkpoint_as_if_never_stopped() -> None:
    def step(weight: nn.Parameter, ema: Ema) -> None:
        with torch.no_grad():
            weight.add_(0.1)
        ema.update()

    weight = nn.Parameter(torch.ones(3))
    ema = Ema([weight], 0.5)
    step(weight, ema)
    saved, other = copy.deepcopy(ema.state_dict()), nn.Parameter(weight.detach().clone())
    step(weight, ema)
    resumed = Ema([other], 0.5)
    resumed.load_state_dict(saved)
    step(other, resumed)
    assert torch.equal(averaged(ema, weight), averaged(resumed, other))


def test_averages_of_another_model_are_refused() -> None:
    ema = Ema([nn.Parameter(torch.ones(3))], 0.5)
    for shape, named in (((4,), r"\(4,\) where the model has \(3,\)"), ((3, 1), r"\(3, 1\)")):
        with pytest.raises(ValueError, match=named):
            ema.load_state_dict(Ema([nn.Parameter(torch.ones(shape))], 0.5).state_dict())
    with pytest.raises(ValueError, match="2 weights, the model learns 1"):
        ema.load_state_dict(Ema([nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1))], 0.5).state_dict())
    with pytest.raises(RecipeError, match=r"decay of 1.0"):
        Ema([], 1.0)


def test_applied_averages_become_the_weights() -> None:
    weight = nn.Parameter(torch.zeros(2))
    ema = Ema([weight], 0.5)
    with torch.no_grad():
        weight.fill_(1.0)
    ema.update()
    mean = averaged(ema, weight)
    assert not torch.equal(weight, mean)
    ema.apply()
    assert torch.equal(weight, mean)
