"""Both float32 graphs of a model folder → graphs with small weights, one tower after the other."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.encoder import AraCLIP
from araclip.errors import InputError
from araclip.model_folder import WEIGHTS, ModelConfig
from araclip.training.export.int8.calibration import errors_of_products, largest_by_channel
from araclip.training.export.int8.convolutions import convolutions
from araclip.training.export.quantize import CALIBRATED, SMOOTH, store
from araclip.training.export.weights.graph_files import read_graph, write_graph
from araclip.training.export.weights.probe_inputs import CALIBRATION, PICTURES, Probes, image_probes, text_probes
from araclip.training.export.weights.sessions import opened

TOWERS = ("text", "image")
Log = Callable[[str], None]
LEAST_COSINE = 0.995  # of each probe, to float32
KEPT = (0.0, 0.15, 0.3)  # shares of the products that smooth-int8 leaves in float32, tried one after the other
_CALIBRATED_ON = 24  # probes of smooth-int8's, whose ranges are those of the weights' inputs alone
_CONVOLUTIONAL = 8  # convolutions; a vision transformer has one, which makes patches


def ways_of(weights: str) -> dict[str, str]:
    """By tower, how its weights are to be stored: one of `model_folder.WEIGHTS` for both, or "TEXT + IMAGE".

    Raises:
        InputError: something else.
    """
    parts = [part.strip() for part in weights.split("+")]
    if unknown := [part for part in parts if part not in WEIGHTS]:
        raise InputError(
            f"weights are stored as {', '.join(WEIGHTS)}, or as two of them, 'TEXT + IMAGE', not as '{unknown[0]}'."
        )
    if len(parts) > len(TOWERS):
        raise InputError(f"weights are those of two towers, 'TEXT + IMAGE', but '{weights}' names {len(parts)} ways.")
    return dict(zip(TOWERS, parts * 2, strict=False))


def store_towers(
    full: Path, stored: Path, config: ModelConfig, ways: Mapping[str, str], *, pictures: Sequence[Path] = (),
    kept: bool = False, threads: int | None = None, log: Log = lambda line: None,
) -> str:  # fmt: skip
    """Write text.onnx and image.onnx into `stored` from the float32 ones of the model folder `full`.

    static-int8 is for convolutional networks; another tower is stored as smooth-int8 in its place.

    Args:
        ways: as `ways_of` gives them.
        pictures: folders to calibrate with, see `probe_inputs.image_probes`.
        kept: compare the vectors of each tower that is computed in int8 with those in float32. One that smooth-int8
            moves too far has more and more products in float32, and at last float16 weights.

    Returns:
        What config.json says under `weights`: a name, or "NAME + NAME" of text and image.

    Raises:
        InputError: no picture in a folder, or static-int8 was asked for without one.
    """
    taken = []
    for tower in TOWERS:
        graph, target, way = full / f"{tower}.onnx", stored / f"{tower}.onnx", ways[tower]
        if way == "static-int8" and len([*convolutions(read_graph(graph).graph)]) < _CONVOLUTIONAL:
            way = "smooth-int8"
        if way == "static-int8" and not pictures:
            raise InputError(
                "static-int8 measures ranges on pictures, and none were named. Name a folder of some (--calibrate of "
                "`araclip export`), or take another way to store weights."
            )
        if way not in CALIBRATED:
            store(graph, target, way)
        else:
            if tower == "text":
                probes = text_probes(full, config)
            else:
                count = CALIBRATION if way == "static-int8" else PICTURES
                probes = image_probes(AraCLIP(full, threads=threads), pictures, count)
            if kept:
                way = store_near(graph, target, way, probes, threads, lambda line: log(f"{tower}, {line}"))  # noqa: B023
            else:
                store(graph, target, way, feeds=probes)
        taken.append(way)
    return taken[0] if taken[0] == taken[1] else " + ".join(taken)


def store_near(
    graph: Path, target: Path, way: str, feeds: Probes, threads: int | None = None, log: Log = lambda line: None
) -> str:
    """Store a tower so that every vector of the probes stays near; how it was stored in the end."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
        exact = Path(beside) / "float32.onnx"
        write_graph(read_graph(graph), graph.parent, exact, outside=True)  # mapped, by all that measures
        before = _vectors(exact, feeds, threads)
        calibration = feeds[:: max(1, len(feeds) // _CALIBRATED_ON)]
        largest = largest_by_channel(exact, calibration) if way in SMOOTH else {}
        errors: dict[str, float] = {}
        for share in KEPT if way in SMOOTH else KEPT[:1]:
            if share and not errors:
                errors = errors_of_products(exact, calibration[:4], largest)
            worst = sorted(errors, key=lambda product: -errors[product])[: round(share * len(errors))]
            store(exact, target, way, feeds=feeds, largest=largest, keep=worst)
            cosine = float((before * _vectors(target, feeds, threads)).sum(axis=1).min())
            log(f"{way}: cosine {cosine:.4f} at least{f', {len(worst)} products in float32' if worst else ''}")
            if cosine >= LEAST_COSINE:
                return way
        log(f"{way} moves its vectors too far, {LEAST_COSINE} is the least; it is stored as float16")
        store(exact, target, "float16")
    return "float16"


def _vectors(graph: Path, feeds: Probes, threads: int | None) -> NDArray[np.float32]:
    session = opened(graph, threads)
    return np.concatenate([session.run(None, feed)[0] for feed in feeds])
