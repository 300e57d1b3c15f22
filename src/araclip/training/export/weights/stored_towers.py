"""Both float32 graphs of a model folder → graphs with small weights, one tower after the other."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from araclip.encoder import AraCLIP
from araclip.errors import InputError
from araclip.model_folder import ModelConfig
from araclip.training.export.int8.convolutions import convolutions
from araclip.training.export.quantize import CALIBRATED, SMOOTH, store
from araclip.training.export.weights.choice import TOWERS, Choice, Ways, choose_weights
from araclip.training.export.weights.graph_files import read_graph
from araclip.training.export.weights.probe_inputs import CALIBRATION, PICTURES, image_probes, text_probes

Log = Callable[[str], None]
_CONVOLUTIONAL = 8  # convolutions; a vision transformer has one, which makes patches
_FOR_PRODUCTS = (*SMOOTH, "int8-blocks")


def store_towers(
    full: Path, stored: Path, config: ModelConfig, ways: Ways, *, pictures: Sequence[Path] = (),
    compared: Collection[str] = (), threads: int | None = None, log: Log = lambda line: None,
) -> tuple[str, dict[str, Any]]:  # fmt: skip
    """Write text.onnx and image.onnx into `stored` from the float32 ones of the model folder `full`.

    Of several ways, the fastest that keeps the vectors is taken for each tower, see `choice`; a single one is taken
    as it is.

    Args:
        ways: as `choice.candidates` gives them.
        pictures: folders to try and to calibrate with, see `probe_inputs.image_probes`.
        compared: towers of which a single way must keep the vectors, too: it is the last of several.

    Returns:
        What config.json says under `weights`: a name, or "NAME + NAME" of text and image. And what was measured, by
        tower; nothing for a single name that was not compared.

    Raises:
        ExportRejected: none keeps a tower's vectors.
        InputError: no picture in the folder, or static-int8 was asked for without one.
    """
    taken, measured = [], {}
    for tower in TOWERS:
        graph, target = full / f"{tower}.onnx", stored / f"{tower}.onnx"
        of_tower = _fit_for(ways[tower], graph, pictures)
        several = len(of_tower) > 1 or tower in compared
        choice = _store(full, graph, target, config, of_tower, several, pictures, threads, log)
        taken.append(choice.weights)
        if choice.trials:
            measured[tower] = choice.report()
    return (taken[0] if taken[0] == taken[1] else " + ".join(taken)), measured


def fitting(full: Path, ways: Ways, pictures: Sequence[Path]) -> Ways:
    """Of each tower's ways those that it can be stored in, as `store_towers` picks them."""
    return {tower: _fit_for(ways[tower], full / f"{tower}.onnx", pictures) for tower in TOWERS}


def left_of(ways: Ways, taken: ModelConfig) -> Ways:
    """The ways of each tower that are left once those of `taken` have cost too much recall.

    float32 costs none, so a tower that is stored so is not at fault. The last way of a tower stays, too, since the
    other tower may be at fault.
    """
    spent = {tower: taken.weights_of(tower) for tower in TOWERS}
    return {
        tower: tuple(name for name in names if name != spent[tower] or name == "float32") or names
        for tower, names in ways.items()
    }


def _fit_for(names: Sequence[str], graph: Path, pictures: Sequence[Path]) -> tuple[str, ...]:
    """static-int8 is for convolutional networks and needs pictures; what is for products gains nothing there."""
    convolutional = len([*convolutions(read_graph(graph).graph)]) >= _CONVOLUTIONAL
    if tuple(names) == ("static-int8",):
        return tuple(names) if convolutional else ("smooth-int8",)
    if len(names) == 1:
        return tuple(names)
    left_out = set(_FOR_PRODUCTS if convolutional else ())
    if not convolutional or not pictures:
        left_out.add("static-int8")
    return tuple(name for name in names if name not in left_out)


def _store(
    full: Path, graph: Path, target: Path, config: ModelConfig, names: tuple[str, ...], several: bool,
    pictures: Sequence[Path], threads: int | None, log: Log,
) -> Choice:  # fmt: skip
    if not several and names[0] not in CALIBRATED:
        store(graph, target, names[0])
        return Choice(names[0], ())
    if names == ("static-int8",) and not pictures:
        raise InputError(
            "static-int8 measures ranges on pictures, and none were named. Name a folder of some (--calibrate of "
            "`araclip export`), or take another way to store weights."
        )
    count = CALIBRATION if "static-int8" in names else PICTURES
    if target.stem == "text":
        probes = text_probes(full, config)
    else:
        probes = image_probes(AraCLIP(full, threads=threads), pictures, count)
    if not several:
        store(graph, target, names[0], feeds=probes.feeds)
        return Choice(names[0], ())
    return choose_weights(graph, target, names, probes, threads=threads, log=lambda line: log(f"{target.stem}, {line}"))
