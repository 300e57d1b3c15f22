"""Chunked gradients equal those of the whole batch at once; several processes equal one."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import normalize as l2_normalize

from araclip.training.loop.gradcache import average_gradients, cached_backward, gather, seeded
from two_towers import Pair, rows
from warm import Warm

SEED = 17


def plain(pair: Pair, text: list[Tensor], image: list[Tensor]) -> tuple[float, dict[str, Tensor]]:
    """The whole batch in one graph, with the masks that the chunks draw."""
    embeddings = []
    for tower, (encode, chunks) in enumerate(((pair.text, text), (pair.image, image))):
        parts = []
        for i, chunk in enumerate(chunks):
            with seeded(SEED, tower, i):
                parts.append(encode(chunk))
        embeddings.append(torch.cat(parts))
    loss = pair.loss(*embeddings)
    loss.backward()
    return loss.item(), pair.gradients()


def cached(pair: Pair, text: list[Tensor], image: list[Tensor], **options: Any) -> tuple[float, dict[str, Tensor]]:
    options = {"backward": Tensor.backward, "seed": SEED, **options}
    loss = cached_backward([text, image], [pair.text, pair.image], pair.loss, **options)
    return loss, pair.gradients()


def assert_equal(got: dict[str, Tensor], wanted: dict[str, Tensor], rtol: float) -> None:
    assert got.keys() == wanted.keys()
    for name, gradient in wanted.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(got[name], gradient, rtol=rtol, atol=rtol * gradient.abs().max().item())


# ------------------------------------------------------------------ one process


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-4), (torch.float64, 1e-12)])
def test_gradients_equal_plain_ones_with_dropout_and_chunks(dtype: torch.dtype, rtol: float) -> None:
    pair = Pair(dtype)
    text, image = list(rows(11, dtype).split([5, 1, 3, 2])), list(rows(11, dtype, 2).split([4, 7]))
    wanted_loss, wanted = plain(pair, text, image)
    loss, got = cached(pair, text, image)
    assert loss == pytest.approx(wanted_loss, rel=rtol)
    assert_equal(got, wanted, rtol)
    assert "log_scale" in got


@settings(max_examples=25)
@given(st.integers(2, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(1, n))))
def test_gradients_do_not_depend_on_how_a_batch_is_cut(shape: tuple[int, int, int]) -> None:
    count, text_chunk, image_chunk = shape
    pair = Pair(dropout=0.0)
    _, wanted = plain(pair, [rows(count)], [rows(count, seed=2)])
    _, got = cached(pair, list(rows(count).split(text_chunk)), list(rows(count, seed=2).split(image_chunk)))
    for name, gradient in wanted.items():
        torch.testing.assert_close(got[name], gradient, rtol=1e-9, atol=1e-12)


def counting(tower: nn.Module, calls: list[int]) -> Callable[[Tensor], Tensor]:
    def encode(chunk: Tensor) -> Tensor:
        calls.append(len(chunk))
        return tower(chunk)  # type: ignore[no-any-return]

    return encode


def test_one_chunk_a_tower_equals_plain_computation_bit_for_bit() -> None:
    pair, calls = Pair(), []
    _, wanted = plain(pair, [rows(4)], [rows(4, seed=2)])
    encode = [counting(pair.text, calls), counting(pair.image, calls)]
    cached_backward([[rows(4)], [rows(4, seed=2)]], encode, pair.loss, backward=Tensor.backward, seed=SEED)
    assert calls == [4, 4]
    assert all(torch.equal(gradient, wanted[name]) for name, gradient in pair.gradients().items())


def test_no_more_than_one_chunk_is_in_a_graph_at_a_time() -> None:
    pair, alive, most = Pair(), set(), []

    def encode(chunk: Tensor) -> Tensor:
        embedding = pair.text(chunk)
        if embedding.requires_grad:
            alive.add(id(chunk))
            embedding.register_hook(lambda gradient: alive.discard(id(chunk)))
            most.append(len(alive))
        return embedding  # type: ignore[no-any-return]

    target = pair.image(rows(8, seed=2)).detach()
    cached_backward(
        [rows(8).split(2)], [encode], lambda text: pair.loss(text, target), backward=Tensor.backward, seed=SEED
    )
    assert most == [1, 1, 1, 1]


def test_locked_tower_gets_no_gradient_and_is_not_embedded_again() -> None:
    pair, calls = Pair(), []
    pair.image.requires_grad_(False)
    text, image = list(rows(6).split(2)), list(rows(6, seed=2).split(2))
    _, wanted = plain(pair, text, image)
    encode = [pair.text, counting(pair.image, calls)]
    cached_backward([text, image], encode, pair.loss, backward=Tensor.backward, seed=SEED)
    got = pair.gradients()
    assert_equal(got, wanted, 1e-10)
    assert not any(name.startswith("image") for name in got)
    assert len(calls) <= 4  # three chunks, and one more to see that it is locked


class Both(NamedTuple):
    """What an encoder with two outputs gives: unit vectors for each of two heads, and what they were made of."""

    vectors: Tensor  # (b, 2, WIDTH)
    features: Tensor  # (b, 16)


@pytest.mark.parametrize("kind", [Both, tuple])
def test_an_encoder_of_several_tensors_gets_each_gradient(kind: type) -> None:
    pair, text, image = Pair(), list(rows(7).split([3, 4])), list(rows(7, seed=2).split([2, 4, 1]))

    def encode(chunk: Tensor) -> tuple[Tensor, ...]:
        features = pair.image.layers[:3](chunk)
        vector = l2_normalize(pair.image.layers[3](features), dim=-1)
        both = torch.stack([vector, vector.flip(1)], dim=1), features
        return Both(*both) if kind is Both else both

    def loss(text: Tensor, image: tuple[Tensor, ...], weight: float) -> Tensor:
        assert type(image) is kind
        vectors, features = image
        value = pair.loss(text, vectors[:, 0]) + pair.loss(text, vectors[:, 1])
        return value + weight * features[::2].square().mean() if weight else value

    for weight in (0.5, 0.0):
        outputs: list[list[Any]] = [[], []]
        for tower, (encoder, chunks) in enumerate(((pair.text, text), (encode, image))):
            for i, chunk in enumerate(chunks):
                with seeded(SEED, tower, i):
                    outputs[tower].append(encoder(chunk))
        whole = [torch.cat(tensors) for tensors in zip(*outputs[1], strict=True)]
        wanted_loss = loss(torch.cat(outputs[0]), Both(*whole) if kind is Both else tuple(whole), weight)
        wanted_loss.backward()
        wanted = pair.gradients()
        got_loss = cached_backward(
            [text, image], [pair.text, encode], lambda t, i, weight=weight: loss(t, i, weight),
            backward=Tensor.backward, seed=SEED,
        )  # fmt: skip
        assert got_loss == pytest.approx(wanted_loss.item())
        assert_equal(pair.gradients(), wanted, 1e-10)


def test_scaling_by_backward_reaches_every_gradient_once() -> None:
    pair = Pair()
    text, image = list(rows(6).split(2)), list(rows(6, seed=2).split(3))
    _, wanted = plain(pair, text, image)
    _, got = cached(pair, text, image, backward=lambda loss: (loss * 8.0).backward())
    assert_equal(got, {name: gradient * 8.0 for name, gradient in wanted.items()}, 1e-10)


def test_gradients_add_to_those_already_there() -> None:
    pair = Pair()
    text, image = list(rows(6).split(2)), list(rows(6, seed=2).split(3))
    _, wanted = plain(pair, text, image)
    for _ in range(2):
        cached_backward([text, image], [pair.text, pair.image], pair.loss, backward=Tensor.backward, seed=SEED)
    assert_equal(pair.gradients(), {name: gradient * 2 for name, gradient in wanted.items()}, 1e-10)


def test_another_seed_draws_other_masks_and_disturbs_nobody() -> None:
    pair = Pair()
    text, image = list(rows(6).split(2)), list(rows(6, seed=2).split(2))
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    first, _ = cached(pair, text, image)
    assert torch.equal(torch.rand(2), wanted)
    again, _ = cached(pair, text, image)
    other, _ = cached(pair, text, image, seed=SEED + 1)
    assert first == again != other


def test_towers_and_chunks_do_not_share_their_masks() -> None:
    drawn = set()
    for numbers in ((1, 0, 0), (1, 0, 1), (1, 1, 0), (2, 0, 0), (1, 11, 0), (11, 1, 0)):
        with seeded(*numbers):
            drawn.add(torch.rand(()).item())
    assert len(drawn) == 6


def test_bfloat16_autocast_outside_leaves_every_gradient() -> None:
    pair = Pair(torch.float32)
    text, image = list(rows(6, torch.float32).split(2)), list(rows(6, torch.float32, 2).split(2))
    with torch.autocast("cpu", torch.bfloat16):
        _, wanted = plain(pair, text, image)
        _, got = cached(pair, text, image)
    assert_equal(got, wanted, 0.05)


def test_every_pass_runs_inside_of_no_sync() -> None:
    pair, inside = Pair(), [False]

    @contextlib.contextmanager
    def no_sync() -> Iterator[None]:
        inside[0] = True
        yield
        inside[0] = False

    def encode(chunk: Tensor) -> Tensor:
        assert inside[0]
        return pair.text(chunk)  # type: ignore[no-any-return]

    def backward(loss: Tensor) -> None:
        assert inside[0]
        loss.backward()

    for chunk in (2, 6):
        cached_backward(
            [rows(6).split(chunk)], [encode], lambda text: pair.loss(text, text), backward=backward, no_sync=no_sync,
            seed=SEED,
        )  # fmt: skip
        assert not inside[0]


@pytest.mark.parametrize("inputs", [[[rows(2)]], [[rows(2)], []]])
def test_a_missing_or_empty_tower_is_refused(inputs: list[list[Tensor]]) -> None:
    pair = Pair()
    with pytest.raises(ValueError, match="2 encoders for towers of"):
        cached_backward(inputs, [pair.text, pair.image], pair.loss, backward=Tensor.backward, seed=SEED)


# ------------------------------------------------------------------ several processes


def test_alone_gather_and_average_change_nothing() -> None:
    tensor, parameter = rows(3), nn.Parameter(torch.zeros(2))
    assert gather(tensor) is tensor
    average_gradients([parameter])
    assert parameter.grad is None


WORKER = """
import os, sys, torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from araclip.training.loop.gradcache import average_gradients, cached_backward, gather
from araclip.training.losses import contrastive_loss
from two_towers import Pair, rows

rank, chunk, wrapped, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "wrapped", sys.argv[4]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{out}.meet", rank=rank, world_size=2)
pair = Pair(dropout=0.0)
own = slice(4 * rank, 4 * rank + 4)
options = {}
towers = [pair.text, pair.image]
if wrapped:
    towers = [DistributedDataParallel(tower) for tower in towers]

def no_sync():
    import contextlib
    stack = contextlib.ExitStack()
    for tower in towers:
        if wrapped:
            stack.enter_context(tower.no_sync())
    return stack

def loss_fn(text, image):
    return pair.loss(gather(text), gather(image))

inputs = [rows(8)[own].split(chunk), rows(8, seed=2)[own].split(chunk)]
loss = cached_backward(inputs, towers, loss_fn, backward=Tensor.backward, no_sync=no_sync, seed=1)
lonely = torch.nn.Parameter(torch.zeros(2))  # has a gradient in one of the processes only
if rank == 1:
    lonely.grad = torch.full((2,), 6.0)
average_gradients([*pair.parameters(), lonely])
found = {"loss": loss, "order": gather(torch.tensor([rank])), "lonely": lonely.grad, **pair.gradients()}
torch.save(found, f"{out}.{rank}")
dist.destroy_process_group()
os._exit(0)  # DistributedDataParallel keeps the group's threads, which may abort an interpreter that ends
"""


@pytest.mark.parametrize(("chunk", "wrapping"), [(4, "bare"), (2, "bare"), (2, "wrapped")])
def test_two_processes_get_gradients_of_one_with_whole_batch(
    interpreter: Warm, tmp_path: Path, chunk: int, wrapping: str
) -> None:
    ranks = [
        interpreter.start(
            WORKER, str(rank), str(chunk), wrapping, str(tmp_path / "out"), printed=tmp_path / f"printed.{rank}"
        )
        for rank in range(2)
    ]
    for rank in ranks:
        assert rank.wait() == 0, rank.printed.read_text(encoding="utf-8")
    wanted_loss, wanted = plain(Pair(dropout=0.0), [rows(8)], [rows(8, seed=2)])
    for rank in range(2):
        got = torch.load(tmp_path / f"out.{rank}", weights_only=True)
        assert got.pop("loss") == pytest.approx(wanted_loss)
        assert got.pop("order").tolist() == [0, 1]
        assert got.pop("lonely").tolist() == [3.0, 3.0]
        assert_equal(got, wanted, 1e-10)
