"""Converts exported float32 ONNX graphs into graphs with smaller weights.

- int8, compact, float16: weights are stored small, the graph computes in float32 (`export.narrowing`). compact is int8
  with the vocabulary in four bits.
- smooth-int8: products with matrices compute in int8, with scaled rows and channels (`export.smooth`). smooth-compact
  is smooth-int8 with the vocabulary in four bits.
- static-int8: convolutions compute in int8, with ranges measured on calibration inputs (`export.static`). For
  convolutional networks.
- float32: weights stay unchanged.

In smooth-int8, weights of anything but products with matrices are stored as in int8.
"""

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from araclip.core.display import Log
from araclip.demo import PHOTOGRAPHS
from araclip.errors import InputError
from araclip.gallery.reference_queries import EVERYDAY
from araclip.models.encoder import AraCLIP
from araclip.models.folder import TOWERS, ModelConfig
from araclip.models.inference import TextTokenizer, pad_encodings
from araclip.pictures.formats import SUFFIXES
from araclip.pictures.images import open_image
from araclip.training.export.graphs import Feed, opened, order_gelu, read_graph, write_graph
from araclip.training.export.narrowing import narrow
from araclip.training.export.smooth import Largest, compute_in_int8, errors_of_products, largest_by_channel
from araclip.training.export.static import convolutions
from araclip.training.model.unpack import probe_squares

SMOOTH = ("smooth-int8", "smooth-compact")
CALIBRATED = (*SMOOTH, "static-int8")  # ways to store weights that use calibration inputs


def store(
    graph: Path, target: Path, weights: str, *, feeds: Sequence[Feed] = (), largest: Largest | None = None,
    keep: Collection[str] = (),
) -> None:  # fmt: skip
    """Write `target` from a float32 graph, with its weights stored as `weights` says.

    Weights of more than 2 GB go into a file beside the graph, see `graphs`.

    Args:
        feeds: calibration inputs, each by name as the graph takes them; static-int8 needs some, smooth-int8 and
            smooth-compact can do without.
        largest: the result of `largest_by_channel` for these inputs, if it is known already.
        keep: matrix products that stay in float32 with smooth-int8 and smooth-compact, by the name of their output.
    """
    if weights == "static-int8":
        from araclip.training.export.static import quantise_static

        quantise_static(graph, target, feeds)
        graph = target
    model = read_graph(graph)
    order_gelu(model.graph)
    if weights in SMOOTH:
        if largest is None:
            largest = largest_by_channel(graph, feeds) if feeds else {}
        compute_in_int8(model, graph.parent, largest, keep)
    if weights != "float32":
        four = weights in ("compact", "smooth-compact")
        narrow(model.graph, compact=four, half=weights == "float16", folder=graph.parent)
    write_graph(model, graph.parent, target)


CAPTIONS = 48  # number of everyday queries among the test texts
PICTURES = 8  # test pictures from each folder of pictures; few, because large vision towers take seconds for each
CALIBRATION = 128  # pictures from each folder of pictures, on which static-int8 measures its ranges

Probes = Sequence[Feed]  # inputs of a graph, with one text or picture each


def image_probes(model: AraCLIP, pictures: Sequence[Path] = (), count: int = PICTURES) -> Probes:
    """Return probes (test inputs) for a model's image graph, with one picture each.

    Args:
        pictures: folders; `count` pictures of each are taken, evenly spread. Without folders, photographs of the extra
            `demo` are taken, or else synthetic pictures.
    """
    chosen: list[Path] = []
    for folder in pictures:
        chosen += _pictures_in(folder, count)
    if not pictures and find_spec("skimage") is not None:  # skimage has the sample gallery's photographs
        wheel = Path(str(files("skimage"))) / "data"
        chosen = [path for name in PHOTOGRAPHS if (path := wheel / name).is_file()][:count]
    squares: Iterable[NDArray[np.uint8]] = (
        (model.image_transform.pixels(open_image(path, model.image_size)) for path in chosen)
        if chosen
        else probe_squares(model.image_size)[-count:]
    )
    return [{"pixels": square[None]} for square in squares]


def check_pictures(folders: Iterable[Path], way: str) -> None:
    """Raise InputError if a folder holds no picture, or ImageError if a picture that the calibration takes is damaged.

    Called before long work, since `image_probes` would raise these errors only after that work. `way` is how the
    weights of the image tower are to be stored.
    """
    for folder in folders:
        for path in _pictures_in(folder, pictures_for(way)):
            if way in CALIBRATED:
                open_image(path, 1)


def pictures_for(way: str) -> int:
    """Return how many pictures of each folder a way to store weights is calibrated on."""
    return CALIBRATION if way == "static-int8" else PICTURES


def _pictures_in(folder: Path, count: int) -> list[Path]:
    """Return `count` pictures of a folder and the folders below it, evenly spread; all if there are fewer."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Name a folder of pictures.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))}). Name another folder.")
    return [found[round(place)] for place in np.linspace(0, len(found) - 1, min(count, len(found)))]


LEAST_COSINE = 0.995  # least cosine between a test item's vectors from the stored graph and the float32 graph
KEPT = (0.0, 0.15, 0.3)  # shares of products left in float32 by smooth-int8, tried until LEAST_COSINE is reached
_CALIBRATED_ON = 24  # `store_near` calibrates on at least this many test inputs, or on all if there are fewer
_CONVOLUTIONAL = 8  # least convolutions of a network that counts as convolutional; a vision transformer has one


def store_towers(
    full: Path, stored: Path, config: ModelConfig, ways: Mapping[str, str], *, pictures: Sequence[Path] = (),
    kept: bool = False, threads: int | None = None, log: Log = lambda line: None,
) -> str:  # fmt: skip
    """Write text.onnx and image.onnx into `stored` from the float32 graphs of the model folder `full`.

    static-int8 is for convolutional networks; other towers are stored as smooth-int8 instead.

    Args:
        ways: tower → how its weights are stored, as `folder.weights_by_tower` returns them.
        pictures: folders to calibrate with, see `image_probes`.
        kept: compare the vectors of each tower that computes in int8 with the float32 vectors. If smooth-int8 moves
            them too far, more and more products stay in float32; at last the weights are stored as float16.

    Returns:
        The value of `weights` in config.json: a name, or "NAME + NAME" for text and image.
    """
    taken = []
    for tower in TOWERS:
        graph, target, way = full / f"{tower}.onnx", stored / f"{tower}.onnx", ways[tower]
        if way == "static-int8" and len([*convolutions(read_graph(graph).graph)]) < _CONVOLUTIONAL:
            way = "smooth-int8"
            log(f"The {tower} tower is no convolutional network: it is stored as smooth-int8 instead of static-int8.")
        if way == "static-int8" and not pictures:
            raise InputError(
                "static-int8 measures ranges on pictures, and none were named. Name a folder of some (--calibrate of "
                "`araclip export`), or take another way to store weights."
            )
        if way not in CALIBRATED:
            store(graph, target, way)
        else:
            if tower == "text":
                captions = (*EVERYDAY[:CAPTIONS], *(what for what, _ in PHOTOGRAPHS.values()))
                tokenizer = TextTokenizer(full, config)
                probes: Probes = [pad_encodings([one], config.text) for one in tokenizer.encode(captions)]
            else:
                probes = image_probes(AraCLIP(full, threads=threads), pictures, pictures_for(way))
            if kept:
                way = store_near(graph, target, way, probes, threads, lambda line: log(f"{tower}, {line}"))  # noqa: B023
            else:
                store(graph, target, way, feeds=probes)
        taken.append(way)
    return taken[0] if taken[0] == taken[1] else " + ".join(taken)


def store_near(
    graph: Path, target: Path, way: str, feeds: Probes, threads: int | None = None, log: Log = lambda line: None
) -> str:
    """Store a tower so that the vector of every probe (test input) stays near the float32 vector; return the way taken.

    First `way` is tried, then, if it is smooth-int8 or smooth-compact, `way` with more and more matrix products in
    float32, at last float16.
    """
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as beside:
        exact = Path(beside) / "float32.onnx"
        # weights in a file of their own can be memory-mapped
        write_graph(read_graph(graph), graph.parent, exact, outside=True)
        before = _run_graph(exact, feeds, threads)
        calibration = feeds[:: max(1, len(feeds) // _CALIBRATED_ON)]
        largest = largest_by_channel(exact, calibration) if way in SMOOTH else {}
        errors: dict[str, float] = {}
        for share in KEPT if way in SMOOTH else KEPT[:1]:
            if share and not errors:
                errors = errors_of_products(exact, calibration[:4], largest)
            worst = sorted(errors, key=lambda product: -errors[product])[: round(share * len(errors))]
            store(exact, target, way, feeds=feeds, largest=largest, keep=worst)
            cosine = float((before * _run_graph(target, feeds, threads)).sum(axis=1).min())
            log(f"{way}: cosine {cosine:.4f} at least{f', {len(worst)} products in float32' if worst else ''}")
            if cosine >= LEAST_COSINE:
                return way
        log(f"{way} moves its vectors too far, {LEAST_COSINE} is the least; it is stored as float16")
        store(exact, target, "float16")
    return "float16"


def _run_graph(graph: Path, feeds: Probes, threads: int | None) -> NDArray[np.float32]:
    session = opened(graph, threads)
    return np.concatenate([session.run(None, feed)[0] for feed in feeds])
