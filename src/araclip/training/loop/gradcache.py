"""Trains with large contrastive batches in little memory: embeds in chunks, twice, and holds one chunk's activations.

GradCache (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"). A contrastive
loss needs all embeddings of a batch at once, but the encoder works on each row alone. So: embed every chunk without an
autograd graph, take the loss and its gradient with respect to the embeddings, then embed each chunk again with a graph
and backpropagate the cached gradient through it. The price is a second forward pass.
"""

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

Chunks = Sequence[Any]  # the inputs of one tower, cut into chunks that fit into memory
Encoded = Tensor | tuple[Tensor, ...]  # output for a chunk of b rows: a tensor (b, …), or a tuple of such tensors
Encode = Callable[[Any], Encoded]  # encodes a chunk; rows may not affect each other, as in BatchNorm's training mode


def cached_backward(
    inputs: Sequence[Chunks],
    encode: Sequence[Encode],
    loss_fn: Callable[..., Tensor],
    *,
    backward: Callable[[Tensor], object],
    no_sync: Callable[[], AbstractContextManager[Any]] = nullcontext,
    seed: int,
) -> float:
    """Add the gradients of a batch of any size to `.grad`: the same gradients as encoding the whole batch at once.

    Random numbers inside `encode` (dropout, augmentation) are drawn from (seed, tower, chunk), see `seeded`, so that
    both passes use the same masks. If every tower has a single chunk, one plain pass is done.

    With several processes, each passes its own rows, `loss_fn` calls `gather` on the embeddings, and gradients stay
    local: call `average_gradients` before the optimizer's step.

    Args:
        inputs: for each tower its chunks, of any sizes.
        encode: for each tower the function that takes a chunk of b rows and returns (b, D), or a NamedTuple of tensors
            whose first dimension is b; a gradient is cached for each tensor that the loss uses. If autocast is wanted,
            `encode` itself enters it.
        loss_fn: takes for each tower the output of `encode` for all rows, and returns a scalar. Parameters inside
            `loss_fn` (temperature, bias) get their gradients too.
        backward: called once, on the loss: `Tensor.backward` or `accelerator.backward`. If accelerate scales the loss,
            all gradients are scaled.
        no_sync: makes a context in which DistributedDataParallel does not synchronise gradients: that class expects one
            backward pass in a step, and this function makes many.
        seed: the seed of this step; different in each process if processes are to draw different dropout.

    Returns:
        The loss.

    Raises:
        ValueError: the numbers of towers and encoders differ, or a tower has no chunk.
    """
    if len(inputs) != len(encode) or not all(inputs):
        sizes = [len(chunks) for chunks in inputs]
        raise ValueError(f"{len(encode)} encoders for towers of {sizes} chunks. Pass one a tower, and no empty tower.")
    with no_sync():
        single = all(len(chunks) == 1 for chunks in inputs)
        embedded: list[Encoded] = []
        for tower, chunks in enumerate(inputs):
            if single:
                with seeded(seed, tower, 0):
                    embedded.append(encode[tower](chunks[0]))
            else:
                embedded.append(_embed(chunks, encode[tower], seed, tower))
        loss = loss_fn(*embedded)
        backward(loss)
        for tower, chunks in enumerate([] if single else inputs):
            gradients = [leaf.grad for leaf in _tensors(embedded[tower])]
            _backpropagate(chunks, encode[tower], gradients, seed, tower)
    return float(loss.detach())


def joined(parts: Sequence[Encoded]) -> Encoded:
    """Concatenate the outputs for several chunks, (b, …) each, into one output (B, …) of the same type."""
    if isinstance(parts[0], Tensor):
        return torch.cat([part for part in parts if isinstance(part, Tensor)])
    make: Callable[[list[Tensor]], tuple[Tensor, ...]] = getattr(type(parts[0]), "_make", tuple)
    return make([torch.cat(tensors) for tensors in zip(*parts, strict=True)])


def _tensors(encoded: Encoded) -> tuple[Tensor, ...]:
    return (encoded,) if isinstance(encoded, Tensor) else tuple(encoded)


def _embed(chunks: Chunks, encode: Encode, seed: int, tower: int) -> Encoded:
    """Encode all chunks without an autograd graph; return leaf tensors that will collect the loss's gradient."""
    parts = []
    with torch.no_grad():
        for i, chunk in enumerate(chunks):
            with seeded(seed, tower, i):
                parts.append(encode(chunk))
    # If the caller is in autocast, the second pass would reuse weights that were cast here without a graph, and they
    # would never learn. PyTorch fixed this in pull request 165068, merged in December 2025.
    torch.clear_autocast_cache()
    whole = joined(parts)
    for tensor in _tensors(whole):
        tensor.requires_grad_()
    return whole


def _backpropagate(chunks: Chunks, encode: Encode, gradients: Sequence[Tensor | None], seed: int, tower: int) -> None:
    """Embed each chunk again, with a graph, and send the cached gradients of its rows through it."""
    if all(gradient is None for gradient in gradients):
        return
    start = 0
    for i, chunk in enumerate(chunks):
        with seeded(seed, tower, i):
            tensors = _tensors(encode(chunk))  # each of shape (b, …), for the chunk's b rows
        stop = start + len(tensors[0])
        learning = [
            (tensor, gradient[start:stop].to(tensor.dtype))
            for tensor, gradient in zip(tensors, gradients, strict=True)
            if tensor.requires_grad and gradient is not None
        ]
        if not learning:  # the tower is locked: no output needs a gradient
            return
        # not by the caller's `backward`, which scales the loss: the cached gradients are scaled already
        torch.autograd.backward([tensor for tensor, _ in learning], [gradient for _, gradient in learning])
        start = stop


@contextlib.contextmanager
def seeded(seed: int, tower: int, chunk: int) -> Iterator[None]:
    """Make a `with` block whose random numbers depend on these three numbers alone; restore the generators after it."""
    digest = hashlib.blake2b(f"{seed}/{tower}/{chunk}".encode(), digest_size=8).digest()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int.from_bytes(digest) >> 1)
        yield


# ------------------------------------------------------------------ several processes


def gather(tensor: Tensor) -> Tensor:
    """Return the rows of all processes, process 0's first: (b, …) → (world × b, …). In one process: the tensor itself.

    Gradients flow back to every process. With E = [e₀ … e_w₋₁] the gathered rows and L_k the loss of process k, the
    backward pass gives process r Σ_k ∂L_k/∂e_r. Averaged over w processes, a parameter θ gets

        1/w Σ_r (Σ_k ∂L_k/∂e_r) ∂e_r/∂θ = Σ_r ∂(1/w Σ_k L_k)/∂e_r · ∂e_r/∂θ = ∂L/∂θ,   L = 1/w Σ_k L_k,

    exactly what one process with the whole batch gets, both when every process takes the loss over all rows (L_k = L)
    and when each takes the mean over its own rows. A parameter of the loss itself averages to ∂L/∂θ as well.

    Every process must pass the same number of rows.
    """
    if not is_distributed():
        return tensor
    function: Any = _Gather  # typed Any: not all releases of PyTorch type `apply`
    gathered: Tensor = function.apply(tensor)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.rows = len(tensor)
        parts = [torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()  # (world × b, …)
        dist.all_reduce(total)
        return total[dist.get_rank() * ctx.rows :][: ctx.rows]


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes; in a single process do nothing.

    Every process passes the same parameters in the same order. A parameter without a gradient in this process counts as
    zero, and gets the mean like any other.
    """
    if not is_distributed():
        return
    for parameter in parameters:
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        parameter.grad /= dist.get_world_size()


def is_distributed() -> bool:
    """True if this process is one of a group of processes that train together."""
    return dist.is_available() and dist.is_initialized()
