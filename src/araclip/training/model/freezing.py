"""The layers of any encoder in their order, and freezing the first ones."""

from collections.abc import Iterator

from torch import nn

from araclip.errors import RecipeError

STACKS = {"layer", "layers", "block", "blocks", "resblocks", "stages", "h"}  # names of the list of layers in encoders


def parameters_by_layer(module: nn.Module | nn.Parameter) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Name, parameter and distance from the last layer, in the module's own order."""
    if isinstance(module, nn.Parameter):
        yield "", module, 0
        return
    prefixes, count = _stacks(module)
    reached = False  # the list of layers; modules registered before it are its input
    for name, parameter in module.named_parameters():
        if of := [prefix for prefix in prefixes if name.startswith(prefix)]:
            reached = True
            yield name, parameter, count - 1 - int(name[len(of[0]) :].split(".")[0])
        else:
            yield name, parameter, 0 if reached else count


def _stacks(module: nn.Module) -> tuple[tuple[str, ...], int]:
    """Dotted prefixes and length of the module's lists of layers.

    It is the largest that is not inside another one, and those of its name and length beside it: a tower of several
    branches has one in each.
    """
    found: list[tuple[int, str, int]] = []
    outer: tuple[str, ...] = ()
    for name, child in module.named_modules():
        is_list = isinstance(child, nn.ModuleList | nn.Sequential) and name.split(".")[-1] in STACKS
        if is_list and not name.startswith(outer):
            outer = (*outer, f"{name}.")
            found.append((sum(p.numel() for p in child.parameters()), f"{name}.", len(child)))
    if not found:
        raise RecipeError(
            f"{type(module).__name__} has no list of layers by a name of {', '.join(sorted(STACKS))}, so its layers "
            "cannot be told apart. Set layer_decay to 1 and freeze no single layers of it."
        )
    _, largest, count = max(found, key=lambda row: row[0])
    alike = [
        prefix for _, prefix, length in found if length == count and prefix.split(".")[-2] == largest.split(".")[-2]
    ]
    return tuple(alike), count


def freeze(module: nn.Module, first_layers: int, *, embeddings: bool = False) -> int:
    """Freeze the first layers, and with them the modules before the layers.

    Only gradients stop: a BatchNorm in a frozen layer still gathers statistics unless it is in eval mode.

    Args:
        first_layers: how many; 0 freezes no layer.
        embeddings: freeze the modules before the layers even when no layer is frozen.

    Returns:
        How many numbers stopped learning.

    Raises:
        RecipeError: the module has fewer layers, or none that can be told apart.
    """
    if first_layers == 0 and not embeddings:
        return 0
    prefixes, count = _stacks(module)
    if not 0 <= first_layers <= count:
        raise RecipeError(f"{first_layers} layers to freeze, but {type(module).__name__} has {count}. Freeze fewer.")
    frozen = 0
    for name, parameter, distance in parameters_by_layer(module):
        is_before = not name.startswith(prefixes) and distance == count
        if is_before or (name.startswith(prefixes) and count - 1 - distance < first_layers):
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    return frozen


def freeze_batchnorm(model: nn.Module) -> None:
    """BatchNorm keeps its pre-trained statistics: batches here are small, and a chunk must not see its neighbours."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.eval()
