"""The pictures of a training run: augmented, as cached feature maps, with fused BatchNorms, of a locked tower."""

import os
import shutil
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from transformers import TimmWrapperConfig, TimmWrapperModel

from araclip import AraCLIPConfig
from araclip.errors import DataError, RecipeError
from araclip.pictures.images import open_image, square
from araclip.training.data.pictures import JITTER, augment, degraded, recolour, views
from araclip.training.model.branches import (
    Branch,
    Branches,
    SharedBlocks,
    can_split,
    joined,
    split,
    upper_modules,
    with_map_scale,
)
from araclip.training.model.model import AraCLIPModel
from araclip.training.recipe.stages import ImageSide
from araclip.training.stages import frozen_features
from araclip.training.stages import pictures as stage_pictures
from araclip.training.stages.finetune_step import ForgettingLoss
from araclip.training.stages.frozen_features import (
    BranchImages,
    FeatureMaps,
    FrozenFeatures,
    FrozenFeaturesGraph,
    fuse_batchnorm,
    narrow_pointwise,
    quicken_depthwise,
    restore_batchnorm,
    restore_convolutions,
)
from araclip.training.stages.pictures import LockedImages, PixelImages, training_images
from araclip.training.stages.pixels import Pixels
from tiny_hf import IMAGE_TOWERS, TEXT_TOWERS

pytestmark = pytest.mark.usefixtures("seeded", "traced_once")

SIZE = 32
HALF = ([0.5] * 3, [0.5] * 3)
PIXELS = Pixels(SIZE, *HALF)
FAMILIES = ("test_efficientnet", "mobilenetv1_100", "tf_efficientnet_lite0")


def gradient(width: int = 60, height: int = 40) -> Image.Image:
    """Red grows to the right, green downwards: a position in the picture can be read off its colour."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, np.full_like(across, 128)], axis=2).astype(np.uint8))


def cnn(name: str = "test_efficientnet") -> Any:
    """A timm network that makes something of a picture."""
    return trained(timm.create_model(name, num_classes=0))


def trained(network: Any) -> Any:
    """BatchNorms with statistics of their own, as training leaves them; the usual ones let signals die out."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.2, 0.2)
    network.train()(torch.randn(8, 3, 64, 64))
    return network.eval()


def model(image: str = "timm efficientnet", **config: Any) -> AraCLIPModel:
    towers = {**IMAGE_TOWERS, "timm efficientnet": {"model_type": "timm_wrapper", "architecture": "test_efficientnet"}}
    made = AraCLIPModel(
        AraCLIPConfig(text_config=TEXT_TOWERS["bert"], vision_config=towers[image], projection_dim=8, **config)
    )
    if image.startswith("timm"):
        trained(made.vision_model.timm_model)
    return made.eval()


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Five pictures in two folders , listed alternately."""
    paths = []
    for number in range(5):
        path = tmp_path / f"set{number % 2}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        gradient().rotate(30 * number, fillcolor=(40 * number, 99, 200)).save(path)
        paths.append(path)
    return paths


def silent(line: str) -> None:
    pass


# ------------------------------------------------------------------ augmentation


@settings(max_examples=30)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(0, 10**6))
def test_a_picture_of_any_shape_becomes_a_fixed_square(width: int, height: int, size: int, seed: int) -> None:
    image = gradient(width, height)
    once = augment(image, size, np.random.default_rng(seed))
    assert (once.shape, once.dtype) == ((size, size, 3), np.uint8)
    assert (once == augment(image, size, np.random.default_rng(seed))).all()


def test_crops_keep_most_of_the_picture_and_half_are_mirrored() -> None:
    mirrored, covered = 0, []
    for seed in range(200):
        square_ = augment(gradient(), 16, np.random.default_rng(seed)).astype(float)
        red = square_[8, :, 0]
        mirrored += red[0] > red[-1]
        covered.append(abs(red[-1] - red[0]) / 255 / square_[..., 2].mean() * 128)
    assert 80 < mirrored < 120
    assert min(covered) > 0.35
    assert len({round(share, 2) for share in covered}) > 20


def test_colours_shift_but_not_beyond_their_bound() -> None:
    flat = Image.new("RGB", (4, 4), (100, 100, 100))
    seen = [np.asarray(recolour(flat, np.random.default_rng(seed)))[0, 0, 0] for seed in range(100)]
    assert 100 * (1 - JITTER) - 2 <= min(seen) < 85
    assert 115 < max(seen) <= 100 * (1 + JITTER) + 2


def test_a_degraded_picture_is_the_same_for_the_same_generator() -> None:
    image = gradient()
    pixels = [np.asarray(degraded(image, np.random.default_rng(seed)), dtype=float) for seed in range(40)]
    for seed in range(40):
        assert (np.asarray(degraded(image, np.random.default_rng(seed))) == pixels[seed]).all()
    apart = [np.abs(found - np.asarray(image)).mean() for found in pixels]
    grey = [np.ptp(found, axis=2).max() < 8 for found in pixels]
    assert 3 < sum(grey) < 16
    coloured = [found for found, is_grey in zip(apart, grey, strict=True) if not is_grey]
    assert 0 < min(coloured) < max(coloured) < 10
    assert len(set(apart)) > 30


def test_a_crop_is_degraded_as_often_as_asked_and_the_same_crop() -> None:
    def changed(chance: float) -> int:
        crops = (
            [augment(gradient(), 16, np.random.default_rng(n), share) for share in (0, chance)] for n in range(200)
        )
        return sum(not (plain == found).all() for plain, found in crops)

    assert changed(0) == 0
    assert 40 < changed(0.3) < 80
    assert changed(1) == 200


def test_the_first_view_is_the_picture_the_second_its_mirror() -> None:
    image = gradient()
    found = views(image, 16, 4, seed=5)
    assert found.shape == (4, 16, 16, 3)
    assert (found[0] == square(image, 16)).all()
    assert np.corrcoef(found[1][..., 0].ravel(), found[0][:, ::-1, 0].ravel())[0, 1] > 0.9
    assert (views(image, 16, 1, seed=5)[0] == found[0]).all()
    assert (views(image, 16, 4, seed=5) == found).all()
    assert not (views(image, 16, 4, seed=6)[2] == found[2]).all()
    damaged = views(image, 16, 4, seed=5, degradation=1.0)
    assert [(one == other).all() for one, other in zip(damaged, found, strict=True)] == [True, True, False, False]


# ------------------------------------------------------------------ BatchNorm


def above(network: Any, first: int) -> Iterator[nn.Module]:
    """What `fuse` is given of a timm network: as `upper_modules` of its tower."""
    return upper_modules(SimpleNamespace(timm_model=network), first)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("first", [0, 2])
def test_a_fused_network_computes_the_same_and_is_restored(name: str, first: int) -> None:
    network, fresh = cnn(name), timm.create_model(name, num_classes=0)
    pixels = torch.randn(2, 3, SIZE, SIZE)
    before, names = network(pixels), list(network.state_dict())
    fused = fuse_batchnorm(above(network, first))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in Branch(network, first).modules())
    assert torch.allclose(network(pixels), before, atol=1e-5 * before.abs().max().item())
    restore_batchnorm(fused)
    assert torch.allclose(network(pixels), before, atol=1e-5 * before.abs().max().item())
    assert list(network.state_dict()) == names
    fresh.load_state_dict(network.state_dict())
    assert torch.equal(fresh.eval()(pixels), network(pixels))


def test_what_fused_network_learns_is_there_when_it_is_restored() -> None:
    network, pixels = cnn(), torch.randn(2, 3, SIZE, SIZE)
    fused = fuse_batchnorm(above(network, 2))
    with torch.no_grad():
        for parameter in Branch(network, 2).parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    learned = network(pixels)
    restore_batchnorm(fused)
    assert torch.allclose(network(pixels), learned, atol=1e-5 * learned.abs().max().item())


def test_a_convolution_with_a_bias_is_restored_too() -> None:
    network, pixels = cnn(), torch.randn(2, 3, SIZE, SIZE)
    network.conv_head.bias = nn.Parameter(torch.randn(network.conv_head.out_channels))
    before = network(pixels)
    restore_batchnorm(fuse_batchnorm(above(network, 5)))
    assert torch.allclose(network(pixels), before, atol=1e-5 * before.abs().max().item())


def test_frozen_convolutions_stay_frozen_when_fused() -> None:
    network = cnn()
    network.blocks[2].requires_grad_(False)
    fuse_batchnorm(above(network, 2))
    assert not any(parameter.requires_grad for parameter in network.blocks[2].parameters())
    assert all(parameter.requires_grad for parameter in network.blocks[3].parameters())


# ------------------------------------------------------------------ shared blocks and branches


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("blocks", [0, 2])
def test_shared_blocks_and_a_branch_make_the_network(name: str, blocks: int) -> None:
    network = cnn(name)
    squares = torch.randint(0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8)
    pixels = (squares.permute(0, 3, 1, 2) / 255.0 - 0.5) / 0.5
    maps = FrozenFeatures(SharedBlocks(network, blocks), *HALF).eval()(squares)
    whole = network(pixels)
    assert torch.allclose(Branch(network, blocks)(maps), whole, atol=1e-5 * whole.abs().max().item())


def test_a_network_of_another_kind_or_too_many_blocks_is_refused() -> None:
    resnet = timm.create_model("test_resnet")
    assert not can_split(resnet)
    assert not can_split(None)
    for network, blocks in ((resnet, 0), (cnn(), 5), (cnn(), -1)):
        with pytest.raises(RecipeError, match=f"cannot be cut after block {blocks}"):
            SharedBlocks(network, blocks)


def test_pointwise_convolutions_learn_nearly_as_in_float32() -> None:
    branch, maps = Branch(cnn(), 2).requires_grad_(True), torch.randn(4, 24, 8, 8)

    def learned() -> tuple[torch.Tensor, torch.Tensor]:
        branch.zero_grad()
        found = branch(maps)
        found.square().mean().backward()
        return found.detach(), torch.cat([p.grad.flatten() for p in branch.parameters() if p.grad is not None])

    exact, slope = learned()
    narrow_pointwise(branch)
    near, near_slope = learned()
    assert not torch.equal(near, exact)
    assert near.dtype == near_slope.dtype == torch.float32
    assert torch.cosine_similarity(near, exact).min() > 0.999
    assert torch.cosine_similarity(near_slope, slope, dim=0) > 0.99
    restore_convolutions(branch)
    assert torch.equal(learned()[0], exact)


@pytest.mark.parametrize(
    ("kernel", "padding", "size"), [(5, 2, (11, 11)), (3, 1, (6, 9)), ((3, 5), (0, 1), (7, 8)), (1, 0, (4, 3))]
)
def test_a_depthwise_convolution_has_pytorchs_gradients(
    kernel: int | tuple[int, int],
    padding: int | tuple[int, int],
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frozen_features, "CACHED", 2 * 16 * size[0] * size[1])  # two rows a part, of five
    layer = nn.Conv2d(16, 16, kernel, padding=padding, groups=16)
    maps = torch.randn(5, 16, *size).to(memory_format=torch.channels_last).requires_grad_()

    def gradients() -> list[torch.Tensor]:
        found = layer(maps)
        weights = torch.linspace(-1, 1, found.numel()).reshape(found.shape)
        return [found, *torch.autograd.grad((weights * found).sum(), [maps, layer.weight, layer.bias])]

    plain = gradients()
    quicken_depthwise(layer)
    ours = gradients()
    assert "Depthwise" in type(layer(maps).grad_fn).__name__
    for ours_, plain_ in zip(ours, plain, strict=True):
        assert torch.allclose(ours_, plain_, rtol=1e-4, atol=1e-4 * plain_.abs().max().item())
    (slope,) = torch.autograd.grad(layer(maps[:0]).sum(), [layer.weight])  # of a routed branch, none of whose kind came
    assert torch.equal(slope, torch.zeros_like(layer.weight))
    layer.requires_grad_(False)
    assert "Depthwise" not in type(layer(maps).grad_fn).__name__
    restore_convolutions(layer)
    assert torch.equal(layer(maps), plain[0])


def grown(*seeds: int) -> list[TimmWrapperModel]:
    """Image towers with one start, whose later blocks went their own ways."""
    found = []
    for seed in seeds:
        torch.manual_seed(0)
        tower = TimmWrapperModel(TimmWrapperConfig(architecture="test_efficientnet", num_labels=0, do_pooling=True))
        trained(tower.timm_model)
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in tower.timm_model.blocks[2:].parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        found.append(tower.eval())
    return found


def test_joined_towers_give_the_features_of_each_side_by_side() -> None:
    towers, pixels = grown(1, 2, 3), torch.randn(2, 3, SIZE, SIZE)
    whole = joined(towers, 2)
    each = torch.cat([tower(pixel_values=pixels).pooler_output.flatten(1) for tower in towers], dim=1)
    assert torch.allclose(whole(pixel_values=pixels).pooler_output, each, atol=1e-5 * each.abs().max().item())
    assert whole.config.hidden_size == each.shape[1]
    shared, branches = split(whole, 2)
    assert isinstance(branches, Branches)
    assert torch.equal(branches(shared(pixels)), whole(pixel_values=pixels).pooler_output)


def test_a_tower_of_branches_keeps_the_features_it_had_before(pictures: list[Path], tmp_path: Path) -> None:
    made = AraCLIPModel.from_towers(model().text_model, joined(grown(1, 2), 2), 8).eval()
    spec = ImageSide("partial", frozen_blocks=2, window=1.0)
    images = training_images(made, PIXELS, pictures, spec, 3, tmp_path / "cache", silent)
    assert isinstance(images, BranchImages)
    inputs = images.inputs([0, 1, 2], 0)
    together = images.encode(inputs).features
    assert torch.equal(together, images.features(inputs))
    forgetting = ForgettingLoss((np.ones((3, together.shape[1]), np.float32), np.zeros(3, np.float32)), together.device)
    assert forgetting(together, images.initial_features(inputs)) == 0.0  # a classifier of all branches' features
    assert images.vectors(pictures).shape == (len(pictures), 8)
    images.close()


def test_towers_that_share_no_blocks_are_not_joined() -> None:
    towers = grown(1, 2)
    with pytest.raises(RecipeError, match=r"first 3 blocks of image tower 2 are not those of the first one"):
        joined(towers, 3)
    rounded = grown(1, 2)
    with torch.no_grad():
        for weight in split(rounded[1], 2)[0].parameters():
            weight.mul_(1 + 1e-4 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    first_blocks = split(rounded[0], 2)[0].state_dict()
    kept = joined(rounded, 2).shared.state_dict()  # as unpacked from an exported model, whose weights are rounded
    assert all(torch.equal(kept[name], weight) for name, weight in first_blocks.items())
    vit = model("vit").vision_model
    with pytest.raises(RecipeError, match=r"kinds test_efficientnet, vit cannot share blocks"):
        joined([towers[0], vit], 2)
    with pytest.raises(RecipeError, match=r"has 2 branches over 2 blocks.*shared_blocks\) = 2"):
        split(joined(towers, 2), 1)


@pytest.fixture(scope="module")
def graph() -> FrozenFeaturesGraph:
    torch.manual_seed(0)
    return FrozenFeaturesGraph(FrozenFeatures(SharedBlocks(cnn(), 2), *HALF), SIZE)


def test_cached_maps_are_what_frozen_blocks_make_of_every_view(
    graph: FrozenFeaturesGraph, pictures: list[Path], tmp_path: Path
) -> None:
    maps = FeatureMaps(graph, pictures, 3, tmp_path / "cache", silent)
    frozen = graph._frozen
    for row, picture in enumerate(pictures):
        assert maps[row].shape == (3, maps.side, maps.side, maps[row].shape[3])
        plain = torch.tensor(square(open_image(picture, SIZE), SIZE))[None]
        expected = frozen(plain)[0].permute(1, 2, 0).detach().numpy()
        assert np.abs(maps[row][0] - expected).max() < 1e-2 * np.abs(expected).max()
        assert np.abs(maps[row][1] - expected).max() > 1e-2 * np.abs(expected).max()
    assert maps.whole([3, 0]).shape == (2, maps[0].shape[3], maps.side, maps.side)
    assert torch.equal(maps.whole([3, 0])[0], maps.whole([0, 3])[1])


def test_maps_of_degraded_crops_are_a_file_of_their_own(
    graph: FrozenFeaturesGraph, pictures: list[Path], tmp_path: Path
) -> None:
    plain, damaged = (FeatureMaps(graph, pictures, 3, tmp_path, silent, chance) for chance in (0.0, 1.0))
    for row in range(len(pictures)):
        assert (plain[row][:2] == damaged[row][:2]).all()
        assert not (plain[row][2] == damaged[row][2]).all()


def test_maps_are_computed_once_a_folder_until_it_changes(
    graph: FrozenFeaturesGraph, pictures: list[Path], tmp_path: Path
) -> None:
    def files() -> set[str]:
        return {path.name for path in (tmp_path / "cache").iterdir()}

    FeatureMaps(graph, pictures, 1, tmp_path / "cache", silent)
    first = files()
    assert len(first) == 2
    FeatureMaps(
        graph, pictures[::2], 1, tmp_path / "cache", silent
    )  # one folder of the two, the mixture does not matter
    FeatureMaps(graph, pictures, 1, tmp_path / "cache", silent)
    assert files() == first
    shutil.copytree(pictures[0].parent, tmp_path / "copy", copy_function=shutil.copyfile)  # with times of its own
    FeatureMaps(graph, [tmp_path / "copy" / path.name for path in pictures[::2]], 1, tmp_path / "cache", silent)
    assert files() == first
    about = pictures[0].stat()
    gradient(50, 50).save(pictures[0])
    os.utime(pictures[0], ns=(about.st_atime_ns, about.st_mtime_ns))
    FeatureMaps(graph, pictures, 1, tmp_path / "cache", silent)
    assert len(files()) == 3
    FeatureMaps(graph, pictures[:2], 2, tmp_path / "cache", silent)
    assert len(files()) == 5


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_full_disk_is_error_and_what_killed_run_left_is_removed(
    graph: FrozenFeaturesGraph, pictures: list[Path], tmp_path: Path
) -> None:
    import resource

    cache, left = tmp_path / "cache", tmp_path / "cache" / ".maps-1.npy.0123abcd.tmp"
    cache.mkdir()
    left.touch()
    os.utime(left, (0, 0))
    assert graph.session
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # a write beyond fails as it does on a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            FeatureMaps(graph, pictures, 40, cache, silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(cache.iterdir()) == []


def test_every_unreadable_picture_is_named_and_nothing_left(
    graph: FrozenFeaturesGraph, pictures: list[Path], tmp_path: Path
) -> None:
    for path in (pictures[0], pictures[2]):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError, match=r"(?s)2 pictures cannot be read.*0.png.*2.png"):
        FeatureMaps(graph, pictures[::2], 1, tmp_path / "cache", silent)
    assert list((tmp_path / "cache").iterdir()) == []


def test_windows_are_cut_from_views_by_each_rows_own_generator(
    graph: FrozenFeaturesGraph, pictures: list[Path], tmp_path: Path
) -> None:
    maps = FeatureMaps(graph, pictures, 2, tmp_path / "cache", silent)

    def windows(rows: list[int], side: int, step: int) -> torch.Tensor:
        return maps.windows(rows, side, [np.random.default_rng([step, row]) for row in rows])

    both = windows([1, 4], maps.side - 2, 7)
    assert both.shape == (2, maps[0].shape[3], maps.side - 2, maps.side - 2)
    assert torch.equal(both[1], windows([4], maps.side - 2, 7)[0])
    assert len({windows([4], maps.side - 2, step).sum().item() for step in range(40)}) == 2 * 3 * 3
    whole = windows([2], maps.side, 3)[0].permute(1, 2, 0).numpy()
    assert any((whole == view).all() for view in maps[2])


# ------------------------------------------------------------------ the kinds of images


@pytest.fixture(params=["locked", "partial", "full", "partial vit"])
def side(request: pytest.FixtureRequest, pictures: list[Path], tmp_path: Path) -> Iterator[tuple[AraCLIPModel, Any]]:
    train, _, other = request.param.partition(" ")
    made = model("vit" if other else "timm efficientnet")
    spec = ImageSide(train, frozen_blocks=1, views=3, degradation=0.5)
    images = training_images(made, PIXELS, pictures, spec, 3, tmp_path / "cache", silent)
    yield made, images
    images.close()


def test_each_kind_of_images_learns_only_what_shall_learn(
    side: tuple[AraCLIPModel, Any], request: pytest.FixtureRequest
) -> None:
    made, images = side
    tower, kind = made.vision_model, request.node.callspec.params["side"]
    learning = {name for name, parameter in tower.named_parameters() if parameter.requires_grad}
    everything = {name for name, _ in tower.named_parameters()}
    if kind == "locked":
        assert isinstance(images, LockedImages)
        assert learning == set()
    elif kind == "partial":
        assert isinstance(images, BranchImages)
        assert learning
        assert not any(
            name.startswith(("timm_model.conv_stem", "timm_model.bn1", "timm_model.blocks.0")) for name in learning
        )
        assert {name.split(".")[2] for name in learning if ".blocks." in name} == {"1", "2", "3", "4"}
    elif kind == "full":
        assert isinstance(images, PixelImages)
        assert learning == everything
    else:
        assert isinstance(images, PixelImages)
        assert learning
        assert not any("embeddings" in name or "layer.0." in name or "layers.0." in name for name in learning)
    listed = {
        id(parameter) for module in images.modules for parameter in module.parameters() if parameter.requires_grad
    }
    assert listed == {id(parameter) for parameter in tower.parameters() if parameter.requires_grad}


def test_inputs_depend_on_seed_step_and_row_alone(
    side: tuple[AraCLIPModel, Any], request: pytest.FixtureRequest
) -> None:
    made, images = side
    inputs = images.inputs([4, 1], 9)
    assert torch.equal(inputs[1], images.inputs([1], 9)[0])
    if request.node.callspec.params["side"] != "locked":
        assert not torch.equal(inputs, images.inputs([4, 1], 10))
    made.eval()
    vectors, features = images.encode(inputs)
    assert vectors.shape == (2, 8)
    assert len(features) == 2
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        found = images.encode(inputs)
    assert torch.allclose(found.vectors.norm(dim=1), torch.ones(2), atol=1e-5)
    assert found.vectors.dtype == found.features.dtype == torch.float32


def test_vectors_are_those_of_the_whole_model_in_eval_mode(
    side: tuple[AraCLIPModel, Any], pictures: list[Path]
) -> None:
    made, images = side
    made.train()
    with torch.inference_mode():
        found = images.vectors(pictures[:3])
    images.close()  # gives the tower back as it came
    squares = np.stack([square(open_image(path, SIZE), SIZE) for path in pictures[:3]])
    pixels = (torch.from_numpy(squares).permute(0, 3, 1, 2) / 255.0 - 0.5) / 0.5
    with torch.inference_mode():
        expected = nn.functional.normalize(made.eval().get_image_features(pixels).pooler_output, dim=-1)
    assert torch.allclose(found, expected, atol=5e-3)


def test_vectors_of_a_learning_tower_are_those_of_a_locked_one(pictures: list[Path], tmp_path: Path) -> None:
    made = model("timm efficientnet")
    made.config.vision_mirror = True
    locked = ImageSide(frozen_blocks=1, views=3)
    learning = ImageSide("partial", frozen_blocks=1, views=3)
    with torch.inference_mode():
        expected = training_images(made, PIXELS, pictures, locked, 3, tmp_path, silent).vectors(pictures)
        images = training_images(made, PIXELS, pictures, learning, 3, tmp_path, silent)
        of_training, of_others = images.vectors(pictures), images.vectors(pictures[1:3])
        images.close()
    assert torch.allclose(of_training, expected, atol=1e-3)  # the locked ones are stored in float16
    assert torch.allclose(of_others, expected[1:3], atol=5e-3)
    made.config.vision_mirror = False
    with torch.inference_mode():
        alone = training_images(made, PIXELS, pictures, locked, 3, tmp_path, silent).vectors(pictures)
    assert not torch.allclose(alone, expected, atol=1e-2)


def test_locked_vectors_follow_a_changed_picture(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = model("vit")

    def side() -> LockedImages:
        found = training_images(made, PIXELS, pictures, ImageSide(), 0, tmp_path / "cache", silent)
        assert isinstance(found, LockedImages)
        return found

    first = side().features
    Image.new("RGB", (9, 9), "red").save(pictures[0])
    changed = side().features
    assert not np.array_equal(changed[0], first[0])
    assert np.array_equal(changed[1:], first[1:])
    monkeypatch.setattr("araclip.training.stages.pixels.decode_ahead", None)  # nothing is opened again
    assert np.array_equal(side().features, changed)


@pytest.mark.parametrize("mirror", [False, True])
def test_many_pictures_pass_a_locked_tower_as_a_graph(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: bool
) -> None:
    made = model("timm efficientnet")
    made.config.vision_mirror = mirror
    plain = LockedImages(made, PIXELS, pictures, tmp_path / "plain", silent).features
    monkeypatch.setattr(stage_pictures, "MANY", 1)
    monkeypatch.setattr(stage_pictures, "pooled", None)
    graph = LockedImages(made, PIXELS, pictures, tmp_path / "graph", silent).features
    assert np.allclose(graph, plain, atol=2e-3 * np.abs(plain).max())
    assert len(np.unique(plain, axis=0)) == len(pictures)


@pytest.mark.parametrize(("mirror", "degradation"), [(False, 0.0), (True, 0.0), (True, 1.0)])
def test_locked_tower_reads_maps_that_learning_one_has_cached(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: bool, degradation: float
) -> None:
    monkeypatch.setattr("araclip.training.data.pictures.recolour", lambda picture, _: picture)
    whole = with_map_scale(joined(grown(1, 2), 2), 2, 0.8)
    made = AraCLIPModel.from_towers(model().text_model, whole, 8, vision_mirror=mirror).eval()
    from_pixels = LockedImages(made, PIXELS, pictures, tmp_path / "pixels", silent).features
    learning, locked = (
        ImageSide(kind, frozen_blocks=2, views=3, degradation=degradation) for kind in ("partial", "locked")
    )
    learner = AraCLIPModel.from_towers(model().text_model, grown(1)[0], 8)
    training_images(learner, PIXELS, pictures, learning, 0, tmp_path / "cache", silent).close()
    with monkeypatch.context() as unreadable:
        unreadable.setattr("araclip.training.stages.frozen_features.open_image", None)
        images = training_images(made, PIXELS, pictures, locked, 0, tmp_path / "cache", silent)
    assert isinstance(images, LockedImages)
    assert np.allclose(images.features, from_pixels, atol=3e-3 * np.abs(from_pixels).max())
    assert not np.array_equal(images.features, from_pixels)  # the maps are rounded to float16
    in_steps = images.encode(images.inputs([0, 1, 2], 0)).vectors
    assert torch.allclose(images.vectors(pictures[:3]), in_steps, atol=1e-2)


def test_features_made_before_are_of_each_branchs_own_scale(pictures: list[Path], tmp_path: Path) -> None:
    whole = joined([grown(1)[0], with_map_scale(grown(2)[0], 2, 0.5)], 2)
    made = AraCLIPModel.from_towers(model().text_model, whole, 8).eval()
    spec = ImageSide("partial", frozen_blocks=2, window=1.0)
    before, smaller = (
        training_images(deepcopy(made), PIXELS, pictures, each, 3, tmp_path / "cache", silent)
        for each in (spec, replace(spec, map_scale=0.75))
    )
    assert isinstance(before, BranchImages) and isinstance(smaller, BranchImages)
    assert smaller.model.vision_model.config.map_scales == [0.75, 0.75]
    inputs = smaller.inputs([0, 1, 2], 0)
    assert torch.equal(smaller.initial_features(inputs), before.initial_features(inputs))
    assert not torch.equal(smaller.features(inputs), before.features(inputs))


def test_an_unreadable_picture_is_named_before_the_first_step(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, side, before = model("vit"), ImageSide("full"), pictures[2].read_bytes()
    for path in (pictures[0], pictures[2]):
        path.write_bytes(before[:50])
    with pytest.raises(DataError, match=r"(?s)2 pictures cannot be read.*0.png.*2.png"):
        training_images(made, PIXELS, pictures, side, 3, tmp_path / "cache", silent)
    pictures[0].write_bytes(before)
    pictures[2].write_bytes(before)
    training_images(made, PIXELS, pictures, side, 3, tmp_path / "cache", silent)
    monkeypatch.setattr("araclip.training.stages.pixels.open_image", None)  # a run that goes on opens none again
    training_images(made, PIXELS, pictures, side, 3, tmp_path / "cache", silent)
    monkeypatch.undo()
    pictures[1].unlink()
    with pytest.raises(DataError, match=r"(?s)1 pictures cannot be read.*1.png"):
        training_images(made, PIXELS, pictures, side, 3, tmp_path / "cache", silent)


def test_frozen_blocks_of_a_learning_tower_freeze_nothing(pictures: list[Path], tmp_path: Path) -> None:
    said: list[str] = []
    made = model("vit")
    training_images(made, PIXELS, pictures, ImageSide("full", frozen_blocks=3), 3, tmp_path / "cache", said.append)
    assert said == ['image.frozen_blocks = 3 freezes nothing with train = "full": the whole tower learns.']
    assert all(parameter.requires_grad for parameter in made.vision_model.parameters())


def test_a_picture_that_becomes_unreadable_is_named(pictures: list[Path], tmp_path: Path) -> None:
    images = training_images(model("vit"), PIXELS, pictures, ImageSide("full"), 0, tmp_path, silent)
    pictures[1].unlink()
    with pytest.raises(DataError, match=r"1.png: no such file.*Restore the file and start the same command again"):
        images.inputs([0, 1], 0)


def test_a_recipe_may_name_the_folder_of_what_is_computed(pictures: list[Path], tmp_path: Path) -> None:
    training_images(model("vit"), PIXELS, pictures, ImageSide(cache=tmp_path / "mine"), 0, tmp_path / "usual", silent)
    assert len(list((tmp_path / "mine").glob("features-*.npy"))) == 1
    assert not (tmp_path / "usual").exists()


def test_a_picture_in_two_sets_is_computed_once(
    graph: FrozenFeaturesGraph, pictures: list[Path], tmp_path: Path
) -> None:
    cache, twice = tmp_path / "cache", [*pictures, pictures[1], pictures[0]]
    maps = FeatureMaps(graph, pictures, 1, cache, silent)
    tower = model("vit")
    locked = LockedImages(tower, PIXELS, pictures, cache, silent).features
    files = set(cache.iterdir())
    again = FeatureMaps(graph, twice, 1, cache, silent)
    for row, picture in enumerate(twice):
        assert np.array_equal(again[row], maps[pictures.index(picture)])
    features = LockedImages(tower, PIXELS, twice, cache, silent).features
    assert np.array_equal(features, np.concatenate([locked, locked[[1, 0]]]))
    assert set(cache.iterdir()) == files


def test_features_of_a_locked_tower_are_computed_once(pictures: list[Path], tmp_path: Path) -> None:
    tower, cache = model("vit"), tmp_path / "cache"

    def files(paths: list[Path]) -> int:
        training_images(tower, PIXELS, paths, ImageSide(), 0, cache, silent)
        return len(list(cache.iterdir()))

    assert files(pictures) == 1
    copies = [tmp_path / "copies" / path.name for path in pictures]
    copies[0].parent.mkdir()
    for path, copy in zip(pictures, copies, strict=True):
        shutil.copyfile(path, copy)
    assert files(copies) == 1
    gradient(50, 50).save(copies[0])
    assert files(copies) == 2
