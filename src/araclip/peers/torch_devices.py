"""The devices that PyTorch has on this machine, for published models that run on it."""

import torch

from araclip.models.devices import AUTO, CPU, CUDA, OPENVINO, missing

MPS = "mps"


def torch_device(named: str) -> str:
    """A device of PyTorch's, such as "cuda:1"; "auto" is the first GPU, else the CPU.

    Raises:
        InputError: it is not there; those that are, are listed.
    """
    gpus = [CUDA, *(f"{CUDA}:{number}" for number in range(torch.cuda.device_count()))]
    here = [CPU, *(gpus if torch.cuda.is_available() else ()), *([MPS] if torch.backends.mps.is_available() else ())]
    if named == AUTO:
        return here[1] if len(here) > 1 else CPU
    if named not in here:
        remedy = f"Name one of these, or '{AUTO}'."
        if named.startswith(OPENVINO):
            remedy = "This model runs on PyTorch. Make a model folder of it first: `araclip pull`."
        raise missing(named, here, remedy)
    return named
