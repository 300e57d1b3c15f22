"""The processes and devices of a run: which process takes which rows of a batch, and the precision of a step."""

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs

from araclip.core.libraries import keep_freed_memory
from araclip.errors import RecipeError
from araclip.training.loop.gradcache import is_distributed

TIMEOUT = timedelta(days=2)  # the first process may compute cached vectors for hours while the others wait for it


def accelerator_for(batch: int = 0) -> Accelerator:
    """The processes and devices of this run, as `accelerate launch` or the environment names them.

    `batch` is the rows that they share evenly in each step; 0 where a stage has no steps.
    """
    keep_freed_memory()
    # Precision is the stage's, see `autocast`: accelerate has one for the process, and a recipe's stages may differ.
    # On a machine without GPU accelerate makes a group of processes only with cpu=True.
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=TIMEOUT)],
    )
    check_even(batch, "rows", accelerator)
    return accelerator


def check_even(count: int, what: str, accelerator: Accelerator) -> None:
    """Refuse a batch of which processes would take unequal parts: the loss would not be that of one process."""
    if count % accelerator.num_processes:
        raise RecipeError(
            f"a batch of {count} {what} cannot be shared by {accelerator.num_processes} processes. "
            "Make it a multiple of their number."
        )


def autocast(precision: str, accelerator: Accelerator) -> AbstractContextManager[Any]:
    """The precision in which a tower encodes: bfloat16 where the stage asks for it."""
    return torch.autocast(accelerator.device.type, torch.bfloat16, enabled=precision == "bfloat16")


def share(accelerator: Accelerator, size: int) -> slice:
    """This process's rows of a batch of `size`, a multiple of the number of processes."""
    each, index = size // accelerator.num_processes, accelerator.process_index
    return slice(index * each, (index + 1) * each)


def step_seed(seed: int, accelerator: Accelerator, step: int) -> int:
    """The seed of dropout in one step and process."""
    processes: int = accelerator.num_processes
    index: int = accelerator.process_index
    return (seed * 1_000_003 + step) * processes + index


def leave_group() -> None:
    """Take this process, whose last stage is done, out of its group of processes, if there is one.

    A group's threads can abort an interpreter that exits while they run (PyTorch issue 190489).
    """
    if is_distributed():
        dist.destroy_process_group()
