"""Sets up the processes and devices of a run: which process takes which rows of a batch, and in which precision."""

import os
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from accelerate import Accelerator, InitProcessGroupKwargs

from araclip.core.libraries import keep_freed_memory
from araclip.errors import RecipeError
from araclip.training.loop.gradcache import is_distributed

TIMEOUT = timedelta(days=2)  # how long a process waits for the others: the first may compute vectors for hours


def accelerator_for(batch: int = 0) -> Accelerator:
    """Return the processes and devices of this run, as `accelerate launch` or the environment sets them.

    `batch` is the number of rows of a step, or 0 for a stage without steps. If processes cannot share these rows
    evenly, a RecipeError is raised.
    """
    keep_freed_memory()
    # No mixed precision here, because accelerate keeps one setting for the whole process: `autocast` sets it by stage.
    # Without a GPU, accelerate makes a group of processes only with cpu=True.
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),
        mixed_precision="no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=TIMEOUT)],
    )
    check_even(batch, "rows", accelerator)
    return accelerator


def check_even(count: int, what: str, accelerator: Accelerator) -> None:
    """Raise a RecipeError if processes cannot share a batch equally: the loss would differ from a single process's.

    `count` is the size of the batch, and `what` the word for its rows in the message.
    """
    if count % accelerator.num_processes:
        raise RecipeError(
            f"a batch of {count} {what} cannot be shared by {accelerator.num_processes} processes. "
            "Make it a multiple of their number."
        )


def autocast(precision: str, accelerator: Accelerator) -> AbstractContextManager[Any]:
    """Return the context in which a tower encodes: bfloat16 if `precision` says so, otherwise float32."""
    return torch.autocast(accelerator.device.type, torch.bfloat16, enabled=precision == "bfloat16")


def share(accelerator: Accelerator, size: int) -> slice:
    """Return which rows of a batch this process takes; `size` is a multiple of the number of processes."""
    each, index = size // accelerator.num_processes, accelerator.process_index
    return slice(index * each, (index + 1) * each)


def is_main_process() -> bool:
    """True in the process that writes files and prints; of several processes of `accelerate launch`, in the first."""
    return not int(os.environ.get("RANK", "0"))


def leave_group() -> None:
    """Take this process out of its group of processes, if there is one; call it after the last stage.

    Otherwise the group's threads can abort the interpreter while it exits (PyTorch issue 190489).
    """
    if is_distributed():
        dist.destroy_process_group()
