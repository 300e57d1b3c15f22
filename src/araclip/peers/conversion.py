"""Converts any published dual encoder into an ordinary model folder. Only the conversion needs PyTorch.

The result is compared with the model's own library: the ids of its tokenizer, and each vector of its graphs.
"""

import gc
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from araclip.core import atomic
from araclip.core.display import Log
from araclip.errors import ExportRejected, InputError, ModelMismatch
from araclip.models import folder as model_folder
from araclip.models.encoder import AraCLIP
from araclip.models.encoder_base import Vectors
from araclip.models.folder import ModelConfig, TextConfig, existing_folder
from araclip.peers.loading import load_request
from araclip.peers.request import Request, parse_request
from araclip.peers.tokenizers import encode_padded
from araclip.peers.torch_encoder import TorchEncoder
from araclip.peers.towers import ImagePart, Source, TextPart, split_towers
from araclip.peers.vocabulary import check_languages, cut_vocabulary
from araclip.peers.weight_files import is_saved_model
from araclip.training.export.export import check_target, export, hashed, write_card
from araclip.training.export.model_card import About
from araclip.training.export.tower_graphs import BATCH, TOKENS, write_tower
from araclip.training.export.weights import check_pictures, store_towers

LEAST_COSINE = 0.9999  # least cosine of a float32 graph's vector to PyTorch's; rounding alone stays above .999999
LEAST_RESIZED = 0.999  # LEAST_COSINE for a resized picture, if the model's own library does not resize with Pillow
TEXTS = (
    "قطة جالسة على طاولة", "قِطَّةٌ سوداءُ تنامُ قُربَ النّافذةِ", "كتـــاب", "٣ كلاب و 2 قطط، في بيت؟", "a cat",
    "A Dog's 2 balls, RED & blue!", "قطة black على table 🐈", "🐈‍⬛ 👨‍👩‍👧 ❤️", "ﻻ إله ڤيديو چاي پيتزا",
    "…—«نعم»؛ “yes”", "café naïve", "  two  spaces\tand\na line ", "", "كلب " * 1000, "word " * 1000,
)  # fmt: skip
GRAPH_TEXTS = TEXTS[:9]  # the texts whose vectors are compared, besides one text that is long enough to be cut
# (width, height) of each test picture, as multiples of the side of the model's input
_TEST_SHAPES = ((1.5, 0.95), (0.6, 1.37), (2.9, 2.1))


@dataclass(frozen=True)
class ExpectedVectors:
    """Test texts and pictures with their vectors by the model's own library.

    `least_resized` is the least cosine that a graph's vector of a resized picture must have.
    """

    texts: tuple[str, ...]
    pictures: tuple[Image.Image, ...]
    text_vectors: Vectors
    image_vectors: Vectors
    least_resized: float


def encode_probes(source: Source) -> ExpectedVectors:
    """Encode test texts and pictures one by one with the model's own library; return them with their vectors.

    The graphs must give the same vectors.
    """
    # the pictures: a square of the model's input size, and others of odd sizes; smooth colours with some noise
    rng, side = np.random.default_rng(0), source.image.preprocessing.size
    pictures = []
    for width, height in ((side, side), *((int(side * w) + 1, int(side * h)) for w, h in _TEST_SHAPES)):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noise = rng.integers(-20, 20, smooth.shape, dtype=np.int16)
        pictures.append(Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)))
    texts, encoder = (*GRAPH_TEXTS, TEXTS[-1]), source.reference
    # The model's library resizes with Pillow if its picture settings are a dict (open_clip's), or an image processor of
    # transformers whose class name ends in "Pil".
    resizes = encoder.image.settings
    on_pillow = isinstance(resizes, dict) or type(resizes).__name__.endswith("Pil")
    return ExpectedVectors(
        texts, tuple(pictures),
        np.stack([encoder.encode_text(text) for text in texts]),
        np.stack([encoder.encode_image(picture) for picture in pictures]),
        LEAST_COSINE if on_pillow else LEAST_RESIZED,
    )  # fmt: skip


def check_ids(source: Source) -> None:
    """Raise ModelMismatch if the converted tokenizer gives a test text other ids than the model's own tokenizer."""
    text = source.text
    for probe in TEXTS:
        inputs = source.reference.text.tokens([probe])
        theirs = next(inputs[key] for key in ("input_ids", "text") if key in inputs).numpy()[0][: text.max_tokens]
        ours = encode_padded(text.tokenizer, probe, text.max_tokens, text.pad_id)[0][: len(theirs)]
        if text.graph.language is not None:  # the first id is not compared: it names the language, which the graph sets
            ours, theirs = ours[1:], theirs[1:]
        if len(ours) != len(theirs) or (ours != theirs).any():
            raise ModelMismatch(
                f"{source.request.name}: its tokenizer gives '{probe:.40}' the ids {_show_ids(theirs)}, "
                f"tokenizer.json {_show_ids(ours)}. It does something that is not known here; AraCLIP.load takes the "
                "model as it is, with PyTorch."
            )


def check_vectors(
    found: Vectors, expected: Vectors, probes: Sequence[object], graph: str, least: float = LEAST_COSINE
) -> float:
    """Return the least cosine between the vectors of a graph (`found`) and of the model's own library (`expected`).

    Raise ExportRejected if it is below `least`. `probes` (the items encoded) and `graph` (the file's name) are for the
    message.
    """
    cosines = (found * expected).sum(axis=1)
    worst = int(np.argmin(cosines))  # argmin takes a NaN for the least cosine
    if not cosines[worst] >= least:
        raise ExportRejected(
            f"{graph} is not the published model: on {probes[worst]!r:.60} its vector has cosine {cosines[worst]:.5f} "
            f"to the library's, {least} is the least. Another torch or transformers release may help; report it."
        )
    return float(cosines[worst])


def _show_ids(ids: Any) -> str:
    return f"{[int(id_) for id_ in ids[:8]]}{' …' if len(ids) > 8 else ''} ({len(ids)})"


LANGUAGES = ("ar", "en")  # by default, the vocabulary keeps only tokens in the scripts of these languages
REMEDY = "AraCLIP.load takes the model as it is, with PyTorch"  # advice in an error if a tower cannot be written


def make_model_folder(
    source: str | Request, out: Path, *, weights: str = "float32", languages: tuple[str, ...] | None = LANGUAGES,
    name: str | None = None, pictures: Path | None = None, threads: int = 1, log: Log = lambda line: None,
) -> Path:  # fmt: skip
    """Load a published model with its own library, and write it as a model folder, which appears once all checks pass.

    Args:
        source: what `AraCLIP.load` takes: a published model's name, hub id, kind and location, or a folder.
        out: the model folder to write; an earlier folder is replaced.
        weights: how weights are stored; if this changes vectors too much, float16 is used, see `store_towers`.
        pictures: a folder of pictures to calibrate with; by default photographs of the extra `demo`.
        languages: the vocabulary is cut to the scripts of these languages, see `vocabulary`; None keeps the whole
            vocabulary. The vocabulary of a saved AraCLIPModel is never cut.
        name: the new model's name; by default the source's name.
        threads: number of threads of PyTorch.
        log: called with a line as each step is done.
    """
    folders = (pictures,) if pictures else ()
    ways = model_folder.weights_by_tower(weights)  # a wrong argument is refused before anything is loaded
    check_pictures(folders, ways["image"])
    languages = check_languages(languages) if languages is not None else None
    request = source if isinstance(source, Request) else parse_request(source)
    if request is None:
        raise _no_model_error(source)
    wanted, out = request, out.resolve()
    saved = existing_folder(request.location) if request.kind == "araclip" else None
    if saved is not None and is_saved_model(saved):
        about = About(license=request.license) if request.license else None  # the licence on the model's hub page
        return export(saved, out, name=name, weights=weights, calibrate=folders, about=about, dev=(), log=log).folder
    check_target(out)
    out.parent.mkdir(parents=True, exist_ok=True)

    def fill(stored: Path) -> None:
        with atomic.scratch_folder(stored) as beside:
            full = Path(beside)
            config = _write_exact_model(wanted, full, languages, name or out.name, threads, log)
            shutil.copyfile(full / "tokenizer.json", stored / "tokenizer.json")
            used = store_towers(full, stored, config, ways, pictures=folders, kept=True, threads=threads, log=log)
            write_card(stored, hashed(stored, replace(config, weights=used)), About(license=config.license))

    atomic.write_folder(out, fill)
    return out


def _no_model_error(source: object) -> InputError:
    return InputError(
        f"{source} is no published model that a folder can be made of. docs/peers.md lists the kinds; a model folder "
        "is used as it is."
    )


def _write_exact_model(
    request: Request, folder: Path, languages: tuple[str, ...] | None, name: str, threads: int, log: Log
) -> ModelConfig:
    """Write and check a model's float32 graphs and tokenizer; return the model's config.

    Each tower's memory is freed as soon as its graph is written.
    """
    encoder = load_request(request, threads)
    if not isinstance(encoder, TorchEncoder):
        raise _no_model_error(request.name)
    parts = split_towers(encoder)
    del encoder
    log(f"{request.name} loaded")
    check_ids(parts)
    expected = encode_probes(parts)
    del parts.reference
    if languages is not None:
        before = _cut_vocabulary(parts.text, languages)
        after = parts.text.tokenizer.get_vocab_size()
        log(f"vocabulary cut from {before:,} to {after:,} pieces ({', '.join(languages)})")
    (folder / "tokenizer.json").write_text(parts.text.tokenizer.to_str(), encoding="utf-8")
    config = _make_config(request, parts, name, expected.text_vectors.shape[1], languages)
    write_text_graph(parts.text, folder / "text.onnx")
    parts.image.graph.forget_texts()
    _free_weights(parts.text.graph, parts.image.graph)
    del parts.text
    log("text tower written")
    write_image_graph(parts.image, folder / "image.onnx")
    _free_weights(parts.image.graph)
    del parts
    log("image tower written")
    config = hashed(folder, config)
    _compare_with_library(folder, expected)
    log("the graphs give the vectors of the published model")
    return config


def _free_weights(graph: torch.nn.Module, others: torch.nn.Module | None = None) -> None:
    """Free the memory of a graph's weights, except for weights that the graph `others` also uses.

    This is needed because PyTorch's exporter holds on to every graph that it has written.
    """
    kept = {id(tensor) for tensor in (*others.parameters(), *others.buffers())} if others is not None else set()
    for tensor in [*graph.parameters(), *graph.buffers()]:
        if id(tensor) not in kept:
            tensor.data = torch.empty(0, dtype=tensor.dtype)
    gc.collect()


def _cut_vocabulary(text: TextPart, languages: tuple[str, ...]) -> int:
    """Remove pieces that `languages` do not use from the tokenizer and the token embeddings of a text tower, in place.

    Return how many pieces the tokenizer had before.
    """
    found = cut_vocabulary(text.tokenizer, languages)
    for probe in TEXTS if {"ar", "en"} <= set(languages) else ():
        whole, cut = text.tokenizer.encode(probe).ids, found.tokenizer.encode(probe).ids
        cut = [int(found.rows[id_]) for id_ in cut]  # `rows` holds the old id of each new id
        if cut != whole:
            raise ModelMismatch(
                f"the cut vocabulary takes '{probe:.40}' apart otherwise than the whole one: {cut[:8]} and not "
                f"{whole[:8]}. Keep all languages."
            )
    before = text.tokenizer.get_vocab_size()
    ids = encode_padded(text.tokenizer, "a 1", text.max_tokens, text.pad_id if text.fixed else None)
    text.graph.keep_rows(found.rows, torch.from_numpy(ids))
    text.tokenizer = found.tokenizer
    if text.pad_id in found.rows:
        text.pad_id = int(found.rows.searchsorted(text.pad_id))
    return before


def write_text_graph(text: TextPart, path: Path) -> None:
    """Write text.onnx in float32: `input_ids` (and `attention_mask`) (texts, tokens) int64 → `embedding` (texts, D)."""
    length = text.max_tokens if text.fixed else min(7, max(2, text.max_tokens))
    probe = encode_padded(text.tokenizer, "a b c d e f g h", length, text.pad_id)
    ids = torch.from_numpy(probe).repeat(3, 1)  # an axis of length 1 would be exported as a constant
    axes: dict[int, Any] = {0: BATCH} if text.fixed else {0: BATCH, 1: TOKENS}
    names = ("input_ids", "attention_mask")[: 1 + text.mask]
    inputs = (ids, torch.ones_like(ids))[: 1 + text.mask]
    write_tower(text.graph.requires_grad_(False), text.tower, inputs, path, dict.fromkeys(names, axes), REMEDY)


def write_image_graph(image: ImagePart, path: Path) -> None:
    """Write image.onnx in float32: `pixels` (n, side, side, 3) uint8 → `embedding` (n, D)."""
    side = image.preprocessing.size
    pixels = torch.zeros((2, side, side, 3), dtype=torch.uint8)
    write_tower(image.graph.requires_grad_(False), image.tower, (pixels,), path, {"pixels": {0: BATCH}}, REMEDY)


def _make_config(
    request: Request, parts: Source, name: str, width: int, languages: tuple[str, ...] | None
) -> ModelConfig:
    text, image = parts.text, parts.image
    return ModelConfig(
        name=name, version="1", width=width, files={}, license=request.license or "not stated by its registry entry",
        training_data=(), weights="float32",
        text=TextConfig(
            tower=text.tower, pooling=text.pooling, max_tokens=text.max_tokens,
            normalizer=model_folder.NO_NORMALIZER, pad_id=text.pad_id,
            padding="max_length" if text.fixed else "longest", attention_mask=text.mask,
        ),
        image=replace(image.preprocessing, tower=image.tower),
        source={"id": request.name, "kind": request.kind}, languages=languages,
    )  # fmt: skip


def _compare_with_library(folder: Path, expected: ExpectedVectors) -> None:
    """Raise ExportRejected if a folder's graphs give other vectors than `expected`, those of the model's own library.

    Items are encoded one by one, and only one graph is open at a time.
    """
    encode_text = AraCLIP(folder).encode_text
    found = np.stack([encode_text(text) for text in expected.texts])
    del encode_text
    check_vectors(found, expected.text_vectors, expected.texts, "text.onnx")
    encode_image = AraCLIP(folder).encode_image
    found = np.stack([encode_image(picture) for picture in expected.pictures])
    names = [f"a picture of {picture.width} × {picture.height}" for picture in expected.pictures]
    wanted = expected.image_vectors
    # the first picture is a square of the input's size, which nothing resizes
    check_vectors(found[:1], wanted[:1], names, "image.onnx")
    check_vectors(found[1:], wanted[1:], names[1:], "image.onnx", expected.least_resized)
